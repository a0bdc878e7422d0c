/**
 * Code that nobody has planned with, or sent, for as long as history is kept, and that nothing names.
 *
 * A deployment plans after it was made, and says then which bundles it uses (`bundles/uses.ts`): so those that came
 * since a bundle was used last do not have it. Of all others few are left, and only they are read.
 */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { bundleKey } from '../bundles/bundle.ts';
import { FRESH_MS, USES, type UseRecord, useKey } from '../bundles/uses.ts';
import type { DeploymentRecord } from '../store/records.ts';
import { type Collection, type Stored, timedPlace } from '../store/store.ts';
import { batchOf, deletion, pagesOf, type Round } from './round.ts';

/** Beside how exact the note of a use is, how far the clocks of two directors may be apart. Milliseconds. */
const MARGIN_MS = 2 * FRESH_MS;
/** How many deployments are read at a time: each has its plan with it. */
const READ = 20;

export async function removeBundles(round: Round): Promise<void> {
  const named = new Set([...(await namedByOldDeployments(round)), ...(await namedByWhatIs(round))]);
  const until = timestamp(Date.parse(round.before) - MARGIN_MS);
  const noted = new Set<string>();
  const batch = batchOf(round);
  const uses = { collection: 'artifacts', prefix: USES } as const;
  for await (const rows of pagesOf<UseRecord>(round, uses, ({ id }) => id))
    for (const row of rows) {
      const digest = row.id.slice(USES.length);
      noted.add(digest);
      if (row.value.at >= until || named.has(digest)) continue;
      const key = { collection: 'artifacts', id: bundleKey(digest) } as const;
      await batch.add([deletion('artifacts', row), { type: 'delete', key, if: 'any' }]);
    }
  // Of bundles from before there were notes nobody knows when they were used last: it counts from today.
  const value: UseRecord = { at: round.now };
  for (const digest of named)
    if (!noted.has(digest)) await batch.add([{ type: 'put', key: useKey(digest), value, if: 'absent' }]);
  await batch.flush();
}

/** Of those that came before what may be gone; each is looked at here before it goes. */
async function namedByOldDeployments(round: Round): Promise<string[]> {
  const named: string[] = [];
  const byTime = { collection: 'deployments', by: 'time' } as const;
  const placeOf = ({ id, value }: Stored<DeploymentRecord>): string => timedPlace(value.createdAt, id);
  for await (const rows of pagesOf<DeploymentRecord>(round, byTime, placeOf, READ))
    for (const { value } of rows) {
      if (value.createdAt >= round.before) return named;
      named.push(...Object.values(value.sources ?? {}));
    }
  return named;
}

/**
 * Those of the units that are there, of the versions that can be brought back, and of what is described. In this order:
 * what is brought back goes from a version to a unit, and is planned first, which is a use.
 */
async function namedByWhatIs(round: Round): Promise<string[]> {
  const named: string[] = [];
  const collections: readonly Collection[] = ['units', 'versions', 'architectures'];
  for (const collection of collections)
    for await (const rows of pagesOf<object>(round, { collection }, ({ id }) => id, READ))
      named.push(...digestsIn(rows));
  return named;
}

const DIGEST = /^[0-9a-f]{64}$/;

/** All that is called a digest in it, however deep: sources are written so wherever they stand. */
function digestsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) =>
    name === 'digest' && typeof part === 'string' && DIGEST.test(part) ? [part] : digestsIn(part),
  );
}
