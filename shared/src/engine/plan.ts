/**
 * The plan: what would happen to a stack, in full, before anything does.
 *
 * Desired units beside the observed world and what we applied last. Pure but for reading. Removing everything
 * is a plan for nothing desired. What a plan does not name, an apply does not touch.
 */
import { fingerprint } from '../kit/hash.ts';
import { type Change, NONE, type ResourceChange } from '../model/change.ts';
import type { UnitState } from '../model/state.ts';
import {
  needsOf,
  type Outputs,
  resolve,
  type StackId,
  type Unit,
  type UnitId,
  type UnitSpec,
  unitId,
} from '../model/unit.ts';
import type { Engine, EngineContext, Refusal, ToolLine } from './engine.ts';
import { criticalPath, order } from './walk.ts';

export type Operation = 'dataflow-setup' | 'deploy' | 'teardown' | 'rollback';

export interface PlannedUnit {
  readonly id: UnitId;
  readonly kind: string;
  readonly change: Change;
  /** Of the same plan; what has to be finished first. */
  readonly after: readonly UnitId[];
  readonly seconds: number;
  /** How much of that is waited on purpose, where any is. */
  readonly heldSeconds?: number;
  /** What was there when it was planned. */
  readonly outputs: Outputs;
  /** Left as it is although nobody asks for it any more, or although it was to go. */
  readonly kept?: string;
  readonly holdsData?: boolean;
  /** Of a unit that is a tool's: what it would do to the resources within. */
  readonly resources?: readonly ResourceChange[];
  /** Will not be touched: a stranger is in the way, or data would be lost. */
  readonly refused?: Refusal;
  /** Written, but not yet seen in effect. */
  readonly unverified?: boolean;
  /** It was applied as it is described, and yet it differs, though nobody asked for anything else here. */
  readonly drifted?: boolean;
  /** Nothing is called for it: it goes with that, which it is on. */
  readonly implied?: UnitId;
}

export interface GrantChange {
  readonly change: 'gained' | 'lost';
  readonly member: string;
  readonly role: string;
  readonly on: string;
  readonly reason?: string;
}

export interface Plan {
  readonly stack: StackId;
  readonly operation: Operation;
  readonly units: readonly PlannedUnit[];
  /** Of other stacks, or of an earlier stage: awaited, never touched. */
  readonly externals: readonly UnitId[];
  readonly grants: readonly GrantChange[];
  /** About how long it takes, along the critical path. */
  readonly seconds: number;
  readonly criticalPath: readonly string[];
  readonly warnings: readonly string[];
  /** Of what would be done: equal plans have equal hashes. */
  readonly hash: string;
}

export interface PlanRequest {
  readonly stack: StackId;
  readonly operation: Operation;
  readonly desired: readonly Unit[];
  /** What is not desired any more and may go. */
  readonly obsolete: readonly UnitState[];
  /** Why some of the obsolete stay, beside their own protection. */
  readonly keep: ReadonlyMap<UnitId, string>;
  readonly priors: ReadonlyMap<UnitId, UnitState>;
  /** What desired units need and this plan does not make. */
  readonly externals: readonly Unit[];
  readonly engine: Engine;
  readonly context: EngineContext;
  /** Tells what a look at a unit waits for: an API that was enabled a moment ago. */
  waiting?(unit: UnitId, because: string): void;
  /** Tells what the tool of a unit says. */
  log?(unit: UnitId, line: ToolLine): void;
}

export async function makePlan(request: PlanRequest): Promise<Plan> {
  const { stack, operation } = request;
  const [wanted, removals] = [await planDesired(request), planObsolete(request)];
  const units = [...wanted, ...removals];
  const changing = units.filter(({ change, kept }) => change.action !== 'none' && kept === undefined);
  const ids = new Set(changing.map(({ id }) => id));
  const specs = new Map(request.desired.map(({ id, spec }) => [id, spec]));
  const nodes = changing.map((unit) => ({
    id: unit.id,
    seconds: unit.seconds,
    after: unit.after.filter((id) => ids.has(id)),
  }));
  const longest = criticalPath(nodes);
  return {
    stack,
    operation,
    units,
    externals: request.externals.map(({ id }) => id),
    grants: grantChanges(units, request),
    seconds: longest.seconds,
    criticalPath: longest.path,
    warnings: [...warningsOf(units), ...(operation === 'rollback' ? lossesOf(units) : [])],
    hash: fingerprint(
      changing.map(({ id, change, resources }) => [
        ...[id, change, specs.get(id) ?? null],
        ...(resources ? [resources] : []),
      ]),
    ),
  };
}

