import { Architecture } from '@service-director/shared/model/architecture.ts';
import { jsonSchemaOf } from '@service-director/shared/model/section.ts';
import { EXIT } from '../failure.ts';
import type { CommandRun } from './command.ts';

export const run: CommandRun = async ({ terminal }) => {
  terminal.data(JSON.stringify(jsonSchemaOf(Architecture), null, 2));
  return EXIT.done;
};
