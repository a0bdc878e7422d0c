/** How far is looked for what is rare, and that others have their turn meanwhile. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sqliteStore } from '../store/sqlite.ts';
import type { Query, Store } from '../store/store.ts';
import { behind, type Listing, MOST_LOOKED_AT, stretchBehind } from './listing.ts';

interface Row {
  readonly id: string;
}

const COUNT = 5_000;
const idOf = (place: number): string => `stacks/${String(place).padStart(5, '0')}`;
const RARE = new Set([idOf(0), idOf(2_500), idOf(COUNT - 1)]);

let store: Store;
/** Rows of each read. */
const reads: number[] = [];
/** In the store's order, without a count: those that are meant. */
const listing: Listing<Row> = {
  query: { collection: 'stacks' },
  keep: async (rows) => rows.filter(({ id }) => RARE.has(id)),
  placeOf: ({ id }) => id,
};

beforeEach(async () => {
  reads.length = 0;
  const whole = sqliteStore({ path: ':memory:' });
  const ids = Array.from({ length: COUNT }, (_, place) => idOf(place));
  await whole.commit(
    ids.map((id) => ({ type: 'put', key: { collection: 'stacks', id }, value: { id }, if: 'absent' })),
  );
  store = {
    ...whole,
    async list<T>(query: Query) {
      const rows = await whole.list<T>(query);
      reads.push(rows.length);
      return rows;
    },
  };
});
afterEach(() => store.close());

const sum = (): number => reads.reduce((all, one) => all + one, 0);

test('it looks at so many and no more, says where it stopped, and from there finds each once', async () => {
  const found: string[] = [];
  let place: string | undefined;
  let stretches = 0;
  do {
    reads.length = 0;
    const stretch = await stretchBehind(listing, place, 10, store);
    expect(sum()).toBeLessThanOrEqual(MOST_LOOKED_AT);
    expect(Math.max(...reads)).toBeLessThanOrEqual(200);
    found.push(...stretch.found.map(({ id }) => id));
    place = stretch.lookedTo;
    stretches++;
  } while (place !== undefined);
  expect(found).toEqual([...RARE]);
  expect(stretches).toBe(3);
});

test('a stretch may be empty; one that is full, or at the end, says nothing of where it stopped', async () => {
  const empty = await stretchBehind(listing, idOf(2_500), 1, store, 300);
  expect(empty).toEqual({ found: [], lookedTo: idOf(2_800) });
  expect(await stretchBehind(listing, undefined, 1, store, 300)).toEqual({ found: [{ id: idOf(0) }] });
  expect(await stretchBehind(listing, idOf(4_900), 5, store, 300)).toEqual({ found: [{ id: idOf(4_999) }] });
  // It ends where the list does: whoever asks behind it finds that.
  const last = await stretchBehind(listing, idOf(4_900), 5, store, 99);
  expect(await stretchBehind(listing, last.lookedTo, 5, store, 99)).toEqual({ found: [] });
});

test('looked for to the end, it finds all, and others have their turn between any two reads', async () => {
  let turns = 0;
  let isOver = false;
  const others = (): void => {
    turns++;
    if (!isOver) setImmediate(others);
  };
  setImmediate(others);
  const found = await behind(listing, undefined, 10, store);
  isOver = true;
  expect(found.map(({ id }) => id)).toEqual([...RARE]);
  expect(reads.length).toBeGreaterThan(20);
  expect(turns).toBeGreaterThanOrEqual(reads.length - 1);
});
