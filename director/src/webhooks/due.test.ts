/** How much is read of what is due, and that all of it is found. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keys } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { dueWrite } from './deliveries.ts';
import { dueTo, lookerForDue } from './due.ts';
import { type Bench, dueFor, openBench } from './testing.ts';

const PAGE = 10;

let bench: Bench;

beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

/** So much is due to a webhook, from a number on; the times are those of a day, the newest first by their ids. */
async function owe(webhook: string, count: number, from = 0): Promise<void> {
  const numbers = Array.from({ length: count }, (_, at) => from + at);
  const writes = numbers.map((number) => {
    const at = new Date(Date.UTC(2026, 2, 1) - number * 1_000).toISOString();
    return dueWrite(dueFor(webhook, `d${String(number).padStart(4, '0')}`, at));
  });
  await bench.store.commit(writes);
}

/** A director that remembers what it found; a look tells how many rows it read and how many of them it did not know. */
function looker(): () => Promise<{ read: number; found: number }> {
  const known = new Set<string>();
  let read = 0;
  const counting: Store = {
    ...bench.store,
    async list<T>(query: Parameters<Store['list']>[0]) {
      const rows = await bench.store.list<T>(query);
      read += rows.length;
      return rows;
    },
  };
  const look = lookerForDue({ store: counting, page: PAGE });
  return async () => {
    read = 0;
    const found = await look((id) => known.has(id));
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
    for (const { id } of found) known.add(id);
    return { read, found: found.length };
  };
}

test('a backlog is read once, and then a few pages of it; nobody behind it is hidden', async () => {
  await owe('wh_b', 95);
  await owe('wh_a', 3);
  await owe('wh_c', 2);
  const look = looker();
  expect(await look()).toMatchObject({ found: 100 });
  for (let time = 0; time < 20; time++) {
    const { read, found } = await look();
    expect(found).toBe(0);
    // A page of all, one of the backlog, and the others of those behind it.
    expect(read).toBeLessThanOrEqual(3 * PAGE);
  }
  await owe('wh_c', 3, 50);
  expect(await look()).toMatchObject({ found: 3 });
});

test('what comes into the middle of a backlog is found after some looks, wherever it stands', async () => {
  await owe('wh_a', 40);
  await owe('wh_a', 40, 100);
  const look = looker();
  expect(await look()).toMatchObject({ found: 80 });
  await owe('wh_a', 30, 50);
  let found = 0;
  for (let time = 0; time < 12; time++) found += (await look()).found;
  expect(found).toBe(30);
});

test('a webhook of which the id begins as that of another is not passed over', async () => {
  await owe('wh_a', 2 * PAGE);
  await owe('wh_ab', 2 * PAGE);
  await owe('wh_a-b', 2 * PAGE);
  expect(await looker()()).toMatchObject({ found: 6 * PAGE });
});

test('all that is due to one, the oldest first', async () => {
  await owe('wh_a', 25);
  await owe('wh_ab', 5);
  const all = await dueTo('wh_a', { store: bench.store, page: PAGE });
  expect(all).toHaveLength(25);
  expect(all[0]?.id).toBe('wh_a.d0024.succeeded');
  expect(all.map(({ createdAt }) => createdAt)).toEqual(all.map(({ createdAt }) => createdAt).sort());
  await bench.store.commit([{ type: 'delete', key: keys.due('wh_a.d0024.succeeded'), if: 'any' }]);
  expect(await dueTo('wh_a', { store: bench.store, page: 24 })).toHaveLength(24);
});
