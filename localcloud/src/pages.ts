/** Lists in pages: https://google.aip.dev/158 */
import { invalid } from './error.ts';
import type { JsonObject } from './json.ts';

export interface Page<T> {
  readonly items: T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** The page that the request's `pageSize` and `pageToken` ask for, of all items in the order of their keys. */
export function page<T>(
  all: Iterable<T>,
  keyOf: (item: T) => string,
  request: JsonObject,
  sizes: { readonly usual: number; readonly most: number },
): Page<T> {
  const asked = Number(request.pageSize ?? 0);
  if (asked < 0) throw invalid('The page size must not be negative.', 'page_size');
  const size = Math.min(asked || sizes.usual, sizes.most);
  const after = readToken(request.pageToken);
  const rest = [...all]
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => after === undefined || key > after)
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const shown = rest.slice(0, size);
  const last = rest.length > size ? shown.at(-1) : undefined;
  return { items: shown.map(({ item }) => item), nextPageToken: last ? writeToken(last.key) : '' };
}

const MARK = 'after ';

function writeToken(key: string): string {
  return Buffer.from(MARK + key).toString('base64url');
}

function readToken(token: unknown): string | undefined {
  if (token === undefined || token === '') return undefined;
  const text = Buffer.from(String(token), 'base64url').toString();
  if (!text.startsWith(MARK)) throw invalid('The page token is invalid.', 'page_token');
  return text.slice(MARK.length);
}
