/**
 * Brings the requests of a service to what is new, step by step, and back where it is not well.
 *
 *   nothing of them ─ well? ─→ some of them, watched ─→ … ─→ all of them (─ watched, where the old one is kept)
 *          ↑                        │                                          │
 *          └──────── not well ──────┴──────────────────────────────────────────┘  rejected, and it failed
 *
 * Each step is brought about like any other spec, and where things stand is read from the service itself: who
 * goes on after a crash watches the step anew at which it was, and does not take up what was rejected.
 */
import { CloudError } from '../cloud/error.ts';
import type { Change } from '../model/change.ts';
import type { Observation, Resource, Stages, Stand, Trouble } from '../resources/kind.ts';
import type { EngineContext } from './engine.ts';
import { budgetMs, longestWaitMs, type Outcome } from './reconcile.ts';

export interface RolloutReach {
  /** As it is called in messages: `service/web`. */
  readonly id: string;
  readonly stages: Stages;
  /** As it is to be in the end. */
  readonly whole: Resource;
  observe(resource: Resource): Promise<Observation | undefined>;
  drive(resource: Resource): Promise<Outcome>;
}

const ALL = 100;

/** `planned` tells whether something new was to come: then what is found was made by whoever began this. */
export async function rollOut(
  planned: Change,
  reach: RolloutReach,
  context: EngineContext,
): Promise<Outcome> {
  const { stages, whole, id } = reach;
  const seen = await atRest(reach, context);
  if ('status' in seen) return seen;
  const steps = [0, ...stages.rollout.steps, ALL];
  const start = startOf(seen.seen, planned, steps, stages);
  if (start === 'at-once') return reach.drive(whole);
  if (start === 'rejected')
    return failure('the new revision was not well; all requests go to the old one', fixFor(id));
  let outcome: Outcome | undefined;
  for (const percent of steps.slice(start)) {
    const reached = await reach.drive(stages.at(percent));
    if (reached.status !== 'done') return reached;
    outcome = { ...reached, change: planned };
    const trouble = await watch(percent, reach, context);
    if (context.signal.aborted) return { status: 'cancelled' };
    if (trouble !== undefined) return goBack({ percent, trouble }, reach, context);
  }
  return outcome ?? reach.drive(whole);
}

/** What is there once no earlier change of it is under way: until then nobody knows how it stands. */
async function atRest(
  { id, whole, observe }: RolloutReach,
  { clock, signal, waiting, patience }: EngineContext,
): Promise<{ readonly seen: Observation | undefined } | Outcome> {
  const started = clock.now();
  try {
    for (let tries = 1; ; tries++) {
      const seen = await observe(whole);
      if (seen?.busy === undefined || clock.now() - started > budgetMs('busy', patience)) return { seen };
      waiting(`${id}: ${seen.busy}`);
      await clock.sleep(longestWaitMs('busy', tries), signal);
    }
  } catch (error) {
    return signal.aborted ? { status: 'cancelled' } : { status: 'failed', error: CloudError.from(error) };
  }
}

/** With which of the steps to go on. */
function startOf(
  seen: Observation | undefined,
  planned: Change,
  steps: readonly number[],
  { rollout, isNew }: Stages,
): number | 'at-once' | 'rejected' {
  const stand = seen?.stand;
  if (!seen || !stand?.hasOld || planned.action === 'create' || planned.action === 'replace')
    return 'at-once';
  if (seen.change.action === 'update' && isNew(seen.change.fields)) return 0;
  const isOurs = planned.action === 'update' && isNew(planned.fields);
  if (stand.isRejected) return isOurs ? 'rejected' : 0;
  if (stand.percent < ALL) return Math.max(0, steps.indexOf(stand.percent));
  // All came over, and whoever was to watch them died.
  return isOurs && rollout.keepsOld ? steps.length - 1 : 'at-once';
}

/** Why what is new is not well, with so many percent of the requests; undefined once it was well for long enough. */
async function watch(
  percent: number,
  reach: RolloutReach,
  context: EngineContext,
): Promise<Trouble | undefined> {
  const { rollout } = reach.stages;
  if (percent === ALL && !rollout.keepsOld) return undefined;
  const { clock, signal } = context;
  const since = clock.now();
  // Before anybody comes to it, one good answer is enough.
  const until = percent === 0 ? since : since + rollout.holdSeconds * 1_000;
  tell(percent, reach, context);
  for (let failures = 0; !signal.aborted; ) {
    const trouble = await look({ percent, since }, reach, context);
    failures = trouble === undefined ? 0 : failures + 1;
    if (trouble !== undefined && failures >= rollout.failures)
      return { ...trouble, what: times(trouble.what, failures) };
    const left = until - clock.now();
    if (failures === 0 && left <= 0) return undefined;
    const pause = rollout.intervalSeconds * 1_000;
    await clock.sleep(failures > 0 ? pause : Math.min(pause, left), signal).catch(() => {});
  }
  return undefined;
}

async function look(
  { percent, since }: { readonly percent: number; readonly since: number },
  { stages, observe }: RolloutReach,
  { cloud, signal, limit }: EngineContext,
): Promise<Trouble | undefined> {
  try {
    const seen = await observe(stages.at(ALL));
    return seen ? await seen.look?.({ cloud, percent, since, signal, limit }) : { what: 'it is gone' };
  } catch (error) {
    return signal.aborted ? undefined : { what: CloudError.from(error).message };
  }
}

/** All requests come to what was there before; what is new stays, so that one can see what is wrong with it. */
async function goBack(
  { percent, trouble }: { readonly percent: number; readonly trouble: Trouble },
  { id, stages, observe, whole, drive }: RolloutReach,
  context: EngineContext,
): Promise<Outcome> {
  const when = percent === 0 ? 'before any request came to it' : `with ${percent} % of the requests`;
  const how = trouble.fix === undefined ? 'was not well' : 'could not be watched';
  const what = `the new revision ${how} ${when}: ${trouble.what}`;
  const fix = trouble.fix ?? fixFor(id);
  const stand: Stand | undefined = (await observe(whole).catch(() => undefined))?.stand;
  if (stand && percent === ALL && !stand.hasNamedOld)
    return failure(`${what}; there is no older one that they could go back to`, fix);
  context.log?.({ level: 'error', message: `${what}; all of them go back to the old one` });
  const back = await drive(stages.at(0, 'rejected'));
  if (back.status === 'cancelled') return back;
  if (back.status === 'failed')
    return failure(
      `${what}; they could not be sent back to the old one: ${back.error.message}`,
      back.error.fix,
    );
  return failure(`${what}; all of them go to the old one`, fix);
}

function fixFor(id: string): string {
  return `see conductor logs ${id.replace(/^service\//, '')}; mend it and deploy again`;
}

function failure(message: string, fix: string | undefined): Outcome {
  return { status: 'failed', error: new CloudError('precondition', message, { fix }) };
}

function tell(percent: number, { id, stages }: RolloutReach, context: EngineContext): void {
  const { holdSeconds, checkPath } = stages.rollout;
  const asked = checkPath === '' ? 'it is not asked anything' : `it is asked for ${checkPath}`;
  const message =
    percent === 0
      ? `the new revision of ${id} is there, without requests; ${asked}`
      : `${percent} % of the requests of ${id} go to the new revision, watched for ${holdSeconds} s`;
  context.log?.({ level: 'info', message });
  context.waiting(message);
}

function times(trouble: string, failures: number): string {
  return failures === 1 ? trouble : `${trouble}, ${failures} times in a row`;
}
