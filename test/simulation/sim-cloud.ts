/**
 * The cloud of the simulated world: things by path, with an owner's mark, an etag, and policies on them.
 *
 *   const cloud = simCloud(sim);
 *   const client = cloud.client(process);       // through faults
 *   await client.create({ path: 'thing/a', kind: 'thing', owner, spec: { size: 1 } });
 *   cloud.things(), cloud.thing('thing/a')      // as it is, asked by nobody
 *   cloud.audit                                  // every mutating call, and what came of it
 *   cloud.edit('thing/a', { size: 9 }); cloud.take('thing/a'); cloud.plant('thing/b', 'thing'); // by hand
 *
 * The path is the id of the unit. How a kind behaves is in `sim-kinds.ts`: long-running operations that are slow,
 * fail, never finish or are forgotten; reads that are older than a write; names that stay taken. Errors look as
 * those of Google's clients, and the product's own `CloudError.from` reads them.
 */
import { CloudError, type Reason } from '@service-director/shared/cloud/error.ts';
import type { Owner } from '@service-director/shared/model/unit.ts';
import { answer, NO_ANSWER } from './answers.ts';
import type { FaultKind, Site } from './faults.ts';
import type { Process, Simulation } from './scheduler.ts';
import { type Traits, traitsOf } from './sim-kinds.ts';

export type Fields = Readonly<Record<string, unknown>>;

export interface Thing {
  readonly path: string;
  readonly kind: string;
  /** New for each that is made, also under the same name. */
  readonly uid: string;
  readonly owner: Owner | 'foreign';
  readonly spec: Fields;
  /** Changes with every write. */
  readonly etag: string;
  /** The operation that still changes it. */
  readonly busy: string | undefined;
}

export interface Binding {
  readonly role: string;
  readonly member: string;
}

export interface Policy {
  readonly bindings: readonly Binding[];
  readonly etag: string;
}

export type Verb = 'create' | 'update' | 'remove' | 'grant';

/** One mutating call, or what somebody did by hand. */
export interface Audit {
  readonly verb: Verb;
  readonly path: string;
  /** Of which it is the doing: the path, or `grants/<path>`. */
  readonly unit: string;
  /** `hand` where it was no process. */
  readonly process: string;
  /** Milliseconds since the beginning. */
  readonly sentAt: number;
  /** When it had its effect; undefined while it had none. */
  effectAt: number | undefined;
  /** Of the thing that it made, changed or removed. */
  uid: string | undefined;
  /** What its process heard of it that was no success. */
  heard: Reason | undefined;
}

export interface Ask {
  readonly path: string;
  /** As it was seen; where the kind has etags, another one is refused. */
  readonly etag?: string | undefined;
}

/** What a process has of the cloud. Rejects with what Google's clients throw. */
export interface CloudClient {
  get(path: string): Promise<Thing | undefined>;
  /** Each resolves with the name of an operation, where it began one. */
  create(thing: Pick<Thing, 'path' | 'kind' | 'owner' | 'spec'>): Promise<string | undefined>;
  update(ask: Ask & { readonly fields: Fields }): Promise<string | undefined>;
  remove(ask: Ask): Promise<string | undefined>;
  /** How it stands; rejects with what it ended with where it failed, and when nobody knows of it. */
  operation(name: string): Promise<'running' | 'done' | { readonly failed: unknown }>;
  policy(path: string): Promise<Policy | undefined>;
  grant(path: string, policy: Policy): Promise<void>;
  /** Whether it is in effect. */
  test(path: string, binding: Binding): Promise<boolean>;
}

export interface SimCloud {
  client(process: Process): CloudClient;
  thing(path: string): Thing | undefined;
  things(): Thing[];
  bindings(path: string): readonly Binding[];
  /** Whether somebody may still see what was there before the newest write. */
  isShownLate(path: string): boolean;
  /** Every mutating call, oldest first. */
  readonly audit: readonly Audit[];
  /** Called when a call has its effect. What it throws ends the run. */
  onEffect(listener: (audit: Audit, thing: Thing | undefined) => void): void;
  /** Somebody changes these fields. */
  edit(path: string, fields: Fields): void;
  /** Somebody removes it. */
  take(path: string): void;
  /** A stranger makes one of that name, unless there is one. */
  plant(path: string, kind: string): void;
}

interface Entry {
  thing: Thing | undefined;
  /** What a late reader still sees, until then. */
  before: Thing | undefined;
  showsAt: number;
  heldUntil: number;
  policy: Map<string, { readonly binding: Binding; readonly effectAt: number }>;
  policyEtag: number;
}

