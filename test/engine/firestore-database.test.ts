/** Databases that are there already: they bear no mark, and are taken as they are as long as they can be used. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench, PROJECT, REGION, unitOf } from './bench.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

const BY_HAND = { locationId: 'eur3', type: 'FIRESTORE_NATIVE' };

function path(id: string): string {
  return `/v1/projects/${PROJECT}/databases/${id}`;
}

/** By somebody else, with a location and perhaps a type of their own. */
async function made(id: string, more: object = {}): Promise<void> {
  const create = `/v1/projects/${PROJECT}/databases?databaseId=${encodeURIComponent(id)}`;
  await bench.call('POST', create, { ...BY_HAND, ...more });
  await expect.poll(() => bench.look(path(id))).toBeDefined();
}

test('one that lies elsewhere is taken as it is, the default one too', async () => {
  await made('(default)');
  const unit = unitOf('firestore-database', { name: '(default)', location: REGION });
  const { outcome, calls } = await bench.apply(unit);
  expect(outcome).toEqual({
    status: 'done',
    change: { action: 'none' },
    outputs: { name: '(default)', location: 'eur3', path: `projects/${PROJECT}/databases/(default)` },
  });
  expect(calls).toEqual([]);
});

test('what nobody asked for is left to whoever set it, and protected where it is asked for', async () => {
  await made('shared-one');
  const named = unitOf('firestore-database', { name: 'shared-one', location: REGION });
  expect((await bench.apply(named)).calls).toEqual([]);
  const own = unitOf('firestore-database', { ...named.spec, deleteProtection: true });
  expect((await bench.apply(own)).calls).toEqual(['UpdateDatabase']);
  await expect(bench.call('DELETE', path('shared-one'))).rejects.toThrow('is protected from deletion');
  expect((await bench.apply(named)).calls).toEqual([]);
});

test('one in Datastore mode is told to be refused, and left as it is', async () => {
  await made('older-one', { type: 'DATASTORE_MODE' });
  const before = await bench.look(path('older-one'));
  const unit = unitOf('firestore-database', { name: 'older-one', location: REGION, deleteProtection: true });
  const { planned, outcome, calls } = await bench.apply(unit);
  expect(planned.refused?.because).toContain('it is in Datastore mode');
  expect(outcome).toMatchObject({ status: 'failed', error: { reason: 'refused' } });
  expect(calls).toEqual([]);
  expect(await bench.look(path('older-one'))).toMatchObject({ type: 'DATASTORE_MODE', etag: before?.etag });
});
