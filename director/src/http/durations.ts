/** How long deployments took, by how many resources they changed. */
import { type Durations, SIZES } from '@service-director/shared/contract/rest/director.ts';
import type { PlannedUnit } from '@service-director/shared/engine/plan.ts';
import { type Size, sizeOf } from '../deployments/sizes.ts';
import type { DeploymentRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { placeOf } from './deployments.ts';
import { behind, NEWEST_FIRST } from './listing.ts';

/** How far back is looked. */
const LOOKED_AT = 1_000;

/** Of the newest that succeeded, those that changed anything. `keep` leaves what whoever asks may see. */
export async function durationsOf(
  store: Store,
  keep: (records: readonly DeploymentRecord[]) => Promise<readonly DeploymentRecord[]>,
): Promise<Durations> {
  const seconds = new Map<Size, number[]>(SIZES.map((size) => [size, []]));
  const where = { field: 'status', is: 'succeeded' };
  const query = { collection: 'deployments', where, ...NEWEST_FIRST } as const;
  for (const record of await behind({ query, keep, placeOf }, undefined, LOOKED_AT, store)) {
    const [size, took] = [changeSize(record), secondsOf(record)];
    if (size !== undefined && took !== undefined) seconds.get(size)?.push(took);
  }
  return { sizes: SIZES.map((size) => ({ resources: size, ...summaryOf(seconds.get(size) ?? []) })) };
}

/** Undefined for one that changed nothing. */
function changeSize({ dryRun, plan }: DeploymentRecord): Size | undefined {
  const count = (plan?.units ?? []).reduce((sum, unit) => sum + changesIn(unit), 0);
  return dryRun ? undefined : sizeOf(count);
}

function changesIn({ change, kept, resources = [] }: PlannedUnit): number {
  if (change.action === 'none' || kept !== undefined) return 0;
  return Math.max(1, resources.length);
}

/** Without what it waited for an approval: from then on its time begins anew. */
function secondsOf({ startedAt, resumedAt, endedAt }: DeploymentRecord): number | undefined {
  const begun = resumedAt ?? startedAt;
  if (begun === undefined || endedAt === undefined) return undefined;
  return Math.max(0, (Date.parse(endedAt) - Date.parse(begun)) / 1000);
}

function summaryOf(seconds: readonly number[]): Omit<Durations['sizes'][number], 'resources'> {
  const sorted = seconds.toSorted((a, b) => a - b);
  const [longest, middle] = [sorted.at(-1), sorted[Math.floor((sorted.length - 1) / 2)]];
  if (longest === undefined || middle === undefined) return { deployments: 0 };
  let sum = 0;
  for (const one of sorted) sum += one;
  return {
    deployments: sorted.length,
    median_seconds: middle,
    average_seconds: Math.round((sum / sorted.length) * 1000) / 1000,
    longest_seconds: longest,
  };
}
