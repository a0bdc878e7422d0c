/** Google's own emulators, where the gcloud CLI has them and there is a Java to run them. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { end, start } from '@service-director/shared/kit/process.ts';
import { freePort } from '../free-port.ts';

/** What Google calls it, and how its jar is run. */
export interface Emulator {
  /** The component of the gcloud CLI. */
  readonly component: string;
  /** Where its jar is, below `platform/<component>`. */
  readonly folder: string;
  run(jar: string): readonly string[];
}

export const PUBSUB: Emulator = {
  component: 'pubsub-emulator',
  folder: 'lib',
  run: (jar) => ['-jar', jar],
};

export const FIRESTORE: Emulator = {
  component: 'cloud-firestore-emulator',
  folder: '.',
  run: (jar) => [
    // As its own script starts it: it has messages in no other language.
    '-Duser.language=en',
    '-cp',
    jar,
    'com.google.cloud.datastore.emulator.firestore.CloudFirestore',
  ],
};

export interface Installed {
  readonly emulator: Emulator;
  readonly java: string;
  readonly jar: string;
}

export interface RunningEmulator {
  /** `127.0.0.1:<port>`, for gRPC and REST. */
  readonly endpoint: string;
  stop(): Promise<void>;
}

const LONGEST_START_MS = 60_000;
const POLL_MS = 100;

/** Where it is installed, or why it is not. */
export async function findEmulator(emulator: Emulator): Promise<Installed | { readonly missing: string }> {
  const [java, gcloud] = await Promise.all([pathOf('java'), pathOf('gcloud')]);
  if (gcloud === undefined) return { missing: 'gcloud is not on PATH' };
  if (java === undefined) return { missing: 'java is not on PATH' };
  const { component, folder } = emulator;
  const dir = join(dirname(dirname(gcloud)), 'platform', component, folder);
  const jar = filesIn(dir).find((file) => file.endsWith('.jar'));
  if (jar === undefined) return { missing: `the component ${component} of the gcloud CLI is not installed` };
  return { emulator, java, jar: join(dir, jar) };
}

/** Starts it on a free port, and waits until it answers. */
export async function startEmulator({ emulator, java, jar }: Installed): Promise<RunningEmulator> {
  const port = await freePort();
  const args = ['-Xmx512m', ...emulator.run(jar), '--host=127.0.0.1', `--port=${port}`];
  const child = start(java, args, { env: {}, stdio: 'ignore' });
  const stop = (): Promise<void> => end(child, 2_000);
  const until = systemClock.now() + LONGEST_START_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || systemClock.now() > until) {
      await stop();
      throw new Error(`The ${emulator.component} did not start (exit code ${child.exitCode})`);
    }
    await systemClock.sleep(POLL_MS);
  }
  return { endpoint: `127.0.0.1:${port}`, stop };
}

/** The program that a name stands for, its links followed. */
async function pathOf(program: string): Promise<string | undefined> {
  const script = `readlink -f "$(command -v ${program})"`;
  const { stdout } = await promisify(execFile)('sh', ['-c', script]).catch(() => ({ stdout: '' }));
  return stdout.trim() === '' ? undefined : stdout.trim();
}

function filesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function answers(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false,
  );
}
