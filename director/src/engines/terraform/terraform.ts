/**
 * The engine of Terraform modules: the tool's own plans and states behind the plan and the state of the stack.
 *
 *   plan      furnish a room → init → plan → show      kept: the plan file, and what it was made from
 *   apply     furnish a room → init, unless what that fetched is still held (`held.ts`) → exactly that plan; where it
 *             does not fit any more, another is made and must come to the same → the state is kept after each
 *             resource → what it tells, from its file (`written.ts`) or, where that does not tell all, show
 *   destroy   the same with a plan to destroy
 *
 * The tool outlives its director. Who comes next on the same machine waits for it and keeps what it did; on another
 * machine one goes on from the state that was kept last. An apply that was begun is known by a mark, and what
 * remains of it is applied.
 */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Engine, EngineContext, Planned, Work } from '@service-director/shared/engine/engine.ts';
import type { Outcome } from '@service-director/shared/engine/reconcile.ts';
import { type Change, NONE, type ResourceChange } from '@service-director/shared/model/change.ts';
import type { ResourceState, UnitState } from '@service-director/shared/model/state.ts';
import type { Outputs } from '@service-director/shared/model/unit.ts';
import type { Mask } from '../tool.ts';
import { notePlaced } from './backends.ts';
import { type Health, healthOf } from './health.ts';
import {
  type Begun,
  type KeptPlan,
  readBegun,
  readKeptOutputs,
  readKeptPlan,
  sameChange,
  strayFrom,
  writeJson,
} from './kept.ts';
import type { PlanSummary } from './plan-json.ts';
import { type Furnished, type Session, sessions, type TerraformOptions, type Within } from './session.ts';
import { hasUnknown, inputsOf, keysOf, type ModuleSpec, moduleSpec } from './spec.ts';
import { readState, readStateFile } from './state-json.ts';
import { shownOf } from './written.ts';

export type { Health } from './health.ts';
export type { TerraformOptions } from './session.ts';

/** A module cannot tell beforehand how long it takes: this much to begin with, and this much for each resource. */
const BEGINNING_SECONDS = 5;
const RESOURCE_SECONDS = 2;
const REMOVAL_SECONDS = 60;

export function terraform(options: TerraformOptions): Engine & { health(): Promise<Health> } {
  const { artifacts } = options;
  const within = sessions(options);

  return {
    async plan(work, context) {
      const spec = moduleSpec(work.spec);
      if (hasUnknown(spec.variables)) return planPartly(work, spec, options);
      const { prior, unit } = work;
      return within({ owner: unit.owner, spec, prior }, context, (session) => planModule(session, options));
    },

    apply: (work, planned, context) =>
      asOutcome(context, async (guarded) => {
        const spec = moduleSpec(work.spec);
        if (hasUnknown(spec.variables))
          throw new CloudError('precondition', `${work.unit.id} takes an output that is not there`);
        const { prior, unit } = work;
        return within({ owner: unit.owner, spec, prior }, guarded, (session) =>
          applyModule(session, planned, options),
        );
      }),

    destroy: (state, context) =>
      asOutcome(context, (guarded) => destroyModule(state, guarded, { within, options })),

    async look({ unit: { owner }, spec, prior }) {
      const keys = keysOf(owner, moduleSpec(spec).name);
      const bytes = await artifacts.read(keys.state);
      const state = bytes && readStateFile(bytes);
      const outputs = state?.outputs ?? (await readKeptOutputs(artifacts, keys.outputs)) ?? prior?.outputs;
      const isBegun = (await readBegun(artifacts, keys.begun)) !== undefined;
      // Half of it is there: others wait for the whole, and who removes it finds it.
      if (isBegun) return { change: { action: 'update', fields: [] }, outputs: {}, seconds: 0 };
      return { change: outputs ? NONE : { action: 'create' }, outputs: outputs ?? {}, seconds: 0 };
    },

    stays: () => undefined,
    removalSeconds: () => REMOVAL_SECONDS,
    health: () => healthOf(options),
  };
}

