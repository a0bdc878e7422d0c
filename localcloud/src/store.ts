/**
 * What the local cloud remembers: tables of JSON in one SQLite file, and blobs in files named by their content.
 *
 * Tables are read from memory and written behind: what changed is flushed in one transaction a moment
 * later, so a kill may cost the last few milliseconds, never an older row. Enough for a development tool.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Rows by key, kept in the order of their first insertion. */
export interface Table<T> {
  readonly size: number;
  get(key: string): T | undefined;
  has(key: string): boolean;
  /** Stores the row; a row that was changed in place must be set again. */
  set(key: string, row: T): void;
  delete(key: string): boolean;
  values(): MapIterator<T>;
  entries(): MapIterator<[string, T]>;
}

export interface Store {
  /** The folder that holds everything. */
  readonly dir: string;
  /** The table of that name; each call gives the same one. Names: `<api>.<plural>`. */
  table<T>(name: string): Table<T>;
  readonly blobs: Blobs;
  flush(): void;
  close(): void;
}

export interface Blob {
  /** `sha256:<hex>`. */
  readonly digest: string;
  readonly size: number;
}

/** Bytes by their digest. The same bytes are kept once. */
export interface Blobs {
  /** Stores a stream. Rejects, and keeps nothing, when the stream fails. */
  put(data: Readable | Uint8Array): Promise<Blob>;
  find(digest: string): Blob | undefined;
  /** The bytes from `start` to `end`, both inclusive; all of them by default. */
  read(digest: string, range?: { start: number; end: number }): Readable;
  /** Where the bytes stand on disk. Never write there. */
  path(digest: string): string;
  /** Says which bytes an API still needs: the same bytes may be another's too. */
  registerUse(needs: (digest: string) => boolean): void;
  /** Removes the bytes, unless an API still needs them. */
  delete(digest: string): void;
}

export function openStore(dir: string): Store {
  mkdirSync(dir, { recursive: true });
  const db = new DatabaseSync(join(dir, 'state.sqlite'));
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS rows (
      tab TEXT NOT NULL, key TEXT NOT NULL, ord INTEGER NOT NULL, json TEXT NOT NULL,
      PRIMARY KEY (tab, key)
    );
  `);
  const select = db.prepare('SELECT key, json, ord FROM rows WHERE tab = ? ORDER BY ord');
  const upsert = db.prepare(
    'INSERT INTO rows (tab, key, ord, json) VALUES (?, ?, ?, ?) ON CONFLICT (tab, key) DO UPDATE SET json = excluded.json',
  );
  const remove = db.prepare('DELETE FROM rows WHERE tab = ? AND key = ?');

  const tables = new Map<string, Table<unknown>>();
  const dirty = new Map<string, { tab: string; key: string; rows: Map<string, unknown> }>();
  let scheduled = false;
  let order = Number(db.prepare('SELECT coalesce(max(ord), 0) AS top FROM rows').get()?.top ?? 0);
  let open = true;

  function flush(): void {
    scheduled = false;
    if (dirty.size === 0 || !open) return;
    db.exec('BEGIN');
    for (const { tab, key, rows } of dirty.values()) {
      const row = rows.get(key);
      if (row === undefined) remove.run(tab, key);
      else upsert.run(tab, key, ++order, JSON.stringify(row));
    }
    db.exec('COMMIT');
    dirty.clear();
  }

  function touch(tab: string, key: string, rows: Map<string, unknown>): void {
    dirty.set(`${tab}\n${key}`, { tab, key, rows });
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  }

  function openTable(tab: string): Table<unknown> {
    const rows = new Map<string, unknown>();
    for (const { key, json } of select.all(tab)) rows.set(String(key), JSON.parse(String(json)));
    return {
      get size() {
        return rows.size;
      },
      get: (key) => rows.get(key),
      has: (key) => rows.has(key),
      set: (key, row) => {
        rows.set(key, row);
        touch(tab, key, rows);
      },
      delete: (key) => {
        const had = rows.delete(key);
        if (had) touch(tab, key, rows);
        return had;
      },
      values: () => rows.values(),
      entries: () => rows.entries(),
    };
  }

  return {
    dir,
    blobs: openBlobs(join(dir, 'blobs')),
    table<T>(name: string) {
      const table = tables.get(name) ?? openTable(name);
      tables.set(name, table);
      return table as Table<T>;
    },
    flush,
    close() {
      flush();
      open = false;
      db.close();
    },
  };
}

function openBlobs(dir: string): Blobs {
  mkdirSync(dir, { recursive: true });
  // What an earlier run left half written when it was killed.
  for (const file of readdirSync(dir)) if (file.startsWith('.part-')) rmSync(join(dir, file));
  const path = (digest: string): string => {
    const hex = digest.replace(/^sha256:/, '');
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new Error(`Not a digest: ${digest}`);
    return join(dir, hex);
  };
  const uses: ((digest: string) => boolean)[] = [];
  return {
    path,
    registerUse: (needs) => void uses.push(needs),
    async put(data) {
      const hash = createHash('sha256');
      const part = join(dir, `.part-${randomUUID()}`);
      let size = 0;
      try {
        await pipeline(
          data instanceof Uint8Array ? Readable.from([data]) : data,
          async function* (source: AsyncIterable<Uint8Array>) {
            for await (const chunk of source) {
              hash.update(chunk);
              size += chunk.length;
              yield chunk;
            }
          },
          createWriteStream(part),
        );
        const digest = `sha256:${hash.digest('hex')}`;
        renameSync(part, path(digest));
        return { digest, size };
      } catch (error) {
        rmSync(part, { force: true });
        throw error;
      }
    },
    find(digest) {
      const file = path(digest);
      return existsSync(file) ? { digest, size: statSync(file).size } : undefined;
    },
    read: (digest, range) => createReadStream(path(digest), range ?? {}),
    delete(digest) {
      if (!uses.some((needs) => needs(digest))) rmSync(path(digest), { force: true });
    },
  };
}
