/** What is SQLite's own; what every store does stands in `test/conformance/store.test.ts`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqliteStore } from './sqlite.ts';
import { type Store, StoreFailure } from './store.ts';

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

test('what was committed is there after the process', async () => {
  await store.commit([put('a', { n: 1 })]);
  await store.close();
  store = sqliteStore({ path: join(dir, 'state.sqlite') });
  expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 1 }, version: 1 });
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
