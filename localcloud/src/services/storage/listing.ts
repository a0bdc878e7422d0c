/** Lists of objects, as folders and in pages. */

import { compareNames } from './names.ts';
import { readFlag, readMaxResults } from './query.ts';
import { badRequest } from './refusals.ts';
import type { ObjectVersion, Versions } from './versions.ts';

export interface Page {
  readonly items: readonly ObjectVersion[];
  readonly prefixes: readonly string[];
  readonly nextPageToken?: string;
}

/** One line of a list: a version, or a prefix that stands for all names below it. */
interface Entry {
  readonly key: string;
  readonly version?: ObjectVersion;
}

export function listObjects(versions: Versions, bucket: string, query: URLSearchParams): Page {
  const max = readMaxResults(query);
  const after = readToken(query.get('pageToken'));
  const items: ObjectVersion[] = [];
  const prefixes: string[] = [];
  let last: Entry | undefined;
  for (const entry of entriesOf(versions, bucket, query, after?.key ?? '')) {
    if (after && compareEntries(entry, after) <= 0) continue;
    if (last && items.length + prefixes.length === max)
      return { items, prefixes, nextPageToken: tokenOf(last) };
    if (entry.version) items.push(entry.version);
    else prefixes.push(entry.key);
    last = entry;
  }
  return { items, prefixes };
}

/** What is asked for. Empty texts ask for nothing. */
interface Wanted {
  readonly prefix: string;
  readonly delimiter: string;
  readonly withTrailing: boolean;
  readonly start: string;
  readonly end: string;
  readonly allVersions: boolean;
  fits(key: string): boolean;
}

function readWanted(query: URLSearchParams, from: string): Wanted {
  const text = (name: string): string => query.get(name) ?? '';
  const glob = query.get('matchGlob') ? globPattern(text('matchGlob')) : undefined;
  return {
    prefix: text('prefix'),
    delimiter: text('delimiter'),
    withTrailing: readFlag(query, 'includeTrailingDelimiter'),
    start: [from, text('prefix'), text('startOffset')].sort(compareNames).at(-1) ?? '',
    end: text('endOffset'),
    allVersions: readFlag(query, 'versions'),
    fits: (key) => glob?.test(key) ?? true,
  };
}

/** All lines in order, from that name on. */
function* entriesOf(
  versions: Versions,
  bucket: string,
  query: URLSearchParams,
  from: string,
): Generator<Entry> {
  if (readFlag(query, 'softDeleted')) return;
  const wanted = readWanted(query, from);
  let folder: string | undefined;
  for (const name of namesIn(versions.names(bucket), wanted)) {
    const listed = listedVersions(versions, bucket, name, wanted.allVersions);
    const inside = folderOf(name, wanted);
    if (listed.length === 0) continue;
    const itself = inside === undefined || (inside === name && wanted.withTrailing);
    if (itself && wanted.fits(name)) for (const version of listed) yield { key: name, version };
    if (inside !== undefined && inside !== folder && wanted.fits(inside)) yield { key: inside };
    folder = inside ?? folder;
  }
}

function* namesIn(names: readonly string[], { start, end, prefix }: Wanted): Generator<string> {
  for (let at = firstFrom(names, start); at < names.length; at++) {
    const name = names[at] ?? '';
    if (!name.startsWith(prefix) || (end !== '' && compareNames(name, end) >= 0)) return;
    yield name;
  }
}

/** The folder below the prefix that a name is in: up to the next delimiter, with it. */
function folderOf(name: string, { prefix, delimiter }: Wanted): string | undefined {
  const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length);
  return cut < 0 ? undefined : name.slice(0, cut + delimiter.length);
}

function listedVersions(
  versions: Versions,
  bucket: string,
  name: string,
  all: boolean,
): readonly ObjectVersion[] {
  if (all) return versions.of(bucket, name);
  const live = versions.live(bucket, name);
  return live ? [live] : [];
}

/** The index of the first name that is not before `start`. */
function firstFrom(names: readonly string[], start: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareNames(names[middle] ?? '', start) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where a page ended. A prefix comes after the object of the same name. */
interface Place {
  readonly key: string;
  readonly generation?: number;
}

function compareEntries({ key, version }: Entry, place: Place): number {
  const generation = version ? Number(version.generation) : Number.POSITIVE_INFINITY;
  return compareNames(key, place.key) || generation - (place.generation ?? Number.POSITIVE_INFINITY) || 0;
}

function tokenOf({ key, version }: Entry): string {
  const place = JSON.stringify([key, version?.generation ?? '']);
  return Buffer.from(place).toString('base64url');
}

function readToken(token: string | null): Place | undefined {
  if (token === null || token === '') return undefined;
  try {
    const [key, generation]: unknown[] = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (typeof key !== 'string') throw new Error('Not a name');
    return generation === '' ? { key } : { key, generation: Number(generation) };
  } catch {
    throw badRequest(`Invalid page token: '${token}'`);
  }
}

/** `*` and `?` stay within a folder, `**` does not; `[abc]`, `[!abc]` and `{one,two}` work as in a shell. */
function globPattern(glob: string): RegExp {
  let depth = 0;
  const source = glob.replace(/\*\*\/?|\*|\?|\[!?[^\]]+\]|[{},]|\\.|[.+^$|()[\]]/g, (part) => {
    switch (part) {
      case '**':
        return '.*';
      case '**/':
        return '(?:.*/)?';
      case '*':
        return '[^/]*';
      case '?':
        return '[^/]';
      case '{':
        depth++;
        return '(?:';
      case '}':
        return depth-- > 0 ? ')' : '\\}';
      case ',':
        return depth > 0 ? '|' : ',';
    }
    if (part.length > 1 && part.startsWith('[')) return part.replace(/^\[!/, '[^');
    return part.startsWith('\\') ? part : `\\${part}`;
  });
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    throw badRequest(`Invalid glob pattern: '${glob}'`);
  }
}