/** With a variable that is known only after the apply no tool can plan: all that is said is that something will be done. */
async function planPartly(
  { unit }: Work,
  spec: ModuleSpec,
  { artifacts }: TerraformOptions,
): Promise<Planned> {
  const keys = keysOf(unit.owner, spec.name);
  const bytes = await artifacts.read(keys.state);
  const isThere = bytes !== undefined || (await artifacts.read(keys.outputs)) !== undefined;
  const unknown = Object.entries(spec.variables).flatMap(([name, value]) =>
    hasUnknown(value) ? [`variables.${name}`] : [],
  );
  const change: Change = isThere ? { action: 'update', fields: unknown } : { action: 'create' };
  const kept = { id: randomUUID(), inputs: inputsOf(spec), change, resources: [], partly: spec.variables };
  await writeJson(artifacts, keys.plan, kept satisfies KeptPlan);
  // Its outputs may change with it: nobody is to plan with the old ones.
  return { change, outputs: {}, seconds: BEGINNING_SECONDS + RESOURCE_SECONDS };
}

async function planModule(session: Session, { artifacts }: TerraformOptions): Promise<Planned> {
  const { keys, mask } = session;
  const made = await session.furnish(undefined);
  await made.init();
  const { summary } = await made.plan();
  const kept = await planToKeep(session.spec, made, summary);
  await writeJson(artifacts, keys.plan, kept);
  if (summary.change.action !== 'none') session.expectApply(made, kept);
  return {
    change: maskedChange(summary.change, mask),
    outputs: withoutSecrets(summary.outputs, mask),
    resources: summary.resources.map((resource) => maskedResource(resource, mask)),
    seconds: secondsOf(summary),
  };
}

async function planToKeep(
  spec: ModuleSpec,
  made: Furnished,
  { change, resources }: PlanSummary,
): Promise<KeptPlan> {
  const { stateDigest, isRemote } = made.room;
  const [lock, file] = await Promise.all([made.lock(), readFile(made.planFile)]);
  return {
    id: randomUUID(),
    inputs: inputsOf(spec),
    change,
    resources: resources.map(({ address, action }) => ({ address, action })),
    file: file.toString('base64'),
    ...(isRemote ? {} : { state: stateDigest ?? '' }),
    ...(lock ? { lock: lock.toString('base64') } : {}),
  };
}

function secondsOf({ change, resources }: PlanSummary): number {
  return change.action === 'none' ? 0 : BEGINNING_SECONDS + RESOURCE_SECONDS * resources.length;
}

async function applyModule(
  session: Session,
  planned: Change,
  { artifacts }: TerraformOptions,
): Promise<Outcome> {
  const { spec, keys, context } = session;
  const [kept, mark] = await Promise.all([
    readKeptPlan(artifacts, keys.plan),
    readBegun(artifacts, keys.begun),
  ]);
  const begun = kept && mark?.plan === kept.id ? mark : undefined;
  const made = await session.furnish(kept);
  await made.init();
  if (made.room.placed) await notePlaced(made.room.placed, keys, artifacts);
  await session.noteWorkspace();

  const exact = kept?.file !== undefined && !begun && isExact(kept, made, spec, planned) ? kept : undefined;
  const again = (): Promise<readonly Touched[] | undefined> =>
    planAgain(made, { planned, kept, begun, inputs: inputsOf(spec), spec });
  if (exact?.file !== undefined)
    await writeFile(made.planFile, Buffer.from(exact.file, 'base64'), { mode: 0o600 });
  const resources = exact ? exact.resources : await again();
  if (resources) {
    context.demandFresh?.();
    await context.record(planned.action === 'create' ? 'create' : 'update');
    // Of several tries at one plan the first knows all of it.
    if (!begun) await writeJson(artifacts, keys.begun, { plan: kept?.id ?? '', resources } satisfies Begun);
    await carryOut(made, { again: exact && made.room.isRemote ? again : undefined, artifacts, keys });
  }
  return finished(session, made, planned, artifacts);
}

type Touched = KeptPlan['resources'][number];

/** Whether the kept plan may be applied as it is. Of a backend's state only the tool itself knows whether it is still that. */
function isExact(kept: KeptPlan, { room }: Furnished, spec: ModuleSpec, planned: Change): boolean {
  const isSameState = room.isRemote || kept.state === (room.stateDigest ?? '');
  return kept.inputs === inputsOf(spec) && isSameState && sameChange(kept.change, planned);
}

/** What would be done; undefined where nothing is left to do. Throws a CloudError 'refused' where it is not what was planned. */
async function planAgain(
  made: Furnished,
  mandate: Parameters<typeof strayFrom>[0],
): Promise<readonly Touched[] | undefined> {
  const { summary } = await made.plan();
  if (summary.change.action === 'none') return undefined;
  const stray = strayFrom(mandate, summary);
  if (stray !== undefined)
    throw new CloudError(
      'refused',
      `Terraform apply failed: the plan is stale: ${stray} was not planned so`,
      {
        fix: 'plan it again, and apply that',
      },
    );
  return summary.resources.map(({ address, action }) => ({ address, action }));
}

