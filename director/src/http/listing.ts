/** Pages of what the store keeps in the order of ids, newest first or as it lies. */
import type { Query, Store } from '../store/store.ts';

export interface Listing<T> {
  /** What the store itself looks up. */
  readonly query: Pick<Query, 'collection' | 'where' | 'prefix'>;
  /** Of what was read, in the same order: what was asked for, and may be seen. */
  keep(records: readonly T[]): Promise<readonly T[]>;
  /** Sorts by age, and no two are in one place. */
  placeOf(record: T): string;
}

/** How many are read at a time. */
const READ = 100;

/**
 * So many of the newest that are in a place before `before`, newest first. The store sorts by id and not by time, so
 * that all that it finds are read once for a page; no more of them are kept than are asked for.
 */
export async function newest<T>(
  { query, keep, placeOf }: Listing<T>,
  before: string | undefined,
  count: number,
  store: Store,
): Promise<T[]> {
  let best: T[] = [];
  for await (const records of batches<T>(query, undefined, store)) {
    const earlier = records.filter((record) => before === undefined || placeOf(record) < before);
    const fitting = await keep(earlier);
    best = [...best, ...fitting].sort((a, b) => (placeOf(a) < placeOf(b) ? 1 : -1)).slice(0, count);
  }
  return best;
}

/** So many behind an id, in the order of ids: reads no more than it takes to find them. */
export async function inOrder<T>(
  { query, keep }: Omit<Listing<T>, 'placeOf'>,
  after: string | undefined,
  count: number,
  store: Store,
): Promise<T[]> {
  const found: T[] = [];
  for await (const records of batches<T>(query, after, store)) {
    found.push(...(await keep(records)));
    if (found.length >= count) break;
  }
  return found.slice(0, count);
}

async function* batches<T>(
  query: Listing<T>['query'],
  from: string | undefined,
  store: Store,
): AsyncGenerator<T[]> {
  let after = from;
  for (;;) {
    const rows = await store.list<T>({ ...query, limit: READ, ...(after === undefined ? {} : { after }) });
    yield rows.map(({ value }) => value);
    if (rows.length < READ) return;
    after = rows.at(-1)?.id;
  }
}
