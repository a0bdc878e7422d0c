/** Tells a deployment to stop, or all deployments of a command. What is done stays, and is told. */
import { EXIT } from '../failure.ts';
import { atDesk, TELL_SECONDS } from './at-desk.ts';
import type { CommandRun } from './command.ts';
import { demandWord } from './input.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const reason = options.text('reason');
  const isCommand = options.flag('command');
  const id = isCommand
    ? demandWord(input, 0, 'The id of a command', 'conductor cancel --command ID [FILE]')
    : demandWord(input, 0, 'The id of a deployment', 'conductor cancel ID [FILE]');
  const subject = isCommand ? { command: id } : { deployment: id };
  return atDesk(
    input,
    1,
    TELL_SECONDS,
    async ({ tell }) => {
      const { note } = await tell('cancel', { ...subject, ...(reason === undefined ? {} : { reason }) });
      terminal.data(
        terminal.isJson
          ? JSON.stringify({ type: 'cancel', ...subject, note })
          : (note ?? `${id} is told to stop`),
      );
      return EXIT.done;
    },
    isCommand ? 'conductor events' : `conductor deployments get ${id}`,
  );
};
