/** Pages of what the store keeps: in its order, of what somebody asked for and may see. */
import { setImmediate as others } from 'node:timers/promises';
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
/** How many are read for one answer, at most, where it may be short. */
export const MOST_LOOKED_AT = 2_000;

/** What was found behind a place, and how far was looked for it. */
export interface Stretch<T> {
  readonly found: readonly T[];
  /** The last place that was looked at, where the looking ended before the list did, and with fewer than were wanted. */
  readonly lookedTo?: string | undefined;
}

/** So many behind a place: reads no more than it takes to find them, however much that is. */
export async function behind<T>(
  listing: Listing<T>,
  place: string | undefined,
  count: number,
  store: Store,
): Promise<readonly T[]> {
  return (await stretchBehind(listing, place, count, store, Number.POSITIVE_INFINITY)).found;
}

/** So many behind a place, or as many of them as are among the next `most` in the list. */
export async function stretchBehind<T>(
  { query, keep, placeOf }: Listing<T>,
  place: string | undefined,
  count: number,
  store: Store,
  most: number = MOST_LOOKED_AT,
): Promise<Stretch<T>> {
  const found: T[] = [];
  let after = place;
  let left = most;
  // The first look is for as many as are asked for; where few of those are meant, the next ones are for more.
  for (let wanted = count; ; wanted *= 2) {
    const limit = Math.min(MOST_READ, wanted, left);
    const rows = await store.list<T>({ ...query, limit, ...(after === undefined ? {} : { after }) });
    const records = rows.map(({ value }) => value);
    found.push(...(await keep(records)));
    const last = records.at(-1);
    if (found.length >= count || rows.length < limit || last === undefined)
      return { found: found.slice(0, count) };
    after = placeOf(last);
    left -= rows.length;
    if (left <= 0) return { found, lookedTo: after };
    // An embedded store answers at once: who else asks has a turn in between.
    await others();
  }
}
