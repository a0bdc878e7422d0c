/** Pages of what the store keeps: in its order, of what somebody asked for and may see. */
import type { Query, Store } from '../store/store.ts';

export interface Listing<T> {
  /** What the store itself looks up, and in which order. */
  readonly query: Pick<Query, 'collection' | 'where' | 'prefix' | 'by' | 'order'>;
  /** Of what was read, in the same order: what was asked for, and may be seen. */
  keep(records: readonly T[]): Promise<readonly T[]>;
  /** In that order; no two are in one place. */
  placeOf(record: T): string;
}

/** How the store lists the newest first. */
export const NEWEST_FIRST = { by: 'time', order: 'descending' } as const;

/** How many are read at a time, at most. */
const MOST_READ = 200;

/** So many behind a place: reads no more than it takes to find them. */
export async function behind<T>(
  { query, keep, placeOf }: Listing<T>,
  place: string | undefined,
  count: number,
  store: Store,
): Promise<T[]> {
  const found: T[] = [];
  let after = place;
  // The first look is for as many as are asked for; where few of those are meant, the next ones are for more.
  for (let limit = Math.min(MOST_READ, count); ; limit = Math.min(MOST_READ, 2 * limit)) {
    const rows = await store.list<T>({ ...query, limit, ...(after === undefined ? {} : { after }) });
    const records = rows.map(({ value }) => value);
    found.push(...(await keep(records)));
    const last = records.at(-1);
    if (found.length >= count || rows.length < limit || last === undefined) return found.slice(0, count);
    after = placeOf(last);
  }
}
