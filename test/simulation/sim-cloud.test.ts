import { CloudError, type Reason } from '@service-director/shared/cloud/error.ts';
import { describe, expect, test } from 'vitest';
import type { FaultKind, FaultOptions } from './faults.ts';
import { workByHand } from './hand.ts';
import { type Simulation, simulation } from './scheduler.ts';
import { type CloudClient, HAND, type SimCloud, simCloud, type Thing } from './sim-cloud.ts';

const CALM: FaultOptions = { intensity: 0 };
const OWNER = { scope: 'shop', dataflow: 'orders' };
const made = (path: string, spec: Thing['spec'] = {}) => ({
  path,
  kind: path.slice(0, path.indexOf('/')),
  owner: OWNER,
  spec,
});

interface World {
  readonly sim: Simulation;
  readonly cloud: SimCloud;
  readonly client: CloudClient;
  wait(ms: number): Promise<void>;
}

/** Runs the task as a process of a world. */
async function inWorld(
  task: (world: World) => Promise<void>,
  faults: FaultOptions = CALM,
  seed = 1,
): Promise<World> {
  const sim = simulation({ seed, faults });
  const cloud = simCloud(sim);
  const worlds: World[] = [];
  sim.start('a', async (process) => {
    const world = {
      sim,
      cloud,
      client: cloud.client(process),
      wait: (ms: number) => process.clock.sleep(ms),
    };
    worlds.push(world);
    await task(world);
  });
  await sim.run();
  const [world] = worlds;
  if (!world) throw new Error('Nothing ran');
  return world;
}

/** How the product reads what was thrown; undefined when nothing was. */
function reasonOf(call: Promise<unknown>): Promise<Reason | undefined> {
  return call.then(
    () => undefined,
    (error) => CloudError.from(error).reason,
  );
}

async function ended(operation: string | undefined, { client, wait }: World): Promise<unknown> {
  for (;;) {
    const stands = await client.operation(operation ?? 'none');
    if (stands !== 'running')
      return typeof stands === 'string' ? stands : CloudError.from(stands.failed).reason;
    await wait(1_000);
  }
}

test('what is made is there, is changed, and goes', async () => {
  await inWorld(async ({ client, cloud }) => {
    expect(await client.get('thing/a')).toBeUndefined();
    await client.create(made('thing/a', { size: 1, color: 'red' }));
    expect(await reasonOf(client.create(made('thing/a')))).toBe('already-exists');
    const first = await client.get('thing/a');
    expect(first).toMatchObject({ owner: OWNER, spec: { size: 1, color: 'red' }, busy: undefined });
    await client.update({ path: 'thing/a', etag: first?.etag, fields: { size: 2 } });
    expect(cloud.thing('thing/a')?.spec).toEqual({ size: 2, color: 'red' });
    expect(await reasonOf(client.update({ path: 'thing/a', etag: first?.etag, fields: {} }))).toBe(
      'conflict',
    );
    expect(await reasonOf(client.remove({ path: 'thing/a', etag: first?.etag }))).toBe('conflict');
    await client.remove({ path: 'thing/a' });
    expect(await reasonOf(client.remove({ path: 'thing/a' }))).toBe('not-found');
    expect(await reasonOf(client.update({ path: 'thing/a', fields: {} }))).toBe('not-found');
    await client.create(made('thing/a'));
    expect(cloud.thing('thing/a')?.uid).not.toBe(first?.uid);
  });
});

test('where a kind has no etag, a late write goes through', async () => {
  await inWorld(async ({ client, cloud }) => {
    await client.create(made('loose/a', { size: 1 }));
    const first = await client.get('loose/a');
    await client.update({ path: 'loose/a', etag: first?.etag, fields: { size: 2 } });
    await client.update({ path: 'loose/a', etag: first?.etag, fields: { size: 1 } });
    expect(cloud.thing('loose/a')?.spec).toEqual({ size: 1 });
  });
});

