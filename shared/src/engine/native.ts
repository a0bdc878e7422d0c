/** The native engine: Google Cloud's own resources, through the kinds of `resources/`. */
import { CloudError } from '../cloud/error.ts';
import { never } from '../kit/never.ts';
import { type Change, NONE } from '../model/change.ts';
import { type KindName, kinds } from '../resources/index.ts';
import type { Kind, Observation, Resource } from '../resources/kind.ts';
import { drive } from './drive.ts';
import { awaitEffective } from './effective.ts';
import type { Engine, EngineContext, Work } from './engine.ts';
import { budgetMs, type Goal, longestWaitMs, type Outcome, refusalOf, waitFor } from './reconcile.ts';

export const native: Engine = {
  async plan(work, context) {
    const resource = bind(work, context);
    const seen = await observe(resource, context);
    const { id, owner } = work.unit;
    const refusal = seen && refusalOf({ id, owner, holdsData: resource.holdsData }, seen);
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
      seconds: secondsOf(change, resource),
      ...(unverified ? { unverified } : {}),
    };
  },

  async apply(work, planned, context) {
    const resource = bind(work, context);
    const goal: Goal = {
      id: work.unit.id,
      want: 'present',
      owner: work.unit.owner,
      mayReplace: planned.action === 'replace',
      holdsData: resource.holdsData,
      ...(context.patience ? { patience: context.patience } : {}),
    };
    const outcome = await driveResource(goal, resource, context);
    if (outcome.status !== 'done' || work.unit.kind !== 'grants') return outcome;
    if (outcome.change.action === 'none' && isVerified(work)) return outcome;
    return effective(work, outcome, context);
  },

  async destroy(state, context) {
    const { id, owner, kind, spec } = state;
    const { stays } = kindOf(kind);
    if (stays !== undefined) return { status: 'kept', because: stays };
    const resource = kindOf(kind).bind(spec, owner, {
      project: context.cloud.project,
      region: context.region,
    });
    const patience = context.patience ? { patience: context.patience } : {};
    return driveResource({ id, want: 'absent', owner, mayReplace: false, ...patience }, resource, context);
  },

  stays: (kind) => kindOf(kind).stays,
  removalSeconds: (kind) => kindOf(kind).takes.remove,
};

function bind({ unit, spec, prior }: Work, { cloud, region }: EngineContext): Resource {
  return kindOf(unit.kind).bind(spec, unit.owner, { project: cloud.project, region }, prior?.spec);
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

function kindOf(name: string): Kind {
  if (!(name in kinds)) throw new CloudError('internal', `There is no kind ${name}`);
  return kinds[name as KindName];
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

/** A grant counts once it is in effect, not when it is written. */
async function effective(
  work: Work,
  outcome: Outcome & { status: 'done' },
  context: EngineContext,
): Promise<Outcome> {
  try {
    const confirmed = await awaitEffective(work.spec, context);
    return { ...outcome, outputs: { ...outcome.outputs, effective: String(confirmed) } };
  } catch (error) {
    if (context.signal.aborted) return { status: 'cancelled' };
    return { status: 'failed', error: CloudError.from(error) };
  }
}

/** Whether exactly these grants were seen in effect before. */
function isVerified({ prior, spec }: Work): boolean {
  return prior?.effective === true && JSON.stringify(prior.spec) === JSON.stringify(spec);
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
