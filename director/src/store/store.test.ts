import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqliteStore } from './sqlite.ts';
import { Conflict, type Store, StoreFailure } from './store.ts';

let dir: string;
let store: Store;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-'));
  store = sqliteStore({ path: join(dir, 'state.sqlite') });
});

afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true });
});

const key = (id: string) => ({ collection: 'commands', id }) as const;
const put = (id: string, value: object, condition: number | 'absent' | 'any' = 'any') =>
  ({ type: 'put', key: key(id), value, if: condition }) as const;

test('versions count writes, and conditions are kept', async () => {
  await store.commit([put('a', { n: 1 }, 'absent')]);
  expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 1 }, version: 1 });
  await expect(store.commit([put('a', { n: 2 }, 'absent')])).rejects.toBeInstanceOf(Conflict);
  await store.commit([put('a', { n: 2 }, 1)]);
  expect((await store.get(key('a')))?.version).toBe(2);
  await expect(store.commit([put('a', { n: 3 }, 1)])).rejects.toBeInstanceOf(Conflict);
  await expect(store.commit([{ type: 'delete', key: key('a'), if: 1 }])).rejects.toBeInstanceOf(Conflict);
  await store.commit([{ type: 'delete', key: key('a'), if: 2 }]);
  expect(await store.get(key('a'))).toBeUndefined();
});

test('a commit is whole or nothing', async () => {
  await store.commit([put('a', { n: 1 })]);
  const writes = [put('b', { n: 1 }), { type: 'check', key: key('a'), if: 7 } as const];
  await expect(store.commit(writes)).rejects.toMatchObject({ key: { id: 'a' } });
  expect(await store.get(key('b'))).toBeUndefined();
  await store.commit([put('b', { n: 1 }), { type: 'check', key: key('a'), if: 1 }]);
  expect(await store.get(key('b'))).toBeDefined();
});

test('lists by prefix, by field, in pages and both directions', async () => {
  for (const n of [1, 2, 3, 4]) await store.commit([put(`x/${n}`, { status: n % 2 ? 'odd' : 'even' })]);
  await store.commit([put('y/1', { status: 'odd' })]);
  const ids = async (query: object): Promise<string[]> =>
    (await store.list({ collection: 'commands', ...query })).map(({ id }) => id);
  expect(await ids({ prefix: 'x/' })).toEqual(['x/1', 'x/2', 'x/3', 'x/4']);
  expect(await ids({ prefix: 'x/', order: 'descending', limit: 2 })).toEqual(['x/4', 'x/3']);
  expect(await ids({ prefix: 'x/', order: 'descending', after: 'x/3' })).toEqual(['x/2', 'x/1']);
  expect(await ids({ prefix: 'x/', after: 'x/2' })).toEqual(['x/3', 'x/4']);
  expect(await ids({ where: { field: 'status', is: 'odd' } })).toEqual(['x/1', 'x/3', 'y/1']);
  await store.commit([put('b', { status: true })]);
  expect(await ids({ where: { field: 'status', is: true } })).toEqual(['b']);
});

test('what was committed is there after the process, and for another one at once', async () => {
  await store.commit([put('a', { n: 1 })]);
  const other = sqliteStore({ path: join(dir, 'state.sqlite') });
  expect((await other.get(key('a')))?.value).toEqual({ n: 1 });
  await other.commit([put('a', { n: 2 }, 1)]);
  await expect(store.commit([put('a', { n: 3 }, 1)])).rejects.toBeInstanceOf(Conflict);
  await other.close();
});

test('a full disk fails the commit, loses nothing, and is told as such', async () => {
  await store.commit([put('a', { n: 1 })]);
  const full = sqliteStore({ path: join(dir, 'full.sqlite'), mostBytes: 40_000 });
  await full.commit([put('a', { n: 1 })]);
  const large = { text: 'x'.repeat(50_000) };
  await expect(full.commit([put('b', { n: 1 }), put('c', large)])).rejects.toBeInstanceOf(StoreFailure);
  await expect(full.commit([put('c', large)])).rejects.toThrow('The state cannot be written');
  expect(await full.get(key('b'))).toBeUndefined();
  await full.commit([put('a', { n: 2 }, 1)]);
  expect((await full.get(key('a')))?.value).toEqual({ n: 2 });
  await full.close();
});
