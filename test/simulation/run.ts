/**
 * One simulated run: directors, a store, a broker and a cloud that misbehave, and random commands in flight together.
 *
 *   1. trouble   commands arrive, everything goes wrong that the seed draws
 *   2. heal      faults stop; every command must end
 *   3. settle    each stack is set up once more: the world must equal what was asked for
 *   4. twice     and once more: no call that changes anything
 *   5. teardown  nothing that bears our mark is left, but what is protected
 *
 * The invariants of `oracles.ts` are checked at every step of it. The same seed is the same run, to the byte.
 */
import { type Intake, intake } from '@service-director/director/commands/intake.ts';
import { stacksToWake, toldToStop } from '@service-director/director/deployments/admission.ts';
import { coordinator } from '@service-director/director/deployments/coordinator.ts';
import { type Outbox, outbox, type Speaker } from '@service-director/director/deployments/outbox.ts';
import { pastOf } from '@service-director/director/deployments/rollback.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type Holder,
  keys,
  type StackRecord,
} from '@service-director/director/store/records.ts';
import type { Store } from '@service-director/director/store/store.ts';
import {
  COMMAND_PREFIX,
  fromAttributes,
  toAttributes,
} from '@service-director/shared/contract/cloud-event.ts';
import { type CommandType, isCommandType } from '@service-director/shared/contract/command.ts';
import { type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { canonicalJson } from '@service-director/shared/kit/hash.ts';
import { limits } from '@service-director/shared/kit/limiter.ts';
import { resolve, type Unit, type UnitId } from '@service-director/shared/model/unit.ts';
import type { Fired } from './faults.ts';
import { blueprintsOf, changed, type Graph, randomGraph, SCOPE } from './graphs.ts';
import { workByHand } from './hand.ts';
import { Violation, watch } from './oracles.ts';
import { EPOCH, type Process, type Simulation, simulation } from './scheduler.ts';
import { type SimBroker, simBroker } from './sim-bus.ts';
import { type SimCloud, simCloud } from './sim-cloud.ts';
import { noCloud, simEngine } from './sim-engine.ts';
import { type SimDatabase, simDatabase } from './sim-store.ts';

export interface RunOptions {
  readonly seed: number;
  readonly trace?: (line: string) => void;
  /** Numbers of faults that do not fire: how a failing run is made shorter. */
  readonly skip?: ReadonlySet<number>;
  /** Only so many of the commands. */
  readonly commands?: number;
  readonly intensity?: number;
  readonly upsetAt?: { readonly call: number; readonly kind: 'crash-before' | 'crash-after' | 'pause' };
}

export interface RunResult {
  readonly seed: number;
  readonly digest: string;
  /** What did not hold. */
  readonly violation: { readonly invariant: string; readonly message: string } | undefined;
  readonly virtualMs: number;
  readonly stats: ReturnType<Simulation['stats']>;
  readonly faults: readonly Fired[];
  readonly coverage: ReturnType<Simulation['faults']['coverage']>;
  readonly sometimes: ReadonlyMap<string, number>;
}

const MINUTE = 60_000;
/** How long the trouble lasts, how long healing may take, and how long late calls are let come in. */
const TROUBLE_MS = 8 * MINUTE;
const HEAL_MS = 5 * 60 * MINUTE;
const QUIET_MS = 20 * MINUTE;
/** So much happens at most while one waits for rest: what turns for ever is found out. */
const MOST_EVENTS = 400_000;
const TYPES: readonly CommandType[] = [
  'dataflow-setup',
  'deploy',
  'teardown',
  'rollback',
  'approve',
  'cancel',
  'lock',
  'unlock',
];

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed, trace, skip, intensity, upsetAt } = options;
  const sim = simulation({
    seed,
    ...(trace ? { trace } : {}),
    faults: { ...(skip ? { skip } : {}), ...(intensity === undefined ? {} : { intensity }) },
    ...(upsetAt ? { upsetAt } : {}),
  });
  const world = openWorld(sim, options.commands);
  let violation: RunResult['violation'];
  try {
    await world.play();
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    violation = { invariant: error instanceof Violation ? error.invariant : 'no run breaks', message };
  }
  return {
    seed,
    digest: sim.digest(),
    violation,
    virtualMs: sim.now(),
    stats: sim.stats(),
    faults: sim.faults.fired(),
    coverage: sim.faults.coverage(),
    sometimes: world.sometimes(),
  };
}

