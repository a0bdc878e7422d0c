/** Runs something of the library that only looks, until it is done or Ctrl-C ends it. */
import { EXIT, type ExitCode } from '../failure.ts';
import { type Conductor, conductor } from '../index.ts';
import { InvalidArchitecture } from '../load.ts';
import type { CommandInput } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';
import { runOf, targetOf } from './input.ts';

/** `place` is the word that names the architecture. */
export async function withLook(
  input: CommandInput,
  place: number,
  work: (conductor: Conductor) => Promise<ExitCode>,
): Promise<ExitCode> {
  const { terminal, options } = input;
  const interrupt = new AbortController();
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await work(
      conductor({
        ...targetOf(input, place),
        ...runOf(input),
        signal: interrupt.signal,
        onEvent: (event) => {
          if (event.type === 'note') terminal.progress(`${terminal.paint.dim(event.message)}\n`);
        },
      }),
    );
  } catch (error) {
    // What is followed has no other end.
    if (interrupt.signal.aborted) return options.flag('follow') ? EXIT.done : EXIT.interrupted;
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    throw error;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
