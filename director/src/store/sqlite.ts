/** The embedded store: one SQLite file, durable at every commit. For a laptop, for tests, and for a single small director. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import {
  Conflict,
  type Durability,
  INDEXED,
  type Key,
  type Query,
  type Store,
  type Stored,
  StoreFailure,
  TIMED,
  timeField,
  type Write,
} from './store.ts';

export interface SqliteOptions {
  /** The file; `:memory:` for one that is forgotten. */
  readonly path: string;
  /** How large it may grow, in bytes. Default: as the disk. */
  readonly mostBytes?: number;
}

/** How long a commit waits for another process that is writing, in milliseconds. */
const BUSY_MS = 10_000;
const DEFAULT_LIMIT = 1_000;

/** Throws StoreFailure while another process has the file to itself, or the disk is full; another error for what is no such file. */
export function sqliteStore({ path, mostBytes }: SqliteOptions): Store {
  if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true });
  const db = new DatabaseSync(path);
  try {
    prepareFile(db, mostBytes);
  } catch (error) {
    db.close();
    throw mayPass(error) ? failure('opened', error) : error;
  }

  const select = db.prepare('SELECT version, json FROM documents WHERE collection = ? AND id = ?');
  const versionOf = db.prepare('SELECT version FROM documents WHERE collection = ? AND id = ?');
  const upsert = db.prepare(
    'INSERT INTO documents (collection, id, version, json) VALUES (?, ?, 1, ?) ' +
      'ON CONFLICT (collection, id) DO UPDATE SET version = version + 1, json = excluded.json',
  );
  const remove = db.prepare('DELETE FROM documents WHERE collection = ? AND id = ?');

  function demand(key: Key, condition: Write['if']): void {
    if (condition === 'any') return;
    const version = versionOf.get(key.collection, key.id)?.version;
    const holds = condition === 'absent' ? version === undefined : version === condition;
    if (!holds) throw new Conflict(key);
  }

  /** By their texts, of which there are few: one for each form of a question. */
  const listings = new Map<string, StatementSync>();
  function listing(text: string): StatementSync {
    const known = listings.get(text) ?? db.prepare(text);
    listings.set(text, known);
    return known;
  }

  /** Tells of the commits of others; ours are counted. */
  const othersVersion = db.prepare('PRAGMA data_version');
  let commits = 0;

  let synced: Durability = 'now';
  /** The log of writes is a prefix of all that was written: the next commit that is synced takes with it those that were not. */
  function sync(durability: Durability): void {
    if (durability === synced) return;
    db.exec(`PRAGMA synchronous = ${durability === 'now' ? 'FULL' : 'NORMAL'}`);
    synced = durability;
  }

  function write(change: Write): void {
    demand(change.key, change.if);
    const { collection, id } = change.key;
    if (change.type === 'put') upsert.run(collection, id, JSON.stringify(change.value));
    else if (change.type === 'delete') remove.run(collection, id);
  }

  return {
    async get<T>(key: Key) {
      const row = reading(() => select.get(key.collection, key.id));
      return row ? stored<T>(key.id, row) : undefined;
    },

    async list<T>(query: Query) {
      const { text, values } = statementOf(query);
      const rows = reading(() => listing(text).all(...values));
      return rows.map((row) => stored<T>(String(row.id), row));
    },

    async commit(writes, durability = 'now') {
      if (writes.length === 0) return;
      try {
        sync(durability);
        db.exec('BEGIN IMMEDIATE');
      } catch (error) {
        throw failure('written', error);
      }
      try {
        for (const change of writes) write(change);
        db.exec('COMMIT');
        commits++;
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error instanceof Conflict ? error : failure('written', error);
      }
    },

    generation: () => `${reading(() => othersVersion.get()?.data_version)}.${commits}`,

    async close() {
      db.close();
    },
  };
}

/** The column of a field. */
function fieldText(field: string): string {
  return `json_extract(json, '$.${field}')`;
}

/** The column of the place by time. */
function timeText(field: string): string {
  return `${fieldText(field)} || '/' || id`;
}

