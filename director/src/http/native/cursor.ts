/** Cursors: where a page ended, bound to what was asked for it, as a text that means nothing to whoever gives it back. */
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { z } from 'zod';
import { invalid } from './serve.ts';

/** What a page was asked for; how long it is and where it begins may change. */
export interface Paging {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

const Content = z.tuple([z.string().min(1), z.string()]);

/**
 * `items` are one more than the page, where there are as many. `lookedTo`: the place up to which they were looked for,
 * where that was not to the end: then a page may be short, or empty, and still not the last.
 */
export function pageOf<T>(
  items: readonly T[],
  asked: Paging,
  placeOf: (item: T) => string,
  lookedTo?: string,
): { readonly page: T[]; readonly next?: string } {
  const page = items.slice(0, asked.limit);
  const last = page.at(-1);
  const place = items.length > page.length && last !== undefined ? placeOf(last) : lookedTo;
  if (place === undefined) return { page };
  const content: z.output<typeof Content> = [place, questionOf(asked)];
  return { page, next: Buffer.from(JSON.stringify(content)).toString('base64url') };
}

/** Where the page before ended; undefined for the first. Throws a Problem for what is no cursor of this question. */
export function placeIn(asked: Paging): string | undefined {
  if (asked.cursor === undefined) return undefined;
  const content = Content.safeParse(jsonOf(asked.cursor));
  if (!content.success) throw wrong('it is no cursor; give the "next" of the page before');
  const [place, question] = content.data;
  if (question !== questionOf(asked)) throw wrong('it is of a list that was asked for in another way');
  return place;
}

function questionOf({ limit: _limit, cursor: _cursor, ...question }: Paging): string {
  return fingerprint(question);
}

function wrong(detail: string) {
  return invalid([{ in: 'query', pointer: '/cursor', detail }]);
}

function jsonOf(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
}
