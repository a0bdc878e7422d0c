/** The conductor as its user runs it: through the door of the repository, in a process of its own. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ConductorEvent } from '@service-director/conductor';
import { ROOT, userEnvironment } from './machine.ts';
import type { Workshop } from './workshop.ts';

const PROGRAM = join(ROOT, 'conductor/dist/main.js');

export interface Run {
  /** From its start to its end, with everything that `npm run conductor` does beside npm itself. */
  readonly seconds: number;
  readonly events: readonly ConductorEvent[];
  readonly completed: Extract<ConductorEvent, { type: 'completed' }>;
}

/** Stands an example up on the local cloud in that folder, which it starts if need be. Rejects when it fails. */
export async function up(
  example: 'tracer' | 'shop',
  localDir: string,
  workshop: Pick<Workshop, 'node'>,
): Promise<Run> {
  const events: ConductorEvent[] = [];
  let complaint = '';
  const door = [join(ROOT, 'scripts/launch.mjs'), 'conductor', 'up', join(ROOT, 'examples', example)];
  const options = ['--local', '--local-dir', localDir, '--propagation', '0s', '--json'];
  const started = performance.now();
  const { child } = workshop.node([...door, ...options], { env: userEnvironment(), stdio: 'pipe' });
  if (child.stdout)
    createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line)));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const seconds = (performance.now() - started) / 1000;
  const last = events.at(-1);
  if (code !== 0 || last?.type !== 'completed')
    throw new Error(`conductor up ${example} ended with ${code}: ${complaint.trim()}`);
  return { seconds, events, completed: last };
}

export interface LocalCloud {
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  /** From the start of its process until it says that it is ready. */
  readonly seconds: number;
  stop(): Promise<void>;
}

/** A local cloud in a process and a folder of its own. */
export async function startLocalCloud(workshop: Pick<Workshop, 'node' | 'cloudFolder'>): Promise<LocalCloud> {
  const args = [PROGRAM, 'local', 'start', '--dir', workshop.cloudFolder().dir, '--propagation', '0s'];
  const started = performance.now();
  const { child, stop } = workshop.node(args, { env: userEnvironment(), stdio: 'pipe' });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const line = await new Promise<string>((done, fail) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', done);
    child.once('exit', (code) => fail(new Error(`local start ended with ${code}: ${complaint}`)));
  });
  const seconds = (performance.now() - started) / 1000;
  const { origin } = JSON.parse(line) as { origin: string };
  return { origin, seconds, stop: () => stop(GRACE_MS) };
}

/** It ends the processes that it started; then it may be killed. */
const GRACE_MS = 15_000;
