/** The architecture that a command names, for those that need no more of it than what it says. */
import { type Hydrated, hydrate, UnknownEnvironment } from '@service-director/shared/model/hydrate.ts';
import { EXIT, Failure } from '../failure.ts';
import { InvalidArchitecture, type LoadOptions, loadArchitecture } from '../load.ts';
import type { CommandInput } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';

/** Throws a Failure when there is none, when it has mistakes, which are shown, or not the environment that was asked for. */
export function readArchitecture(
  file: string,
  { options, cwd, terminal }: CommandInput,
  load: LoadOptions = { sources: false },
): Hydrated {
  try {
    const { architecture } = loadArchitecture(file, cwd, load);
    return hydrate(architecture, { environment: options.text('environment') });
  } catch (error) {
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    if (!(error instanceof UnknownEnvironment)) throw error;
    throw new Failure(error.message, { exitCode: EXIT.usage, cause: error });
  }
}
