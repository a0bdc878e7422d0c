/** Code that lies in Cloud Storage: which generation of it is taken, and what is refused. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { archiveOf, memoryArtifacts } from '@service-director/director/bundles/archives.fixture.ts';
import { type Resolved, sources } from '@service-director/director/bundles/sources.ts';
import { filesOf } from '@service-director/director/bundles/unpack.ts';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { crc32c } from '@service-director/shared/kit/crc32c.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

const PROJECT = 'bundles';
const BUCKET = 'bundles-code';

let dir = '';
let running: RunningCloud;
let cloud: Cloud;
let artifacts = memoryArtifacts();

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'bundles-'));
  running = await startLocalCloud({ dir: join(dir, 'cloud'), project: PROJECT, propagationMs: 0 });
  cloud = googleCloud({ project: PROJECT, endpoint: running.origin, credentials: noCredentials });
  const body = JSON.stringify({ name: BUCKET, versioning: { enabled: true } });
  await post(`/storage/v1/b?project=${PROJECT}`, body, 'application/json');
});
afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});
beforeEach(() => {
  artifacts = memoryArtifacts();
});
afterEach(() => running.cloud.faults.replace([]));

async function post(path: string, body: string | Buffer, type: string): Promise<{ generation?: string }> {
  const headers = { 'content-type': type };
  const response = await fetch(`${running.origin}${path}`, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as { generation?: string };
}

/** Resolves with the generation. */
async function upload(name: string, content: string | Buffer, more = ''): Promise<string> {
  const query = `uploadType=media&name=${encodeURIComponent(name)}${more}`;
  const made = await post(`/upload/storage/v1/b/${BUCKET}/o?${query}`, content, 'application/octet-stream');
  return made.generation ?? '';
}

function resolve(
  storage: string,
  of: Cloud = cloud,
  signal = new AbortController().signal,
): Promise<Resolved> {
  const all = sources({
    artifacts,
    cloud: of,
    clock: systemClock,
    random: () => 0,
    generatorUrl: undefined,
    allowPrivate: false,
    workRoot: dir,
    environment: {},
  });
  return all.resolve({ storage }, signal);
}

async function textOf({ digest }: Resolved): Promise<string> {
  const [file] = await filesOf(artifacts.kept.get(`bundles/${digest}`) ?? Buffer.alloc(0), 'x.tgz');
  return `${file?.path}: ${file?.content}`;
}

test('an archive is taken, with the generation that it was', async () => {
  const generation = await upload('net/code.tar.gz', archiveOf([{ name: './main.tf', data: 'one' }]));
  const taken = await resolve(`gs://${BUCKET}/net/code.tar.gz`);
  expect(taken.generation).toBe(generation);
  expect(await textOf(taken)).toBe('main.tf: one');
});

test('one file of code is taken as it is', async () => {
  await upload('a folder/main.tf', 'terraform {}');
  expect(await textOf(await resolve(`gs://${BUCKET}/a folder/main.tf`))).toBe('main.tf: terraform {}');
});

test('a generation that is named is taken, whatever came later', async () => {
  const first = await upload('main.tf', 'one');
  await upload('main.tf', 'two');
  expect(await textOf(await resolve(`gs://${BUCKET}/main.tf`))).toBe('main.tf: two');
  const taken = await resolve(`gs://${BUCKET}/main.tf#${first}`);
  expect(await textOf(taken)).toBe('main.tf: one');
  expect(taken.generation).toBe(first);
});

test('an object that is not there is told in the words of Google', async () => {
  await expect(resolve(`gs://${BUCKET}/nothing.tgz`)).rejects.toMatchObject({
    reason: 'not-found',
    message: `No such object: ${BUCKET}/nothing.tgz`,
  });
});

test('an object that is too large is not read', async () => {
  await upload('large.tgz', Buffer.alloc(20 * 1024 ** 2 + 1));
  const before = running.cloud.calls.since(0).length;
  await expect(resolve(`gs://${BUCKET}/large.tgz`)).rejects.toThrow('is larger than 20 MiB');
  expect(running.cloud.calls.since(0).length - before).toBe(1);
});

test('an object that would be unpacked on its way is refused', async () => {
  await upload('packed.tf', gzipSync('terraform {}'), '&contentEncoding=gzip');
  await expect(resolve(`gs://${BUCKET}/packed.tf`)).rejects.toThrow('is kept with contentEncoding gzip');
});

test('an archive that means harm is refused, and nothing is kept', async () => {
  await upload('evil.tgz', archiveOf([{ name: '../evil.tf' }]));
  await expect(resolve(`gs://${BUCKET}/evil.tgz`)).rejects.toMatchObject({
    reason: 'invalid',
    message: expect.stringContaining('leads out of the bundle'),
  });
  expect(artifacts.kept.size).toBe(0);
});

test('answers that get lost are asked for again', async () => {
  await upload('lost.tf', 'found');
  running.cloud.faults.replace([{ api: 'storage', method: 'objects.get', error: 'UNAVAILABLE', count: 2 }]);
  expect(await textOf(await resolve(`gs://${BUCKET}/lost.tf`))).toBe('lost.tf: found');
  expect(running.cloud.faults.rules()).toMatchObject([{ hits: 2 }]);
});

/** The same cloud, whose answers are changed on their way. */
function changed(change: (url: string, answer: Response) => Promise<Response>): Cloud {
  return googleCloud({
    project: PROJECT,
    endpoint: running.origin,
    credentials: noCredentials,
    fetch: async (input, init) => {
      const answer = await fetch(input, init);
      return change(String(input instanceof Request ? input.url : input), answer);
    },
  });
}

test('bytes that are not those that were uploaded are refused', async () => {
  await upload('whole.tf', 'terraform {}');
  const damaged = changed(async (url, answer) =>
    url.includes('alt=media') ? new Response('terraform [}') : answer,
  );
  await expect(resolve(`gs://${BUCKET}/whole.tf`, damaged)).rejects.toThrow('its checksum is another');
});

test('what was composed has no MD5, and is held to its CRC-32C', async () => {
  await upload('part', 'terraform ');
  await upload('rest', '{}');
  const body = JSON.stringify({ sourceObjects: [{ name: 'part' }, { name: 'rest' }] });
  await post(`/storage/v1/b/${BUCKET}/o/composed.tf/compose`, body, 'application/json');
  expect(await textOf(await resolve(`gs://${BUCKET}/composed.tf`))).toBe('composed.tf: terraform {}');
  expect(crc32c(Buffer.from('terraform {}'))).not.toBe(crc32c(Buffer.from('terraform [}')));
  const damaged = changed(async (url, answer) =>
    url.includes('alt=media') ? new Response('terraform [}') : answer,
  );
  await expect(resolve(`gs://${BUCKET}/composed.tf`, damaged)).rejects.toThrow('its checksum is another');
});

test('an abort ends it, with its own reason', async () => {
  await upload('slow.tf', 'x');
  const abort = new AbortController();
  const slow = changed(async (_url, answer) => {
    abort.abort(new Error('cancelled by ops'));
    return answer;
  });
  await expect(resolve(`gs://${BUCKET}/slow.tf`, slow, abort.signal)).rejects.toThrow('cancelled by ops');
  expect(artifacts.kept.size).toBe(0);
});
