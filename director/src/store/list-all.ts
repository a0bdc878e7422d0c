import type { Query, Store, Stored } from './store.ts';

/** Every document that the query means, page by page, by id. */
export async function listAll<T>(
  store: Store,
  query: Omit<Query, 'limit' | 'after' | 'by'>,
): Promise<Stored<T>[]> {
  const all: Stored<T>[] = [];
  for (;;) {
    const last = all.at(-1)?.id;
    const page = await store.list<T>({
      ...query,
      limit: PAGE,
      ...(last === undefined ? {} : { after: last }),
    });
    all.push(...page);
    if (page.length < PAGE) return all;
  }
}

const PAGE = 500;
