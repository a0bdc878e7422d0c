/** What a store does, asked of SQLite, plain and sealed, and of Firestore, as Google's emulator plays it, with the same requests. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileKey } from '@service-director/director/store/file-key.ts';
import { type FirestoreOptions, firestoreStore } from '@service-director/director/store/firestore.ts';
import { type FirestoreCalls, firestoreCalls } from '@service-director/director/store/firestore-client.ts';
import { bringToForm } from '@service-director/director/store/form.ts';
import type { Keyring } from '@service-director/director/store/keyring.ts';
import { listAll } from '@service-director/director/store/list-all.ts';
import { sealedStore } from '@service-director/director/store/sealed.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import {
  type Condition,
  Conflict,
  type Query,
  type Store,
  StoreFailure,
  timedPlace,
  type Write,
} from '@service-director/director/store/store.ts';
import { type Clock, seededRandom, systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { type Door, openDoor } from './door.ts';
import { FIRESTORE, findEmulator, type RunningEmulator, startEmulator } from './emulator.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

interface Target {
  /** The store of one process; those of the same root see the same documents. */
  open(root: string): Store;
  stop(): Promise<void>;
}

const emulator = await findEmulator(FIRESTORE);
process.stdout.write(
  'missing' in emulator
    ? `Conformance of the store ran against SQLite only: ${emulator.missing}.\n`
    : "Conformance of the store ran against SQLite and Google's Firestore emulator.\n",
);

const key = (id: string) => ({ collection: 'commands', id }) as const;
const put = (id: string, value: object, condition: Condition = 'any'): Write => ({
  type: 'put',
  key: key(id),
  value,
  if: condition,
});
const remove = (id: string, condition: Condition = 'any'): Write => ({
  type: 'delete',
  key: key(id),
  if: condition,
});
const check = (id: string, condition: number | 'absent'): Write => ({
  type: 'check',
  key: key(id),
  if: condition,
});

suite('SQLite', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'store-'));
  return {
    open: (root) => sqliteStore({ path: join(dir, `${root}.sqlite`) }),
    stop: async () => rmSync(dir, { recursive: true }),
  };
});

/** A key file in the folder. */
function newKey(dir: string): Keyring {
  const path = join(dir, 'key');
  writeFileSync(path, randomBytes(32).toString('base64'), { mode: 0o600 });
  return fileKey(path);
}

suite('SQLite, sealed', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'store-'));
  const keyring = newKey(dir);
  // Each opening stands for a process: it has data keys of its own, and must open those of the others.
  return {
    open: (root) =>
      sealedStore(sqliteStore({ path: join(dir, `${root}.sqlite`) }), keyring, { documentsPerKey: 100 }),
    stop: async () => rmSync(dir, { recursive: true }),
  };
});

