/** The embedded store: one SQLite file, durable at every commit. For a laptop, for tests, and for a single small director. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import {
  Conflict,
  type Durability,
  INDEXED,
  type Key,
  type Query,
  type Store,
  type Stored,
  StoreFailure,
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
      const rows = reading(() => db.prepare(text).all(...values));
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
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error instanceof Conflict ? error : failure('written', error);
      }
    },

    async close() {
      db.close();
    },
  };
}

/** Its settings, its table, and the indexes for the fields that queries ask for. */
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
  for (const [collection, fields] of Object.entries(INDEXED)) {
    for (const field of fields) {
      db.exec(`
        CREATE INDEX IF NOT EXISTS ${collection}_${field} ON documents (json_extract(json, '$.${field}'), id)
        WHERE collection = '${collection}';
      `);
    }
  }
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

function statementOf({
  collection,
  prefix,
  where,
  after,
  order = 'ascending',
  limit = DEFAULT_LIMIT,
}: Query) {
  const descending = order === 'descending';
  // The collection is written out, not bound: only so SQLite sees that the partial index serves.
  const conditions = [`collection = '${collection}'`];
  const values: SQLInputValue[] = [];
  if (where) {
    conditions.push(`json_extract(json, '$.${where.field}') = ?`);
    values.push(typeof where.is === 'boolean' ? Number(where.is) : where.is);
  }
  if (prefix !== undefined) {
    conditions.push('id >= ? AND id < ?');
    values.push(prefix, `${prefix}\u{10ffff}`);
  }
  if (after !== undefined) {
    conditions.push(descending ? 'id < ?' : 'id > ?');
    values.push(after);
  }
  const direction = descending ? 'DESC' : 'ASC';
  const text = `SELECT id, version, json FROM documents WHERE ${conditions.join(' AND ')} ORDER BY id ${direction} LIMIT ${limit}`;
  return { text, values };
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
