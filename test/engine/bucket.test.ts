/** What is in a bucket goes with it only where that is asked for. */
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench, PROJECT, unitOf } from './bench.ts';
import { bucket } from './cases/bucket.ts';
import { specOf } from './cases/case.ts';

let bench: Bench;
let made = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterEach(() => bench.fault());
afterAll(async () => {
  await bench.end();
});

/** A bucket with three objects, one of them in two generations, one deleted and kept as a version. */
async function filled(removeObjects: boolean): Promise<Unit> {
  const spec = await bucket.spec(`filled-${++made}`, bench);
  const unit = unitOf('bucket', specOf(spec, { removeObjects, versioning: true }));
  expect((await bench.apply(unit)).outcome.status).toBe('done');
  const { name } = spec;
  for (const object of ['a', 'a', 'b', 'folder/c'])
    await bench.call('POST', `/upload/storage/v1/b/${name}/o?uploadType=media&name=${object}`, { object });
  await bench.call('DELETE', `/storage/v1/b/${name}/o/b`);
  return unit;
}

async function generations(name: string): Promise<number> {
  const { items } = await bench.call('GET', `/storage/v1/b/${name}/o?versions=true`);
  return Array.isArray(items) ? items.length : 0;
}

test('a bucket that is not empty stays, with all that is in it', async () => {
  const unit = await filled(false);
  const { outcome } = await bench.destroy(unit);
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { reason: 'precondition', message: expect.stringContaining('not empty') },
  });
  expect(await generations(unit.spec.name)).toBe(4);
});

test('with removeObjects it goes with every generation of every object', async () => {
  const unit = await filled(true);
  expect((await bench.destroy(unit)).outcome).toMatchObject({ status: 'done', change: { action: 'delete' } });
  expect(await bucket.look(unit.spec.name, bench)).toBeUndefined();
});

test('answers that get lost while it is emptied do not leave it half empty', async () => {
  const unit = await filled(true);
  bench.fault(
    { api: 'storage', method: 'objects.delete', error: 'UNAVAILABLE', effect: 'after', count: 2 },
    { api: 'storage', method: 'objects.list', error: 'RESOURCE_EXHAUSTED', count: 1 },
  );
  expect((await bench.destroy(unit)).outcome).toMatchObject({ status: 'done', change: { action: 'delete' } });
  expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: 2 }, { hits: 1 }]);
  expect(await bucket.look(unit.spec.name, bench)).toBeUndefined();
});

test('an object that others put in meanwhile is no reason to give up', async () => {
  const unit = await filled(true);
  const { name } = unit.spec;
  let late = 0;
  const { outcome } = await bench.destroy(unit, {
    context: {
      // Between the last look into the bucket and its removal nobody can stand: here it comes before the first.
      async record() {
        if (late++ === 0)
          await bench.call('POST', `/upload/storage/v1/b/${name}/o?uploadType=media&name=late`, {});
      },
    },
  });
  expect(outcome).toMatchObject({ status: 'done' });
  expect(await bucket.look(name, bench)).toBeUndefined();
});

test('objects of a bucket that is not ours are left alone', async () => {
  const unit = await filled(true);
  const { name } = unit.spec;
  await bench.call('PATCH', `/storage/v1/b/${name}`, { labels: { 'managed-by': null } });
  expect((await bench.destroy(unit)).outcome).toEqual({
    status: 'kept',
    because: 'it does not bear our mark',
  });
  expect(await generations(name)).toBe(4);
  expect(bench.running.cloud.projects.find(PROJECT)).toBeDefined();
});
