/** The state of a stack as it stands; or who asked for it, and whether that account is whole. */
import type { AuditTrail, LockView, StackState } from '@service-director/shared/contract/state.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import { atDesk, LOOK_SECONDS } from './at-desk.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { demandWord, numberOf } from './input.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const dataflow = demandWord(input, 0, 'The name of a dataflow', 'conductor state DATAFLOW [FILE]');
  return input.options.flag('audit') ? audit(input, dataflow) : state(input, dataflow);
};

function state(input: CommandInput, dataflow: string): Promise<ExitCode> {
  const { terminal } = input;
  return atDesk(input, 1, LOOK_SECONDS, async ({ stackNamed, ask }) => {
    const stack = await stackNamed(dataflow);
    const found = await ask((director) => director.stack(stack));
    if (terminal.isJson) terminal.data(JSON.stringify({ type: 'state', ...found }));
    else for (const line of stateLines(found, terminal.dataPaint)) terminal.data(line);
    return EXIT.done;
  });
}

function stateLines(
  { stack, version, serial, lineage, lock, queue, units }: StackState,
  paint: Paint,
): string[] {
  const known = lineage === '' ? [] : [`lineage ${lineage}`];
  return [
    [paint.bold(stack), `version ${version}`, `serial ${serial}`, ...known].join('  '),
    lock ? paint.yellow(lockWords(lock)) : 'not locked',
    ...queue.map((deployment, at) => `${at + 1}. in the queue: ${deployment}`),
    ...units.map(({ id, fingerprint, outputs }) => {
      const values = Object.entries(outputs).map(([name, value]) => `${name}=${value}`);
      return `  ${id}  ${paint.dim([fingerprint, ...values].join('  '))}`;
    }),
  ];
}

/** `locked by jo since …: maintenance, lock id …` */
function lockWords({ id, held_by, operation, who, created, step, heartbeat_at, reason }: LockView): string {
  const what = held_by === 'deployment' ? `deployment ${id}` : `lock ${id}`;
  return [
    `locked by ${who} since ${created} for ${operation}${reason === undefined ? '' : `: ${reason}`}`,
    what,
    ...(step === undefined ? [] : [step]),
    ...(heartbeat_at === undefined ? [] : [`last heard of at ${heartbeat_at}`]),
  ].join(', ');
}

function audit(input: CommandInput, dataflow: string): Promise<ExitCode> {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? '100', 1, 10_000);
  return atDesk(input, 1, LOOK_SECONDS, async ({ stackNamed, ask }) => {
    const stack = await stackNamed(dataflow);
    const trail = await ask((director) => director.audit(stack, limit));
    if (terminal.isJson) terminal.data(JSON.stringify({ type: 'audit', ...trail }));
    else for (const line of auditLines(trail, terminal.dataPaint)) terminal.data(line);
    return trail.intact ? EXIT.done : EXIT.failed;
  });
}

function auditLines({ entries, intact, broken_at }: AuditTrail, paint: Paint): string[] {
  return [
    ...entries.map(({ sequence, at, what, who, command, deployment, reason, detail }) => {
      const said = [detail, reason].filter((text) => text !== undefined).join('; ');
      const about = paint.dim(`(${deployment ?? command})`);
      return `${sequence} ${paint.dim(at)} ${what} by ${who}${said === '' ? '' : `: ${said}`} ${about}`;
    }),
    intact
      ? paint.green('intact: every row follows from the one before it, and none is missing')
      : paint.red(`NOT intact: row ${broken_at} was changed, or is missing`),
  ];
}
