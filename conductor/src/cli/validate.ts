import { hydrate } from '@service-director/shared/model/hydrate.ts';
import { stringify } from 'yaml';
import { EXIT, Failure } from '../failure.ts';
import { InvalidArchitecture, loadArchitecture } from '../load.ts';
import type { CommandRun } from './command.ts';
import { showDiagnostics } from './diagnostics.ts';
import { architectureOf } from './input.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal, cwd } = input;
  const path = architectureOf(input);
  try {
    const { architecture } = loadArchitecture(path, cwd);
    const hydrated = withEnvironment(() =>
      hydrate(architecture, { environment: options.text('environment') }),
    );
    const flows = Object.values(hydrated.dataflows).filter(
      ({ name }) => name !== hydrated.director.infrastructure,
    );
    const services = flows.flatMap((flow) => Object.keys(flow.services)).length;
    const resources = flows.flatMap((flow) => Object.values(flow.resources).flat()).length;
    if (options.flag('hydrated'))
      terminal.data(terminal.isJson ? JSON.stringify(hydrated) : stringify(hydrated));
    else if (terminal.isJson)
      terminal.data(
        JSON.stringify({ type: 'valid', name: hydrated.name, dataflows: flows.length, services, resources }),
      );
    else
      terminal.data(
        `${hydrated.name} is valid: ${counted(flows.length, 'dataflow')}, ${counted(services, 'service')}, ${counted(resources, 'resource')}`,
      );
    return EXIT.done;
  } catch (error) {
    if (error instanceof InvalidArchitecture) throw showDiagnostics(error, terminal);
    throw error;
  }
};

function withEnvironment<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Failure(error instanceof Error ? error.message : String(error), {
      exitCode: EXIT.usage,
      cause: error,
    });
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
