/** What is brought is checked, kept once under its own name, and told. Cloud Storage: test/director/bundles.test.ts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { archiveOf, memoryArtifacts } from './archives.fixture.ts';
import { bundleKey, digestOf, pack } from './bundle.ts';
import { sources } from './sources.ts';
import { filesOf } from './unpack.ts';

const never = new AbortController().signal;
let workRoot = '';
let server: Server;
let generatorUrl = '';
/** What the generator's only job has. */
let files: readonly { readonly name: string; readonly content: string }[] = [];
let artifacts = memoryArtifacts();

beforeAll(async () => {
  workRoot = mkdtempSync(join(tmpdir(), 'sources-'));
  server = createServer((_request, response) => {
    response.end(JSON.stringify({ status: 'completed', output: { files } }));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  generatorUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  rmSync(workRoot, { recursive: true });
  await new Promise((closed) => server.close(closed));
});
beforeEach(() => {
  artifacts = memoryArtifacts();
  files = [
    { name: 'main.tf', content: 'a' },
    { name: 'modules/net/main.tf', content: 'b' },
  ];
});

function resolve(source: BundleSource, signal = never) {
  const all = sources({
    artifacts,
    // Nobody is there: what asks Google fails.
    cloud: googleCloud({ project: 'none', endpoint: 'http://127.0.0.1:1', credentials: noCredentials }),
    clock: systemClock,
    random: () => 0,
    generatorUrl,
    allowPrivate: false,
    workRoot,
    environment: {},
  });
  return all.resolve(source, signal);
}

test('what is brought is kept as a bundle, under its digest', async () => {
  const { digest } = await resolve({ generator: 'job-1' });
  const kept = artifacts.kept.get(bundleKey(digest)) ?? Buffer.alloc(0);
  expect(digestOf(kept)).toBe(digest);
  expect((await filesOf(kept, 'x.tgz')).map(({ path, content }) => [path, String(content)])).toEqual([
    ['main.tf', 'a'],
    ['modules/net/main.tf', 'b'],
  ]);
});

test('the same code is kept once', async () => {
  const first = await resolve({ generator: 'job-1' });
  files = files.toReversed();
  expect(await resolve({ generator: 'job-2' })).toEqual(first);
  expect(artifacts.asked.filter((call) => call.startsWith('write'))).toHaveLength(1);
});

test('a digest that is kept costs one read', async () => {
  const { digest } = await resolve({ generator: 'job-1' });
  artifacts.asked.length = 0;
  expect(await resolve({ digest, path: 'modules/net' })).toEqual({ digest });
  expect(artifacts.asked).toEqual([`read ${bundleKey(digest)}`]);
});

test('a digest that is not kept is told', async () => {
  const digest = '0'.repeat(64);
  await expect(resolve({ digest })).rejects.toMatchObject({
    reason: 'not-found',
    message: `There is no bundle ${digest}`,
  });
});

test('a bundle that was changed where it is kept is not taken', async () => {
  const { digest } = await resolve({ generator: 'job-1' });
  artifacts.kept.set(bundleKey(digest), await pack([{ path: 'main.tf', content: Buffer.from('evil') }]));
  await expect(resolve({ digest })).rejects.toThrow('is not kept as it was sent');
});

test('a kept bundle that means harm is refused', async () => {
  const evil = archiveOf([{ name: '../evil.tf' }]);
  artifacts.kept.set(bundleKey(digestOf(evil)), evil);
  await expect(resolve({ digest: digestOf(evil) })).rejects.toMatchObject({
    reason: 'invalid',
    message: expect.stringContaining('leads out of the bundle'),
  });
});

test('the folder that is meant must be in it', async () => {
  expect(await resolve({ generator: 'job-1', path: './modules/net' })).toEqual({
    digest: expect.any(String),
  });
  await expect(resolve({ generator: 'job-1', path: 'modules/ne' })).rejects.toMatchObject({
    reason: 'not-found',
    message: 'The code has no folder modules/ne',
  });
});

test('what a generator writes is trusted no more than an archive', async () => {
  for (const name of ['../evil.tf', '/etc/evil', 'a\nb.tf', 'MAIN.TF']) {
    files = [
      { name: 'main.tf', content: 'a' },
      { name, content: 'b' },
    ];
    await expect(resolve({ generator: 'job-1' })).rejects.toMatchObject({
      reason: 'invalid',
      message: expect.stringMatching(/^Failed to fetch generated code: The bundle's file "/),
    });
  }
  expect(artifacts.kept.size).toBe(0);
});

test('repositories on this machine and beside it are refused', async () => {
  for (const git of ['https://127.0.0.1/a.git', 'git@169.254.169.254:a.git', 'file:///etc'])
    await expect(resolve({ git })).rejects.toMatchObject({ reason: 'refused' });
});

test('an abort is told as it is, and nothing is kept', async () => {
  const abort = new AbortController();
  abort.abort(new Error('cancelled by ops'));
  await expect(resolve({ generator: 'job-1' }, abort.signal)).rejects.toThrow('cancelled by ops');
  expect(artifacts.kept.size).toBe(0);
});
