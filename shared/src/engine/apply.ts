/** Carries a plan out: the walk over its units, each by its engine, each told and recorded. */
import { CloudError } from '../cloud/error.ts';
import type { Clock } from '../kit/clock.ts';
import { type Change, NONE } from '../model/change.ts';
import { bindingKey, bindingsOf, stateOf, type UnitState } from '../model/state.ts';
import { ACCOUNTS, needsOf, type Outputs, resolve, type Unit, type UnitId } from '../model/unit.ts';
import type { Engine, EngineContext } from './engine.ts';
import type { Plan, PlannedUnit } from './plan.ts';
import type { Action, Outcome } from './reconcile.ts';
import { type Node, walk } from './walk.ts';

/** How a unit ended. */
export type UnitOutcome =
  | Outcome
  /** Not tried, because that unit failed. */
  | { readonly status: 'skipped'; readonly because: UnitId };

export type Progress =
  | { readonly type: 'unit-started'; readonly unit: UnitId; readonly change: Change['action'] }
  | { readonly type: 'unit-waiting'; readonly unit: UnitId; readonly because: string }
  | {
      readonly type: 'unit-finished';
      readonly unit: UnitId;
      readonly outcome: UnitOutcome;
      readonly seconds: number;
    };

/** What happens to be written down on the way. Each rejects when nothing more may be done. */
export interface Journal {
  /** Units that were begun and not finished, by a process that died. */
  begun(): Iterable<UnitId>;
  /** How those ended that this apply finished before it was interrupted: they are not looked at again, as in one that was not. */
  finished?(): ReadonlyMap<UnitId, UnitOutcome>;
  intend(unit: UnitId, action: Action): Promise<void>;
  /** `state` is what is known of the unit from now on; undefined when it is gone, or nothing is known that was not. `seconds` is how long it took. */
  finish(unit: UnitId, outcome: UnitOutcome, state: UnitState | undefined, seconds: number): Promise<void>;
}

export type LettingGo =
  /** What of it is to go, marked as leaving. */
  | { readonly goes: UnitState }
  /** Why it stays: it is theirs from now on, or still ours. */
  | { readonly staysWithOthers: string }
  | { readonly staysWithUs: string };

export interface ApplyRequest {
  readonly plan: Plan;
  readonly desired: readonly Unit[];
  readonly externals: readonly Unit[];
  readonly priors: ReadonlyMap<UnitId, UnitState>;
  /** What is removed, where it is not in the priors: found in the world by its mark. */
  readonly obsolete: readonly UnitState[];
  readonly engine: Engine;
  readonly journal: Journal;
  /** Whether somebody is about to make this; while not, it is awaited only for a moment. */
  isComing(external: UnitId): Promise<boolean>;
  /** Asked before something is removed that others may use too. */
  letGo?(state: UnitState): Promise<LettingGo>;
  /** What the engine gets for one unit, but for the journal. */
  context(rank: number, unit: UnitId): Omit<EngineContext, 'record'>;
  readonly clock: Clock;
  emit(progress: Progress): void;
}

