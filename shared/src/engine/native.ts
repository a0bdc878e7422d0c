/**
 * The engine of everything that is described by kinds: plans by looking, applies and destroys through `drive`.
 *
 *   native                                  Google Cloud's own resources, through the kinds of `resources/`
 *   engineOf({ kindOf, awaitEffective })    the same over other kinds; so the simulation decides as the product does
 */
import { CloudError } from '../cloud/error.ts';
import { never } from '../kit/never.ts';
import { type Change, NONE } from '../model/change.ts';
import { rolloutSeconds } from '../model/rollout.ts';
import type { UnitSpec } from '../model/unit.ts';
import { type KindName, kinds } from '../resources/index.ts';
import type { Kind, Observation, Resource, Stages } from '../resources/kind.ts';
import { drive } from './drive.ts';
import { awaitEffective } from './effective.ts';
import type { Engine, EngineContext, Planned, Work } from './engine.ts';
import { budgetMs, type Goal, longestWaitMs, type Outcome, refusalOf, waitFor } from './reconcile.ts';
import { rollOut } from './rollout.ts';

/** What an engine knows of its world. */
export interface EngineWorld {
  /** Throws a CloudError 'internal' when there is none of that name. */
  kindOf(name: string): EngineKind;
  /** Of a unit of kind `grants`: true once all of it is in effect, false where that cannot be asked. Rejects when patience ends. */
  awaitEffective(spec: UnitSpec, context: EngineContext): Promise<boolean>;
}

/** The part of a kind that an engine needs. */
export type EngineKind = Pick<Kind, 'takes' | 'stays' | 'bind'>;

export const native: Engine = engineOf({ kindOf: googleKind, awaitEffective });

/** What decides whether something may be replaced. */
function subjectOf(
  { unit: { id, owner, protection } }: Work,
  { holdsData }: Resource,
): Pick<Goal, 'id' | 'owner' | 'holdsData' | 'protection'> {
  return { id, owner, holdsData, ...(protection === undefined ? {} : { protection }) };
}

function googleKind(name: string): Kind {
  if (!(name in kinds)) throw new CloudError('internal', `There is no kind ${name}`);
  return kinds[name as KindName];
}

/** After that a read shows what was written. Of accounts Google says: within a minute. */
const SHOWS_WITHIN_MS = 60_000;

export function engineOf(world: EngineWorld): Engine {
  function bind({ unit, spec, prior }: Work, { cloud, region }: EngineContext): Resource {
    return world.kindOf(unit.kind).bind(spec, unit.owner, { project: cloud.project, region }, prior?.spec);
  }

  return {
    async plan(work, context) {
      const resource = bind(work, context);
      const seen = await observe(resource, context);
      const refusal = seen && refusalOf(subjectOf(work, resource), seen);
      if (seen && refusal) {
        const { message: because, fix } = refusal;
        const refused = { because, ...(fix === undefined ? {} : { fix }) };
        return { change: NONE, outputs: seen.outputs, seconds: 0, refused };
      }
      const change: Change = seen ? seen.change : { action: 'create' };
      const isGrant = work.unit.kind === 'grants';
      const unverified = isGrant && (change.action !== 'none' || !isVerified(work));
      return {
        change,
        outputs: seen?.outputs ?? {},
        ...timeOf(change, resource),
        ...(resource.holdsData ? { holdsData: true } : {}),
        ...(unverified ? { unverified } : {}),
      };
    },

    async apply(work, planned, context) {
      const resource = bind(work, context);
      const goal: Goal = {
        ...subjectOf(work, resource),
        want: 'present',
        mayReplace: planned.action === 'replace',
        ...(context.patience ? { patience: context.patience } : {}),
      };
      const outcome = resource.stages
        ? await rollOutResource(goal, resource, resource.stages, planned, context)
        : await driveResource(goal, resource, context);
      if (outcome.status !== 'done' || work.unit.kind !== 'grants') return outcome;
      if (outcome.change.action === 'none' && isVerified(work)) return outcome;
      return effective(work, outcome, context);
    },

    async destroy(state, context) {
      const { id, owner, spec } = state;
      const kind = world.kindOf(state.kind);
      if (kind.stays !== undefined) return { status: 'kept', because: kind.stays };
      const resource = kind.bind(spec, owner, { project: context.cloud.project, region: context.region });
      const patience = context.patience ? { patience: context.patience } : {};
      // Grants leave nothing behind: where what they are on is gone, so are they, whoever removed it.
      const isOnItsOwn = state.kind !== 'grants';
      const isYoung = isOnItsOwn && context.clock.now() - (state.changedAt ?? 0) < SHOWS_WITHIN_MS;
      const goal: Goal = { id, want: 'absent', owner, mayReplace: false, isYoung, ...patience };
      return driveResource(goal, resource, context);
    },

    stays: (kind) => world.kindOf(kind).stays,
    removalSeconds: (kind) => world.kindOf(kind).takes.remove,
  };

  /** A grant counts once it is in effect, not when it is written. */
  async function effective(
    work: Work,
    outcome: Outcome & { status: 'done' },
    context: EngineContext,
  ): Promise<Outcome> {
    try {
      const confirmed = await world.awaitEffective(work.spec, context);
      return { ...outcome, outputs: { ...outcome.outputs, effective: String(confirmed) } };
    } catch (error) {
      if (context.signal.aborted) return { status: 'cancelled' };
      return { status: 'failed', error: CloudError.from(error) };
    }
  }
}

