/**
 * The store of the simulated world: one database in memory, a handle of `Store` for each process.
 *
 *   const database = simDatabase(sim);
 *   const store = database.handle(process);
 *   database.onCommit(({ process, writes }) => …); // as it becomes durable
 *
 * It answers as the SQLite store does; `sim-store.test.ts` compares the two. A handle's calls take time, may be lost
 * before their effect or after it (`StoreFailure`), or be slow. What is read is frozen: whoever changes what he read
 * is found out.
 */
import {
  type Collection,
  Conflict,
  type Key,
  type Query,
  type Store,
  type Stored,
  StoreFailure,
  timedPlace,
  timeField,
  type Write,
} from '@service-director/director/store/store.ts';
import { digest } from './digest.ts';
import type { FaultKind, Site } from './faults.ts';
import type { Passage, Process, Simulation } from './scheduler.ts';

/** One document after one write. */
export interface Row {
  readonly type: 'put' | 'delete';
  readonly key: Key;
  /** After a put; of a deletion the one that it had. */
  readonly version: number;
  /** After a put. */
  readonly value?: unknown;
  /** Before the commit. */
  readonly before?: unknown;
}

export interface Commit {
  /** Milliseconds since the beginning. */
  readonly at: number;
  readonly process: string;
  readonly rows: readonly Row[];
}

export interface SimDatabase {
  /** What a process opens. */
  handle(process: Process): Store;
  /** As it is at this moment, asked by nobody: for what checks the run. */
  get<T>(key: Key): Stored<T> | undefined;
  list<T>(query: Query): Stored<T>[];
  /** Every commit that wrote something, oldest first. */
  readonly log: readonly Commit[];
  /** Called when a commit is durable, before its writer knows. What it throws ends the run. */
  onCommit(listener: (commit: Commit) => void): void;
  /** Called when a commit is refused for what somebody else wrote. What it throws ends the run. */
  onConflict(listener: (conflict: { readonly process: string; readonly key: Key }) => void): void;
}

interface Document {
  readonly version: number;
  readonly json: string;
  /** Of the JSON, so that reads need not hash it again. */
  readonly hash: string;
  value: unknown;
}

/** Sorted by the code points of their ids, as SQLite does. */
interface Table {
  readonly ids: string[];
  readonly documents: Map<string, Document>;
}

const LEG_MS = [1, 12] as const;
const DEFAULT_LIMIT = 1_000;

export function simDatabase(sim: Simulation): SimDatabase {
  const tables = new Map<Collection, Table>();
  const log: Commit[] = [];
  const listeners: ((commit: Commit) => void)[] = [];
  const conflictListeners: Parameters<SimDatabase['onConflict']>[0][] = [];
  const sites = {
    get: sim.faults.site('store.get', ['lost-request', 'slow']),
    list: sim.faults.site('store.list', ['lost-request', 'slow']),
    commit: sim.faults.site('store.commit', ['lost-request', 'lost-answer', 'slow']),
  };

  function tableOf(collection: Collection): Table {
    const known = tables.get(collection) ?? { ids: [], documents: new Map() };
    tables.set(collection, known);
    return known;
  }

  function find(key: Key): Document | undefined {
    return tables.get(key.collection)?.documents.get(key.id);
  }

  function get<T>(key: Key): Stored<T> | undefined {
    const document = find(key);
    return document && stored<T>(key.id, document);
  }

  function list<T>(query: Query): Stored<T>[] {
    const { documents } = tableOf(query.collection);
    const { where, limit = DEFAULT_LIMIT } = query;
    const found: Stored<T>[] = [];
    for (const id of rangeOf(query)) {
      if (found.length >= limit) break;
      const document = documents.get(id);
      if (document && (!where || columnOf(document, where.field) === columnValue(where.is)))
        found.push(stored<T>(id, document));
    }
    return found;
  }

  /** The ids that may be meant, in the order asked for. */
  function rangeOf({ collection, by, prefix, after, order = 'ascending' }: Query): string[] {
    const table = tableOf(collection);
    const byTime = by === 'time' ? timedPlaces(collection, table) : undefined;
    const places = byTime ? [...byTime.keys()] : table.ids;
    const from = prefix === undefined ? 0 : placeOf(places, prefix);
    const to = prefix === undefined ? places.length : placeOf(places, `${prefix}\u{10ffff}`);
    const range = places.slice(from, to);
    if (order === 'descending') range.reverse();
    const meant = range.filter((place) => {
      if (after === undefined) return true;
      return order === 'descending' ? compareIds(place, after) < 0 : compareIds(place, after) > 0;
    });
    return byTime ? meant.map((place) => byTime.get(place) ?? '') : meant;
  }

  /** All or nothing; `prepared` are the writes as they were asked for, before anybody could change them. */
  function commit(process: Process, prepared: readonly Prepared[]): void {
    /** As the commit has them so far; undefined where it deleted. */
    const drafts = new Map<string, { readonly key: Key; readonly document: Document | undefined }>();
    for (const { write, json } of prepared) {
      const { key } = write;
      const name = `${key.collection}/${key.id}`;
      const draft = drafts.get(name);
      const current = draft ? draft.document : find(key);
      if (!holds(write, current)) throw refusal(process, key);
      if (write.type === 'put') drafts.set(name, { key, document: documentOf(json, current) });
      else if (write.type === 'delete') drafts.set(name, { key, document: undefined });
    }
    const rows = [...drafts.values()].flatMap(({ key, document }) => replace(key, document));
    if (rows.length === 0) return;
    const made: Commit = { at: sim.now(), process: process.name, rows };
    log.push(made);
    for (const listener of listeners) sim.guard(() => listener(made));
  }

  function refusal({ name }: Process, key: Key): Conflict {
    for (const listener of conflictListeners) sim.guard(() => listener({ process: name, key }));
    return new Conflict(key);
  }

  function replace(key: Key, document: Document | undefined): Row[] {
    const { ids, documents } = tableOf(key.collection);
    const before = documents.get(key.id);
    const was = before && { before: parsed(before) };
    if (document) {
      if (!before) ids.splice(placeOf(ids, key.id), 0, key.id);
      documents.set(key.id, document);
      sim.note('writes', `${key.collection}/${key.id}@${document.version} ${document.hash}`);
      return [{ type: 'put', key, version: document.version, value: parsed(document), ...was }];
    }
    if (!before) return [];
    ids.splice(placeOf(ids, key.id), 1);
    documents.delete(key.id);
    sim.note('deletes', `${key.collection}/${key.id}`);
    return [{ type: 'delete', key, version: before.version, ...was }];
  }

  function handle(process: Process): Store {
    let isOpen = true;

    function call<T>(site: Site, about: string, effect: () => T): Promise<T> {
      if (!isOpen) return Promise.reject(new StoreFailure('The store is closed', undefined));
      const passage: Passage = { site, legMs: LEG_MS, failure: failureAt(site) };
      return sim.call(process, passage, effect, about);
    }

    return {
      get: <T>(key: Key) => call(sites.get, `${key.collection}/${key.id}`, () => get<T>(key)),
      list: <T>(query: Query) => call(sites.list, aboutQuery(query), () => list<T>(query)),
      async commit(writes) {
        if (writes.length === 0) return;
        const prepared = writes.map(prepare);
        await call(sites.commit, writes.map(aboutWrite).join(', '), () => commit(process, prepared));
      },
      async close() {
        isOpen = false;
      },
    };
  }

  return {
    ...{ handle, get, list, log },
    onCommit: (listener) => void listeners.push(listener),
    onConflict: (listener) => void conflictListeners.push(listener),
  };
}

