/** A store in memory that takes no time, for what is measured on a virtual clock. What was written is not copied: nobody changes it. */
import {
  Conflict,
  type Key,
  type Store,
  type Stored,
  type Write,
} from '@service-director/director/store/store.ts';

export function memoryStore(): Store {
  const collections = new Map<string, Map<string, Stored<unknown>>>();

  function rowsOf(collection: string): Map<string, Stored<unknown>> {
    const rows = collections.get(collection) ?? new Map<string, Stored<unknown>>();
    collections.set(collection, rows);
    return rows;
  }

  function demand({ collection, id }: Key, condition: Write['if']): void {
    if (condition === 'any') return;
    const version = rowsOf(collection).get(id)?.version;
    if (condition === 'absent' ? version !== undefined : version !== condition)
      throw new Conflict({ collection, id });
  }

  return {
    get: async <T>({ collection, id }: Key) => rowsOf(collection).get(id) as Stored<T> | undefined,
    async list<T>({ collection, prefix = '', after = '', limit = 1_000 }: Parameters<Store['list']>[0]) {
      const found = [...rowsOf(collection).values()].filter(({ id }) => id.startsWith(prefix) && id > after);
      return found.toSorted((one, other) => (one.id < other.id ? -1 : 1)).slice(0, limit) as Stored<T>[];
    },
    async commit(writes) {
      for (const { key, if: condition } of writes) demand(key, condition);
      for (const write of writes) {
        const { collection, id } = write.key;
        const rows = rowsOf(collection);
        if (write.type === 'delete') rows.delete(id);
        if (write.type === 'put')
          rows.set(id, { id, value: write.value, version: (rows.get(id)?.version ?? 0) + 1 });
      }
    },
    async close() {},
  };
}
