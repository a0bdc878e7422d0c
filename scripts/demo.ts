/**
 * The demo: stands the tracer up on a local cloud, sends trace messages through it, and proves that they arrived.
 * `--down` takes everything down again and stops the local cloud.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const root = resolve(import.meta.dirname, '..');
const ARCHITECTURE = 'examples/tracer';
const PROJECT = 'tracer-local';
const REGION = 'us-central1';
const BUCKET = 'tracer-local-traces';
const SUBSCRIPTION = 'trace-verify';
const COUNT = 5;
const PATIENCE_MS = 60_000;

function conductor(...args: string[]): void {
  const { status } = spawnSync(process.execPath, [join(root, 'conductor', 'dist', 'main.js'), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

const [option, ...rest] = process.argv.slice(2);
if (rest.length > 0 || (option !== undefined && option !== '--down')) {
  console.error(`error: ${[option, ...rest].join(' ')}: the demo knows --down, and nothing else`);
  process.exit(64);
}
if (option === '--down') {
  conductor('down', ARCHITECTURE, '--local');
  conductor('local', 'stop');
} else {
  conductor('up', ARCHITECTURE, '--local');
  await prove();
}

/** Publishes traces, and waits until each stands in the bucket and was reported on the verify topic. */
async function prove(): Promise<void> {
  const { origin } = JSON.parse(readFileSync(join(root, '.localcloud', 'cloud.json'), 'utf8')) as {
    origin: string;
  };
  const token = await ask<{ access_token: string }>(
    `${origin}/computeMetadata/v1/instance/service-accounts/default/token`,
    {
      headers: { 'metadata-flavor': 'Google' },
    },
  );
  const headers = { authorization: `Bearer ${token.access_token}`, 'content-type': 'application/json' };
  const publisher = await ask<{ uri: string }>(
    `${origin}/v2/projects/${PROJECT}/locations/${REGION}/services/publisher`,
  );

  const started = performance.now();
  const body = JSON.stringify({ count: COUNT });
  const { ids } = await ask<{ ids: string[] }>(`${publisher.uri}/trace`, { method: 'POST', headers, body });
  const missing = new Set(ids);
  while (missing.size > 0) {
    if (performance.now() - started > PATIENCE_MS)
      fail(`${missing.size} of ${COUNT} trace messages did not arrive.`);
    for (const id of await reported(origin)) missing.delete(id);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const stored = await Promise.all(
    ids.map((id) => fetch(`${origin}/storage/v1/b/${BUCKET}/o/${encodeURIComponent(`traces/${id}.json`)}`)),
  );
  const inBucket = stored.filter(({ ok }) => ok).length;
  if (inBucket < COUNT) fail(`Only ${inBucket} of ${COUNT} trace messages stand in the bucket ${BUCKET}.`);

  console.log(`
${COUNT} of ${COUNT} trace messages arrived in ${seconds} s: publisher → topic → subscription → subscriber → bucket and verify topic.

It stays up in the background. Look at it:   npm run conductor -- status ${ARCHITECTURE} --local
                                             npm run conductor -- logs subscriber ${ARCHITECTURE} --local
Stop it:                                     npm run demo -- --down`);
}

/** The ids on the verify topic that nobody has read yet. */
async function reported(origin: string): Promise<string[]> {
  const subscription = `${origin}/v1/projects/${PROJECT}/subscriptions/${SUBSCRIPTION}`;
  const { receivedMessages = [] } = await ask<Pulled>(`${subscription}:pull`, {
    method: 'POST',
    body: '{"maxMessages": 100}',
  });
  if (receivedMessages.length === 0) await sleep(100);
  else
    await ask(`${subscription}:acknowledge`, {
      method: 'POST',
      body: JSON.stringify({ ackIds: receivedMessages.map(({ ackId }) => ackId) }),
    });
  return receivedMessages.flatMap(({ message }) => message.attributes?.id ?? []);
}

interface Pulled {
  readonly receivedMessages?: readonly {
    readonly ackId: string;
    readonly message: { readonly attributes?: { readonly id?: string } };
  }[];
}

async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  const response = await fetch(url, init);
  const text = await response.text();
  if (!response.ok) fail(`${init.method ?? 'GET'} ${url} answers ${response.status}: ${text}`);
  return JSON.parse(text) as T;
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