export async function apply(request: ApplyRequest): Promise<Map<UnitId, UnitOutcome>> {
  const { plan, desired, externals, obsolete, emit, clock } = request;
  const units = new Map(desired.map((unit) => [unit.id, unit]));
  const leaving = new Map(obsolete.map((state) => [state.id, state]));
  const outputs = new Map<UnitId, Outputs>();
  const planned = new Map(plan.units.map((unit) => [unit.id, unit]));
  const awaited = new Set(externals.map(({ id }) => id));
  /** Those for which a call was made that may have had an effect, now or before a crash. */
  const touched = new Set(request.journal.begun());
  /** How those ended that have. */
  const ended = new Map<UnitId, UnitOutcome>();
  /** What was begun to be removed. */
  const going = new Map<UnitId, UnitState>();
  /** Kept, although nobody else has it yet. */
  const stillOurs = new Set<UnitId>();
  const finished = request.journal.finished?.() ?? new Map<UnitId, UnitOutcome>();

  const contextOf = (rank: number, id: UnitId): EngineContext => ({
    ...request.context(rank, id),
    async record(action) {
      await request.journal.intend(id, action);
      touched.add(id);
    },
  });

  async function run(unit: PlannedUnit, rank: number): Promise<UnitOutcome> {
    const before = finished.get(unit.id);
    if (before?.status === 'done') {
      ended.set(unit.id, before);
      outputs.set(unit.id, before.outputs);
      return before;
    }
    const started = clock.now();
    const acts = unit.change.action !== 'none' || unit.unverified === true;
    if (acts && !unit.implied) emit({ type: 'unit-started', unit: unit.id, change: unit.change.action });
    const outcome = await perform(unit, rank);
    const seconds = (clock.now() - started) / 1000;
    ended.set(unit.id, outcome);
    await request.journal.finish(unit.id, outcome, stateAfter(unit, outcome), seconds);
    emit({ type: 'unit-finished', unit: unit.id, outcome, seconds });
    return outcome;
  }

  async function perform(unit: PlannedUnit, rank: number): Promise<UnitOutcome> {
    if (unit.kept !== undefined) return { status: 'kept', because: unit.kept };
    if (unit.refused) {
      const { because, fix } = unit.refused;
      return { status: 'failed', error: new CloudError('refused', because, { fix }) };
    }
    const context = contextOf(rank, unit.id);
    if (unit.change.action === 'delete') return remove(unit, context);
    const desiredUnit = units.get(unit.id);
    if (!desiredUnit)
      return {
        status: 'failed',
        error: new CloudError('internal', `${unit.id} is planned and not described`),
      };
    // What was found as desired a moment ago is not asked again: work follows the change.
    if (unit.change.action === 'none' && !unit.unverified)
      return { status: 'done', change: NONE, outputs: unit.outputs };
    const spec = resolve(desiredUnit.spec, (id) => outputs.get(id));
    const work = { unit: desiredUnit, spec, prior: request.priors.get(unit.id) };
    return request.engine.apply(work, unit.change, context);
  }

  async function remove({ id, change, implied }: PlannedUnit, context: EngineContext): Promise<UnitOutcome> {
    // Gone with what it was on, or kept with it.
    const target = implied && ended.get(implied);
    if (target?.status === 'kept') return target;
    const state = leaving.get(id);
    if (!state || implied) return { status: 'done', change, outputs: {} };
    const lettingGo = (await request.letGo?.(state)) ?? { goes: state };
    if ('goes' in lettingGo) {
      going.set(id, lettingGo.goes);
      return request.engine.destroy(lettingGo.goes, context);
    }
    if ('staysWithOthers' in lettingGo) return { status: 'kept', because: lettingGo.staysWithOthers };
    stillOurs.add(id);
    return { status: 'kept', because: lettingGo.staysWithUs };
  }

  function stateAfter(unit: PlannedUnit, outcome: UnitOutcome): UnitState | undefined {
    const desiredUnit = units.get(unit.id);
    const prior = request.priors.get(unit.id);
    if (!desiredUnit) return stateAfterRemoval(unit, outcome, prior);
    // A call that failed may have had its effect all the same: what may exist, somebody must own.
    const known = (id: UnitId): Outputs | undefined => outputs.get(id);
    if (outcome.status !== 'done')
      return touched.has(unit.id) ? halfDone(stateOf(desiredUnit, {}, known), prior) : prior;
    outputs.set(unit.id, outcome.outputs);
    const { effective, ...rest } = outcome.outputs;
    const state = stateOf(desiredUnit, rest, known);
    const resources = outcome.resources ?? prior?.resources;
    const values = outcome.values ?? prior?.values;
    if (unit.kind !== 'grants')
      return { ...state, ...(resources ? { resources } : {}), ...(values ? { values } : {}) };
    return {
      ...state,
      effective: effective === undefined ? (prior?.effective ?? false) : effective === 'true',
    };
  }

  function stateAfterRemoval(
    unit: PlannedUnit,
    outcome: UnitOutcome,
    prior: UnitState | undefined,
  ): UnitState | undefined {
    // What was to go and is kept for others is theirs from now on.
    const isGone = outcome.status === 'done' || (isLetGo(unit, outcome) && !stillOurs.has(unit.id));
    if (!prior || isGone) return undefined;
    // Its removal may have had its effect all the same: nobody is to rely on what may be gone.
    const mark = touched.has(unit.id) ? going.get(unit.id)?.leaving : undefined;
    return mark === undefined ? prior : { ...prior, leaving: mark };
  }

  const nodes: Node<UnitOutcome>[] = [
    ...externals.map((unit) => ({
      id: unit.id,
      after: [],
      seconds: 0,
      run: async (rank: number) => {
        const found = await awaitExternal(unit, request, rank);
        if (found.status === 'done') outputs.set(unit.id, found.outputs);
        return found;
      },
    })),
    ...plan.units.map((unit) => ({
      id: unit.id,
      after: [...unit.after, ...neededExternals(units.get(unit.id), awaited)].filter(
        (id) => planned.has(id) || awaited.has(id),
      ),
      seconds: unit.seconds,
      run: (rank: number) => run(unit, rank),
    })),
  ];
  const outcomes = new Map<UnitId, UnitOutcome>();
  const skips: Promise<void>[] = [];
  async function skip(id: UnitId, because: UnitId): Promise<void> {
    const outcome: UnitOutcome = { status: 'skipped', because };
    emit({ type: 'unit-finished', unit: id, outcome, seconds: 0 });
    const unit = planned.get(id);
    const state = unit ? stateAfter(unit, outcome) : request.priors.get(id);
    await request.journal.finish(id, outcome, state, 0);
  }
  const ends = await walk(nodes, {
    isFailure: ({ status }) => status === 'failed' || status === 'cancelled' || status === 'skipped',
    onEnd(id, end) {
      if (end.status !== 'skipped' || awaited.has(id as UnitId)) return;
      const skipped = skip(id as UnitId, end.because as UnitId);
      // Heard below, once the walk has ended; until then nobody asks.
      skipped.catch(() => {});
      skips.push(skipped);
    },
  }).finally(() => Promise.allSettled(skips));
  await Promise.all(skips);
  for (const [id, end] of ends) {
    if (end.status === 'skipped')
      outcomes.set(id as UnitId, { status: 'skipped', because: end.because as UnitId });
    else outcomes.set(id as UnitId, end.value);
  }
  return outcomes;
}

