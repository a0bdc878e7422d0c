import { stringify } from 'yaml';
import { EXIT } from '../failure.ts';
import { readArchitecture } from './architecture.ts';
import type { CommandRun } from './command.ts';
import { architectureOf } from './input.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const hydrated = readArchitecture(architectureOf(input), input, {});
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
};

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