if (!('missing' in emulator)) {
  let running: RunningEmulator;
  beforeAll(async () => {
    running = await startEmulator(emulator);
  });
  afterAll(() => running?.stop());

  const firestore = (root: string, options: Partial<FirestoreOptions> = {}): Store =>
    firestoreStore({
      project: 'conformance',
      database: '(default)',
      root,
      emulator: running.endpoint,
      clock: systemClock,
      random: systemRandom,
      ...options,
    });

  suite('Firestore', async () => ({ open: (root) => firestore(root), stop: async () => {} }));

  describe('Firestore alone', () => {
    let root: string;
    let direct: Store;
    beforeEach(() => {
      root = randomUUID();
      direct = firestore(root);
    });
    afterEach(() => direct.close());

    /** A store behind a door. It is connected, and remembers what is there. */
    async function behindDoor(before: readonly Write[]): Promise<{ store: Store; door: Door }> {
      const door = await openDoor(running.endpoint);
      const store = firestore(root, { emulator: door.endpoint });
      onTestFinished(async () => {
        await store.close();
        await door.close();
      });
      await store.commit(before);
      await store.list({ collection: 'commands' });
      return { store, door };
    }

    /** Makes a commit whose answer gets lost, after the others have seen what it did. */
    async function withLostAnswer(
      before: readonly Write[],
      lost: readonly Write[],
      meanwhile: (others: Store) => Promise<void>,
    ): Promise<void> {
      const { store, door } = await behindDoor(before);
      door.hold();
      const outcome = Promise.allSettled([store.commit(lost)]);
      await meanwhile(direct);
      door.cut();
      expect(await outcome).toEqual([{ status: 'fulfilled', value: undefined }]);
    }

    /** Firestore itself, below the root. */
    function openCalls(): { calls: FirestoreCalls; below: string } {
      const database = 'projects/conformance/databases/(default)';
      const calls = firestoreCalls({ project: 'conformance', database, emulator: running.endpoint });
      onTestFinished(() => calls.close());
      return { calls, below: `${database}/documents/directors/${root}` };
    }

    const reaches = (id: string, version: number | undefined): Promise<void> =>
      vi.waitFor(async () => expect((await direct.get(key(id)))?.version).toBe(version), { timeout: 30_000 });

    test('sealed, a long document takes as many bytes as before, and is found by its fields', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'store-'));
      onTestFinished(() => rmSync(dir, { recursive: true }));
      const sealed = sealedStore(direct, newKey(dir));
      const text = 'orders '.repeat(1_500_000);
      await sealed.commit([put('long', { status: 'running', text }), put('short', { status: 'failed' })]);
      const where = { field: 'status', is: 'running' };
      const found = await sealed.list<{ text: string }>({ collection: 'commands', where });
      expect(found.map(({ id, value }) => [id, value.text === text])).toEqual([['long', true]]);
      const raw = JSON.stringify(await direct.list({ collection: 'commands', where }));
      expect(raw).not.toContain('orders');
      expect(raw.length).toBeLessThan(100_000);
    });

    test('a commit whose answer gets lost is done once, and is not taken for a conflict', async () => {
      await withLostAnswer([put('a', { n: 1 })], [put('a', { n: 2 }, 1), put('b', {}, 'absent')], () =>
        reaches('a', 2),
      );
      expect((await direct.get(key('a')))?.version).toBe(2);
      await withLostAnswer([], [put('c', {}, 'absent'), remove('b'), check('a', 2)], () => reaches('c', 1));
      expect(await direct.list({ collection: 'commands' })).toMatchObject([
        { id: 'a', version: 2 },
        { id: 'c', version: 1 },
      ]);
    });

    test('it is recognised though others have written since', async () => {
      await withLostAnswer([put('a', { n: 1 })], [put('a', { n: 2 }, 1)], async (other) => {
        await reaches('a', 2);
        await other.commit([put('a', { n: 3 }, 2)]);
        await other.commit([put('a', { n: 4 }, 3)]);
      });
      expect(await direct.get(key('a'))).toMatchObject({ version: 4, value: { n: 4 } });
    });

    test('a commit that never arrived is made after all, or is a conflict by then', async () => {
      const { store, door } = await behindDoor([put('a', { n: 1 }), put('b', { n: 1 })]);
      await door.close();
      const late = store.commit([put('a', { n: 2 }, 1)]);
      const beaten = store.commit([put('b', { n: 2 }, 1)]);
      const outcome = Promise.allSettled([late, beaten]);
      await direct.commit([put('b', { n: 3 }, 1)]);
      const again = await openDoor(running.endpoint, Number(door.endpoint.split(':')[1]));
      onTestFinished(() => again.close());
      expect(await outcome).toMatchObject([
        { status: 'fulfilled' },
        { reason: { name: 'Conflict', key: key('b') } },
      ]);
      expect(await direct.get(key('a'))).toMatchObject({ version: 2, value: { n: 2 } });
    });

    test('nobody there is a failure, in words and in bounded time', async () => {
      const door = await openDoor(running.endpoint);
      await door.close();
      let now = 0;
      const clock: Clock = {
        now: () => now,
        sleep: async (ms) => {
          now += Math.max(1, ms);
        },
        after: systemClock.after,
      };
      const store = firestore(root, { emulator: door.endpoint, clock });
      onTestFinished(() => store.close());
      await expect(store.commit([put('a', {})])).rejects.toThrow(
        /^The state cannot be written: .*ECONNREFUSED/,
      );
      await expect(store.get(key('a'))).rejects.toThrow(/^The state cannot be read: .*ECONNREFUSED/);
      await expect(store.list({ collection: 'commands' })).rejects.toBeInstanceOf(StoreFailure);
      expect(now).toBeGreaterThan(30_000);
      expect(now).toBeLessThan(300_000);
    });

    test('what Firestore cannot hold is refused by name, with nothing written', async () => {
      const large = { noise: noise(9_000_000) };
      await expect(direct.commit([put('b', {}), put('large', large)])).rejects.toThrow(
        /^The state cannot be written: of commands\/large the value takes \d+ bytes when deflated, and Firestore holds \d+$/,
      );
      await expect(direct.commit([put('b', {}), put('x'.repeat(1_501), {})])).rejects.toThrow(
        /the id takes 1501 bytes/,
      );
      expect(await direct.list({ collection: 'commands' })).toEqual([]);
    });

    test('a long document that is replaced while it is read is read again', async () => {
      const { store, door } = await behindDoor([put('long', { n: 1, noise: noise(1_100_000) })]);
      for (const [version, read] of [
        [1, async () => (await store.get<{ n: number }>(key('long')))?.value.n],
        [2, async () => (await store.list<{ n: number }>({ collection: 'commands' }))[0]?.value.n],
      ] as const) {
        door.hold();
        const found = read();
        await vi.waitFor(() => expect(door.held().includes('commands/long')).toBe(true), { timeout: 30_000 });
        await direct.commit([put('long', { n: version + 1, noise: noise(1_100_000) }, version)]);
        door.release();
        expect(await found).toBe(version + 1);
      }
      door.hold();
      const gone = store.get(key('long'));
      await vi.waitFor(() => expect(door.held().includes('commands/long')).toBe(true), { timeout: 30_000 });
      await direct.commit([remove('long', 3)]);
      door.release();
      expect(await gone).toBeUndefined();
    });

    test('the parts of a long document go with it', async () => {
      const { calls, below } = openCalls();
      const everywhere = { from: [{ collectionId: 'parts', allDescendants: true }] };
      const parts = async (): Promise<number> => (await calls.query(below, everywhere)).length;
      await direct.commit([put('a', { noise: noise(1_600_000) }, 'absent')]);
      expect(await parts()).toBe(2);
      await direct.commit([check('a', 1), put('b', {})]);
      await direct.commit([put('a', { noise: noise(1_100_000) })]);
      expect(await parts()).toBe(2);
      await direct.commit([put('a', { noise: '' }, 2), put('b', { noise: noise(1_600_000) })]);
      expect(await parts()).toBe(2);
      await direct.commit([remove('b')]);
      expect(await parts()).toBe(0);
      await direct.commit([put('c', { noise: noise(1_100_000) })]);
      const found = await calls.query(below, everywhere);
      await calls.write(found.map(({ name }) => ({ delete: name ?? '' })));
      await expect(direct.get(key('c'))).rejects.toThrow(
        /^The state cannot be read: .*commands\/c has lost its parts$/,
      );
    });

    test('what the first release wrote is listed by time once it was written anew', async () => {
      const receivedAt = '2026-11-01T00:00:00.000Z';
      await direct.commit([put('a', { receivedAt, status: 'odd' })]);
      const byTime = { collection: 'commands', by: 'time' } as const;
      const where = { field: 'status', is: 'odd' };
      const { calls, below } = openCalls();
      const [document] = await calls.query(below, { from: [{ collectionId: 'commands' }] });
      const { by: _by, ...fields } = document?.fields ?? {};
      await calls.write([{ update: { name: document?.name ?? null, fields } }]);
      expect(await direct.list(byTime)).toEqual([]);
      await bringToForm(direct);
      expect(await direct.list(byTime)).toMatchObject([{ id: 'a', value: { receivedAt } }]);
      expect(await direct.list({ ...byTime, where })).toHaveLength(1);
    });
  });
}