/** Every unit is looked at once those whose outputs it refers to have been. */
async function planDesired(request: PlanRequest): Promise<PlannedUnit[]> {
  const { desired, externals, priors, engine, context } = request;
  const ids = new Set(desired.map(({ id }) => id));
  const nodes = desired.map((unit) => ({ id: unit.id, after: needsOf(unit).filter((id) => ids.has(id)) }));
  // A circle is told before anything is asked.
  order(nodes);

  const known = new Map<UnitId, Promise<PlannedUnit>>();
  const look = engine.look ?? engine.plan;
  for (const unit of externals) known.set(unit.id, lookAt(unit, [], new Map(), look));

  async function lookAt(
    unit: Unit,
    after: readonly UnitId[],
    outputs: ReadonlyMap<UnitId, Outputs>,
    ask = engine.plan,
  ): Promise<PlannedUnit> {
    const spec = resolve(unit.spec, (id) => outputs.get(id));
    const waiting = (because: string): void => request.waiting?.(unit.id, because);
    const log = (line: ToolLine): void => request.log?.(unit.id, line);
    const prior = priors.get(unit.id);
    const planned = await ask({ unit, spec, prior }, { ...context, waiting, log });
    const drifted = planned.change.action !== 'none' && wasApplied(spec, prior) ? { drifted: true } : {};
    return { id: unit.id, kind: unit.kind, after, ...planned, ...drifted };
  }

  async function planUnit(unit: Unit, after: readonly UnitId[]): Promise<PlannedUnit> {
    const outputs = new Map<UnitId, Outputs>();
    let madeAnew = false;
    for (const id of needsOf(unit)) {
      const need = await known.get(id);
      if (need) outputs.set(id, need.outputs);
      madeAnew ||= need?.change.action === 'replace' && unit.id === unitId('grants', id);
    }
    const planned = await lookAt(unit, after, outputs);
    // What was seen granted was seen on the one that goes.
    if (!madeAnew) return planned;
    const { drifted: _, ...rest } = planned;
    return { ...rest, change: { action: 'create' }, unverified: true };
  }

  for (const place of order(nodes)) {
    const unit = desired[place];
    if (unit) known.set(unit.id, planUnit(unit, nodes[place]?.after ?? []));
  }
  // All are awaited before one is let fail, so that no question is left open behind our back.
  await Promise.allSettled(known.values());
  return Promise.all(desired.map(async (unit) => (await known.get(unit.id)) ?? lookAt(unit, [], new Map())));
}

/** States of the first release do not tell. */
function wasApplied(spec: UnitSpec, prior: UnitState | undefined): boolean {
  return prior?.fingerprint !== undefined && !prior.unsure && prior.fingerprint === fingerprint(spec);
}

