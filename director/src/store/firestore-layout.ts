/**
 * How a document of ours lies in Firestore: under which name, in which fields, and which queries find it.
 *
 *     directors/<root>/<collection>/<name>
 *       id        its id as it is: every list without a condition walks the index of this field
 *       by        the sort keys of all other lists: `time` is the place by time; for each field in INDEXED
 *                 `<field>` is `"<value>" <id>` and `<field>_time` is `"<value>" <place by time>`
 *       version   how many times it was written
 *       commits   the newest commits that wrote it, newest first
 *       json      the value; or `packed`, the same deflated, where it is long
 *       parts     how many documents hold `packed`, where it is too long for one:
 *     directors/<root>/<collection>/<name>/parts/<newest commit>.<number>
 *
 * A list is a range of one field in the order of that field, upwards or downwards. Firestore keeps the two indexes
 * which that takes by itself; an order by name downwards, or a condition on one field with an order by another,
 * would each take an index that somebody has to create.
 */
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import type { Document, StructuredQuery } from './firestore-client.ts';
import { INDEXED, type Key, type Query, type Stored, TooLarge, timedPlace, timeField } from './store.ts';

export type Fields = NonNullable<Document['fields']>;
type Bound = readonly ['LESS_THAN' | 'GREATER_THAN' | 'GREATER_THAN_OR_EQUAL', string];

/** What a write that is conditional on a document has to know of it. */
export interface Revision {
  readonly version: number;
  readonly updateTime: NonNullable<Document['updateTime']>;
  /** Newest first. */
  readonly commits: readonly string[];
  /** How many parts its value is in; 0 when it is in the document. */
  readonly parts: number;
}

/** The fields that make a revision. */
export const REVISION_FIELDS = ['version', 'commits', 'parts'];

/** All fields of a document but those that depend on the revision, and what its parts hold. */
export interface Body {
  readonly fields: Fields;
  readonly parts: readonly Buffer[];
}

/** Firestore's limits, in bytes: of an indexed value (what is longer is cut off), of a name, of a document (1 MiB), of a commit (10 MiB). */
const MOST_KEY_BYTES = 1_500;
const MOST_PART_BYTES = 1_000_000;
const MOST_VALUE_BYTES = 8 * MOST_PART_BYTES;
/** In characters. Below it a value can be read in the console. */
const PACKED_FROM = 65_536;

/** No character comes after it. */
const LAST = '\u{10ffff}';

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/** The id as the last part of a document's name: without `/`, not empty, and none of the names that Firestore keeps for itself. */
export function documentName(id: string): string {
  const name = id.replace(/[%/]/g, encodeURIComponent);
  if (name === '') return '%';
  const isReserved = /^(\.{1,2}|__.*__)$/s.test(name);
  return isReserved ? `%${name.charCodeAt(0).toString(16)}${name.slice(1)}` : name;
}

/** Rejects with TooLarge what is too long for Firestore. */
export async function bodyOf(key: Key, value: object): Promise<Body> {
  const by = sortKeysOf(key, value);
  for (const [what, text] of Object.entries({ id: key.id, name: documentName(key.id), ...by })) {
    const bytes = Buffer.byteLength(text);
    if (bytes > MOST_KEY_BYTES) throw tooLarge(key, `the ${what} takes ${bytes} bytes`, MOST_KEY_BYTES);
  }
  const sortKeys = Object.entries(by).map(([field, text]) => [field, { stringValue: text }] as const);
  const { fields, parts } = await packed(key, JSON.stringify(value));
  const common = { id: { stringValue: key.id }, by: { mapValue: { fields: Object.fromEntries(sortKeys) } } };
  return { fields: { ...common, ...fields }, parts };
}

async function packed(key: Key, json: string): Promise<Body> {
  if (json.length < PACKED_FROM) return { fields: { json: { stringValue: json } }, parts: [] };
  const bytes = await deflate(json);
  const { length } = bytes;
  if (length <= MOST_PART_BYTES) return { fields: { packed: { bytesValue: bytes } }, parts: [] };
  if (length > MOST_VALUE_BYTES)
    throw tooLarge(key, `the value takes ${length} bytes when deflated`, MOST_VALUE_BYTES);
  const parts: Buffer[] = [];
  for (let at = 0; at < length; at += MOST_PART_BYTES) parts.push(bytes.subarray(at, at + MOST_PART_BYTES));
  return { fields: {}, parts };
}