/** Text that nothing makes shorter than so many bytes. */
const noise = (bytes: number): string => randomBytes(bytes).toString('base64');

/** Reads, adds one, writes on condition, and begins again when somebody was quicker: one at a time, so many times. */
async function increment(store: Store, id: string, times: number): Promise<void> {
  for (let done = 0; done < times; ) {
    const found = await store.get<{ n: number }>(key(id));
    try {
      await store.commit([put(id, { n: (found?.value.n ?? 0) + 1 }, found?.version ?? 'absent')]);
      done++;
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

function suite(title: string, start: () => Promise<Target>): void {
  describe(title, () => {
    let target: Target;
    let root: string;
    let store: Store;

    beforeAll(async () => {
      target = await start();
    });
    afterAll(() => target?.stop());
    beforeEach(() => {
      root = randomUUID();
      store = open();
    });

    function open(): Store {
      const opened = target.open(root);
      onTestFinished(() => opened.close().catch(() => {}));
      return opened;
    }

    const ids = async (query: Omit<Query, 'collection'>): Promise<string[]> =>
      (await store.list({ collection: 'commands', ...query })).map(({ id }) => id);
    const versions = (...names: string[]): Promise<(number | undefined)[]> =>
      Promise.all(names.map(async (id) => (await store.get(key(id)))?.version));

    test('versions count writes, and conditions are kept', async () => {
      await store.commit([put('a', { n: 1 }, 'absent')]);
      expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 1 }, version: 1 });
      await expect(store.commit([put('a', { n: 2 }, 'absent')])).rejects.toBeInstanceOf(Conflict);
      await store.commit([put('a', { n: 2 }, 1)]);
      await expect(store.commit([put('a', { n: 3 }, 1)])).rejects.toBeInstanceOf(Conflict);
      await expect(store.commit([put('a', { n: 3 }, 7)])).rejects.toBeInstanceOf(Conflict);
      await store.commit([put('a', { n: 3 }), put('b', { n: 1 })]);
      expect(await versions('a', 'b')).toEqual([3, 1]);
      await expect(store.commit([remove('a', 1)])).rejects.toBeInstanceOf(Conflict);
      expect((await store.get(key('a')))?.value).toEqual({ n: 3 });
    });

    test('what is written the same again counts as written', async () => {
      await store.commit([put('a', { n: 1 })]);
      await store.commit([put('a', { n: 1 }, 1)]);
      await store.commit([put('a', { n: 1 })]);
      expect(await versions('a')).toEqual([3]);
    });

    test('what was deleted is absent, and begins again at version 1', async () => {
      await store.commit([put('a', { n: 1 })]);
      await store.commit([put('a', { n: 2 }, 1)]);
      await store.commit([remove('a', 2)]);
      expect(await store.get(key('a'))).toBeUndefined();
      expect(await ids({})).toEqual([]);
      await expect(store.commit([remove('a', 2)])).rejects.toBeInstanceOf(Conflict);
      await expect(store.commit([put('a', { n: 3 }, 2)])).rejects.toBeInstanceOf(Conflict);
      await store.commit([remove('a')]);
      await store.commit([put('a', { n: 3 }, 'absent')]);
      expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 3 }, version: 1 });
      // Another document by now, though of a version that we have seen before.
      await store.commit([remove('a', 1), put('b', {})]);
      await open().commit([put('a', { n: 4 }, 'absent')]);
      await store.commit([put('a', { n: 5 }, 1)]);
      expect(await versions('a')).toEqual([2]);
    });

    test('a commit is whole or nothing, and names what stood in its way', async () => {
      await store.commit([put('a', { n: 1 })]);
      await expect(store.commit([put('b', { n: 1 }), check('a', 7)])).rejects.toMatchObject({
        key: { collection: 'commands', id: 'a' },
      });
      await expect(store.commit([check('c', 3), check('a', 7)])).rejects.toMatchObject({ key: { id: 'c' } });
      await expect(store.commit([remove('a', 1), put('b', {}, 4)])).rejects.toMatchObject({
        key: { id: 'b' },
      });
      expect(await versions('a', 'b')).toEqual([1, undefined]);
      await store.commit([put('b', { n: 1 }), check('a', 1), check('c', 'absent'), remove('d', 'absent')]);
      expect(await versions('a', 'b', 'c', 'd')).toEqual([1, 1, undefined, undefined]);
      await store.commit([]);
    });

    test('a check writes nothing, however often it is made', async () => {
      await store.commit([put('a', { n: 1 })]);
      for (let n = 0; n < 3; n++) await store.commit([check('a', 1), put(`journal/${n}`, {}, 'absent')]);
      await store.commit([check('a', 1)]);
      await store.commit([put('a', { n: 2 }, 1)]);
      await expect(store.commit([check('a', 1), put('journal/3', {})])).rejects.toMatchObject({
        key: { id: 'a' },
      });
      await expect(store.commit([check('a', 'absent')])).rejects.toBeInstanceOf(Conflict);
      expect(await versions('a', 'journal/2', 'journal/3')).toEqual([2, 1, undefined]);
    });

    test('writes to one document in one commit follow each other', async () => {
      await store.commit([put('a', { n: 1 }, 'absent'), put('a', { n: 2 }, 1), check('a', 2)]);
      expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 2 }, version: 2 });
      await expect(store.commit([put('a', { n: 3 }), check('a', 2)])).rejects.toBeInstanceOf(Conflict);
      await store.commit([remove('a', 2), check('a', 'absent'), put('a', { n: 4 })]);
      expect(await store.get(key('a'))).toEqual({ id: 'a', value: { n: 4 }, version: 1 });
      await store.commit([put('a', { n: 5 }), remove('a', 2)]);
      expect(await versions('a')).toEqual([undefined]);
    });

    test('lists by prefix, by field, in pages and in both directions', async () => {
      const rows = [1, 2, 3, 4].map((n) => put(`x/${n}`, { status: n % 2 ? 'odd' : 'even' }));
      await store.commit([...rows, put('y/1', { status: 'odd' }), put('b', { status: true })]);
      expect(await ids({})).toEqual(['b', 'x/1', 'x/2', 'x/3', 'x/4', 'y/1']);
      expect(await ids({ order: 'descending', limit: 2 })).toEqual(['y/1', 'x/4']);
      expect(await ids({ order: 'descending', after: 'x/2' })).toEqual(['x/1', 'b']);
      expect(await ids({ prefix: 'x/' })).toEqual(['x/1', 'x/2', 'x/3', 'x/4']);
      expect(await ids({ prefix: 'x/', order: 'descending', limit: 2 })).toEqual(['x/4', 'x/3']);
      expect(await ids({ prefix: 'x/', order: 'descending', after: 'x/3' })).toEqual(['x/2', 'x/1']);
      expect(await ids({ prefix: 'x/', after: 'x/2' })).toEqual(['x/3', 'x/4']);
      expect(await ids({ prefix: 'x/', after: 'a' })).toHaveLength(4);
      expect(await ids({ prefix: 'x/', after: 'y' })).toEqual([]);
      expect(await ids({ prefix: 'z' })).toEqual([]);
      expect(await ids({ limit: 0 })).toEqual([]);
      const odd = { field: 'status', is: 'odd' };
      expect(await ids({ where: odd })).toEqual(['x/1', 'x/3', 'y/1']);
      expect(await ids({ where: odd, order: 'descending' })).toEqual(['y/1', 'x/3', 'x/1']);
      expect(await ids({ where: odd, order: 'descending', after: 'y/1', limit: 1 })).toEqual(['x/3']);
      expect(await ids({ where: odd, after: 'x/1' })).toEqual(['x/3', 'y/1']);
      expect(await ids({ where: odd, prefix: 'x/' })).toEqual(['x/1', 'x/3']);
      expect(await ids({ where: { field: 'status', is: true } })).toEqual(['b']);
      expect(await store.list({ collection: 'deployments' })).toEqual([]);
    });

    test('lists by time, and by id where the time is the same, of all or of those with a field', async () => {
      const at = (hour: number) => `2026-11-0${hour}T00:00:00.000Z`;
      await store.commit([
        put('c', { receivedAt: at(1), status: 'odd' }),
        put('b/2', { receivedAt: at(2), status: 'even' }),
        put('b/1', { receivedAt: at(2), status: 'odd' }),
        put('a', { receivedAt: at(3), status: 'odd' }),
        put('timeless', { status: 'odd' }),
      ]);
      const by = 'time';
      expect(await ids({ by })).toEqual(['c', 'b/1', 'b/2', 'a']);
      expect(await ids({ by, order: 'descending', limit: 3 })).toEqual(['a', 'b/2', 'b/1']);
      expect(await ids({ by, after: timedPlace(at(2), 'b/1') })).toEqual(['b/2', 'a']);
      expect(await ids({ by, after: timedPlace(at(2), 'b/2'), order: 'descending' })).toEqual(['b/1', 'c']);
      expect(await ids({ by, prefix: '2026-11-02' })).toEqual(['b/1', 'b/2']);
      const where = { field: 'status', is: 'odd' };
      expect(await ids({ by, where })).toEqual(['c', 'b/1', 'a']);
      expect(await ids({ by, where, order: 'descending', limit: 2 })).toEqual(['a', 'b/1']);
      expect(await ids({ by, where, order: 'descending', after: timedPlace(at(2), 'b/2') })).toEqual([
        'b/1',
        'c',
      ]);
      expect(await ids({ where })).toEqual(['a', 'b/1', 'c', 'timeless']);
      await store.commit([put('b/1', { receivedAt: at(2), status: 'even' }), remove('c')]);
      expect(await ids({ by, where })).toEqual(['a']);
      await expect(store.list({ collection: 'units', by })).rejects.toThrow('units have no time');
    });

    test('a condition on a field that has no index is a mistake, not an empty list', async () => {
      const where = { field: 'requester', is: 'x' };
      await expect(store.list({ collection: 'commands', where })).rejects.toThrow('not indexed by requester');
    });

    test('a list follows what is written', async () => {
      await store.commit([put('a', { status: 'accepted' }), put('b', { status: 'accepted' })]);
      await store.commit([put('a', { status: 'running' }, 1)]);
      expect(await ids({ where: { field: 'status', is: 'accepted' } })).toEqual(['b']);
      expect(await ids({ where: { field: 'status', is: 'running' } })).toEqual(['a']);
      await store.commit([put('a', {}, 2), remove('b')]);
      expect(await ids({ where: { field: 'status', is: 'running' } })).toEqual([]);
      expect(await ids({})).toEqual(['a']);
    });

    test('a condition on a field means the whole of its value', async () => {
      const values = ['a', 'ab', 'a b', 'a"', '"a"', 'a\\', 'true', '', 'é', 'a/b', 'x'.repeat(300)];
      await store.commit(values.map((status, n) => put(`b ${n}`, { status })));
      for (const [n, is] of values.entries())
        expect(await ids({ where: { field: 'status', is } })).toEqual([`b ${n}`]);
      expect(await ids({ where: { field: 'status', is: true } })).toEqual([]);
    });

    test('ids may hold anything, and sort by the code points of their characters', async () => {
      const names = [
        ...[
          '.',
          '..',
          '...',
          '__x__',
          '____',
          '/',
          '//',
          'a//b',
          'a/',
          'a.b',
          'a-b',
          'a0b',
          'a',
          'A',
          '~',
          '%',
        ],
        ...[
          '%2F',
          'a%2Fb',
          'a/b',
          '%2e',
          'a b',
          ' a',
          '"',
          "'",
          '\\',
          '\n',
          '\0',
          'a\0b',
          '\u{1}',
          '\u{7f}',
          'é',
          'e\u{301}',
        ],
        ...[
          '\u{d7ff}',
          '\u{e000}',
          '\u{fb00}',
          '\u{fffd}',
          '\u{10000}',
          '\u{1f600}',
          'x'.repeat(1_000),
          'é'.repeat(300),
        ],
      ];
      await store.commit(names.map((id) => put(id, { id, status: 'same' }, 'absent')));
      const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await ids({})).toEqual(sorted);
      expect(await ids({ order: 'descending' })).toEqual(sorted.toReversed());
      expect(await ids({ where: { field: 'status', is: 'same' } })).toEqual(sorted);
      for (const id of names) expect((await store.get<{ id: string }>(key(id)))?.value.id).toBe(id);
      const paged = await listAll<{ id: string }>(store, { collection: 'commands', prefix: 'a' });
      expect(paged.map(({ value }) => value.id)).toEqual(sorted.filter((id) => id.startsWith('a')));
    });

    test('values come back as they were', async () => {
      const value = {
        text: 'é\u{1f600}\ud800\u0000\n"',
        number: 0.1,
        large: 2 ** 53 - 1,
        none: null,
        list: [[1, [2]], {}, []],
        '': 'unnamed',
        __name__: '.',
        'a.b/c`': { deep: { deep: { deep: true } } },
      };
      await store.commit([put('a', value), put('b', {})]);
      expect((await store.get(key('a')))?.value).toEqual(value);
      expect((await store.list({ collection: 'commands' })).map((found) => found.value)).toEqual([value, {}]);
    });

    test('a document may be long, and a commit wide', async () => {
      const random = seededRandom(1);
      const digest = (): string =>
        Array.from({ length: 8 }, () => random().toString(16).slice(2, 10)).join('');
      const units = Array.from({ length: 10_000 }, (_, n) => ({
        unit: `topic/orders-${n}`,
        after: { kind: 'topic', spec: { name: `orders-${n}`, labels: { team: 'orders' } }, mark: digest() },
      }));
      await store.commit([put('plan', { units })]);
      expect((await store.get(key('plan')))?.value).toEqual({ units });
      await store.commit([put('plan', { units: units.slice(1) }, 1)]);
      expect(
        (await store.list<{ units: unknown[] }>({ collection: 'commands' }))[0]?.value.units,
      ).toHaveLength(9_999);
      const wide = Array.from({ length: 1_001 }, (_, n) => `wide/${String(n).padStart(4, '0')}`);
      await store.commit(wide.map((id) => put(id, { id }, 'absent')));
      expect(await ids({ prefix: 'wide/' })).toEqual(wide.slice(0, 1_000));
      expect(await listAll(store, { collection: 'commands', prefix: 'wide/' })).toHaveLength(1_001);
    });

    test('what one process commits, another sees at once', async () => {
      const other = open();
      await store.commit([put('a', { n: 1 })]);
      expect((await other.get(key('a')))?.value).toEqual({ n: 1 });
      await other.commit([put('a', { n: 2 }, 1)]);
      await expect(store.commit([put('a', { n: 3 }, 1)])).rejects.toBeInstanceOf(Conflict);
      await expect(store.commit([check('a', 1), put('b', {})])).rejects.toBeInstanceOf(Conflict);
      await store.commit([put('a', { n: 3 })]);
      expect(await other.get(key('a'))).toEqual({ id: 'a', value: { n: 3 }, version: 3 });
      await other.commit([remove('a', 3)]);
      await expect(store.commit([put('a', { n: 4 }, 3)])).rejects.toBeInstanceOf(Conflict);
    });

    test('of many that claim the same, one gets it', async () => {
      const stores = [store, open(), open()];
      const claims = await Promise.allSettled(
        Array.from({ length: 12 }, (_, n) =>
          (stores[n % 3] ?? store).commit([put('lease', { holder: n }, 'absent'), put(`claim/${n}`, {})]),
        ),
      );
      expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const claim of claims)
        if (claim.status === 'rejected')
          expect(claim.reason).toMatchObject({ name: 'Conflict', key: { id: 'lease' } });
      const winner = claims.findIndex(({ status }) => status === 'fulfilled');
      expect((await store.get<{ holder: number }>(key('lease')))?.value.holder).toBe(winner);
      expect(await ids({ prefix: 'claim/' })).toEqual([`claim/${winner}`]);
    });

    test('two processes add to the same document and to their own, and nothing is lost', async () => {
      const stores = [store, open()];
      await Promise.all(stores.flatMap((one) => [0, 1, 2, 3, 4].map(() => increment(one, 'shared', 20))));
      expect(await store.get(key('shared'))).toEqual({ id: 'shared', value: { n: 200 }, version: 200 });
      await Promise.all(
        stores.flatMap((one, s) => [0, 1, 2, 3, 4].map((w) => increment(one, `own/${s}/${w}`, 20))),
      );
      const rows = await store.list<{ n: number }>({ collection: 'commands', prefix: 'own/' });
      expect(rows.map(({ value, version }) => [value.n, version])).toEqual(Array(10).fill([20, 20]));
    });

    test("commits that check the same document are not in each other's way", async () => {
      const stores = [store, open()];
      await store.commit([put('stack', { n: 1 })]);
      await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          (stores[n % 2] ?? store).commit([check('stack', 1), put(`journal/${n}`, {}, 'absent')]),
        ),
      );
      expect(await ids({ prefix: 'journal/' })).toHaveLength(20);
      expect(await versions('stack')).toEqual([1]);
    });

    test('writes without a condition wait for each other', async () => {
      const stores = [store, open()];
      await Promise.all(
        Array.from({ length: 20 }, (_, n) => (stores[n % 2] ?? store).commit([put('a', { n })])),
      );
      expect(await versions('a')).toEqual([20]);
    });

    test('a closed store fails', async () => {
      const closed = open();
      await closed.commit([put('a', { n: 1 })]);
      await closed.close();
      await expect(closed.commit([put('a', { n: 2 })])).rejects.toBeInstanceOf(StoreFailure);
      await expect(closed.get(key('a'))).rejects.toBeInstanceOf(StoreFailure);
      expect(await versions('a')).toEqual([1]);
    });
  });
}
