/**
 * When each bundle was wanted last, beside the bundle: so that one that nobody wants any more can go.
 *
 * Whoever brings code, or plans with it, says so first and looks for the bundle then. Who removes one does it in one
 * commit, on the condition that nobody has said so since: it is never taken from under anybody.
 */
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Artifacts } from '../store/artifacts.ts';
import type { Key, Store } from '../store/store.ts';
import { digestAt } from './bundle.ts';

export interface UseRecord {
  /** RFC 3339; a day older than the last use at most. */
  readonly at: string;
}

/** The ids of all of them begin so; what follows is the digest. */
export const USES = 'bundle-uses/';
/** What was said so lately is not said again. Milliseconds. */
export const FRESH_MS = 86_400_000;

export function useKey(digest: string): Key {
  return { collection: 'artifacts', id: `${USES}${digest}` };
}

interface Means {
  readonly store: Store;
  readonly clock: Clock;
}

/** The same artifacts; whoever asks for a bundle, or keeps one, says so by that. */
export function notingUses(artifacts: Artifacts, means: Means): Artifacts {
  async function note(key: string): Promise<void> {
    const digest = digestAt(key);
    if (digest !== undefined) await noteUse(digest, means);
  }
  return {
    ...artifacts,
    async read(key) {
      await note(key);
      return artifacts.read(key);
    },
    async write(key, bytes) {
      await note(key);
      await artifacts.write(key, bytes);
    },
  };
}

/** Durable once it resolves: what is kept under that digest, or will be, stays for as long as history does. */
async function noteUse(digest: string, { store, clock }: Means): Promise<void> {
  const key = useKey(digest);
  const found = await store.get<UseRecord>(key);
  const now = clock.now();
  // A clock may be set back.
  if (found && Math.abs(now - Date.parse(found.value.at)) < FRESH_MS) return;
  const value: UseRecord = { at: timestamp(now) };
  await store.commit([{ type: 'put', key, value, if: 'any' }]);
}
