/** What engines' own tools leave to be found again, on whichever machine goes on: their states, their plans, their source. */
import type { Key, Store } from './store.ts';

export interface Artifacts {
  read(key: string): Promise<Buffer | undefined>;
  /** Durable once it resolves. What is kept is always encrypted: tools write secrets into their states. */
  write(key: string, bytes: Buffer): Promise<void>;
  /** Missing is success. */
  remove(key: string): Promise<void>;
}

/** Opened when something is first kept or asked for. */
export function artifactsLater(open: () => Artifacts): Artifacts {
  let opened: Artifacts | undefined;
  const artifacts = (): Artifacts => {
    opened ??= open();
    return opened;
  };
  return {
    read: async (key) => artifacts().read(key),
    write: async (key, bytes) => artifacts().write(key, bytes),
    remove: async (key) => artifacts().remove(key),
  };
}

interface ArtifactRecord {
  /** Base64. */
  readonly bytes: string;
}

/** In a store that is sealed. */
export function artifactsIn(sealed: Store): Artifacts {
  const keyOf = (id: string): Key => ({ collection: 'artifacts', id });
  return {
    async read(id) {
      const found = await sealed.get<ArtifactRecord>(keyOf(id));
      return found && Buffer.from(found.value.bytes, 'base64');
    },
    async write(id, bytes) {
      const value: ArtifactRecord = { bytes: bytes.toString('base64') };
      await sealed.commit([{ type: 'put', key: keyOf(id), value, if: 'any' }]);
    },
    async remove(id) {
      await sealed.commit([{ type: 'delete', key: keyOf(id), if: 'any' }]);
    },
  };
}
