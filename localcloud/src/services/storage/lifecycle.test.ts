import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCloud, startLocalCloud } from '../../index.ts';
import type { JsonObject } from '../../json.ts';

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

const dir = mkdtempSync(join(tmpdir(), 'lifecycle-'));
let passed = 0;
const timers = new Set<{ at: number; task: () => void }>();
const clock: Clock = {
  now: () => systemClock.now() + passed,
  sleep: systemClock.sleep,
  after(ms, task) {
    const timer = { at: clock.now() + ms, task };
    timers.add(timer);
    return () => timers.delete(timer);
  },
};
let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({ dir, project: 'shop', propagationMs: 0, clock });
});
afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

/** Moves the time on, hour by hour, and lets run what is due. */
function pass(ms: number): void {
  for (const end = passed + ms; passed < end; ) {
    passed = Math.min(end, passed + HOUR);
    for (const timer of [...timers]) {
      if (timer.at > clock.now()) continue;
      timers.delete(timer);
      timer.task();
    }
  }
}

async function call(method: string, path: string, body?: object | string): Promise<JsonObject> {
  const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(`${running.origin}${path}`, { method, ...sent });
  expect([path, response.ok]).toEqual([path, true]);
  return (await response.json()) as JsonObject;
}

async function makeBucket(name: string, rule: object[], more: object = {}): Promise<void> {
  await call('POST', '/storage/v1/b?project=shop', { name, lifecycle: { rule }, ...more });
}

async function put(bucket: string, name: string): Promise<JsonObject> {
  return call('POST', `/upload/storage/v1/b/${bucket}/o?uploadType=media&name=${name}`, name);
}

async function versions(bucket: string): Promise<JsonObject[]> {
  const { items } = await call('GET', `/storage/v1/b/${bucket}/o?versions=true`);
  return (items ?? []) as JsonObject[];
}

async function names(bucket: string): Promise<unknown[]> {
  return (await versions(bucket)).map(({ name }) => name);
}

test('objects are deleted at their age, where all conditions hold', async () => {
  await makeBucket('aged', [
    { action: { type: 'Delete' }, condition: { age: 30, matchesPrefix: ['tmp-'] } },
    { action: { type: 'Delete' }, condition: { age: 3, matchesSuffix: ['.log'], sizeAboveBytes: 4 } },
  ]);
  for (const name of ['tmp-a', 'keep', 'x.log', 'large.log']) await put('aged', name);
  pass(3 * DAY - HOUR);
  expect(await names('aged')).toEqual(['keep', 'large.log', 'tmp-a', 'x.log']);
  pass(2 * HOUR);
  expect(await names('aged')).toEqual(['keep', 'tmp-a']);
  pass(27 * DAY);
  expect(await names('aged')).toEqual(['keep']);
});

test('objects move to colder classes, never to warmer ones', async () => {
  await makeBucket('cooling', [
    { action: { type: 'SetStorageClass', storageClass: 'nearline' }, condition: { age: 1 } },
    { action: { type: 'SetStorageClass', storageClass: 'ARCHIVE' }, condition: { age: 5 } },
  ]);
  const before = await put('cooling', 'x');
  pass(DAY + HOUR);
  const [near] = await versions('cooling');
  expect(near).toMatchObject({
    storageClass: 'NEARLINE',
    metageneration: '2',
    generation: before.generation,
  });
  expect(near?.timeStorageClassUpdated).not.toBe(before.timeStorageClassUpdated);
  pass(5 * DAY);
  expect(await versions('cooling')).toMatchObject([{ storageClass: 'ARCHIVE', metageneration: '3' }]);
  pass(DAY);
  expect(await versions('cooling')).toMatchObject([{ storageClass: 'ARCHIVE', metageneration: '3' }]);
});

test('old versions go by their number and by the time since they are noncurrent', async () => {
  const versioning = { versioning: { enabled: true } };
  await makeBucket(
    'versions',
    [{ action: { type: 'Delete' }, condition: { numNewerVersions: 2 } }],
    versioning,
  );
  const generations: unknown[] = [];
  for (let count = 0; count < 4; count++) generations.push((await put('versions', 'x')).generation);
  pass(HOUR);
  expect((await versions('versions')).map(({ generation }) => generation)).toEqual(generations.slice(2));

  await makeBucket(
    'noncurrent',
    [
      { action: { type: 'Delete' }, condition: { age: 2, isLive: true } },
      { action: { type: 'Delete' }, condition: { daysSinceNoncurrentTime: 3 } },
    ],
    versioning,
  );
  await put('noncurrent', 'x');
  pass(2 * DAY + HOUR);
  const [version] = await versions('noncurrent');
  expect(version?.timeDeleted).toBeDefined();
  pass(2 * DAY);
  expect(await versions('noncurrent')).toHaveLength(1);
  pass(DAY + HOUR);
  expect(await versions('noncurrent')).toEqual([]);
});

test('rules are applied at the start, too', async () => {
  await makeBucket('restarted', [{ action: { type: 'Delete' }, condition: { age: 1 } }]);
  await put('restarted', 'x');
  await running.stop();
  passed += 2 * DAY;
  running = await startLocalCloud({ dir, project: 'shop', propagationMs: 0, clock });
  expect(await names('restarted')).toEqual([]);
});

test('rules that are taken away are told no more', async () => {
  await makeBucket('unruled', [{ action: { type: 'Delete' }, condition: { age: 1 } }]);
  const patched = await call('PATCH', '/storage/v1/b/unruled', { lifecycle: { rule: [] } });
  expect(patched).not.toHaveProperty('lifecycle');
});
