/** What each part of the upkeep is given, and how it goes about it: a page at a time, a hundred documents a commit. */
import type { Query, Store, Stored, Write } from '../store/store.ts';

export interface Round {
  readonly store: Store;
  /** RFC 3339, for the whole of the round. */
  readonly now: string;
  /** What ended before it may go. RFC 3339. */
  readonly before: string;
  /** At most MOST_AT_ONCE of them, unless they belong together; rests afterwards. False where one is not as it was: then none is gone. */
  remove(writes: readonly Write[]): Promise<boolean>;
  /** Between two pages, and before anything that takes several reads: whoever is at it says so. Rejects once the director stops. */
  goOn(): Promise<void>;
}

/** Documents in one commit; one more says whose turn it is. */
export const MOST_AT_ONCE = 99;

export type Pages = Pick<Query, 'collection' | 'prefix' | 'by'>;

/** Page by page, each read when the one before has been seen to. `placeOf`: where a document stands in the list. */
export async function* pagesOf<T>(
  round: Round,
  query: Pages,
  placeOf: (stored: Stored<T>) => string,
  limit = MOST_AT_ONCE,
): AsyncGenerator<readonly Stored<T>[]> {
  for (let after: string | undefined; ; ) {
    await round.goOn();
    const rows = await round.store.list<T>({
      ...query,
      limit,
      ...(after === undefined ? {} : { after }),
    });
    yield rows;
    const last = rows.at(-1);
    if (!last || rows.length < limit) return;
    after = placeOf(last);
  }
}

/** Groups of writes, each of which goes as a whole or stays; several of them in one commit. */
export interface Batch {
  add(group: readonly Write[], onKept?: () => void): Promise<void>;
  /** Must be called at the end. */
  flush(): Promise<void>;
}

export function batchOf(round: Round): Batch {
  let waiting: { readonly group: readonly Write[]; readonly onKept: () => void }[] = [];
  let size = 0;

  async function flush(): Promise<void> {
    const groups = waiting;
    waiting = [];
    size = 0;
    if (groups.length === 0) return;
    if (await round.remove(groups.flatMap(({ group }) => group))) return;
    // One of them is not as it was: the others still go.
    for (const { group, onKept } of groups) if (!(await round.remove(group))) onKept();
  }

  return {
    flush,
    async add(group, onKept = () => {}) {
      if (size + group.length > MOST_AT_ONCE) await flush();
      waiting.push({ group, onKept });
      size += group.length;
    },
  };
}

export function deletion(collection: Write['key']['collection'], { id, version }: Stored<unknown>): Write {
  return { type: 'delete', key: { collection, id }, if: version };
}
