import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, expect, test } from 'vitest';
import type { Layer } from '../../oci.ts';
import { openStore } from '../../store.ts';
import { openInstallCache } from './install-cache.ts';

const dir = mkdtempSync(join(tmpdir(), 'installs-'));
const store = openStore(join(dir, 'cloud'));
const folder = join(dir, 'cache');
let time = systemClock.now();
const cache = openInstallCache(folder, store.blobs, { ...systemClock, now: () => time });

afterAll(() => {
  store.close();
  rmSync(dir, { recursive: true });
});

async function layer(content: string): Promise<Layer> {
  const blob = await store.blobs.put(Buffer.from(content));
  return { blob, diffId: blob.digest };
}

test('an install is found again, also when its image is gone', async () => {
  const kept = await layer('one');
  expect(await cache.find('key')).toBeUndefined();
  await cache.keep('key', kept);
  expect(await cache.find('key')).toEqual(kept);
  store.blobs.delete(kept.blob.digest);
  expect(await cache.find('key')).toEqual(kept);
  expect(store.blobs.find(kept.blob.digest)).toEqual(kept.blob);
});

test('a damaged install is not used', async () => {
  const kept = await layer('two');
  await cache.keep('damaged', kept);
  store.blobs.delete(kept.blob.digest);
  writeFileSync(join(folder, 'damaged.tar.gz'), 'other');
  expect(await cache.find('damaged')).toBeUndefined();
  rmSync(join(folder, 'damaged.tar.gz'));
  expect(await cache.find('damaged')).toBeUndefined();
});

test('those that were not used for longest are forgotten', async () => {
  for (let count = 0; count < 38; count++) await cache.keep(`new-${count}`, await layer(`new ${count}`));
  time += 60_000;
  expect(await cache.find('key')).toBeDefined();
  await cache.keep('one-too-many', await layer('last'));
  const notes = readdirSync(folder).filter((name) => name.endsWith('.json'));
  expect(notes).toHaveLength(40);
  expect(notes).toContain('key.json');
});
