/**
 * Lists of builds over all repositories and environments, newest first.
 *
 * Builds of one repository in one environment lie in the order of time, for their ids do; so the lists of those that
 * are asked for are merged, and no more is read of any than its part of the page.
 */
import { listAll } from '../../store/list-all.ts';
import type { Store } from '../../store/store.ts';
import type { Builds } from './builds.ts';
import {
  type BuildId,
  type BuildRecord,
  type BuildStatus,
  buildKeys,
  idText,
  type LatestRecord,
  PREFIXES,
} from './records.ts';

/** A repository in an environment. */
export type Line = Pick<BuildId, 'repo' | 'env'>;

export interface PageWanted {
  readonly status: BuildStatus | undefined;
  /** Only those that come after this one in the list, whether it is there or not. */
  readonly before: BuildId | undefined;
  readonly limit: number;
}

export interface Page {
  readonly builds: readonly BuildRecord[];
  /** What `before` has to be for the next page; undefined where there is none. */
  readonly next?: string;
}

/** The newest id of each line that `isWanted`, in no order; of one environment, or of all. */
export async function newestIds(
  env: string | undefined,
  isWanted: (line: Line) => boolean,
  store: Store,
): Promise<BuildId[]> {
  const prefix = env === undefined ? PREFIXES.allLatest : PREFIXES.latest(env);
  const rows = await listAll<LatestRecord>(store, { collection: 'builds', prefix });
  return rows.map(({ value }) => value.id).filter(isWanted);
}

/** Of all builds of the lines that have these as their newest. */
export function pageOfAll(newest: readonly BuildId[], wanted: PageWanted, store: Store): Promise<Page> {
  return pageOf(merged(newest, wanted.before, store), wanted);
}

/** Of these builds only. */
export function pageOfThese(ids: readonly BuildId[], wanted: PageWanted, builds: Builds): Promise<Page> {
  return pageOf(each(ids, wanted.before, builds), wanted);
}

async function pageOf(found: AsyncIterable<BuildRecord>, { status, limit }: PageWanted): Promise<Page> {
  const builds: BuildRecord[] = [];
  for await (const build of found) {
    if (status !== undefined && build.status !== status) continue;
    const last = builds.at(-1);
    if (builds.length === limit && last) return { builds, next: idText(last) };
    builds.push(build);
  }
  return { builds };
}

/** How many are read at a time, and of how many lines. */
const READ = 20;
const ABREAST = 8;

interface Cursor {
  readonly line: Line;
  /** No build of the line that was not yielded yet is in a later place. */
  place: string;
  readonly read: BuildRecord[];
  /** Undefined before the first was read. */
  last?: string;
}

async function* merged(
  newest: readonly BuildId[],
  before: BuildId | undefined,
  store: Store,
): AsyncGenerator<BuildRecord> {
  let cursors = newest.map((id): Cursor => ({ line: id, place: earlierOf(id, before), read: [] }));
  for (;;) {
    cursors.sort((a, b) => descending(a.place, b.place));
    const [first] = cursors;
    if (!first) return;
    const build = first.read.shift();
    if (build) {
      yield build;
      const [next] = first.read;
      if (next) first.place = placeOf(next);
    } else {
      const unread = cursors.filter(({ read }) => read.length === 0).slice(0, ABREAST);
      const over = await Promise.all(unread.map((cursor) => isOver(cursor, before, store)));
      cursors = cursors.filter((cursor) => over[unread.indexOf(cursor)] !== true);
    }
  }
}

/** Reads on; resolves with whether there was nothing more. */
async function isOver(cursor: Cursor, before: BuildId | undefined, store: Store): Promise<boolean> {
  const { line } = cursor;
  // Of the same sk in another line it is not told here on which side of `before` it is.
  const from = cursor.last ?? (before && `${buildKeys.build({ ...line, sk: before.sk }).id}~`);
  const rows = await store.list<BuildRecord>({
    ...{ collection: 'builds', prefix: PREFIXES.builds(line), order: 'descending', limit: READ },
    ...(from === undefined ? {} : { after: from }),
  });
  const last = rows.at(-1);
  if (!last) return true;
  cursor.last = last.id;
  cursor.read.push(...rows.map(({ value }) => value).filter((build) => isAfter(build, before)));
  cursor.place = placeOf(cursor.read[0] ?? last.value);
  return false;
}

async function* each(
  ids: readonly BuildId[],
  before: BuildId | undefined,
  builds: Builds,
): AsyncGenerator<BuildRecord> {
  const left = ids.filter((id) => isAfter(id, before)).toSorted((a, b) => descending(placeOf(a), placeOf(b)));
  while (left.length > 0) {
    const found = await Promise.all(left.splice(0, READ).map((id) => builds.get(id)));
    yield* found.filter((build) => build !== undefined);
  }
}

/** Sorts by time; no two builds are in one place. */
function placeOf({ repo, env, sk }: BuildId): string {
  return `${sk}//${env}/${repo}`;
}

function isAfter(id: BuildId, before: BuildId | undefined): boolean {
  return before === undefined || placeOf(id) < placeOf(before);
}

function earlierOf(id: BuildId, before: BuildId | undefined): string {
  return before && !isAfter(id, before) ? placeOf(before) : placeOf(id);
}

function descending(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? 1 : -1;
}
