/** Which code goes and which stays, whoever is killed and whoever sends it again meanwhile. */
import { systemClock, timestamp } from '@service-director/shared/kit/clock.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bundleKey, digestOf } from '../bundles/bundle.ts';
import { notingUses, useKey } from '../bundles/uses.ts';
import { type Artifacts, artifactsIn } from '../store/artifacts.ts';
import { keys } from '../store/records.ts';
import { sqliteStore } from '../store/sqlite.ts';
import { type Key, type Store, StoreFailure } from '../store/store.ts';
import { upkeep } from './upkeep.ts';

const DAY_MS = 86_400_000;
const KEPT_DAYS = 400;

let now = 0;
const clock = { ...systemClock, now: () => now, sleep: async () => {} };
const after = (days: number): void => {
  now += days * DAY_MS;
};

let store: Store;
let artifacts: Artifacts;
beforeEach(() => {
  now = Date.parse('2026-01-01T00:00:00Z');
  store = sqliteStore({ path: ':memory:' });
  artifacts = notingUses(artifactsIn(store), { store, clock });
});
afterEach(() => store.close());

function round(on = store): Promise<number> {
  const holder = { id: 'one', host: 'here', pid: 1 };
  const onTrouble = (error: unknown): never => {
    throw error;
  };
  return upkeep({
    ...{ store: on, clock, holder, onTrouble, random: () => 0, isGone: () => true },
    keptMs: KEPT_DAYS * DAY_MS,
  }).round();
}

/** Keeps a bundle, and resolves with its digest. */
async function send(text: string, to = artifacts): Promise<string> {
  const bundle = Buffer.from(text);
  const digest = digestOf(bundle);
  await to.write(bundleKey(digest), bundle);
  return digest;
}

const put = (key: Key, value: object): Promise<void> =>
  store.commit([{ type: 'put', key, value, if: 'any' }]);

/** Not by the door, which counts as a use. */
const isThere = async (digest: string): Promise<boolean> =>
  (await store.get({ collection: 'artifacts', id: bundleKey(digest) })) !== undefined;
const isNoted = async (digest: string): Promise<boolean> => (await store.get(useKey(digest))) !== undefined;

const source = (digest: string): object => ({
  engine: 'terraform',
  spec: { name: 'net', source: { digest } },
});

test('what nobody wanted for as long as history is kept goes; what was wanted since stays', async () => {
  const [unused, planned, sent] = [await send('unused'), await send('planned'), await send('sent')];
  after(300);
  await artifacts.read(bundleKey(planned));
  await send('sent');
  after(50);
  expect(await round()).toBe(0);
  after(60);
  await round();
  expect([await isThere(unused), await isNoted(unused)]).toEqual([false, false]);
  expect([await isThere(planned), await isThere(sent)]).toEqual([true, true]);
  after(350);
  await round();
  expect([await isThere(planned), await isThere(sent)]).toEqual([false, false]);
});

test('what something names stays however old it is, and goes once nothing does', async () => {
  const named = {
    unit: keys.unit('shop/flow', unitId('module', 'net')),
    version: keys.version('shop/flow', 1),
    architecture: keys.architecture('shop'),
    deployment: keys.deployment('old.flow'),
  };
  const digests = new Map<string, Key>();
  for (const [name, key] of Object.entries(named)) digests.set(await send(name), key);
  const [unit = '', version = '', architecture = '', deployment = ''] = digests.keys();
  await put(named.unit, source(unit));
  await put(named.version, { changes: [{ unit: 'module/net', before: source(version) }] });
  const modules = { net: { source: { digest: architecture, path: 'net' } } };
  await put(named.architecture, { scope: 'shop', document: { dataflows: { flow: { modules } } } });
  // One that has not ended stays, whenever it came.
  await put(named.deployment, {
    ...{ id: 'old.flow', stack: 'shop/flow', status: 'awaiting_approval' },
    ...{ createdAt: timestamp(now), sources: { 'module/net': deployment } },
  });
  after(1_000);
  expect(await round()).toBe(0);
  for (const digest of digests.keys()) expect(await isThere(digest)).toBe(true);

  for (const key of digests.values()) await store.commit([{ type: 'delete', key, if: 'any' }]);
  after(1);
  await round();
  for (const digest of digests.keys()) expect(await isThere(digest)).toBe(false);
});

test('a use at the last moment is not too late, and what is sent after that is kept anew', async () => {
  const [wanted, other] = [await send('wanted'), await send('other')];
  after(500);
  const late: Store = {
    ...store,
    async commit(writes, durability) {
      if (writes.some(({ type }) => type === 'delete')) await artifacts.read(bundleKey(wanted));
      await store.commit(writes, durability);
    },
  };
  await round(late);
  expect([await isThere(wanted), await isThere(other)]).toEqual([true, false]);
  await send('other');
  after(2);
  await round();
  expect([await isThere(other), await isNoted(other)]).toEqual([true, true]);
});

test('killed at any commit, it leaves a bundle with its note, or neither', async () => {
  const digests = await Promise.all(Array.from({ length: 120 }, (_, n) => send(`bundle ${n}`)));
  after(500);
  let left = digests.length;
  for (let last = 1; left > 0; last++) {
    expect(last).toBeLessThan(10);
    let commits = 0;
    const mortal: Store = {
      ...store,
      async commit(writes, durability) {
        if (++commits > last) throw new StoreFailure('the process is dead', undefined);
        await store.commit(writes, durability);
      },
    };
    await round(mortal).catch((error) => expect(error).toBeInstanceOf(StoreFailure));
    left = 0;
    for (const digest of digests) {
      expect(await isNoted(digest)).toBe(await isThere(digest));
      if (await isThere(digest)) left++;
    }
  }
});

test('one from before there were notes is noted once something names it, and goes when its time has come', async () => {
  const digest = await send('before', artifactsIn(store));
  expect(await isNoted(digest)).toBe(false);
  const unit = keys.unit('shop/flow', unitId('module', 'net'));
  await put(unit, source(digest));
  await round();
  expect(await isNoted(digest)).toBe(true);
  await store.commit([{ type: 'delete', key: unit, if: 'any' }]);
  after(300);
  await round();
  expect(await isThere(digest)).toBe(true);
  after(103);
  await round();
  expect(await isThere(digest)).toBe(false);
});

test('a use is noted once a day, and again where a clock was set back', async () => {
  const digest = await send('code');
  const versionOf = async (): Promise<number | undefined> => (await store.get(useKey(digest)))?.version;
  await artifacts.read(bundleKey(digest));
  expect(await versionOf()).toBe(1);
  after(1);
  await artifacts.read(bundleKey(digest));
  expect(await versionOf()).toBe(2);
  after(-30);
  await artifacts.read(bundleKey(digest));
  expect(await versionOf()).toBe(3);
  // What is no bundle has none.
  await artifacts.write('terraform/shop/flow/net/state', Buffer.from('{}'));
  const { length } = await store.list({ collection: 'artifacts', prefix: 'bundle-uses/' });
  expect(length).toBe(1);
});

test('the key of a webhook holds for as long as history is kept, and no longer', async () => {
  const key: Key = { collection: 'artifacts', id: 'webhooks/keys/first' };
  await put(key, { webhook: 'wh_1', asked: 'that' });
  await round();
  after(KEPT_DAYS - 1);
  await round();
  expect((await store.get(key))?.value).toMatchObject({ webhook: 'wh_1', asked: 'that' });
  after(2);
  expect(await round()).toBe(1);
  expect(await store.get(key)).toBeUndefined();
});
