import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeConfig, makeLayer, manifestOf, OCI_MANIFEST, readManifest } from './oci.ts';
import { openStore } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'oci-'));
const store = openStore(join(dir, 'cloud'));
const { blobs } = store;

afterAll(() => {
  store.close();
  rmSync(dir, { recursive: true });
});

/** The same content, written in the given order, at the given time. */
function folder(name: string, files: readonly string[], seconds: number): string {
  const path = join(dir, name);
  for (const file of files) {
    mkdirSync(join(path, file, '..'), { recursive: true });
    writeFileSync(join(path, file), `content of ${file}`);
    utimesSync(join(path, file), seconds, seconds);
  }
  writeFileSync(join(path, 'run.sh'), '#!/bin/sh\n', { mode: 0o700 });
  writeFileSync(join(path, 'large.bin'), Buffer.alloc(5 * 1024 * 1024, 7));
  symlinkSync('lib/b.js', join(path, 'link'));
  mkdirSync(join(path, 'empty'));
  return path;
}

const LONG = `lib/${'deep/'.repeat(40)}ünder.js`;

test('the same content gives the same digest, whatever the order, times, owners and exact modes', async () => {
  const one = folder('one', ['a.js', 'lib/b.js', LONG], 1_000);
  const two = folder('two', [LONG, 'lib/b.js', 'a.js'], 2_000);
  chmodSync(join(two, 'a.js'), 0o600);
  const layers = [
    await makeLayer(blobs, one, { at: 'workspace' }),
    await makeLayer(blobs, two, { at: 'workspace' }),
  ];
  expect(layers[1]).toEqual(layers[0]);
  writeFileSync(join(two, 'a.js'), 'other');
  expect(await makeLayer(blobs, two, { at: 'workspace' })).not.toEqual(layers[0]);
});

test('a layer is a gzipped tar that other tools read', async () => {
  const layer = await makeLayer(
    blobs,
    folder('three', ['a.js', 'lib/b.js', LONG, 'node_modules/x/index.js'], 5),
    {
      at: 'srv/app',
      leaveOut: (path) => path === 'node_modules',
    },
  );
  const archive = blobs.path(layer.blob.digest);
  expect([...readFileSync(archive).subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff]);
  const listing = execFileSync('tar', ['--numeric-owner', '-tvzf', archive], {
    encoding: 'utf8',
    env: { LC_ALL: 'C.UTF-8', TZ: 'UTC' },
  });
  const lines = listing
    .trim()
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' '));
  expect(lines[0]).toBe('drwxr-xr-x 0/0 0 1970-01-01 00:00 srv/');
  expect(lines).toContain('-rw-r--r-- 0/0 15 1970-01-01 00:00 srv/app/a.js');
  expect(lines).toContain('-rwxr-xr-x 0/0 10 1970-01-01 00:00 srv/app/run.sh');
  expect(lines).toContain('lrwxrwxrwx 0/0 0 1970-01-01 00:00 srv/app/link -> lib/b.js');
  expect(lines).toContain('drwxr-xr-x 0/0 0 1970-01-01 00:00 srv/app/empty/');
  expect(lines.some((line) => line.endsWith(`srv/app/${LONG}`))).toBe(true);
  expect(listing).not.toContain('node_modules');
});

test('configuration and manifest are read back as they were made', async () => {
  const layer = await makeLayer(blobs, folder('four', ['a.js'], 5), { at: 'workspace' });
  const spec = {
    entrypoint: ['node', 'a.js'],
    env: { B: '2', A: '1' },
    workingDir: '/workspace',
    labels: { l: 'v' },
    layers: [layer],
  };
  const config = await makeConfig(blobs, spec);
  expect(await makeConfig(blobs, { ...spec, env: { A: '1', B: '2' } })).toEqual(config);
  expect(JSON.parse(readFileSync(blobs.path(config.digest), 'utf8'))).toMatchObject({
    os: 'linux',
    config: {
      Entrypoint: ['node', 'a.js'],
      Env: ['A=1', 'B=2'],
      WorkingDir: '/workspace',
      Labels: { l: 'v' },
    },
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
  });
  const manifest = readManifest(JSON.stringify(manifestOf({ config, layers: [layer.blob] })), OCI_MANIFEST);
  expect(manifest).toMatchObject({ type: 'image', config, layers: [layer.blob] });
});

test.each([
  ['{', 'JSON'],
  ['[]', 'not a JSON object'],
  ['{"schemaVersion":1}', 'schemaVersion'],
  ['{"schemaVersion":2,"mediaType":"text/plain"}', 'Content-Type'],
  ['{"schemaVersion":2}', 'config is missing'],
  ['{"schemaVersion":2,"config":{"digest":"md5:1","size":1}}', 'config.digest'],
])('a manifest that is none is refused: %s', (text, message) => {
  expect(() => readManifest(text, OCI_MANIFEST)).toThrow(message);
});

test('a layer is not made of what cannot be read, and an abort ends the packing', async () => {
  await expect(makeLayer(blobs, join(dir, 'nowhere'), { at: 'workspace' })).rejects.toThrow('ENOENT');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(makeLayer(blobs, join(dir, 'one'), { at: 'workspace', signal })).rejects.toThrow('enough');
});