test('the audit tells of every mutating call, and whether it had an effect', async () => {
  const told: string[] = [];
  const { cloud } = await inWorld(async ({ client, cloud: one, sim }) => {
    one.onEffect(({ verb, path, process }, thing) => told.push(`${process} ${verb} ${path} ${thing?.uid}`));
    sim.faults.force('cloud.create', 'lost-request');
    await reasonOf(client.create(made('thing/a')));
    sim.faults.force('cloud.create', 'lost-answer');
    await reasonOf(client.create(made('thing/a')));
    await reasonOf(client.create(made('thing/a')));
    one.take('thing/a');
    one.plant('thing/a', 'thing');
  });
  const effects = cloud.audit.map(({ verb, process, effectAt }) => [verb, process, effectAt !== undefined]);
  expect(effects).toEqual([
    ['create', 'a', false],
    ['create', 'a', true],
    ['create', 'a', false],
    ['remove', 'hand', true],
    ['create', 'hand', true],
  ]);
  for (const { sentAt, effectAt, process } of cloud.audit)
    if (process === 'a' && effectAt !== undefined) expect(effectAt).toBeGreaterThan(sentAt);
  expect(told).toEqual(['a create thing/a u1', 'hand remove thing/a u1', 'hand create thing/a u2']);
});

const HEARD: readonly [FaultKind, Reason, boolean][] = [
  ['lost-request', 'unknown-outcome', false],
  ['lost-answer', 'unknown-outcome', true],
  ['truncated', 'unknown-outcome', true],
  ['unavailable', 'unknown-outcome', false],
  ['unavailable-after', 'unknown-outcome', true],
  ['conflict', 'conflict', false],
  ['precondition', 'conflict', false],
  ['rate-limited', 'rate-limited', false],
  ['denied', 'denied', false],
];
test.each(HEARD)('%s is heard as %s', async (kind, reason, hasEffect) => {
  const { cloud } = await inWorld(async ({ client, sim }) => {
    sim.faults.force('cloud.create', kind);
    const error = await client.create(made('thing/a')).catch((thrown) => CloudError.from(thrown));
    expect(error).toMatchObject({ reason });
    if (kind === 'rate-limited') expect(error).toMatchObject({ retryAfterMs: expect.any(Number) });
  });
  expect(cloud.thing('thing/a') !== undefined).toBe(hasEffect);
});

describe('a long-running operation', () => {
  test('keeps what it makes busy until it ends', async () => {
    await inWorld(async (world) => {
      const { client, cloud } = world;
      const operation = await client.create(made('slow/a', { size: 1 }));
      expect(cloud.thing('slow/a')?.busy).toBe(operation);
      expect(await reasonOf(client.update({ path: 'slow/a', fields: { size: 2 } }))).toBe('conflict');
      expect(await ended(operation, world)).toBe('done');
      expect(cloud.thing('slow/a')?.busy).toBeUndefined();
      const removal = await client.remove({ path: 'slow/a' });
      expect(cloud.thing('slow/a')).toBeDefined();
      expect(await ended(removal, world)).toBe('done');
      expect(cloud.thing('slow/a')).toBeUndefined();
    });
  });

  test('that fails leaves what was there before', async () => {
    await inWorld(async (world) => {
      const { client, cloud, sim } = world;
      const fail = (): void => sim.faults.force('cloud.operation runs', 'operation-fails');
      fail();
      expect(await ended(await client.create(made('slow/a', { size: 1 })), world)).not.toBe('done');
      expect(cloud.thing('slow/a')).toBeUndefined();
      await ended(await client.create(made('slow/a', { size: 1 })), world);
      fail();
      expect(await ended(await client.update({ path: 'slow/a', fields: { size: 2 } }), world)).not.toBe(
        'done',
      );
      expect(cloud.thing('slow/a')).toMatchObject({ spec: { size: 1 }, busy: undefined });
      fail();
      expect(await ended(await client.remove({ path: 'slow/a' }), world)).not.toBe('done');
      expect(cloud.thing('slow/a')).toBeDefined();
    });
  });

  test('may never end until the world heals, or be forgotten', async () => {
    await inWorld(async (world) => {
      const { client, cloud, sim, wait } = world;
      sim.faults.force('cloud.operation runs', 'operation-stuck');
      const stuck = await client.create(made('slow/a'));
      await wait(10 * 3_600_000);
      expect(await client.operation(stuck ?? '')).toBe('running');
      sim.heal();
      expect(await ended(stuck, world)).toBe('done');
      sim.faults.force('cloud.operation is forgotten', 'operation-forgotten');
      const forgotten = await client.create(made('slow/b'));
      expect(await reasonOf(ended(forgotten, world))).toBe('not-found');
      expect(cloud.thing('slow/b')?.busy).toBeUndefined();
    });
  });
});