interface SimulatedWorld {
  play(): Promise<void>;
  sometimes(): ReadonlyMap<string, number>;
}

function openWorld(sim: Simulation, mostCommands = Number.POSITIVE_INFINITY): SimulatedWorld {
  const random = sim.random('story');
  const database = simDatabase(sim);
  const broker = simBroker(sim);
  const cloud = simCloud(sim);
  const graphs = new Map<string, Graph>();
  const dataflows = ['one', 'two', 'three'].slice(0, 1 + Math.floor(random() * 3));
  const approvals = random() < 0.3 ? 'manual' : 'automatic';
  /** Whether somebody approves in the end what is parked; else it expires. */
  const comesForThem = random() < 0.7;
  const newest = new Map<string, Graph>(
    dataflows.map((dataflow) => [dataflow, randomGraph(dataflow, 8, approvals, random)]),
  );
  const protectedPaths = new Set<string>();
  const oracles = watch({ database, broker, cloud, protectedPaths });
  const library = { graphs, dataflows };
  const sent = new Map<string, { type: CommandType; body: string }>();

  for (const type of TYPES) broker.subscribe(type, `${type}-sub`, { attempts: 1_000 });
  const directors = 2 + Math.floor(random() * 3);
  const knowsMachine = random() < 0.5;
  for (let at = 0; at < directors; at++) sim.at(1 + at * 700 * random(), () => startDirector(at, 0));
  // At times a stranger takes a name that somebody will want.
  const wanted = [...newest.values()].flatMap(({ units }) => units.filter(({ kind }) => kind !== 'grants'));
  const names = wanted.map(({ id, kind }) => ({ path: id, kind })).filter(() => random() < 0.15);
  workByHand(sim, cloud, { names });

  /** A director that dies is started again, as Cloud Run does, under a new name. */
  function startDirector(place: number, generation: number): void {
    const name = `director-${place}.${generation}`;
    const start = (): void => startDirector(place, generation + 1);
    sim.start(name, (process) => direct(process, { sim, database, broker, cloud, library, knowsMachine }), {
      mortal: true,
      skewMs: (random() - 0.5) * 2_000,
      onDeath: () => void sim.at(500 + 5_000 * random(), start),
    });
  }

  function send(type: CommandType, id: string, data: object): void {
    const body = JSON.stringify(data);
    sent.set(id, { type, body });
    const attributes = toAttributes({
      id,
      source: 'story',
      type: COMMAND_PREFIX + type,
      time: timestamp(EPOCH + sim.now()),
      correlationId: id,
    });
    sim.note('sends', `${type} ${id} ${body}`);
    broker.publish(type, { body, attributes });
    // Whoever sends is not sure that it arrived.
    if (random() < 0.2) sim.at(20_000 * random(), () => broker.publish(type, { body, attributes }));
  }

  function setUp(id: string, dataflow: string, more: object = {}): Graph {
    const graph = newest.get(dataflow) ?? randomGraph(dataflow, 8, approvals, random);
    graphs.set(id, graph);
    for (const unit of graph.units) if (unit.protection !== undefined) protectedPaths.add(unit.id);
    send('dataflow-setup', id, { dataflow, scope: SCOPE, ...more });
    return graph;
  }

  /** One random command, at a random moment. */
  function tell(at: number): void {
    const id = `c${at}`;
    const dice = random();
    if (dice < 0.65) tellToWork(id, dice);
    else if (dice < 0.92) tellAboutWork(id, dice);
    else if (dice < 0.96) send('lock', id, { dataflow: pick(dataflows, random), scope: SCOPE });
    else
      send('unlock', id, {
        ...{ dataflow: pick(dataflows, random), scope: SCOPE },
        ...{ force: true, reason: 'a test' },
      });
  }

  function tellToWork(id: string, dice: number): void {
    const dataflow = pick(dataflows, random);
    const onFailure = random() < 0.3 ? 'rollback' : 'keep';
    const work = {
      priority: pick(['high', 'normal', 'low'], random),
      timeout_seconds: random() < 0.1 ? 60 : 3_600,
      auto_approve: random() < 0.3,
    };
    if (dice < 0.45) {
      const graph = newest.get(dataflow);
      if (graph) newest.set(dataflow, changed(graph, random));
      setUp(id, dataflow, { ...work, on_failure: onFailure, ...(random() < 0.1 ? { dry_run: true } : {}) });
    } else if (dice < 0.53) {
      const which = random() < 0.3 ? 'all' : dataflow;
      send('teardown', id, { dataflow: which, scope: SCOPE, ...work, on_failure: onFailure });
    } else send('rollback', id, { dataflow, scope: SCOPE, ...work, reason: 'a test' });
  }

  function tellAboutWork(id: string, dice: number): void {
    const all = database.list<DeploymentRecord>({ collection: 'deployments' });
    const deployment = all.length > 0 ? pick(all, random).id : `c0.${pick(dataflows, random)}`;
    const decision = random() < 0.2 ? { decision: 'reject' } : {};
    if (dice < 0.8) send('approve', id, { deployment: waiting() ?? deployment, ...decision });
    else send('cancel', id, { deployment, reason: 'a test' });
  }

  function waiting(): string | undefined {
    const parked = database.list<DeploymentRecord>({
      collection: 'deployments',
      where: { field: 'status', is: 'awaiting_approval' },
    });
    return parked[0]?.id;
  }

  const hasEnded = (id: string): boolean =>
    database.get<CommandRecord>(keys.command(id))?.value.answer !== undefined;
  const isQuiet = (): boolean =>
    [...sent.keys()].every(hasEnded) &&
    database.list({ collection: 'outbox' }).length === 0 &&
    database.list({ collection: 'queue' }).length === 0 &&
    database.list<StackRecord>({ collection: 'stacks' }).every(({ value }) => value.lease === undefined);

  async function until(is: () => boolean, ms: number, what: string): Promise<void> {
    const stop = await sim.run({ until: is, atMs: sim.now() + ms, events: MOST_EVENTS });
    if (stop.because === 'until') return;
    const open = [...sent.keys()].filter((id) => !hasEnded(id));
    const queue = database.list({ collection: 'queue' }).map(({ id }) => id);
    throw new Violation(
      'everything comes to rest',
      `${what}: ${stop.because} after ${ms} ms; open ${open.join()}; queue ${queue.join()}`,
    );
  }

  /** Strangers go when the trouble is over: their names are wanted. */
  function sendStrangersAway(): void {
    for (const { path, owner } of cloud.things()) if (owner === 'foreign') cloud.take(path);
  }

  /** What nobody comes for is approved, or given back, once the trouble is over. */
  function tidy(): void {
    for (const { value } of database.list<{ stack: string }>({ collection: 'locks' })) {
      const dataflow = value.stack.split('/')[1] ?? '';
      send('unlock', `tidy.${sent.size}`, { dataflow, scope: SCOPE, force: true, reason: 'tidying up' });
    }
    const parked = comesForThem ? waiting() : undefined;
    if (parked !== undefined) send('approve', `tidy.${sent.size}`, { deployment: parked });
    if (!isQuiet()) sim.at(2 * MINUTE, tidy);
  }

  async function settle(round: string): Promise<void> {
    for (const dataflow of dataflows) setUp(`${round}.${dataflow}`, dataflow, { auto_approve: true });
    await until(isQuiet, HEAL_MS, round);
    for (const dataflow of dataflows) {
      const id = `${round}.${dataflow}`;
      const answer = database.get<CommandRecord>(keys.command(id))?.value.answer;
      if (answer?.type !== 'completed')
        throw new Violation(
          'what is asked for can be had once the faults stop',
          `${id}: ${JSON.stringify(answer)}`,
        );
      demandWorld(dataflow);
    }
  }

  /** The world equals what the last command asked for. */
  function demandWorld(dataflow: string): void {
    for (const unit of newest.get(dataflow)?.units ?? []) {
      if (unit.kind === 'grants') demandGrants(unit);
      else demandThing(unit);
    }
  }

  function demandGrants({ id, spec }: Unit): void {
    const held = cloud.bindings(spec.name).map(({ role, member }) => `${role} ${member}`);
    for (const { role, member } of spec.bindings as { role: string; member: string }[])
      if (!held.includes(`${role} ${member}`))
        throw new Violation('the world equals what was asked for', `${id} misses ${member}`);
  }

  function demandThing({ id, spec }: Unit): void {
    const thing = cloud.thing(id);
    const { name: _, ...fields } = resolve(spec, (need) => ({ path: need }));
    for (const [field, value] of Object.entries(fields)) {
      const [is, wanted] = [canonicalJson(thing?.spec[field] ?? null), canonicalJson(value)];
      if (!thing || is !== wanted)
        throw new Violation(
          'the world equals what was asked for',
          thing ? `${id}.${field} is ${is}, not ${wanted}` : `${id} is not there`,
        );
    }
    if (!thing) throw new Violation('the world equals what was asked for', `${id} is not there`);
  }

  /** Every version that is kept leads back to what there was. */
  async function demandHistory(): Promise<void> {
    for (const { value } of database.list<StackRecord>({ collection: 'stacks' })) {
      const rows = database.list<{ id: UnitId }>({ collection: 'units', prefix: `${value.stack}//` });
      const current = new Map(rows.map((row) => [row.value.id, row.value])) as never;
      for (let version = value.version; version >= Math.max(0, value.version - RETENTION); version--)
        await demandVersion(value, version, current);
    }
  }

  async function demandVersion(
    { stack, version: now }: StackRecord,
    version: number,
    current: Parameters<typeof pastOf>[1],
  ): Promise<void> {
    const invariant = 'every version that is kept can be brought back';
    const past = await pastOf(stack, current, now, version, readerOf(database)).catch((error) => {
      throw new Violation(invariant, `${stack}@${version}: ${String(error)}`);
    });
    const then = oracles.snapshot(stack, version);
    for (const id of then ? new Set([...then.keys(), ...past.states.keys()]) : []) {
      const [told, was] = [past.states.get(id), then?.get(id)].map((state) =>
        canonicalJson(state ? { ...state, leaving: undefined, unsure: undefined } : null),
      );
      if (told !== was)
        throw new Violation(invariant, `${stack}@${version}: ${id} is told as ${told} and was ${was}`);
    }
  }

  return {
    sometimes: () => oracles.sometimes,
    async play() {
      const count = Math.min(mostCommands, 3 + Math.floor(random() * 7));
      // At times all of them at once, so that they meet.
      const isBurst = random() < 0.3;
      const momentMs = TROUBLE_MS * random() * random();
      for (let at = 0; at < count; at++)
        sim.at(2_000 + (isBurst ? momentMs + 300 * random() : TROUBLE_MS * random() * random()), () =>
          at === 0 ? setUp('c0', pick(dataflows, random)) : tell(at),
        );
      await sim.run({ atMs: TROUBLE_MS });
      sim.heal();
      sendStrangersAway();
      tidy();
      await until(isQuiet, HEAL_MS, 'healing');
      await sim.run({ atMs: sim.now() + QUIET_MS });
      oracles.checkAtRest();
      await demandHistory();

      await settle('settle');
      const before = cloud.audit.length;
      await settle('twice');
      if (cloud.audit.length > before)
        throw new Violation(
          'a second apply changes nothing',
          cloud.audit
            .slice(before)
            .map(({ verb, unit, process }) => `${process} ${verb} ${unit}`)
            .join(', '),
        );
      oracles.checkAtRest();
      await teardown();
    },
  };

  async function teardown(): Promise<void> {
    const all = random() < 0.5 ? ['all'] : dataflows;
    for (const dataflow of all)
      send('teardown', `end.${dataflow}`, { dataflow, scope: SCOPE, auto_approve: true });
    await until(isQuiet, HEAL_MS, 'teardown');
    oracles.checkAtRest();
    const kept = new Set(
      database.list<{ id: UnitId }>({ collection: 'units' }).map(({ value }) => value.id as string),
    );
    for (const { path, owner } of cloud.things()) {
      if (owner === 'foreign' || oracles.late.has(path)) continue;
      if (!kept.has(path)) throw new Violation('a teardown leaves nothing', path);
    }
    // What stays is protected, or needed by what is.
    if (kept.size > 0 && protectedPaths.size === 0)
      throw new Violation('a teardown leaves nothing', [...kept].join(', '));
  }
}