interface Operation {
  readonly path: string;
  ended: 'done' | { readonly failed: unknown } | undefined;
  isForgotten: boolean;
  end(): void;
}

/** Milliseconds. */
const READ_MS = [15, 250] as const;
const WRITE_MS = [30, 700] as const;
const SHOWS_MS = [500, 15_000] as const;
const HELD_MS = [2_000, 100_000] as const;
const GRANT_MS = [1, 2_000] as const;
const GRANT_LATE_MS = [5_000, 480_000] as const;
const OPERATION_MS = [500, 20_000] as const;
const OPERATION_SLOW_MS = [60_000, 900_000] as const;

const READING: readonly FaultKind[] = ['lost-answer', 'unavailable', 'rate-limited', 'denied', 'slow'];
const WRITING: readonly FaultKind[] = [
  ...['lost-request', 'lost-answer', 'truncated', 'slow', 'unavailable', 'unavailable-after'],
  ...['conflict', 'precondition', 'rate-limited', 'denied'],
] as FaultKind[];

export function simCloud(sim: Simulation): SimCloud {
  const entries = new Map<string, Entry>();
  const operations = new Map<string, Operation>();
  const audit: Audit[] = [];
  const listeners: ((audit: Audit, thing: Thing | undefined) => void)[] = [];
  const random = sim.random('cloud');
  const site = (name: string, kinds: readonly FaultKind[]): Site => sim.faults.site(`cloud.${name}`, kinds);
  const sites = {
    get: site('get', READING),
    create: site('create', WRITING),
    update: site('update', WRITING),
    remove: site('remove', WRITING),
    poll: site('operation', READING),
    policy: site('policy', READING),
    grant: site('grant', WRITING),
    test: site('test', READING),
  };
  const fates = {
    operation: site('operation runs', ['operation-fails', 'operation-slow', 'operation-stuck']),
    forgets: site('operation is forgotten', ['operation-forgotten']),
    shows: site('what was written shows', ['shows-late']),
    holds: site('a name is free', ['name-held']),
    grants: site('a grant takes effect', ['grant-late']),
  };
  let uids = 0;

  const between = ([least, most]: readonly [number, number]): number =>
    Math.round(least + (most - least) * random());

  function entryOf(path: string): Entry {
    const known = entries.get(path) ?? {
      thing: undefined,
      before: undefined,
      showsAt: 0,
      heldUntil: 0,
      policy: new Map(),
      policyEtag: 0,
    };
    entries.set(path, known);
    return known;
  }

  /** As somebody sees it who may be late. */
  function seen(path: string): Thing | undefined {
    const entry = entries.get(path);
    if (!entry) return undefined;
    const isLate = sim.now() < entry.showsAt && random() < 0.5;
    return isLate ? entry.before : entry.thing;
  }

  function demand(path: string, etag: string | undefined): Thing {
    const thing = entries.get(path)?.thing;
    if (!thing) throw answer('NOT_FOUND', `${path} was not found`);
    if (thing.busy !== undefined) throw answer('ABORTED', `${path}: ${thing.busy} is in progress`);
    if (traitsOf(thing.kind).hasEtag && etag !== undefined && etag !== thing.etag)
      throw answer('PRECONDITION', `${path} was written by somebody else`);
    return thing;
  }

  /** From now on it is so, though some may see it later. */
  function put(path: string, thing: Thing | undefined, { showsLate, holdsName }: Traits): void {
    const entry = entryOf(path);
    if (showsLate && fates.shows.draw()) {
      entry.before = entry.thing;
      entry.showsAt = sim.now() + between(SHOWS_MS);
    } else {
      entry.showsAt = 0;
    }
    if (!thing) {
      entry.policy.clear();
      entry.policyEtag++;
      if (holdsName && fates.holds.draw()) entry.heldUntil = sim.now() + between(HELD_MS);
    }
    entry.thing = thing;
    sim.note('is', `${path} ${thing ? `${thing.uid} ${thing.etag} ${thing.busy ?? ''}` : 'gone'}`);
  }

  function took(call: Audit, thing: Thing | undefined): void {
    call.effectAt = sim.now();
    call.uid = thing?.uid;
    for (const listener of listeners) sim.guard(() => listener(call, thing));
  }

  function begin(verb: Verb, path: string, process: string): Audit {
    const unit = verb === 'grant' ? `grants/${path}` : path;
    const call: Audit = {
      ...{ verb, path, unit, process },
      sentAt: sim.now(),
      ...{ effectAt: undefined, uid: undefined, heard: undefined },
    };
    audit.push(call);
    return call;
  }

  function make(call: Audit, wanted: Pick<Thing, 'path' | 'kind' | 'owner' | 'spec'>): string | undefined {
    const { path, kind } = wanted;
    const entry = entryOf(path);
    if (entry.thing || entry.heldUntil > sim.now()) throw answer('ALREADY_EXISTS', `${path} exists already`);
    const thing: Thing = { ...wanted, uid: `u${++uids}`, etag: `e${uids}.1`, busy: undefined };
    return change(call, thing, traitsOf(kind), () => undefined);
  }

  function set(call: Audit, { path, etag, fields }: Ask & { fields: Fields }): string | undefined {
    const thing = demand(path, etag);
    const next = { ...thing, spec: { ...thing.spec, ...fields }, etag: nextEtag(thing) };
    return change(call, next, traitsOf(thing.kind), () => ({ ...thing, etag: nextEtag(next) }));
  }

  function drop(call: Audit, { path, etag }: Ask): string | undefined {
    const thing = demand(path, etag);
    const traits = traitsOf(thing.kind);
    if (!traits.isSlow) {
      put(path, undefined, traits);
      took(call, thing);
      return undefined;
    }
    const name = run(thing, traits, (isWell) => {
      if (isWell) took(call, thing);
      return isWell ? undefined : { ...thing, etag: nextEtag(thing) };
    });
    put(path, { ...thing, busy: name }, traits);
    return name;
  }

  /** At once, or as an operation that keeps it busy; `undone` is what is there when that fails. */
  function change(
    call: Audit,
    thing: Thing,
    traits: Traits,
    undone: () => Thing | undefined,
  ): string | undefined {
    const name = traits.isSlow ? run(thing, traits, (isWell) => (isWell ? thing : undone())) : undefined;
    put(thing.path, { ...thing, busy: name }, traits);
    took(call, thing);
    return name;
  }

  /** Begins an operation; `end` gives what is there after it. */
  function run({ path }: Thing, traits: Traits, end: (isWell: boolean) => Thing | undefined): string {
    const name = `operation-${operations.size + 1}`;
    const fault = fates.operation.draw();
    const operation: Operation = {
      path,
      ended: undefined,
      isForgotten: false,
      end() {
        if (operation.ended) return;
        const isWell = fault !== 'operation-fails';
        operation.ended = isWell ? 'done' : { failed: failureOf(random()) };
        operation.isForgotten = fates.forgets.draw() !== undefined;
        // Somebody may have taken it away meanwhile.
        if (entries.get(path)?.thing?.busy === name) put(path, end(isWell), traits);
      },
    };
    operations.set(name, operation);
    const isStuck = fault === 'operation-stuck';
    if (!isStuck)
      sim.at(between(fault === 'operation-slow' ? OPERATION_SLOW_MS : OPERATION_MS), operation.end);
    return name;
  }

  sim.onHeal(() => {
    // What is stuck comes loose; what runs by itself ends by itself.
    for (const operation of operations.values())
      if (!operation.ended) sim.at(between(OPERATION_MS), operation.end);
  });

  function write(call: Audit, path: string, { bindings, etag }: Policy): void {
    const entry = entries.get(path);
    if (!entry?.thing) throw answer('NOT_FOUND', `${path} was not found`);
    if (etag !== String(entry.policyEtag)) throw answer('ABORTED', `The policy of ${path} was changed`);
    const lateMs = fates.grants.draw() ? between(GRANT_LATE_MS) : between(GRANT_MS);
    const policy: Entry['policy'] = new Map();
    for (const binding of bindings) {
      const key = bindingName(binding);
      policy.set(key, entry.policy.get(key) ?? { binding, effectAt: sim.now() + lateMs });
    }
    entry.policy = policy;
    entry.policyEtag++;
    sim.note('grants', `${path} ${[...policy.keys()].join(', ')}`);
    took(call, entry.thing);
  }

  function policyOf(path: string): Policy | undefined {
    const entry = entries.get(path);
    if (!entry?.thing) return undefined;
    return {
      bindings: [...entry.policy.values()].map(({ binding }) => binding),
      etag: String(entry.policyEtag),
    };
  }

  function client(process: Process): CloudClient {
    const failure = (kind: FaultKind): unknown => failureAs(kind, random);

    function ask<T>(at: Site, path: string, effect: () => T): Promise<T> {
      return sim.call(process, { site: at, legMs: READ_MS, failure }, effect, path);
    }

    async function mutate<T>(at: Site, verb: Verb, path: string, effect: (call: Audit) => T): Promise<T> {
      const call = begin(verb, path, process.name);
      try {
        return await sim.call(process, { site: at, legMs: WRITE_MS, failure }, () => effect(call), path);
      } catch (error) {
        call.heard = CloudError.from(error).reason;
        throw error;
      }
    }

    return {
      get: (path) => ask(sites.get, path, () => seen(path)),
      create: (wanted) => mutate(sites.create, 'create', wanted.path, (call) => make(call, wanted)),
      update: (wanted) => mutate(sites.update, 'update', wanted.path, (call) => set(call, wanted)),
      remove: (wanted) => mutate(sites.remove, 'remove', wanted.path, (call) => drop(call, wanted)),
      operation: (name) =>
        ask(sites.poll, name, () => {
          const operation = operations.get(name);
          if (!operation || operation.isForgotten) throw answer('NOT_FOUND', `${name} was not found`);
          return operation.ended ?? 'running';
        }),
      policy: (path) => ask(sites.policy, path, () => policyOf(path)),
      grant: (path, policy) => mutate(sites.grant, 'grant', path, (call) => write(call, path, policy)),
      test: (path, binding) =>
        ask(sites.test, path, () => {
          const held = entries.get(path)?.policy.get(bindingName(binding));
          return held !== undefined && held.effectAt <= sim.now();
        }),
    };
  }

  return {
    client,
    thing: (path) => entries.get(path)?.thing,
    things: () => [...entries.values()].flatMap(({ thing }) => (thing ? [thing] : [])),
    bindings: (path) => policyOf(path)?.bindings ?? [],
    isShownLate: (path) => (entries.get(path)?.showsAt ?? 0) > sim.now(),
    audit,
    onEffect: (listener) => void listeners.push(listener),
    edit(path, fields) {
      const thing = entries.get(path)?.thing;
      if (!thing) return;
      put(path, { ...thing, spec: { ...thing.spec, ...fields }, etag: nextEtag(thing) }, { seconds: 0 });
      took(begin('update', path, HAND), thing);
    },
    take(path) {
      const thing = entries.get(path)?.thing;
      if (!thing) return;
      put(path, undefined, traitsOf(thing.kind));
      took(begin('remove', path, HAND), thing);
    },
    plant(path, kind) {
      const entry = entryOf(path);
      if (entry.thing) return;
      const [uid, etag] = [`u${++uids}`, `e${uids}.1`];
      const thing: Thing = { path, kind, uid, etag, owner: 'foreign', spec: {}, busy: undefined };
      put(path, thing, { seconds: 0 });
      took(begin('create', path, HAND), thing);
    },
  };
}

