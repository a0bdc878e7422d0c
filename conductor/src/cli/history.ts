/** How the state of a stack came to be: its versions, newest first. */
import type { VersionView } from '@service-director/shared/contract/state.ts';
import { EXIT } from '../failure.ts';
import { atDesk, LOOK_SECONDS } from './at-desk.ts';
import type { CommandRun } from './command.ts';
import { demandWord, numberOf } from './input.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const dataflow = demandWord(input, 0, 'The name of a dataflow', 'conductor history DATAFLOW [FILE]');
  const limit = numberOf('limit', options.text('limit') ?? '10', 1, 1_000);
  return atDesk(input, 1, LOOK_SECONDS, async ({ stackNamed, ask }) => {
    const stack = await stackNamed(dataflow);
    const history = await ask((director) => director.history(stack, limit));
    if (terminal.isJson) terminal.data(JSON.stringify({ type: 'history', ...history }));
    else
      for (const line of history.versions.flatMap((one) => linesOf(one, terminal.dataPaint)))
        terminal.data(line);
    if (history.versions.length === 0) terminal.progress(`${history.stack} has no version yet\n`);
    return EXIT.done;
  });
};

function linesOf(view: VersionView, paint: Paint): string[] {
  const { version, current, restorable, operation, who, at, reason, deployment } = view;
  const standing = current
    ? paint.green('current')
    : restorable
      ? 'can be restored'
      : paint.yellow('cannot be restored');
  const why = reason === undefined ? '' : `: ${reason}`;
  const changes = [
    ...view.added.map((unit) => paint.green(`+ ${unit}`)),
    ...view.changed.map((unit) => paint.yellow(`~ ${unit}`)),
    ...view.removed.map((unit) => paint.red(`- ${unit}`)),
  ];
  return [
    `${paint.bold(`version ${version}`)}  ${standing}  ${operation} by ${who} at ${at}${why} ${paint.dim(`(${deployment})`)}`,
    ...changes.map((change) => `  ${change}`),
  ];
}
