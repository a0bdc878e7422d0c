import { EXIT } from '../failure.ts';
import type { CommandRun } from './command.ts';

/** Put in when the program is bundled. */
declare const CONDUCTOR_VERSION: string | undefined;
const VERSION = typeof CONDUCTOR_VERSION === 'string' ? CONDUCTOR_VERSION : 'development';

export const run: CommandRun = async ({ terminal }) => {
  terminal.data(terminal.isJson ? JSON.stringify({ version: VERSION, node: process.version }) : VERSION);
  return EXIT.done;
};
