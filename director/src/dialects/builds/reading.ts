/** What a request for a list of builds asks for. */
import type { Request } from 'express';
import { queryOf } from '../../http/query.ts';
import type { Store } from '../../store/store.ts';
import type { Builds } from './builds.ts';
import { type Line, newestIds, type Page, type PageWanted, pageOfAll, pageOfThese } from './listing.ts';
import { BUILD_STATUSES, type BuildId } from './records.ts';
import { Refused } from './refused.ts';

const LIMIT = 20;
const MOST = 500;

export interface ReadingContext {
  readonly store: Store;
  readonly builds: Builds;
  readonly mayRead: (line: Line) => boolean;
}

/** Newest first. Throws Refused 400. */
export async function listed(request: Request, { store, builds, mayRead }: ReadingContext): Promise<Page> {
  const [repo, env, execution] = ['repo', 'env', 'execution'].map((name) => queryOf(request, name));
  const wanted = wantedBy(request);
  const isWanted = (line: Line): boolean =>
    (repo === undefined || line.repo === repo) && (env === undefined || line.env === env) && mayRead(line);
  if (execution !== undefined) {
    const id = await builds.ofExecution(nameIn(execution));
    return pageOfThese(id && isWanted(id) ? [id] : [], wanted, builds);
  }
  const newest = await newestIds(env, isWanted, store);
  return queryOf(request, 'latest') === 'true'
    ? pageOfThese(newest, wanted, builds)
    : pageOfAll(newest, wanted, store);
}

/** Of one repository in one environment. */
export function listedOf(line: Line, request: Request, store: Store): Promise<Page> {
  // Nothing is known of its newest, but that no id comes after it.
  return pageOfAll([{ ...line, sk: '~' }], wantedBy(request), store);
}

function wantedBy(request: Request): PageWanted {
  const status = queryOf(request, 'status');
  const known = BUILD_STATUSES.find((one) => one === status);
  if (status !== undefined && known === undefined)
    throw new Refused(400, `status is one of ${BUILD_STATUSES.join(', ')}`);
  return { status: known, before: beforeOf(request), limit: limitOf(request) };
}

/** The name of an execution stands at the end of its ARN. */
function nameIn(execution: string): string {
  return execution.slice(execution.lastIndexOf(':') + 1).slice(0, 100);
}

function beforeOf(request: Request): BuildId | undefined {
  const text = queryOf(request, 'before');
  if (text === undefined) return undefined;
  const [, repo, env, sk] = /^(.{1,100})\/([-a-z0-9]{1,20}):([0-9A-Za-z]{1,40})$/.exec(text) ?? [];
  if (repo !== undefined && env !== undefined && sk !== undefined) return { repo, env, sk };
  throw new Refused(400, 'before is the id of a build');
}

function limitOf(request: Request): number {
  const asked = queryOf(request, 'limit') ?? String(LIMIT);
  const limit = /^\d{1,6}$/.test(asked) ? Number(asked) : 0;
  if (limit < 1 || limit > MOST) throw new Refused(400, `limit is a number from 1 to ${MOST}`);
  return limit;
}
