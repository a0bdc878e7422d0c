import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import {
  type Collection,
  type Condition,
  Conflict,
  type Key,
  type Query,
  type Store,
  StoreFailure,
  type Write,
} from '@service-director/director/store/store.ts';
import { type Random, seededRandom } from '@service-director/shared/kit/clock.ts';
import { expect, test } from 'vitest';
import type { FaultOptions } from './faults.ts';
import { type Process, simulation } from './scheduler.ts';
import { type SimDatabase, simDatabase } from './sim-store.ts';

const CALM: FaultOptions = { intensity: 0 };
const key = (id: string): Key => ({ collection: 'commands', id });
const put = (id: string, value: object, condition: Condition = 'any'): Write => ({
  type: 'put',
  key: key(id),
  value,
  if: condition,
});

/** Runs the task as a process with a store of its own. */
async function withStore(
  task: (store: Store, process: Process) => Promise<void>,
  faults: FaultOptions = CALM,
): Promise<SimDatabase> {
  const sim = simulation({ seed: 1, faults });
  const database = simDatabase(sim);
  sim.start('a', (process) => task(database.handle(process), process));
  await sim.run();
  return database;
}

const IDS = [
  'a',
  'a/1',
  'a/10',
  'a/2',
  'b',
  'é',
  'a0',
  'a!',
  '',
  '\u{ffff}',
  '\u{1f600}',
  'a/\u{1f600}',
  'a/\u{fffd}',
];
const TIMES = ['2026-11-01T00:00:00.000Z', '2026-11-02T00:00:00.000Z', '2026-11-02T00:00:00.001Z'];
const VALUES: readonly unknown[] = ['odd', 'even', '', true, false, 1, 0, null, ['odd'], { a: 1 }, '["odd"]'];

function drawing(random: Random) {
  const one = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const collection = (): Collection => one(['commands', 'deployments']);
  const condition = (): Condition => one(['any', 'any', 'absent', 1, 2, 3]);

  function write(): Write {
    const at: Key = { collection: collection(), id: one(IDS) };
    const type = one(['put', 'put', 'put', 'delete', 'check'] as const);
    const own = condition();
    if (type === 'check') return { type, key: at, if: own === 'any' ? 'absent' : own };
    if (type === 'delete') return { type, key: at, if: own };
    const value = { status: one(VALUES), n: Math.floor(random() * 100), unset: undefined, deep: [{ x: [] }] };
    const timed = random() < 0.7 ? { ...value, receivedAt: one(TIMES), createdAt: one(TIMES) } : value;
    return { type, key: at, value: random() < 0.2 ? {} : timed, if: own };
  }

  function query(): Query {
    return {
      collection: collection(),
      ...(random() < 0.5 ? { prefix: one(['', 'a', 'a/', 'a/1', 'é', 'z', '\u{1f600}', '2026']) } : {}),
      ...(random() < 0.4
        ? { where: { field: 'status', is: one(['odd', 'even', '', true, false, '["odd"]', '1']) } }
        : {}),
      ...(random() < 0.4 ? { by: 'time' as const } : {}),
      ...(random() < 0.4 ? { after: one([...IDS, 'a/1x', 'zz', ...TIMES, `${TIMES[1]}/a`]) } : {}),
      ...(random() < 0.5 ? { order: one(['ascending', 'descending'] as const) } : {}),
      ...(random() < 0.4 ? { limit: one([0, 1, 2, 100]) } : {}),
    };
  }

  return { one, write, query, writes: () => Array.from({ length: one([0, 1, 1, 2, 3, 5]) }, write) };
}