test('a read may be older than the write for a while, and then no more', async () => {
  const seen = new Set<boolean>();
  for (let seed = 0; seed < 10; seed++) {
    await inWorld(
      async ({ client, wait }) => {
        await client.create(made('service-account/a'));
        for (let n = 0; n < 10; n++) seen.add((await client.get('service-account/a')) !== undefined);
        await wait(20_000);
        for (let n = 0; n < 10; n++) expect(await client.get('service-account/a')).toBeDefined();
      },
      { intensity: 0, rates: { 'shows-late': 1 } },
      seed,
    );
  }
  expect([...seen].sort()).toEqual([false, true]);
});

test('a name may be held after a removal, and comes free', async () => {
  await inWorld(
    async ({ client, cloud, wait }) => {
      await client.create(made('fixed/a'));
      await client.remove({ path: 'fixed/a' });
      expect(await reasonOf(client.create(made('fixed/a')))).toBe('already-exists');
      expect(cloud.thing('fixed/a')).toBeUndefined();
      await wait(120_000);
      expect(await reasonOf(client.create(made('fixed/a')))).toBeUndefined();
    },
    { intensity: 0, rates: { 'name-held': 1 } },
  );
});

test('a grant stands at once and holds later; what is removed takes its policy along', async () => {
  const binding = { role: 'reader', member: 'ann' };
  await inWorld(
    async ({ client, cloud, wait }) => {
      expect(await client.policy('thing/a')).toBeUndefined();
      await client.create(made('thing/a'));
      const policy = await client.policy('thing/a');
      if (!policy) throw new Error('No policy');
      await client.grant('thing/a', { ...policy, bindings: [binding] });
      expect(await reasonOf(client.grant('thing/a', { ...policy, bindings: [] }))).toBe('conflict');
      expect((await client.policy('thing/a'))?.bindings).toEqual([binding]);
      expect(await client.test('thing/a', binding)).toBe(false);
      await wait(500_000);
      expect(await client.test('thing/a', binding)).toBe(true);
      await client.remove({ path: 'thing/a' });
      await client.create(made('thing/a'));
      expect(cloud.bindings('thing/a')).toEqual([]);
      expect(await client.test('thing/a', binding)).toBe(false);
    },
    { intensity: 0, rates: { 'grant-late': 1 } },
  );
});

test('somebody works by hand until the world heals', async () => {
  const rates = { 'hand-edit': 0.3, 'hand-remove': 0.3, 'hand-plant': 0.3 };
  const done = new Set<string>();
  for (let seed = 0; seed < 10; seed++) {
    const { cloud, sim } = await inWorld(
      async ({ sim: one, cloud: its, client, wait }) => {
        workByHand(one, its, { names: [{ path: 'thing/free', kind: 'thing' }] });
        for (const path of ['thing/a', 'thing/b', 'data/c'])
          await client.create(made(path, { size: 1, place: 'here' }));
        await wait(300_000);
        one.heal();
      },
      { intensity: 0, rates },
      seed,
    );
    for (const { verb, process } of cloud.audit) if (process === HAND) done.add(verb);
    expect(
      cloud
        .things()
        .filter(({ owner }) => owner === 'foreign')
        .map(({ path }) => path),
    ).toEqual(cloud.thing('thing/free') ? ['thing/free'] : []);
    expect(cloud.thing('data/c')?.spec.place ?? 'here').toBe('here');
    expect(sim.now()).toBeLessThan(400_000);
  }
  expect([...done].sort()).toEqual(['create', 'remove', 'update']);
});
