/** Runs something of the library with a renderer, and lets Ctrl-C leave it to the director. */
import { EXIT, Failure } from '../failure.ts';
import type { ConductorOptions } from '../index.ts';
import { InvalidArchitecture } from '../load.ts';
import type { CommandInput } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';
import { rendererFor } from './render/render.ts';

export async function withRenderer<T>(
  input: CommandInput,
  options: ConductorOptions,
  work: (options: ConductorOptions) => Promise<T>,
): Promise<T> {
  const { terminal } = input;
  const renderer = rendererFor(terminal);
  const interrupt = new AbortController();
  const onSignal = (): void => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort(new Interrupted());
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await work({ ...options, signal: interrupt.signal, onEvent: (event) => renderer.show(event) });
  } catch (error) {
    renderer.close();
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    throw error;
  } finally {
    renderer.close();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** Ctrl-C detaches: what the director was told goes on. */
class Interrupted extends Failure {
  constructor() {
    super('Interrupted here; what the director was told goes on', {
      exitCode: EXIT.interrupted,
      fix: 'watch it with conductor events --follow, or run the same again: it takes up where it is',
    });
  }
}
