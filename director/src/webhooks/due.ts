/**
 * What is due in the store, looked through a page at a time: one receiver's backlog costs no more at each look than a few
 * pages, and hides nobody else's.
 *
 * The rows stand by webhook. Of one with more than a page its first page is read at each look, and from where the look
 * before left off as many more as tell something new: so after some looks all are known, and few are read again.
 */
import { type DueRecord, keys } from '../store/records.ts';
import type { Query, Store, Stored } from '../store/store.ts';

export interface DueContext {
  readonly store: Store;
  /** Rows that are read at once. Default 500. */
  readonly page?: number;
}

/** A row without its body. */
export type DueHead = Pick<DueRecord, 'id' | 'createdAt'>;

const PAGE = 500;

/** A look resolves with what it found that is not known; of some of that by the next look. */
export function lookerForDue({ store, page: limit = PAGE }: DueContext) {
  /** By webhook: the place of the row that was seen last, where there are more than were looked at. */
  const seen = new Map<string, string>();

  const read = (query: Pick<Query, 'prefix' | 'after'>): Promise<Stored<DueRecord>[]> =>
    store.list<DueRecord>({ collection: 'deliveries', ...query, limit });

  async function look(isKnown: (id: string) => boolean): Promise<DueHead[]> {
    const found: DueHead[] = [];
    const note = (rows: readonly Stored<DueRecord>[]): number => {
      const news = rows.flatMap(({ value: { id, createdAt } }) => (isKnown(id) ? [] : [{ id, createdAt }]));
      found.push(...news);
      return news.length;
    };
    for (let after: string | undefined; ; ) {
      const rows = await read({ prefix: keys.due('').id, ...(after === undefined ? {} : { after }) });
      note(rows);
      const last = rows.at(-1);
      if (!last || rows.length < limit) return found;
      const { webhook } = last.value;
      await lookOn(webhook, last.id, note);
      // The slash comes right after the full stop: what follows is of the next webhook.
      after = keys.due(`${webhook}/`).id;
    }
  }

  /** From where the last look ended, if that was behind this place. */
  async function lookOn(
    webhook: string,
    place: string,
    note: (rows: readonly Stored<DueRecord>[]) => number,
  ): Promise<void> {
    const before = seen.get(webhook) ?? place;
    for (let after = before > place ? before : place; ; ) {
      const rows = await read({ prefix: prefixOf(webhook), after });
      const news = note(rows);
      const last = rows.at(-1);
      if (!last || rows.length < limit) {
        seen.delete(webhook);
        return;
      }
      after = last.id;
      seen.set(webhook, after);
      if (news === 0) return;
    }
  }

  return look;
}

/** All that is due to a webhook, the oldest first. */
export async function dueTo(webhook: string, { store, page: limit = PAGE }: DueContext): Promise<DueHead[]> {
  const all: DueHead[] = [];
  for (let after: string | undefined; ; ) {
    const rows = await store.list<DueRecord>({
      ...{ collection: 'deliveries', prefix: prefixOf(webhook), limit },
      ...(after === undefined ? {} : { after }),
    });
    // Page by page without the bodies: there may be ten thousand.
    all.push(...rows.map(({ value: { id, createdAt } }) => ({ id, createdAt })));
    after = rows.at(-1)?.id;
    if (rows.length < limit) return all.sort(byAge);
  }
}

function byAge(one: DueHead, other: DueHead): number {
  return `${one.createdAt}/${one.id}` < `${other.createdAt}/${other.id}` ? -1 : 1;
}

/** No id of a webhook is the beginning of another's with its full stop. */
function prefixOf(webhook: string): string {
  return keys.due(`${webhook}.`).id;
}
