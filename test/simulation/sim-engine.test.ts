import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import type { Engine, EngineContext } from '@service-director/shared/engine/engine.ts';
import type { Outcome } from '@service-director/shared/engine/reconcile.ts';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { type Unit, type UnitSpec, unitId } from '@service-director/shared/model/unit.ts';
import { expect, test } from 'vitest';
import type { FaultOptions } from './faults.ts';
import { type Process, type Simulation, simulation } from './scheduler.ts';
import { type SimCloud, simCloud } from './sim-cloud.ts';
import { noCloud, simEngine } from './sim-engine.ts';

const CALM: FaultOptions = { intensity: 0 };
const OWNER = { scope: 'shop', dataflow: 'orders' };

function unit(id: string, fields: object): Unit {
  const [kind = '', ...rest] = id.split('/');
  const name = rest.join('/');
  const spec: UnitSpec = { name, ...fields };
  return { id: unitId(kind, name), engine: 'gcp', kind, spec, needs: [], owner: OWNER, stage: 'setup' };
}

interface World {
  readonly sim: Simulation;
  readonly cloud: SimCloud;
  readonly engine: Engine;
  readonly context: EngineContext;
  /** What was recorded before it was done. */
  readonly intents: string[];
}

async function inWorld(
  task: (world: World) => Promise<void>,
  faults: FaultOptions = CALM,
  seed = 1,
): Promise<{ sim: Simulation; cloud: SimCloud }> {
  const sim = simulation({ seed, faults });
  const cloud = simCloud(sim);
  sim.start('a', (process) => task({ sim, cloud, ...reaching(process, cloud) }));
  await sim.run();
  return { sim, cloud };
}

function reaching(process: Process, cloud: SimCloud): Omit<World, 'sim' | 'cloud'> {
  const intents: string[] = [];
  const context: EngineContext = {
    cloud: noCloud('simulated'),
    region: 'here',
    self: undefined,
    clock: process.clock,
    random: process.random,
    signal: new AbortController().signal,
    limit: (_api, call) => call(),
    waiting: () => {},
    record: async (action) => void intents.push(action),
  };
  return { engine: simEngine(cloud.client(process)), context, intents };
}

/** Plans and applies. */
async function bring(one: Unit, { engine, context }: World, prior?: UnitState): Promise<Outcome> {
  const work = { unit: one, spec: one.spec, prior };
  return engine.apply(work, (await engine.plan(work, context)).change, context);
}

test.each(['thing', 'loose', 'slow', 'data', 'fixed', 'service-account', 'topic'])(
  '%s is made, changed, left alone, and removed',
  async (kind) => {
    const { cloud } = await inWorld(async (world) => {
      const { engine, context, intents } = world;
      expect(await bring(unit(`${kind}/a`, { size: 1 }), world)).toMatchObject({
        change: { action: 'create' },
      });
      expect(await bring(unit(`${kind}/a`, { size: 2 }), world)).toMatchObject({
        change: { action: 'update', fields: ['size'] },
      });
      expect(world.cloud.thing(`${kind}/a`)?.spec).toEqual({ size: 2 });
      const again = unit(`${kind}/a`, { size: 2 });
      expect(await bring(again, world)).toMatchObject({ change: { action: 'none' } });
      expect(await engine.destroy(stateOf(again, {}), context)).toMatchObject({
        change: { action: 'delete' },
      });
      expect(await engine.destroy(stateOf(again, {}), context)).toMatchObject({ change: { action: 'none' } });
      expect(intents).toEqual(['create', 'update', 'remove']);
    });
    expect(cloud.things()).toEqual([]);
    expect(cloud.audit).toHaveLength(3);
  },
);

test('what is fixed is made anew when that was planned, and has another uid; what holds data never', async () => {
  await inWorld(async (world) => {
    const { engine, context, cloud } = world;
    const there = unit('fixed/a', { place: 'there' });
    await bring(unit('fixed/a', { place: 'here' }), world);
    const before = cloud.thing('fixed/a')?.uid;
    const work = { unit: there, spec: there.spec, prior: undefined };
    expect(await engine.apply(work, { action: 'update', fields: ['place'] }, context)).toMatchObject({
      status: 'failed',
      error: { reason: 'refused' },
    });
    expect(await bring(there, world)).toMatchObject({ status: 'done', change: { action: 'replace' } });
    expect(cloud.thing('fixed/a')?.uid).not.toBe(before);
    await bring(unit('data/a', { place: 'here' }), world);
    const moved = unit('data/a', { place: 'there' });
    const planned = await engine.plan({ unit: moved, spec: moved.spec, prior: undefined }, context);
    expect(planned.refused?.because).toMatch(/would be replaced/);
    expect(await bring(moved, world)).toMatchObject({ status: 'failed', error: { reason: 'refused' } });
  });
});