function tooLarge({ collection, id }: Key, what: string, most: number): TooLarge {
  const name = `${collection}/${id.slice(0, 100)}`;
  const message = `The state cannot be written: of ${name} ${what}, and Firestore holds ${most}`;
  return new TooLarge(message);
}

/** The document as it was written; `parts` in their order. */
export async function storedOf<T>({ fields }: Document, parts: readonly Document[]): Promise<Stored<T>> {
  const bytes = [fields, ...parts.map((part) => part.fields)].flatMap(
    (held) => held?.packed?.bytesValue ?? [],
  );
  const json =
    bytes.length === 0
      ? (fields?.json?.stringValue ?? '')
      : String(await inflate(Buffer.concat(bytes.map((part) => Buffer.from(part as Uint8Array)))));
  return {
    id: fields?.id?.stringValue ?? '',
    value: JSON.parse(json) as T,
    version: Number(fields?.version?.integerValue),
  };
}

export function revisionOf({ fields, updateTime }: Document): Revision {
  if (!updateTime) throw new Error('Firestore returned a document without its time');
  return {
    version: Number(fields?.version?.integerValue),
    updateTime,
    commits: (fields?.commits?.stringValue ?? '').split(' '),
    parts: Number(fields?.parts?.integerValue ?? 0),
  };
}

export function revisionFields({ version, commits, parts }: Omit<Revision, 'updateTime'>): Fields {
  return {
    version: { integerValue: version },
    commits: { stringValue: commits.join(' ') },
    ...(parts === 0 ? {} : { parts: { integerValue: parts } }),
  };
}

/** Of the parts of a document, in their order. */
export function partNames(name: string, { commits, parts }: Revision): string[] {
  return Array.from({ length: parts }, (_, number) => partName(name, commits[0] ?? '', number));
}

/** No two commits write the same parts. */
export function partName(name: string, commit: string, number: number): string {
  return `${name}/parts/${commit}.${number}`;
}

/** The query that lists what is asked for. */
export function structuredQuery(
  { collection, prefix = '', where, by, after, order }: Query,
  limit: number,
): StructuredQuery {
  if (where && !indexedFields(collection).includes(where.field))
    throw new Error(`${collection} are not indexed by ${where.field}`);
  if (by === 'time' && timeField(collection) === undefined) throw new Error(`${collection} have no time`);
  const path = [...(where ? [where.field] : []), ...(by === 'time' ? ['time'] : [])].join('_');
  const fieldPath = path === '' ? 'id' : `by.${path}`;
  const start = where ? sortKey(where.is, '') : '';
  const descending = order === 'descending';
  const bounds: Bound[] = [];
  if (start + prefix !== '')
    bounds.push(['GREATER_THAN_OR_EQUAL', start + prefix], ['LESS_THAN', start + prefix + LAST]);
  if (after !== undefined) bounds.push([descending ? 'LESS_THAN' : 'GREATER_THAN', start + after]);
  const filters = bounds.map(([op, text]) => ({
    fieldFilter: { field: { fieldPath }, op, value: { stringValue: text } },
  }));
  return {
    from: [{ collectionId: collection }],
    ...(filters.length === 0 ? {} : { where: { compositeFilter: { op: 'AND', filters } } }),
    orderBy: [{ field: { fieldPath }, direction: descending ? 'DESCENDING' : 'ASCENDING' }],
    limit: { value: limit },
  };
}

function sortKeysOf({ collection, id }: Key, value: object): Record<string, string> {
  const fields = new Map<string, unknown>(Object.entries(value));
  const time = fields.get(timeField(collection) ?? '');
  const place = typeof time === 'string' ? timedPlace(time, id) : undefined;
  const keys: Record<string, string> = {};
  if (place !== undefined) keys.time = place;
  for (const field of indexedFields(collection)) {
    const is = fields.get(field);
    if (typeof is !== 'string' && typeof is !== 'boolean') continue;
    keys[field] = sortKey(is, id);
    if (place !== undefined) keys[`${field}_time`] = sortKey(is, place);
  }
  return keys;
}

/** No value as JSON is the beginning of another, so no two values share a range. */
function sortKey(is: string | boolean, place: string): string {
  return `${JSON.stringify(is)} ${place}`;
}

function indexedFields(collection: Query['collection']): readonly string[] {
  const indexed: Partial<Record<Query['collection'], readonly string[]>> = INDEXED;
  return indexed[collection] ?? [];
}
