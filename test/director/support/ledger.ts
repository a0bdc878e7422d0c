/** What a director has written down, read from its file beside it. */
import { DatabaseSync } from 'node:sqlite';
import type { Collection } from '@service-director/director/store/store.ts';
import { stateFile } from './director.ts';
import type { World } from './world.ts';

export interface Ledger {
  /** How many documents of the collection have an id that begins so. */
  count(collection: Collection, prefix: string): number;
  /** Those documents, by id. */
  read(collection: Collection, prefix: string): Record<string, unknown>;
  close(): void;
}

/** The director has started once, so that there is a file. */
export function openLedger(world: World, name?: string): Ledger {
  const db = new DatabaseSync(stateFile(world, name), { readOnly: true });
  const mine = 'FROM documents WHERE collection = ? AND id >= ? AND id < ?';
  const count = db.prepare(`SELECT count(*) AS n ${mine}`);
  const select = db.prepare(`SELECT id, json ${mine} ORDER BY id`);
  const range = (collection: string, prefix: string): string[] => [collection, prefix, `${prefix}\u{10ffff}`];
  return {
    count: (collection, prefix) => Number(count.get(...range(collection, prefix))?.n),
    read: (collection, prefix) =>
      Object.fromEntries(
        select
          .all(...range(collection, prefix))
          .map(({ id, json }) => [String(id), JSON.parse(String(json))]),
      ),
    close: () => db.close(),
  };
}