function isLetGo(unit: PlannedUnit, outcome: UnitOutcome): boolean {
  return outcome.status === 'kept' && unit.kept === undefined;
}

/** What may be there after a call of which nobody knows how it ended: what was, and of a policy all that was asked for too. */
function halfDone(asked: UnitState, prior: UnitState | undefined): UnitState {
  if (!prior) return { ...asked, unsure: true };
  if (asked.kind !== 'grants') return { ...prior, unsure: true };
  const bindings = [...bindingsOf(prior), ...bindingsOf(asked)];
  const each = new Map(bindings.map((binding) => [bindingKey(binding), binding]));
  return { ...prior, spec: { ...prior.spec, bindings: [...each.values()] }, effective: false, unsure: true };
}

function neededExternals(unit: Unit | undefined, externals: ReadonlySet<UnitId>): UnitId[] {
  return unit ? needsOf(unit).filter((id) => externals.has(id)) : [];
}

/** How long to look for what nobody seems to be making. Milliseconds. */
const GRACE_MS = 20_000;

/** Waits until something that others make is there, as they describe it. */
async function awaitExternal(unit: Unit, request: ApplyRequest, rank: number): Promise<UnitOutcome> {
  const { clock, emit, engine } = request;
  const context: EngineContext = {
    ...request.context(rank, unit.id),
    record: () => Promise.reject(new Error('Others make it')),
  };
  const started = clock.now();
  let told = false;
  for (let wait = 200; ; wait = Math.min(5_000, wait * 1.5)) {
    try {
      context.signal.throwIfAborted();
      const spec = resolve(unit.spec, () => undefined);
      const look = engine.look ?? engine.plan;
      const { change, outputs } = await look({ unit, spec, prior: undefined }, context);
      if (isThere(unit, change)) return { status: 'done', change: NONE, outputs };
      if (clock.now() - started > GRACE_MS && !(await request.isComing(unit.id))) {
        const from = unit.owner.dataflow;
        throw new CloudError('refused', `${unit.id} of ${from} is not there`, {
          fix:
            from === ACCOUNTS
              ? 'set a dataflow up first: that makes the accounts of the architecture'
              : `set ${from} up first, or together with this`,
        });
      }
      if (!told)
        emit({
          type: 'unit-waiting',
          unit: unit.id,
          because: `${unit.id} of ${unit.owner.dataflow} is made by another deployment`,
        });
      told = true;
      await clock.sleep(wait, context.signal);
    } catch (error) {
      if (context.signal.aborted) return { status: 'cancelled' };
      return { status: 'failed', error: CloudError.from(error) };
    }
  }
}

/** A grant is there when it stands in the policy, a module when all of it does; anything else when it exists, whatever else may differ. */
function isThere(unit: Unit, change: Change): boolean {
  const isWhole = unit.kind === 'grants' || unit.engine !== 'gcp';
  return isWhole ? change.action === 'none' : change.action !== 'create';
}
