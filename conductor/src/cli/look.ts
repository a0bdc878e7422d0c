/** Runs something of the library that only looks, until it is done or Ctrl-C ends it. */
import { EXIT, type ExitCode } from '../failure.ts';
import { type Conductor, type ConductorOptions, conductor } from '../index.ts';
import { InvalidArchitecture } from '../load.ts';
import type { CommandInput } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';
import { runOf, targetOf } from './input.ts';
import { onInterrupt } from './interrupt.ts';

/** `place` is the word that names the architecture; `standard` are options for which nothing was typed. */
export async function withLook(
  input: CommandInput,
  place: number,
  work: (conductor: Conductor) => Promise<ExitCode>,
  standard: Partial<ConductorOptions> = {},
): Promise<ExitCode> {
  const { terminal, options } = input;
  const interrupt = new AbortController();
  const stopListening = onInterrupt(() => interrupt.abort());
  try {
    return await work(
      conductor({
        ...targetOf(input, place),
        ...standard,
        ...runOf(input),
        signal: interrupt.signal,
        onEvent: (event) => {
          if (event.type === 'note')
            terminal.progress(`${terminal.paint.dim(terminal.asTyped(event.message))}\n`);
        },
      }),
    );
  } catch (error) {
    // What is followed has no other end.
    if (interrupt.signal.aborted) return options.flag('follow') ? EXIT.done : EXIT.interrupted;
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    throw error;
  } finally {
    stopListening();
  }
}
