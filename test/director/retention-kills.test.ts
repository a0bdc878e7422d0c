/** Whoever sees to the history may be killed, stopped, or taken for dead at any moment: nothing is half gone, nothing goes twice. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firestoreStore } from '@service-director/director/store/firestore.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { type Store, StoreFailure } from '@service-director/director/store/store.ts';
import { systemRandom } from '@service-director/shared/kit/clock.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { FIRESTORE, findEmulator, type RunningEmulator, startEmulator } from '../conformance/emulator.ts';
import { NOW } from './support/history.ts';
import { contentsOf, setClock } from './support/old-state.ts';
import { me, mortal, retainedOn } from './support/retained.ts';
import { demandReadable, wrongIn } from './support/sound-state.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

const clock = setClock();
const { filled, directorOf, doorOf, upkeepOf, closeAll } = retainedOn(clock);
const dir = mkdtempSync(join(tmpdir(), 'retention-'));

afterEach(closeAll);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('one director at a time; the next one goes on when it is gone, or its turn has run out', async () => {
  const store = await filled();
  const never = { isGone: () => false };
  const dead = upkeepOf(mortal(store, 6), { holder: me('dead'), ...never });
  await expect(dead.round()).rejects.toThrow('the process is dead');
  const counted = mortal(store, Number.POSITIVE_INFINITY);
  const next = upkeepOf(counted, { holder: me('b'), ...never });
  expect(await next.round()).toBe(0);
  expect(counted.commits()).toBe(0);
  clock.set(NOW + 61_000);
  expect(await next.round()).toBeGreaterThan(0);
  const afterwards = await filled();
  await expect(upkeepOf(mortal(afterwards, 6), { holder: me('dead') }).round()).rejects.toThrow();
  expect(
    await upkeepOf(afterwards, { holder: me('b'), isGone: ({ id }) => id === 'dead' }).round(),
  ).toBeGreaterThan(0);
});

test('who was taken for dead, and is not, removes nothing any more', async () => {
  const store = await filled();
  const other = upkeepOf(store, { holder: me('b') });
  let commits = 0;
  const slow: Store = {
    ...mortal(store, Number.POSITIVE_INFINITY),
    async commit(writes, durability) {
      if (++commits === 6) {
        await other.round();
        const before = (await contentsOf(store)).size;
        await expect(store.commit(writes, durability)).rejects.toThrow(
          'store/upkeep was written by somebody',
        );
        expect((await contentsOf(store)).size).toBe(before);
      }
      await store.commit(writes, durability);
    },
  };
  await upkeepOf(slow, { holder: me('a') }).round();
  expect(commits).toBeLessThan(9);
  expect(await wrongIn(store)).toEqual([]);
});

test('it stops with the director, in the middle, and gives its turn back', async () => {
  const store = await filled();
  const resting = Promise.withResolvers<void>();
  const sleepy = {
    ...clock,
    sleep: (ms: number, signal?: AbortSignal) => {
      resting.resolve();
      return clock.sleep(ms * 1_000, signal);
    },
  };
  const one = upkeepOf(store, { clock: sleepy });
  const round = one.round();
  await resting.promise;
  await one.stop();
  await round;
  expect(await wrongIn(store)).toEqual([]);
  expect(await upkeepOf(store, { holder: me('b'), isGone: () => false }).round()).toBeGreaterThan(0);
});

test('once started it looks by itself, again after what went wrong, until the director stops', async () => {
  const store = await filled();
  const troubles: string[] = [];
  const removed: number[] = [];
  const slept: number[] = [];
  const waiting = Promise.withResolvers<void>();
  const fails = { ...mortal(store, Number.POSITIVE_INFINITY) };
  let isFirst = true;
  const impatient = {
    ...clock,
    sleep: async (ms: number, signal?: AbortSignal) => {
      if (ms < 60_000) return;
      slept.push(ms);
      if (slept.length < 4) return;
      waiting.resolve();
      await clock.sleep(ms, signal);
    },
  };
  const one = upkeepOf(
    {
      ...fails,
      get(key) {
        if (key.id === 'upkeep' && isFirst) {
          isFirst = false;
          throw new StoreFailure('the disk is full', undefined);
        }
        return fails.get(key);
      },
    },
    {
      clock: impatient,
      onTrouble: (error, about) => void troubles.push(`${about}: ${error}`),
      onRemoved: (documents) => void removed.push(documents),
    },
  );
  one.start();
  await waiting.promise;
  await one.stop();
  expect(troubles).toEqual(['the upkeep of the history: StoreFailure: the disk is full']);
  // The second look found it due, the third did not.
  expect(removed).toEqual([expect.any(Number)]);
  expect(slept.map((ms) => ms >= 120_000 && ms <= 5_400_000)).toEqual([true, true, true, true]);
  expect(await wrongIn(store)).toEqual([]);
});

interface Ground {
  open(): Promise<Store>;
}

const grounds: [string, Ground][] = [
  ['SQLite', { open: async () => filled(sqliteStore({ path: join(dir, `${crypto.randomUUID()}.sqlite`) })) }],
];
const emulator = await findEmulator(FIRESTORE);
let running: RunningEmulator | undefined;
if ('missing' in emulator) process.stdout.write(`The history went in SQLite only: ${emulator.missing}.\n`);
else {
  beforeAll(async () => {
    running = await startEmulator(emulator);
  });
  afterAll(() => running?.stop());
  const open = (): Promise<Store> =>
    filled(
      firestoreStore({
        ...{ project: 'retention', database: '(default)', root: crypto.randomUUID() },
        ...{ emulator: running?.endpoint, clock, random: systemRandom },
      }),
    );
  grounds.push(['Firestore', { open }]);
}

describe.each(grounds)('in %s', (_name, { open }) => {
  test('killed at any commit, all that is left can be read, and the next round goes on', async () => {
    const whole = await open();
    const counted = mortal(whole, Number.POSITIVE_INFINITY);
    await upkeepOf(counted).round();
    const wanted = [...(await contentsOf(whole)).keys()];
    const commits = counted.commits();
    expect(commits).toBeGreaterThan(12);
    for (let last = 1; last <= commits; last++) {
      const store = await open();
      const dying = mortal(store, last);
      const over = upkeepOf(dying).round();
      // At the last commit all is gone already, and only the turn is not given back.
      if (last < commits) await expect(over).rejects.toThrow('the process is dead');
      else await over;
      expect(await wrongIn(store), `killed at commit ${last}`).toEqual([]);
      const next = mortal(store, Number.POSITIVE_INFINITY);
      await upkeepOf(next, { holder: me('b') }).round();
      expect([...(await contentsOf(store)).keys()]).toEqual(wanted);
      const gone = [...dying.gone, ...next.gone];
      expect(new Set(gone).size).toBe(gone.length);
    }
  });
});

test('killed at any commit, whoever asks is answered, and what is kept can be brought back', async () => {
  const counted = mortal(await filled(), Number.POSITIVE_INFINITY);
  await upkeepOf(counted).round();
  for (let last = 1; last < counted.commits(); last++) {
    const store = await filled();
    await expect(upkeepOf(mortal(store, last)).round()).rejects.toThrow('the process is dead');
    await demandReadable(await doorOf(store));
    const director = await directorOf(store);
    await director.send('rollback', 'later', { scope: 'shop', dataflow: 'orders', to_version: 3 });
    expect(await director.ended('later.orders')).toMatchObject({ status: 'succeeded' });
    await closeAll();
  }
});
