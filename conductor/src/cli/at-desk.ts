/** Runs something at the director's desk, until it is done, given up, or ended by Ctrl-C. */
import type { ExitCode } from '../failure.ts';
import type { Desk } from '../index.ts';
import type { CommandInput } from './command.ts';
import { architectureAt } from './input.ts';
import { withLook } from './look.ts';

/** How long a director that does not answer is asked where nothing else was said: for a look, and for a word to it. Seconds. */
export const LOOK_SECONDS = 60;
export const TELL_SECONDS = 300;

/** `place` is the word that names the architecture; where there is none a director's URL does. */
export function atDesk(
  input: CommandInput,
  place: number,
  seconds: number,
  work: (desk: Desk) => Promise<ExitCode>,
): Promise<ExitCode> {
  const architecture = architectureAt(input, place);
  return withLook(input, place, (conductor) => conductor.atDesk(work), {
    architecture,
    timeoutSeconds: seconds,
  });
}
