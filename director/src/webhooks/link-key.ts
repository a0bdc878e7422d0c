/** The director's own key for links: among the artifacts, encrypted, as the secrets of webhooks are; in no answer and no log. */
import { randomBytes } from 'node:crypto';
import type { Artifacts } from '../store/artifacts.ts';
import { Conflict, type Key, type Store } from '../store/store.ts';

/** Says which of the keys that were made is the one: directors that make it at once must come to the same. */
const ROW: Key = { collection: 'artifacts', id: 'webhooks/links' };
const KEY_BYTES = 32;

interface KeyRow {
  readonly key: string;
}

/** Made when it is first asked for, and remembered: whoever comes with a bad link costs the store nothing. */
export function linkKey(store: Store, artifacts: Artifacts): () => Promise<Buffer> {
  let known: Promise<Buffer> | undefined;
  return () => {
    known ??= findOrMake(store, artifacts).catch((error) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

async function findOrMake(store: Store, artifacts: Artifacts): Promise<Buffer> {
  const found = await store.get<KeyRow>(ROW);
  if (found) return demandKey(found.value, artifacts);
  const key = `webhooks/links/${randomBytes(8).toString('hex')}`;
  const made = randomBytes(KEY_BYTES);
  await artifacts.write(key, made);
  try {
    await store.commit([{ type: 'put', key: ROW, value: { key } satisfies KeyRow, if: 'absent' }]);
    return made;
  } catch (error) {
    const other = error instanceof Conflict ? await store.get<KeyRow>(ROW) : undefined;
    if (!other) throw error;
    await artifacts.remove(key);
    return demandKey(other.value, artifacts);
  }
}

async function demandKey({ key }: KeyRow, artifacts: Artifacts): Promise<Buffer> {
  const bytes = await artifacts.read(key);
  if (!bytes) throw new Error(`The key of links ${key} is gone`);
  return bytes;
}