/** By name, which begins with the collection. Each write of a document writes all of its indexes: there is one for each question. */
const INDEXES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(TIMED).flatMap(([collection, time]) => [
    [`${collection}_by_time`, timeText(time)],
    ...INDEXED[collection as keyof typeof INDEXED].map((field) => [
      `${collection}_${field}_by_time`,
      `${fieldText(field)}, ${timeText(time)}`,
    ]),
  ]),
);

/** Of files of the first release: without the time. */
const FORMER_INDEXES = [
  'commands_status',
  'commands_correlationId',
  'deployments_status',
  'deployments_stack',
  'deployments_command',
] as const;

/** Its settings, its table, and the indexes for what queries ask for. */
function prepareFile(db: DatabaseSync, mostBytes: number | undefined): void {
  db.exec(`
    PRAGMA busy_timeout = ${BUSY_MS};
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    -- What was deleted or written anew is zeroed: a value from before there was a key must not stay in the file beside
    -- what it was sealed to.
    PRAGMA secure_delete = ON;
    CREATE TABLE IF NOT EXISTS documents (
      collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL,
      PRIMARY KEY (collection, id)
    ) WITHOUT ROWID;
  `);
  for (const [name, text] of Object.entries(INDEXES)) {
    const [collection] = name.split('_');
    db.exec(`CREATE INDEX IF NOT EXISTS ${name} ON documents (${text}) WHERE collection = '${collection}'`);
  }
  for (const name of FORMER_INDEXES) db.exec(`DROP INDEX IF EXISTS ${name}`);
  if (mostBytes !== undefined) {
    const { page_size } = db.prepare('PRAGMA page_size').get() as { page_size: number };
    db.exec(`PRAGMA max_page_count = ${Math.ceil(mostBytes / page_size)}`);
  }
}

function mayPass(error: unknown): boolean {
  // Extended codes tell more in their higher bits.
  return error instanceof Error && 'errcode' in error && PASSING.has(Number(error.errcode) & 0xff);
}

/** SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL: https://www.sqlite.org/rescode.html */
const PASSING: ReadonlySet<number> = new Set([5, 10, 13]);

function stored<T>(id: string, row: Record<string, unknown>): Stored<T> {
  return { id, value: JSON.parse(String(row.json)) as T, version: Number(row.version) };
}

function statementOf(query: Query) {
  const { collection, prefix, where, after, order = 'ascending', limit = DEFAULT_LIMIT } = query;
  const place = placeText(query);
  const descending = order === 'descending';
  // The collection is written out, not bound: only so SQLite sees that the partial index serves.
  const conditions = [`collection = '${collection}'`];
  const values: SQLInputValue[] = [];
  if (where) {
    conditions.push(`${fieldText(where.field)} = ?`);
    values.push(typeof where.is === 'boolean' ? Number(where.is) : where.is);
  }
  if (prefix !== undefined) {
    conditions.push(`${place} >= ? AND ${place} < ?`);
    values.push(prefix, `${prefix}\u{10ffff}`);
  }
  if (after !== undefined) {
    conditions.push(`${place} ${descending ? '<' : '>'} ?`);
    values.push(after);
  }
  if (query.by === 'time') conditions.push(`${place} IS NOT NULL`);
  const direction = descending ? 'DESC' : 'ASC';
  const text = `SELECT id, version, json FROM documents ${hintOf(query)} WHERE ${conditions.join(' AND ')} ORDER BY ${place} ${direction} LIMIT ?`;
  values.push(limit);
  return { text, values };
}

/** Said, not left to SQLite: without statistics it walks the whole collection in the order of ids. */
function hintOf({ collection, where, by }: Query): string {
  if (!where && by !== 'time') return '';
  const name = where ? `${collection}_${where.field}_by_time` : `${collection}_by_time`;
  if (!(name in INDEXES)) throw new Error(`${collection} are not indexed by ${where?.field ?? 'time'}`);
  return `INDEXED BY ${name}`;
}

/** The column that makes the place. */
function placeText({ collection, by }: Query): string {
  if (by !== 'time') return 'id';
  const time = timeField(collection);
  if (time === undefined) throw new Error(`${collection} have no time`);
  return `(${timeText(time)})`;
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw failure('read', error);
  }
}

function failure(what: 'opened' | 'read' | 'written', error: unknown): StoreFailure {
  const message = error instanceof Error ? error.message : String(error);
  return new StoreFailure(`The state cannot be ${what}: ${message}`, error);
}
