/**
 * Which revision of a Cloud Run service gets how many of its requests. All that a rollout has to know stands in the
 * service's own targets: whoever goes on with it reads where it was.
 *
 *   at once         latest 100
 *   on the way      old 90, latest 10 (tag next)
 *   blue and green  latest 100, old 0 (tag previous)
 *   not well        old 100, latest 0 (tag rejected)
 */
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import type { Stand } from '../kind.ts';

type Live = run_v2.Schema$GoogleCloudRunV2Service;
type Target = run_v2.Schema$GoogleCloudRunV2TrafficTarget;

const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
const BY_NAME = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';
/** Where the newest is reached, however few requests come to it. */
export const NEXT = 'next';
export const REJECTED = 'rejected';
const PREVIOUS = 'previous';

export const ALL_TO_LATEST: Target[] = [{ type: LATEST, percent: 100 }];

/** Whether an update of these fields makes a revision. */
export function makesRevision(fields: readonly string[]): boolean {
  return fields.some((field) => !OF_THE_SERVICE.has(field));
}

const OF_THE_SERVICE: ReadonlySet<string> = new Set(['description', 'labels', 'traffic', 'previous', 'tag']);

/** How much of the traffic goes to the latest revision. Without targets all of it does. */
export function percentOfLatest({ traffic }: Live): number {
  if (!traffic || traffic.length === 0) return 100;
  const latest = traffic.filter(({ type }) => type === LATEST);
  return latest.reduce((sum, { percent }) => sum + (percent ?? 0), 0);
}

export function hasPrevious({ traffic }: Live): boolean {
  return (traffic ?? []).some(({ tag }) => tag === PREVIOUS);
}

/** Under which the newest is reached by itself. */
export function tagOfLatest({ traffic }: Live): string | undefined {
  return traffic?.find(({ type, tag }) => type === LATEST && tag)?.tag ?? undefined;
}

export function standOf(live: Live): Stand {
  const hasNamedOld = namedIn(live) !== undefined;
  return {
    percent: percentOfLatest(live),
    hasOld: hasNamedOld || (live.latestReadyRevision ?? '') !== '',
    hasNamedOld,
    isRejected: tagOfLatest(live) === REJECTED,
  };
}

/** What the targets are made from. */
interface Wanted {
  readonly traffic: number;
  readonly tag: string;
  readonly rollout?: { readonly keepsOld: boolean } | undefined;
}

/** `fields`: what is to be updated. */
export function trafficOf(
  { traffic, tag, rollout }: Wanted,
  live: Live,
  fields: readonly string[],
): Target[] {
  const named = namedIn(live);
  const isNew = makesRevision(fields);
  if (traffic === 100) {
    const old = rollout?.keepsOld === true && !isNew ? named?.revision : undefined;
    return old ? [...ALL_TO_LATEST, { type: BY_NAME, revision: old, tag: PREVIOUS }] : ALL_TO_LATEST;
  }
  // What is only kept for a way back serves nobody: a new revision comes after the one that does.
  const isServing = (named?.percent ?? 0) > 0 || !isNew;
  const latest = isNew ? live.latestReadyRevision?.split('/').at(-1) : undefined;
  const old = (isServing ? named?.revision : undefined) ?? latest;
  if (!old) return ALL_TO_LATEST;
  return [
    { type: BY_NAME, revision: old, percent: 100 - traffic },
    { type: LATEST, percent: traffic, tag },
  ];
}

/** The revision that requests go to by its name, the one with most of them. */
function namedIn({ traffic }: Live): Target | undefined {
  const named = (traffic ?? []).filter(({ type }) => type === BY_NAME);
  return named.toSorted((one, other) => (other.percent ?? 0) - (one.percent ?? 0))[0];
}
