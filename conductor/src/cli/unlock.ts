/** Gives a lock back; or takes it away, which is noted with the reason. */
import { EXIT } from '../failure.ts';
import { atDesk, TELL_SECONDS } from './at-desk.ts';
import type { CommandRun } from './command.ts';
import { demandWord, usage } from './input.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const how = 'conductor unlock DATAFLOW [FILE] --lock-id ID, or --force --reason TEXT';
  const dataflow = demandWord(input, 0, 'The name of a dataflow', how);
  const [lock, reason] = [options.text('lock-id'), options.text('reason')];
  const force = options.flag('force');
  if (lock === undefined && !force) throw usage('Which lock is not said', how);
  if (force && reason === undefined) throw usage('--force wants a --reason, for the history', how);
  return atDesk(
    input,
    1,
    TELL_SECONDS,
    async ({ stackNamed, tell }) => {
      const stack = await stackNamed(dataflow);
      const { note } = await tell('unlock', {
        ...stack,
        ...(lock === undefined ? {} : { lock_id: lock }),
        ...(force ? { force } : {}),
        ...(reason === undefined ? {} : { reason }),
      });
      terminal.data(
        terminal.isJson
          ? JSON.stringify({ type: 'unlock', dataflow, note })
          : (note ?? `${dataflow} is not locked any more`),
      );
      return EXIT.done;
    },
    `conductor state ${dataflow}`,
  );
};
