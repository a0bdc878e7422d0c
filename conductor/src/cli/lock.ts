/** Locks a stack by hand: nobody deploys to it who does not name the lock. Prints the id that gives it back. */
import { EXIT, Failure } from '../failure.ts';
import { atDesk, TELL_SECONDS } from './at-desk.ts';
import type { CommandRun } from './command.ts';
import { demandWord } from './input.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const dataflow = demandWord(input, 0, 'The name of a dataflow', 'conductor lock DATAFLOW [FILE]');
  const given = ['operation', 'reason', 'who'].flatMap((name) => {
    const text = options.text(name);
    return text === undefined ? [] : [[name, text] as const];
  });
  return atDesk(
    input,
    1,
    TELL_SECONDS,
    async ({ stackNamed, tell }) => {
      const stack = await stackNamed(dataflow);
      const { lock_id, note } = await tell('lock', { ...stack, ...Object.fromEntries(given) });
      if (lock_id === undefined) throw new Failure('The director locked it, and told no id of the lock');
      terminal.data(terminal.isJson ? JSON.stringify({ type: 'lock', dataflow, lock_id, note }) : lock_id);
      const unlock = terminal.asTyped(`conductor unlock ${dataflow} --lock-id ${lock_id}`);
      terminal.progress(`${note ?? `${dataflow} is locked`}\n  give it back: ${unlock}\n`);
      return EXIT.done;
    },
    `conductor state ${dataflow}`,
  );
};