/** Few, so that some are let go. */
const RETENTION = 4;

/** Reads the database as it is, asked by nobody. */
function readerOf(database: SimDatabase): Store {
  return {
    get: async (key) => database.get(key),
    list: async (query) => database.list(query),
    commit: async () => {
      throw new Error('it only reads');
    },
    close: async () => {},
  };
}

interface Surroundings {
  readonly sim: Simulation;
  readonly database: SimDatabase;
  readonly broker: SimBroker;
  readonly cloud: SimCloud;
  readonly library: Parameters<typeof blueprintsOf>[0];
  /** Whether a director can tell that another one is dead before its lease runs out. */
  readonly knowsMachine: boolean;
}

const SPEAKER: Speaker = {
  source: 'director',
  eventsTopic: 'director-events',
  deadLetterTopic: 'dead-letters',
};

const alive = new WeakMap<Simulation, Map<string, Process>>();

/** The director's real core, put together as `app.ts` does, on simulated surroundings. */
async function direct(process: Process, around: Surroundings): Promise<void> {
  const { sim, database, broker, cloud, library, knowsMachine } = around;
  const { clock, random, name } = process;
  const processes = alive.get(sim) ?? new Map<string, Process>();
  alive.set(sim, processes);
  processes.set(name, process);
  const holder: Holder = { id: name, host: 'simulated', pid: 1 };
  const store = database.handle(process);
  const onTrouble = (error: unknown, about: string): void => {
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError)
      throw error;
    sim.note('trouble', `${about}: ${String(error)}`);
  };
  const sending: Outbox = outbox({ store, bus: broker.bus(process), clock, random, onTrouble });
  const blueprints = blueprintsOf(library);
  const bounded = limits({ all: 12, each: 6 });
  const coordinating = coordinator({
    store,
    clock,
    random,
    engine: simEngine(cloud.client(process)),
    blueprints,
    speaker: SPEAKER,
    projectNumber: '1',
    sources: undefined,
    retention: RETENTION,
    approvalMs: 30 * MINUTE,
    engineContext: (rank) => ({
      cloud: noCloud('simulated'),
      region: 'nowhere',
      self: undefined,
      clock,
      random,
      limit: (api, call) => bounded.run(api, call, rank),
    }),
    announce: () => {},
    holder,
    isGone: (other) => knowsMachine && processes.get(other.id)?.state() === 'dead',
    outbox: sending,
    onTrouble,
  });
  const inbox: Intake = intake({
    store,
    clock,
    outbox: sending,
    speaker: SPEAKER,
    blueprints,
    onTaken(_record, writes) {
      coordinating.wake(stacksToWake(writes));
      coordinating.poke(toldToStop(writes));
    },
  });
  for (const type of TYPES) {
    broker.consume(process, `${type}-sub`, async (delivery) => {
      try {
        await inbox.receive({
          fallbackId: delivery.messageId,
          receivedAt: timestamp(clock.now()),
          type: isCommandType(type) ? type : undefined,
          requester: 'story',
          envelope: fromAttributes(delivery.attributes),
          body: delivery.body,
        });
        delivery.ack();
      } catch (error) {
        onTrouble(error, 'a command could not be written down');
        delivery.nack();
      }
    });
  }
  // A store that fails at the start is tried again.
  for (;;) {
    try {
      return await coordinating.start();
    } catch (error) {
      onTrouble(error, 'start');
      await clock.sleep(1_000);
    }
  }
}

function pick<T>(list: readonly T[], random: Random): T {
  const one = list[Math.floor(random() * list.length)];
  if (one === undefined) throw new Error('nothing to pick from');
  return one;
}