/** Looks, and looks again where the refusal is one that passes: of a new API, a new account, too many questions. */
async function observe(resource: Resource, context: EngineContext): Promise<Observation | undefined> {
  const { cloud, clock, random, signal, patience } = context;
  const started = clock.now();
  for (let tries = 1; ; tries++) {
    try {
      return await context.limit(resource.api, () => resource.observe(cloud));
    } catch (error) {
      const known = CloudError.from(error);
      const kind = waitFor(known.reason);
      if (signal.aborted || kind === undefined || clock.now() - started > budgetMs(kind, patience))
        throw known;
      context.waiting(known.message);
      const ms = longestWaitMs(kind, tries) * (0.5 + random() / 2);
      await clock.sleep(Math.max(known.retryAfterMs ?? 0, Math.round(ms)), signal);
    }
  }
}

function driveResource(goal: Goal, resource: Resource, context: EngineContext): Promise<Outcome> {
  const { cloud } = context;
  return drive(
    goal,
    {
      observe: () => resource.observe(cloud),
      create: () => resource.create(cloud),
      poll: (operation) => resource.poll(operation, cloud),
      record: context.record,
    },
    { ...context, limit: (call) => context.limit(resource.api, call) },
  );
}

function rollOutResource(
  goal: Goal,
  whole: Resource,
  stages: Stages,
  planned: Change,
  context: EngineContext,
): Promise<Outcome> {
  const { id } = goal;
  const drive = (resource: Resource): Promise<Outcome> => driveResource(goal, resource, context);
  const look = (resource: Resource): Promise<Observation | undefined> => observe(resource, context);
  return rollOut(planned, { id, stages, whole, drive, observe: look }, context);
}

/** Whether exactly these grants were seen in effect before. */
function isVerified({ prior, spec }: Work): boolean {
  return prior?.effective === true && JSON.stringify(prior.spec) === JSON.stringify(spec);
}

function timeOf(change: Change, resource: Resource): Pick<Planned, 'seconds' | 'heldSeconds'> {
  const seconds = secondsOf(change, resource);
  const { stages } = resource;
  const isRolledOut = stages && change.action === 'update' && stages.isNew(change.fields);
  const heldSeconds = isRolledOut ? rolloutSeconds(stages.rollout) : 0;
  return heldSeconds === 0 ? { seconds } : { seconds: seconds + heldSeconds, heldSeconds };
}

function secondsOf(change: Change, { takes }: Resource): number {
  switch (change.action) {
    case 'none':
      return 0;
    case 'create':
      return takes.create;
    case 'update':
      return takes.update;
    case 'replace':
      return takes.remove + takes.create;
    case 'delete':
      return takes.remove;
    default:
      return never(change);
  }
}