interface Carrying {
  /** Where the tool may find the plan stale. */
  readonly again: (() => Promise<readonly Touched[] | undefined>) | undefined;
  readonly artifacts: TerraformOptions['artifacts'];
  readonly keys: Session['keys'];
}

/** The mark of the begun apply goes when it has ended, well or not; it stays where nothing more may be done. */
async function carryOut(made: Furnished, { again, artifacts, keys }: Carrying): Promise<void> {
  try {
    try {
      await made.apply('apply');
    } catch (error) {
      const isStale = error instanceof CloudError && error.message.includes('Saved plan is stale');
      if (!again || !isStale) throw error;
      if (await again()) await made.apply('apply');
    }
  } catch (error) {
    if (error instanceof CloudError) await artifacts.remove(keys.begun);
    throw error;
  }
}

async function finished(
  { keys, mask }: Session,
  { cli, room }: Furnished,
  change: Change,
  artifacts: TerraformOptions['artifacts'],
): Promise<Outcome> {
  const written = await room.written();
  const state = readState((written && shownOf(written)) ?? (await cli.show()));
  mask.add(state.secrets);
  const outputs = withoutSecrets(state.outputs, mask);
  if (room.isRemote) await writeJson(artifacts, keys.outputs, outputs);
  await artifacts.remove(keys.begun);
  await artifacts.remove(keys.plan);
  return {
    status: 'done',
    change,
    outputs,
    values: Object.fromEntries(Object.entries(state.values).filter(([name]) => Object.hasOwn(outputs, name))),
    resources: state.resources.map((resource) => maskedState(resource, mask)),
  };
}

interface Means {
  readonly within: Within;
  readonly options: TerraformOptions;
}

async function destroyModule(
  state: UnitState,
  context: EngineContext,
  { within, options }: Means,
): Promise<Outcome> {
  const { artifacts } = options;
  const spec = moduleSpec(state.spec);
  const done: Outcome = { status: 'done', change: { action: 'delete' }, outputs: {} };
  return within({ owner: state.owner, spec, prior: state }, context, async (session) => {
    const { keys } = session;
    const made = await session.furnish(undefined);
    const { room } = made;
    if (room.isRemote || room.state?.isEmpty === false) {
      await made.init();
      const { summary } = await made.plan('destroy');
      if (summary.change.action !== 'none') {
        context.demandFresh?.();
        await context.record('remove');
        await made.apply('destroy');
      }
    }
    const { plan, begun, outputs, errored, state: kept, backend, workspace } = keys;
    for (const key of [plan, begun, outputs, errored, kept, backend, workspace]) await artifacts.remove(key);
    return done;
  });
}

/** Errors become outcomes, but those with which the walk itself says that nothing more may be done. */
async function asOutcome(
  context: EngineContext,
  job: (guarded: EngineContext) => Promise<Outcome>,
): Promise<Outcome> {
  const passed = new Set<unknown>();
  const pass = (error: unknown): never => {
    passed.add(error);
    throw error;
  };
  const guarded: EngineContext = {
    ...context,
    demandFresh() {
      try {
        context.demandFresh?.();
      } catch (error) {
        pass(error);
      }
    },
    record: (action) => context.record(action).catch(pass),
  };
  try {
    return await job(guarded);
  } catch (error) {
    if (passed.has(error)) throw error;
    if (context.signal.aborted) return { status: 'cancelled' };
    return { status: 'failed', error: CloudError.from(error) };
  }
}

/** An output that holds a secret is no output: masked it would be a wrong value for whoever takes it. */
function withoutSecrets(outputs: Outputs, { text }: Mask): Outputs {
  return Object.fromEntries(
    Object.entries(outputs).filter(([name, value]) => text(name + value) === name + value),
  );
}

function maskedChange(change: Change, { text }: Mask): Change {
  return change.action === 'update' ? { ...change, fields: change.fields.map(text) } : change;
}

function maskedResource(resource: ResourceChange, { text }: Mask): ResourceChange {
  const { address, fields, because } = resource;
  return {
    ...resource,
    address: text(address),
    ...(fields === undefined ? {} : { fields: fields.map(text) }),
    ...(because === undefined ? {} : { because: text(because) }),
  };
}

function maskedState(resource: ResourceState, { text, record }: Mask): ResourceState {
  const { address, attributes, dependencies } = resource;
  return {
    ...resource,
    address: text(address),
    attributes: record(attributes),
    dependencies: dependencies.map(text),
  };
}
