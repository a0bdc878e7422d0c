/**
 * Brings the requests of a service to what is new, step by step, and back where it is not well.
 *
 *   nothing of them ─ well? ─→ some of them, watched ─→ … ─→ all of them (─ watched, where the old one is kept)
 *          ↑                        │                                          │
 *          └──────── not well ──────┴──────────────────────────────────────────┘  and it failed
 *
 * Each step is brought about like any other spec, and where things stand is read from the service itself: who
 * goes on after a crash watches the step anew at which it was.
 */
import { CloudError } from '../cloud/error.ts';
import type { Change } from '../model/change.ts';
import type { Observation, Resource, Stages } from '../resources/kind.ts';
import type { EngineContext } from './engine.ts';
import type { Outcome } from './reconcile.ts';

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

export async function rollOut(
  planned: Change,
  reach: RolloutReach,
  context: EngineContext,
): Promise<Outcome> {
  const { stages, whole } = reach;
  const steps = [0, ...stages.rollout.steps, ALL];
  const seen = await lookFirst(reach, context);
  if ('status' in seen) return seen;
  const first = firstStep(seen.seen, planned, steps, stages);
  if (first === undefined) return reach.drive(whole);
  let outcome: Outcome | undefined;
  for (const percent of steps.slice(first)) {
    const reached = await reach.drive(stages.at(percent));
    if (reached.status !== 'done') return reached;
    outcome = { ...reached, change: planned };
    const trouble = await watch(percent, reach, context);
    if (context.signal.aborted) return { status: 'cancelled' };
    if (trouble !== undefined) return goBack({ percent, trouble }, reach, context);
  }
  return outcome ?? reach.drive(whole);
}

async function lookFirst(
  { whole, observe }: RolloutReach,
  { signal }: EngineContext,
): Promise<{ readonly seen: Observation | undefined } | Outcome> {
  try {
    return { seen: await observe(whole) };
  } catch (error) {
    return signal.aborted ? { status: 'cancelled' } : { status: 'failed', error: CloudError.from(error) };
  }
}

/** Where in the steps to go on; undefined where nobody's requests come to anything new. */
function firstStep(
  seen: Observation | undefined,
  planned: Change,
  steps: readonly number[],
  { rollout, isNew }: Stages,
): number | undefined {
  if (seen?.share === undefined || planned.action === 'create' || planned.action === 'replace')
    return undefined;
  const differing = seen.change.action === 'update' ? seen.change.fields : [];
  if (isNew(differing)) return 0;
  if (seen.share < ALL) return Math.max(0, steps.indexOf(seen.share));
  // All came over, and whoever was to watch them died.
  const isOurs = planned.action === 'update' && isNew(planned.fields);
  return isOurs && rollout.keepsOld ? steps.length - 1 : undefined;
}

/** Why what is new is not well, with so many of the requests; undefined once it was long enough. */
async function watch(
  percent: number,
  reach: RolloutReach,
  context: EngineContext,
): Promise<string | undefined> {
  const { rollout } = reach.stages;
  if (percent === ALL && !rollout.keepsOld) return undefined;
  const { clock, signal } = context;
  const since = clock.now();
  // Before anybody comes to it, one good answer is enough.
  const until = percent === 0 ? since : since + rollout.holdSeconds * 1_000;
  tell(percent, reach, context);
  for (let failures = 0; !signal.aborted; ) {
    const trouble = await look(since, reach, context);
    failures = trouble === undefined ? 0 : failures + 1;
    if (trouble !== undefined && failures >= rollout.failures) return times(trouble, failures);
    const left = until - clock.now();
    if (failures === 0 && left <= 0) return undefined;
    const pause = rollout.intervalSeconds * 1_000;
    await clock.sleep(failures > 0 ? pause : Math.min(pause, left), signal).catch(() => {});
  }
  return undefined;
}

async function look(
  since: number,
  { stages, observe }: RolloutReach,
  { cloud, signal }: EngineContext,
): Promise<string | undefined> {
  try {
    const seen = await observe(stages.at(ALL));
    return seen ? await seen.look?.({ cloud, since, signal }) : 'it is gone';
  } catch (error) {
    return signal.aborted ? undefined : CloudError.from(error).message;
  }
}

/** All requests come to what was there before; what is new stays, so that one can see what is wrong with it. */
async function goBack(
  { percent, trouble }: { readonly percent: number; readonly trouble: string },
  { id, stages, drive }: RolloutReach,
  context: EngineContext,
): Promise<Outcome> {
  const when = percent === 0 ? 'before any request came to it' : `with ${percent} % of the requests`;
  const what = `${id}: the new revision was not well ${when}: ${trouble}`;
  context.log?.({ level: 'error', message: `${what}; all of them go back to the old one` });
  const back = await drive(stages.at(0));
  if (back.status === 'cancelled') return back;
  if (back.status === 'failed')
    return failure(
      `${what}; they could not be sent back to the old one: ${back.error.message}`,
      back.error.fix,
    );
  return failure(
    `${what}; all of them go to the old one`,
    `see conductor logs ${id.replace(/^service\//, '')}; mend it and deploy again`,
  );
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