test('it answers as SQLite does', { timeout: 120_000 }, async () => {
  const ours: string[] = [];
  const conflicts = { count: 0 };
  const counted = { found: 0, listed: 0 };
  const ask = async (store: Store, seed: number): Promise<string[]> => {
    const { one, writes, query } = drawing(seededRandom(seed));
    const told: string[] = [];
    for (let step = 0; step < 150; step++) {
      const said = await store.commit(writes()).then(
        () => 'written',
        (error) => (error instanceof Conflict ? `${error.key.collection}/${error.key.id}` : String(error)),
      );
      if (said !== 'written') conflicts.count++;
      const found = await store.get({ collection: 'commands', id: one(IDS) });
      const listed = await store.list(query());
      if (found) counted.found++;
      counted.listed += listed.length;
      told.push(said, JSON.stringify(found), JSON.stringify(listed));
    }
    return told;
  };
  for (let seed = 0; seed < 20; seed++) {
    await withStore(async (store) => {
      ours.splice(0, ours.length, ...(await ask(store, seed)));
    });
    const sqlite = sqliteStore({ path: ':memory:' });
    try {
      expect(ours).toEqual(await ask(sqlite, seed));
    } finally {
      await sqlite.close();
    }
  }
  // Otherwise they agreed on nothing.
  expect(conflicts.count).toBeGreaterThan(500);
  expect(counted.found).toBeGreaterThan(500);
  expect(counted.listed).toBeGreaterThan(1_000);
});

test('a lost commit is there or not, and says the same; a lost question is asked in vain', async () => {
  const sim = simulation({ seed: 1, faults: CALM });
  const database = simDatabase(sim);
  const heard: unknown[] = [];
  sim.start('a', async (process) => {
    const store = database.handle(process);
    sim.faults.force('store.commit', 'lost-request');
    await store.commit([put('a', { n: 1 })]).catch((error) => heard.push(error));
    expect(database.get(key('a'))).toBeUndefined();
    sim.faults.force('store.commit', 'lost-answer');
    await store.commit([put('a', { n: 2 }, 'absent')]).catch((error) => heard.push(error));
    expect(database.get(key('a'))?.value).toEqual({ n: 2 });
    sim.faults.force('store.list', 'lost-request');
    await store.list({ collection: 'commands' }).catch((error) => heard.push(error));
  });
  await sim.run();
  expect(heard.map((error) => error instanceof StoreFailure)).toEqual([true, true, true]);
});

test('what is written and read belongs to nobody else', async () => {
  await withStore(async (store) => {
    const value = { list: [1] };
    const writing = store.commit([put('a', value)]);
    value.list.push(2);
    await writing;
    const read = await store.get<{ list: number[] }>(key('a'));
    expect(read?.value).toEqual({ list: [1] });
    expect(() => read?.value.list.push(3)).toThrow(TypeError);
  });
});

test('two processes share one database, and its log says who wrote what', async () => {
  const sim = simulation({ seed: 1, faults: CALM });
  const database = simDatabase(sim);
  const heard: string[] = [];
  database.onCommit(({ process, rows }) => {
    for (const { type, version, before, value } of rows)
      heard.push(`${process} ${type} ${version} ${JSON.stringify(before)} ${JSON.stringify(value)}`);
  });
  let lost = 0;
  const work = async (process: Process): Promise<void> => {
    const store = database.handle(process);
    for (let done = 0; done < 20; ) {
      const found = await store.get<{ n: number }>(key('shared'));
      const next = put('shared', { n: (found?.value.n ?? 0) + 1 }, found?.version ?? 'absent');
      await store.commit([next]).then(
        () => done++,
        (error) => {
          expect(error).toBeInstanceOf(Conflict);
          lost++;
        },
      );
    }
  };
  sim.start('a', work);
  sim.start('b', work);
  await sim.run();
  expect(database.get(key('shared'))).toEqual({ id: 'shared', value: { n: 40 }, version: 40 });
  expect(lost).toBeGreaterThan(0);
  expect(database.log).toHaveLength(40);
  expect(new Set(database.log.map(({ process }) => process))).toEqual(new Set(['a', 'b']));
  expect(heard[0]).toMatch(/^[ab] put 1 undefined \{"n":1\}$/);
  expect(heard[39]).toMatch(/^[ab] put 40 \{"n":39\} \{"n":40\}$/);
});

test('a closed handle fails, the others go on', async () => {
  const database = await withStore(async (store) => {
    await store.commit([put('a', {})]);
    await store.close();
    await expect(store.commit([put('b', {})])).rejects.toBeInstanceOf(StoreFailure);
    await expect(store.get(key('a'))).rejects.toBeInstanceOf(StoreFailure);
  });
  expect(database.list({ collection: 'commands' }).map(({ id }) => id)).toEqual(['a']);
});