test("a stranger's is refused, and left when it was to go", async () => {
  await inWorld(async (world) => {
    const { engine, context, cloud } = world;
    cloud.plant('thing/a', 'thing');
    const ours = unit('thing/a', { size: 1 });
    expect(await bring(ours, world)).toMatchObject({ status: 'failed', error: { reason: 'refused' } });
    expect(await engine.destroy(stateOf(ours, {}), context)).toMatchObject({ status: 'kept' });
    const other = { ...unit('thing/b', { size: 1 }), owner: { ...OWNER, dataflow: 'billing' } };
    await bring({ ...other, owner: OWNER }, world);
    expect(await bring(other, world)).toMatchObject({ status: 'failed', error: { reason: 'refused' } });
  });
});

test("grants keep others' members, take back what was given before, and count when they hold", async () => {
  const ann = { role: 'reader', member: 'ann' };
  const bob = { role: 'reader', member: 'bob' };
  const eve = { role: 'owner', member: 'eve' };
  await inWorld(
    async (world) => {
      const { engine, context, cloud, sim } = world;
      const both = unit('grants/thing/a', { name: 'thing/a', bindings: [ann, bob] });
      const one = unit('grants/thing/a', { name: 'thing/a', bindings: [ann] });
      expect(await bring(both, world)).toMatchObject({ status: 'failed' });
      await bring(unit('thing/a', {}), world);
      const stranger = cloud.client(sim.start('eve', () => {}));
      const policy = await stranger.policy('thing/a');
      await stranger.grant('thing/a', { bindings: [eve], etag: policy?.etag ?? '' });
      const began = sim.now();
      expect(await bring(both, world)).toMatchObject({ status: 'done', outputs: { effective: 'true' } });
      expect(sim.now() - began).toBeGreaterThan(5_000);
      expect(cloud.bindings('thing/a')).toEqual([eve, ann, bob]);
      const prior = { ...stateOf(both, {}), effective: true };
      expect(await bring(one, world, prior)).toMatchObject({ change: { fields: ['-reader bob'] } });
      expect(cloud.bindings('thing/a')).toEqual([eve, ann]);
      const verified = { unit: one, spec: one.spec, prior: { ...stateOf(one, {}), effective: true } };
      expect(await engine.plan(verified, context)).not.toHaveProperty('unverified');
      await engine.destroy(stateOf(one, {}), context);
      expect(cloud.bindings('thing/a')).toEqual([eve]);
    },
    { intensity: 0, rates: { 'grant-late': 1 } },
  );
});

test('through every fault of the calls and of the world all comes to be, once', async () => {
  const kinds = ['thing', 'loose', 'slow', 'fixed', 'service-account'];
  const rates = {
    'lost-request': 0.05,
    'lost-answer': 0.05,
    truncated: 0.05,
    unavailable: 0.05,
    'unavailable-after': 0.05,
    conflict: 0.05,
    precondition: 0.05,
    'rate-limited': 0.05,
    denied: 0.02,
    'shows-late': 0.5,
    'grant-late': 0.5,
    'operation-slow': 0.2,
    'operation-forgotten': 0.2,
  };
  const fired = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const { cloud, sim } = await inWorld(
      async (world) => {
        const units = kinds.map((kind) => unit(`${kind}/a`, { size: 1 }));
        const grants = unit('grants/thing/a', {
          name: 'thing/a',
          bindings: [{ role: 'reader', member: 'ann' }],
        });
        for (const one of [...units, grants])
          expect(await bring(one, world)).toMatchObject({ status: 'done' });
        for (const one of units)
          expect(await bring({ ...one, spec: { ...one.spec, size: 2 } }, world)).toMatchObject({
            status: 'done',
          });
      },
      { intensity: 0, rates },
      seed,
    );
    expect(cloud.things().map(({ path, spec }) => [path, spec])).toEqual(
      kinds.map((kind) => [`${kind}/a`, { size: 2 }]),
    );
    const creations = cloud.audit.filter(({ verb, effectAt }) => verb === 'create' && effectAt !== undefined);
    expect(creations).toHaveLength(kinds.length);
    for (const { kind } of sim.faults.fired()) fired.add(kind);
  }
  expect([...fired].sort()).toEqual(Object.keys(rates).sort());
});

test('nothing reaches past the simulated cloud', () => {
  const cloud: Cloud = noCloud('simulated');
  expect(cloud.project).toBe('simulated');
  expect(() => cloud.pubsub()).toThrow('simulated');
  expect(() => cloud.as('somebody')).toThrow('simulated');
});
