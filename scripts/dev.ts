/**
 * A director to work on: from its sources, started anew when one of them changes, on a local cloud of its own. Reads
 * `.env` where there is one (`cp .env.example .env`); `--dir DIR` keeps all of it elsewhere than in `.localcloud`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { COMMAND_TOPICS, directorTopics } from '../shared/src/model/hydrate.ts';

const root = resolve(import.meta.dirname, '..');
const conductor = join(root, 'conductor', 'dist', 'main.js');
const PROJECT = 'dev-local';

const { values } = parseArgs({ options: { dir: { type: 'string', default: join(root, '.localcloud') } } });
const dir = resolve(values.dir);
const settings = join(root, '.env');
if (existsSync(settings)) process.loadEnvFile(settings);

const children: ChildProcess[] = [];
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => leave(0));

await startCloud();
const cloud = cloudEnvironment();
await makeTopics();
const director = start(
  ['--watch', '--watch-preserve-output', join(root, 'director', 'src', 'main.ts')],
  {
    DIRECTOR_ACCESS: 'loopback',
    DIRECTOR_STATE: `sqlite:${join(dir, 'dev-director.sqlite')}`,
    ...process.env,
    ...cloud,
    PROJECT_ID: cloud.GOOGLE_CLOUD_PROJECT,
  },
  'inherit',
);
director.once('exit', (code) => leave(code ?? 1));

/** Resolves when there is one: ours, or one that runs there already. */
async function startCloud(): Promise<void> {
  const args = [conductor, 'local', 'start', '--dir', dir, '--project', PROJECT, '--json'];
  const child = start(args, process.env, 'pipe');
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const ready = new Promise<void>((done) => {
    if (child.stdout) createInterface(child.stdout).once('line', () => done());
  });
  await Promise.race([ready, ended]);
}

/** What programs take to find it. */
function cloudEnvironment(): Record<string, string> {
  const args = [conductor, 'local', 'env', '--dir', dir, '--format', 'json'];
  const { status, stdout } = spawnSync(process.execPath, args, {
    cwd: dir,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) leave(status ?? 1);
  return JSON.parse(stdout);
}

/** What an architecture would make for a director: the topics that it hears and speaks on. */
async function makeTopics(): Promise<void> {
  const { commands, events, deadLetters } = directorTopics(process.env.DIRECTOR_TOPIC_PREFIX);
  const heard = COMMAND_TOPICS.map((type) => commands[type]);
  const at = `projects/${cloud.GOOGLE_CLOUD_PROJECT}`;
  for (const topic of [...heard, events, deadLetters]) await put(`${at}/topics/${topic}`, {});
  for (const topic of heard) {
    const body = { topic: `${at}/topics/${topic}`, enableMessageOrdering: true };
    await put(`${at}/subscriptions/${topic}-sub`, body);
  }
}

async function put(path: string, body: object): Promise<void> {
  const origin = cloud.SERVICE_DIRECTOR_CLOUD_ENDPOINT;
  const token = await fetch(`${origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
    headers: { 'metadata-flavor': 'Google' },
  });
  const { access_token } = (await token.json()) as { access_token: string };
  const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' };
  const made = await fetch(`${origin}/v1/${path}`, { method: 'PUT', headers, body: JSON.stringify(body) });
  // There since the last time.
  if (made.ok || made.status === 409) return;
  console.error(`${path} could not be made: ${made.status} ${await made.text()}`);
  leave(1);
}

function start(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  stdout: 'inherit' | 'pipe',
): ChildProcess {
  const child = spawn(process.execPath, [...args], {
    cwd: root,
    env,
    stdio: ['ignore', stdout, 'inherit'],
  });
  children.push(child);
  return child;
}

/** What we started ends with us. */
function leave(code: number): never {
  for (const child of children) child.kill('SIGTERM');
  process.exit(code);
}
