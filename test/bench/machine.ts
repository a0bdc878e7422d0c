/** The machine that is measured on: where the repository is, what programs find there. */
import { type AddressInfo, createServer } from 'node:net';
import { resolve } from 'node:path';

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

/** One that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