function planObsolete({ obsolete, keep, desired, priors, engine }: PlanRequest): PlannedUnit[] {
  const kept = keptOf(obsolete, keep, engine);
  const going = new Set(obsolete.filter(({ id }) => !kept.has(id)).map(({ id }) => id));
  const desiredIds = new Set(desired.map(({ id }) => id));

  /** What needs a unit has to be gone, or changed, before the unit goes. */
  const dependants = new Map<UnitId, UnitId[]>();
  for (const state of priors.values()) {
    if (!going.has(state.id) && !desiredIds.has(state.id)) continue;
    for (const need of state.needs) {
      const others = dependants.get(need);
      if (others) others.push(state.id);
      else dependants.set(need, [state.id]);
    }
  }

  const impliedBy = (id: UnitId): UnitId | undefined => {
    const target = id.startsWith('grants/') ? (id.slice('grants/'.length) as UnitId) : undefined;
    return target !== undefined && going.has(target) ? target : undefined;
  };
  /** Grants go with what they are on: whatever has to go before them goes before that, and they hold up nothing else. */
  const before = (id: UnitId): UnitId[] =>
    (dependants.get(id) ?? []).flatMap((other) => {
      const target = impliedBy(other);
      if (target === undefined) return [other];
      return target === id ? before(other) : [];
    });

  return obsolete.map((state) => {
    const { id, kind, outputs } = state;
    const reason = kept.get(id);
    if (reason !== undefined) return { id, kind, outputs, change: NONE, after: [], seconds: 0, kept: reason };
    const common = { id, kind, outputs, change: { action: 'delete' } as const };
    const implied = impliedBy(id);
    if (implied !== undefined) return { ...common, after: [implied], seconds: 0, implied };
    return { ...common, after: before(id), seconds: engine.removalSeconds(kind) };
  });
}

/** Why each that stays stays: protected, of a kind that stays, or needed by one that stays. */
function keptOf(
  obsolete: readonly UnitState[],
  keep: ReadonlyMap<UnitId, string>,
  engine: Engine,
): Map<UnitId, string> {
  const byId = new Map(obsolete.map((state) => [state.id, state]));
  const kept = new Map<UnitId, string>();
  const queue: [UnitId, string][] = obsolete.flatMap((state): [UnitId, string][] => {
    const reason = state.protection ?? keep.get(state.id) ?? engine.stays(state.kind);
    return reason === undefined ? [] : [[state.id, reason]];
  });
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [id, reason] = next;
    if (kept.has(id)) continue;
    kept.set(id, reason);
    for (const need of byId.get(id)?.needs ?? []) if (byId.has(need)) queue.push([need, `${id} needs it`]);
  }
  return kept;
}

function grantChanges(units: readonly PlannedUnit[], { desired, obsolete }: PlanRequest): GrantChange[] {
  const specs = new Map([...obsolete, ...desired].map(({ id, spec }) => [id, spec]));
  return units.flatMap((unit) => {
    if (unit.kind !== 'grants' || unit.change.action === 'none') return [];
    const spec = specs.get(unit.id);
    const on = unit.id.slice('grants/'.length);
    const bindings = (spec?.bindings ?? []) as { role: string; member: string; reason: string }[];
    if (unit.change.action === 'delete')
      return bindings.map(({ role, member }) => ({ change: 'lost' as const, member, role, on }));
    const fields = unit.change.action === 'update' ? new Set(unit.change.fields) : undefined;
    const gained = bindings
      .filter(({ role, member }) => fields?.has(`${member} ${role}`) ?? true)
      .map(({ role, member, reason }) => ({ change: 'gained' as const, member, role, on, reason }));
    const lost = [...(fields ?? [])].flatMap((field) => {
      const [member, role] = field.startsWith('-') ? field.slice(1).split(' ') : [];
      return member !== undefined && role !== undefined
        ? [{ change: 'lost' as const, member, role, on }]
        : [];
    });
    return [...gained, ...lost];
  });
}

/** What a way back does not bring back. */
function lossesOf(units: readonly PlannedUnit[]): string[] {
  return units.flatMap(({ id, change, kind, holdsData }) =>
    change.action === 'create' && (holdsData || kind === 'subscription')
      ? [`${id} comes back empty: what was in it is lost.`]
      : [],
  );
}

function warningsOf(units: readonly PlannedUnit[]): string[] {
  return units.flatMap(({ id, kind, change }) => {
    if (change.action === 'replace')
      return [`${id} is deleted and made anew: ${change.because}. What is in it is lost.`];
    if (change.action === 'delete' && kind === 'bucket') return [`${id} is deleted with everything in it.`];
    if (change.action === 'delete' && kind === 'subscription')
      return [`${id} is deleted; messages that wait in it are lost.`];
    return [];
  });
}
