/** A store of which somebody hears what was written: facts are counted where they become facts, whoever wrote them. */
import type { Store, Write } from '../store/store.ts';

/** `onCommitted` is told after each commit that succeeded, and must not throw. */
export function watchedStore(store: Store, onCommitted: (writes: readonly Write[]) => void): Store {
  return {
    get: (key) => store.get(key),
    list: (query) => store.list(query),
    async commit(writes, durability) {
      await store.commit(writes, durability);
      onCommitted(writes);
    },
    generation: () => store.generation?.(),
    close: () => store.close(),
  };
}