/** Who acts by hand, in the audit. */
export const HAND = 'hand';

export function bindingName({ role, member }: Binding): string {
  return `${role} ${member}`;
}

function nextEtag({ etag }: Thing): string {
  const [made, count] = etag.split('.');
  return `${made}.${Number(count) + 1}`;
}

/** What an operation ends with, as `google.rpc.Status`. */
function failureOf(chance: number): unknown {
  if (chance < 0.4) return { code: 13, message: 'An internal error has occurred' };
  if (chance < 0.8) return { code: 10, message: 'The operation was aborted' };
  return { code: 9, message: 'The container failed to start' };
}

/** A fault of the passage as the caller hears it. */
function failureAs(kind: FaultKind, random: () => number): unknown {
  switch (kind) {
    case 'conflict':
      return answer('ABORTED', 'There were concurrent changes; please try again');
    case 'precondition':
      return answer('PRECONDITION', 'The etag does not match');
    case 'rate-limited':
      return answer('RATE_LIMITED', 'Quota exceeded for writes per minute', 1 + Math.floor(random() * 30));
    case 'denied':
      return answer('PERMISSION_DENIED', "Permission 'things.use' denied (or it may not exist)");
    case 'unavailable':
    case 'unavailable-after':
      return answer(random() < 0.5 ? 'UNAVAILABLE' : 'INTERNAL', 'The service is currently unavailable');
    case 'truncated':
      return NO_ANSWER.truncated();
    default:
      return NO_ANSWER.timeout();
  }
}
