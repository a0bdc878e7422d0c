/** Builds that ended long ago, beyond the newest of each repository in an environment; before them what leads to them. */
import {
  type BuildRecord,
  buildKeys,
  idText,
  isFinished,
  type LatestRecord,
  type PointerRecord,
  PREFIXES,
} from '../dialects/builds/records.ts';
import { listAll } from '../store/list-all.ts';
import type { Stored, Write } from '../store/store.ts';
import { batchOf, deletion, pagesOf, type Round } from './round.ts';

type IsOld = (build: BuildRecord) => boolean;

export async function removeBuilds(round: Round): Promise<void> {
  const { store, before } = round;
  const latest = await listAll<LatestRecord>(store, { collection: 'builds', prefix: PREFIXES.allLatest });
  // Those of this moment, for the whole of the round: a build that is not the newest any more stays until the next.
  const newest = new Set(latest.map(({ value }) => idText(value.id)));
  const until = Date.parse(before) / 1000;
  const isOld: IsOld = (build) =>
    isFinished(build) &&
    Math.max(build.updated_at, build.finished_at ?? 0) < until &&
    !newest.has(idText(build));
  // Whoever finds one of these looks for its build.
  await removePointers(PREFIXES.asked, isOld, round);
  await removePointers(PREFIXES.promotions, isOld, round);
  await removeOld(isOld, round);
}

async function removePointers(prefix: string, isOld: IsOld, round: Round): Promise<void> {
  const batch = batchOf(round);
  for await (const rows of pagesOf<PointerRecord>(round, { collection: 'builds', prefix }, idOf)) {
    const builds = await Promise.all(
      rows.map(({ value }) => round.store.get<BuildRecord>(buildKeys.build(value.id))),
    );
    for (const [place, row] of rows.entries()) {
      const build = builds[place]?.value;
      if (!build || isOld(build)) await batch.add([deletion('builds', row)]);
    }
  }
  await batch.flush();
}

async function removeOld(isOld: IsOld, round: Round): Promise<void> {
  const batch = batchOf(round);
  const all = { collection: 'builds', prefix: PREFIXES.all } as const;
  for await (const rows of pagesOf<BuildRecord>(round, all, idOf))
    for (const row of rows) if (isOld(row.value)) await batch.add(await writesFor(row, round));
  await batch.flush();
}

/** With the name of its execution, and with where it was promoted to. */
async function writesFor(row: Stored<BuildRecord>, { store }: Round): Promise<Write[]> {
  const { execution_name: name } = row.value;
  const prefix = PREFIXES.promotionsOf(row.value);
  const promotions = await listAll<PointerRecord>(store, { collection: 'builds', prefix });
  return [
    deletion('builds', row),
    ...promotions.map((promotion) => deletion('builds', promotion)),
    ...(name === undefined
      ? []
      : [{ type: 'delete', key: buildKeys.execution(name), if: 'any' } satisfies Write]),
  ];
}

function idOf({ id }: Stored<unknown>): string {
  return id;
}
