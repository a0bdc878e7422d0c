/** Stores with years of history in them, those who ask and those who tidy up; and what must hold of all that is left. */
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { buildsDialect } from '@service-director/director/dialects/builds/routes.ts';
import { dharmaRoutes } from '@service-director/director/dialects/dharma/routes.ts';
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import { scopesIn } from '@service-director/director/http/demand.ts';
import { listeningTo, STREAMING } from '@service-director/director/http/listening.ts';
import { nativeRoutes } from '@service-director/director/http/native/index.ts';
import type { Holder } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { type Store, StoreFailure } from '@service-director/director/store/store.ts';
import { type Upkeep, type UpkeepOptions, upkeep } from '@service-director/director/upkeep/upkeep.ts';
import { systemRandom } from '@service-director/shared/kit/clock.ts';
import { expect } from 'vitest';
import { silent } from './builds.ts';
import { type Door, openDoor } from './dialects.ts';
import { DAY_MS, makeHistory, NOW } from './history.ts';
import {
  type Contents,
  contentsOf,
  fill,
  type SetClock,
  type SmallDirector,
  smallDirector,
} from './old-state.ts';
import { PROJECT, REGION } from './world.ts';

export interface Retained {
  /** What there was before anything went. */
  before(): Promise<Contents>;
  /** That, in a store that is empty; the clock says that it is now. */
  filled(store?: Store): Promise<Store>;
  directorOf(store: Store): Promise<SmallDirector>;
  /** The doors of all who ask, as a director that has just started has them. */
  doorOf(store: Store): Promise<Door>;
  /** Keeps history for 400 days, and does not rest. */
  upkeepOf(store: Store, more?: Partial<UpkeepOptions>): Upkeep;
  /** Closes all that was opened, the newest first. */
  closeAll(): Promise<void>;
}

export function retainedOn(clock: SetClock): Retained {
  const closing: (() => Promise<void>)[] = [];
  let made: Promise<Contents> | undefined;

  async function make(): Promise<Contents> {
    const store = sqliteStore({ path: ':memory:' });
    await makeHistory(store, clock);
    const contents = await contentsOf(store);
    await store.close();
    return contents;
  }

  const before = (): Promise<Contents> => {
    made ??= make();
    return made;
  };

  async function directorOf(store: Store): Promise<SmallDirector> {
    const director = await smallDirector(store, clock);
    closing.push(() => director.stop());
    return director;
  }

  return {
    before,
    directorOf,
    async filled(store = sqliteStore({ path: ':memory:' })) {
      closing.push(() => store.close());
      const contents = await before();
      clock.set(NOW);
      await fill(store, contents);
      return store;
    },
    async doorOf(store) {
      const director = await directorOf(store);
      const scopes = scopesIn(store, architectures);
      const stopping = new AbortController();
      const listening = listeningTo({ store, clock, streaming: STREAMING, stopping: stopping.signal });
      // Whoever looks leaves no trace here: the trails are what is looked at.
      const reads = { note: () => {}, settled: async () => {} };
      const common = { intake: director.intake, store, clock, scopes, log: silent, listening, reads };
      const place = { project: PROJECT, region: REGION, timeoutSeconds: 600 };
      const door = await openDoor(
        silent,
        nativeRoutes({
          ...common,
          examine: async () => ({ status: 'ok', checks: [] }),
          newId: () => 'unused',
          version: '1',
        }),
        buildsDialect({ ...common, ...place }).routes,
        nestorRoutes({ ...common, ...place, engines: {}, readiness: () => ({ ready: true, problems: {} }) }),
        dharmaRoutes({ ...common, ...place }),
      );
      closing.push(async () => {
        stopping.abort();
        await door.close();
      });
      return door;
    },
    upkeepOf: (store, more = {}) =>
      upkeep({
        ...{ store, random: systemRandom, holder: me('a'), isGone: () => true, keptMs: 400 * DAY_MS },
        clock: { ...clock, sleep: async () => {} },
        onTrouble: (error) => {
          throw error;
        },
        ...more,
      }),
    async closeAll() {
      for (const close of closing.splice(0).reverse()) await close();
    },
  };
}

export const me = (id: string): Holder => ({ id, host: 'here', pid: 1 });

/** Dies at its commit of that number, counted from 1: nothing of that one is there, and nothing answers any more. */
export function mortal(
  store: Store,
  last: number,
): Store & { readonly commits: () => number; readonly gone: string[] } {
  let commits = 0;
  const gone: string[] = [];
  const live = (): void => {
    if (commits >= last) throw new StoreFailure('the process is dead', undefined);
  };
  return {
    gone,
    commits: () => commits,
    async get(key) {
      live();
      return store.get(key);
    },
    async list(query) {
      live();
      return store.list(query);
    },
    async commit(writes, durability) {
      commits++;
      live();
      expect(writes.length).toBeLessThanOrEqual(100);
      await store.commit(writes, durability);
      for (const { type, key } of writes) if (type === 'delete') gone.push(`${key.collection}/${key.id}`);
    },
    close: async () => {},
  };
}

export const namesIn = (all: Contents, collection: string): string[] =>
  [...all.values()].flatMap((one) => (one.collection === collection ? [one.row.id] : []));