interface Prepared {
  readonly write: Write;
  readonly json: string;
}

function prepare(write: Write): Prepared {
  return { write, json: write.type === 'put' ? JSON.stringify(write.value) : '' };
}

function holds({ if: condition }: Write, current: Document | undefined): boolean {
  if (condition === 'any') return true;
  return condition === 'absent' ? current === undefined : current?.version === condition;
}

function documentOf(json: string, before: Document | undefined): Document {
  const hash = digest();
  hash.text(json);
  return { version: (before?.version ?? 0) + 1, json, hash: hash.toString(), value: undefined };
}

function stored<T>(id: string, document: Document): Stored<T> {
  return { id, value: parsed(document) as T, version: document.version };
}

/** Parsed once for all who read it. */
function parsed(document: Document): unknown {
  document.value ??= frozen(JSON.parse(document.json));
  return document.value;
}

function frozen(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) frozen(inner);
  return Object.freeze(value);
}

function failureAt(site: Site): (kind: FaultKind) => StoreFailure {
  const what = site.name === 'store.commit' ? 'written' : 'read';
  return (kind) => new StoreFailure(`The state cannot be ${what}: ${kind}`, undefined);
}

function aboutWrite({ type, key, if: condition }: Write): string {
  return `${type} ${key.collection}/${key.id} if ${condition}`;
}

function aboutQuery({ collection, prefix = '', where, by, after = '' }: Query): string {
  const order = by === 'time' ? ' by time' : '';
  const field = where ? ` ${where.field}=${where.is}` : '';
  return `${collection}/${prefix}*${field}${order}${after === '' ? '' : ` after ${after}`}`;
}

/** The ids by their places in time, in that order. */
function timedPlaces(collection: Collection, { documents }: Table): Map<string, string> {
  const field = timeField(collection);
  if (field === undefined) throw new Error(`${collection} have no time`);
  const places = [...documents].flatMap(([id, document]): [string, string][] => {
    const time = columnOf(document, field);
    return time === undefined || time === null ? [] : [[timedPlace(String(time), id), id]];
  });
  return new Map(places.sort(([a], [b]) => compareIds(a, b)));
}

/** The place of the id, or where it would be put. */
function placeOf(ids: readonly string[], id: string): number {
  let [from, to] = [0, ids.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (compareIds(ids[middle] ?? '', id) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** By code points: JavaScript's own order differs where a character takes two units. */
function compareIds(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left === right) continue;
    return isSurrogate(left) === isSurrogate(right) ? left - right : isSurrogate(left) ? 1 : -1;
  }
  return a.length - b.length;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}

/** As SQLite's json_extract gives it: of `true` 1, of a list its text. */
function columnOf(document: Document, field: string): unknown {
  const value = parsed(document);
  const inner = typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
  if (typeof inner === 'object' && inner !== null) return JSON.stringify(inner);
  return typeof inner === 'boolean' ? Number(inner) : inner;
}

function columnValue(is: string | boolean): string | number {
  return typeof is === 'boolean' ? Number(is) : is;
}
