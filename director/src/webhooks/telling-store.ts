/**
 * A store for whoever carries one deployment: each commit in which its status changes tells the webhooks of that as well.
 *
 * So the machine of `protocol/run.ts` knows nothing of webhooks, and no status of its commits is forgotten: a claim that
 * plans, a plan that is applied, a wait, an end. What the status was is known from what was read or written last, which
 * every such commit has as its condition.
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { type DeploymentRecord, keys } from '../store/records.ts';
import type { Key, Store, Stored, Write } from '../store/store.ts';
import { tellingWrites } from './deliveries.ts';

export interface TellingStoreOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Of whose status is told. */
  readonly deployment: string;
}

/** A commit rejects with StoreFailure as well where it cannot be read who is to be told: then nothing of it is there. */
export function tellingStore({ store, clock, deployment }: TellingStoreOptions): Store {
  const own = keys.deployment(deployment);
  const isOwn = ({ collection, id }: Key): boolean => collection === own.collection && id === own.id;
  let known: DeploymentRecord | undefined;

  async function commit(...[writes, durability]: Parameters<Store['commit']>): Promise<void> {
    const after = recordIn(writes.filter(({ key }) => isOwn(key)));
    const telling = after && known ? await tellingWrites(known, after, { store, clock }) : [];
    await store.commit([...writes, ...telling], durability);
    known = after ?? known;
  }

  return {
    async get<T>(key: Key): Promise<Stored<T> | undefined> {
      if (!isOwn(key)) return store.get<T>(key);
      const found = await store.get<T & DeploymentRecord>(key);
      known = found?.value;
      return found;
    },
    list: (query) => store.list(query),
    commit,
    ...(store.generation ? { generation: () => store.generation?.() } : {}),
    close: () => store.close(),
  };
}

function recordIn([write]: readonly Write[]): DeploymentRecord | undefined {
  return write?.type === 'put' ? (write.value as DeploymentRecord) : undefined;
}
