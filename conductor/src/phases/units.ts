/** Brings units about from here, with the walk that the director runs: what has to be there before it is. */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import {
  apply,
  type Journal,
  type Progress,
  type UnitOutcome,
} from '@service-director/shared/engine/apply.ts';
import type { Engine, EngineContext } from '@service-director/shared/engine/engine.ts';
import { native } from '@service-director/shared/engine/native.ts';
import { makePlan, type Plan } from '@service-director/shared/engine/plan.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { stateOf, type UnitState } from '@service-director/shared/model/state.ts';
import { needsOf, stackOf, type Unit, type UnitId } from '@service-director/shared/model/unit.ts';
import type { RunContext } from '../context.ts';
import type { Phase, TaskResult } from '../event.ts';
import { Failure } from '../failure.ts';

/** Nothing is written down here: what was observed decides, and a run that broke off is simply run again. */
const NO_JOURNAL: Journal = { begun: () => [], intend: async () => {}, finish: async () => {} };

/** Creates and updates the units, each after all that it needs. Throws a Failure that names all that failed. */
export async function bring(
  units: readonly Unit[],
  phase: Phase,
  context: RunContext,
): Promise<Map<UnitId, UnitOutcome>> {
  const ids = new Set(units.map(({ id }) => id));
  // What an earlier phase made is there; what a later one makes is not ours to wait for.
  const desired = units.map((unit) => ({ ...unit, needs: needsOf(unit).filter((id) => ids.has(id)) }));
  const plan = await planUnits(desired, [], context, { phase });
  return carryOut(plan, desired, [], phase, context);
}

/** Removes the units, each after all that need it, but for those in `keep`, with the reason. What is not there is no failure. */
export async function remove(
  units: readonly Unit[],
  keep: ReadonlyMap<UnitId, string>,
  phase: Phase | 'teardown',
  context: RunContext,
): Promise<Map<UnitId, UnitOutcome>> {
  const plan = await planRemoval(units, keep, context, phase);
  return carryOut(
    plan,
    [],
    units.map((unit) => stateOf(unit, {})),
    phase,
    context,
  );
}

/** What would go and what stays, and why; nothing is looked at. */
export async function planRemoval(
  units: readonly Unit[],
  keep: ReadonlyMap<UnitId, string>,
  context: RunContext,
  phase?: Phase | 'teardown',
): Promise<Plan> {
  return planUnits(
    [],
    units.map((unit) => stateOf(unit, {})),
    context,
    { ...(phase ? { phase } : {}), keep },
  );
}

export async function planUnits(
  desired: readonly Unit[],
  obsolete: readonly UnitState[],
  context: RunContext,
  { phase, keep = new Map() }: { phase?: Phase | 'teardown'; keep?: ReadonlyMap<UnitId, string> } = {},
): Promise<Plan> {
  return makePlan({
    stack: stackOf({ scope: context.architecture.director.name, dataflow: 'bootstrap' }),
    operation: 'dataflow-setup',
    desired,
    obsolete,
    keep,
    priors: new Map(obsolete.map((state) => [state.id, state])),
    externals: [],
    engine: phase === undefined ? looking : native,
    context: engineContext(context, 0, () => {}),
    waiting: (task, because) => phase && context.emit({ type: 'task-waiting', phase, task, because }),
  });
}

/** For whoever only wants to know: where an API is not enabled yet there is nothing, and nobody enables it meanwhile. */
const looking: Engine = {
  ...native,
  async plan(work, context) {
    try {
      return await native.plan(work, { ...context, patience: { ...context.patience, 'api-disabled': 0 } });
    } catch (error) {
      if (CloudError.from(error).reason !== 'api-disabled') throw error;
      return { change: { action: 'create' }, outputs: {}, seconds: 0 };
    }
  },
};

async function carryOut(
  plan: Plan,
  desired: readonly Unit[],
  obsolete: readonly UnitState[],
  phase: Phase | 'teardown',
  context: RunContext,
): Promise<Map<UnitId, UnitOutcome>> {
  const outcomes = await apply({
    plan,
    desired,
    externals: [],
    obsolete,
    priors: new Map(obsolete.map((state) => [state.id, state])),
    engine: native,
    journal: NO_JOURNAL,
    clock: context.clock,
    isComing: async () => false,
    emit: (progress) => tell(progress, phase, context),
    context: (rank, unit) =>
      engineContext(context, rank, (because) =>
        context.emit({ type: 'task-waiting', phase, task: unit, because }),
      ),
  });
  for (const outcome of outcomes.values()) count(outcome, context);
  const ends = [...outcomes];
  if (ends.some(([, { status }]) => status === 'cancelled')) throw context.signal.reason;
  const failures = ends.flatMap(([id, outcome]) =>
    outcome.status === 'failed' ? [Failure.from(outcome.error, id)] : [],
  );
  if (failures.length > 0) throw Failure.ofAll(failures);
  return outcomes;
}

function count(outcome: UnitOutcome, { tally }: RunContext): void {
  if (outcome.status !== 'done') return;
  const { action } = outcome.change;
  if (action === 'create') tally.created++;
  else if (action === 'update' || action === 'replace') tally.updated++;
  else if (action === 'delete') tally.deleted++;
}

function engineContext(
  { reach, architecture, clock, random, signal, limit }: RunContext,
  rank: number,
  waiting: (because: string) => void,
): EngineContext {
  return {
    cloud: reach.cloud,
    region: architecture.region,
    self: undefined,
    clock,
    random,
    signal,
    limit: (_api, call) => limit.run(call, rank),
    waiting,
    record: async () => {},
  };
}

function tell(progress: Progress, phase: Phase | 'teardown', { emit }: RunContext): void {
  const task = progress.unit;
  switch (progress.type) {
    case 'unit-started':
      emit({ type: 'task-started', phase, task, what: progress.change });
      return;
    case 'unit-waiting':
      emit({ type: 'task-waiting', phase, task, because: progress.because });
      return;
    case 'unit-finished': {
      const { result, because, fix } = resultOf(progress.outcome);
      const more = { ...(because === undefined ? {} : { because }), ...(fix === undefined ? {} : { fix }) };
      emit({ type: 'task-finished', phase, task, result, seconds: progress.seconds, ...more });
      return;
    }
    default:
      never(progress);
  }
}

function resultOf(outcome: UnitOutcome): { result: TaskResult; because?: string; fix?: string | undefined } {
  switch (outcome.status) {
    case 'done':
      return { result: PAST[outcome.change.action] };
    case 'kept':
      return { result: 'kept', because: outcome.because };
    case 'failed':
      return { result: 'failed', because: outcome.error.message, fix: outcome.error.fix };
    case 'skipped':
      return { result: 'skipped', because: `${outcome.because} failed` };
    case 'cancelled':
      return { result: 'cancelled' };
    default:
      return never(outcome);
  }
}

const PAST = {
  none: 'unchanged',
  create: 'created',
  update: 'updated',
  replace: 'replaced',
  delete: 'deleted',
} as const;
