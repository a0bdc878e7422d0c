/** The machine that is measured on: where the repository is, what programs find there. */
import { resolve } from 'node:path';

export { freePort } from '../free-port.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

/** As little as a program can have: what it is started with is not what is measured. */
export function bareEnvironment(): Record<string, string> {
  const { PATH = '', HOME = '' } = process.env;
  return { PATH, HOME };
}

/** What a user's shell gives to the conductor, without what would lead it elsewhere. */
export function userEnvironment(): Record<string, string> {
  const elsewhere =
    /^(NODE_OPTIONS|NODE_V8_COVERAGE|SERVICE_DIRECTOR_.*|.*_EMULATOR_HOST|GOOGLE_.*|CLOUDSDK_.*)$/;
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || elsewhere.test(name) ? [] : [[name, value]],
    ),
  );
}
