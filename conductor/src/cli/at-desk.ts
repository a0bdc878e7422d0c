/** Runs something at the director's desk, until it is done, given up, or ended by Ctrl-C. */
import { EXIT, type ExitCode, Failure } from '../failure.ts';
import type { Desk } from '../index.ts';
import type { CommandInput } from './command.ts';
import { architectureAt } from './input.ts';
import { withLook } from './look.ts';

/** How long a director that does not answer is asked where nothing else was said: for a look, and for a word to it. Seconds. */
export const LOOK_SECONDS = 60;
export const TELL_SECONDS = 300;

/**
 * `place` is the word that names the architecture; where there is none a director's URL does. `lookAfter` is what shows
 * whether a word that Ctrl-C cut off was heard: without one nothing is told.
 */
export async function atDesk(
  input: CommandInput,
  place: number,
  seconds: number,
  work: (desk: Desk) => Promise<ExitCode>,
  lookAfter?: string,
): Promise<ExitCode> {
  const architecture = architectureAt(input, place);
  let isTold = false;
  const code = await withLook(
    input,
    place,
    (conductor) =>
      conductor.atDesk((desk) =>
        work({
          ...desk,
          tell(...words) {
            isTold = true;
            return desk.tell(...words);
          },
        }),
      ),
    { architecture, timeoutSeconds: seconds },
  );
  if (code !== EXIT.interrupted || lookAfter === undefined) return code;
  throw new Failure(
    isTold
      ? 'Interrupted; the director may have heard it, and goes on then'
      : 'Interrupted before the director was told anything',
    { exitCode: EXIT.interrupted, fix: isTold ? `see ${lookAfter}` : undefined },
  );
}
