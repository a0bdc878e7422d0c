/** Deployments over HTTP: which there are, and all that is known of one. */

import type {
  DeploymentBrief,
  DeploymentDetail,
  DeploymentPage,
} from '@service-director/shared/contract/state.ts';
import { DEPLOYMENT_STATUSES } from '@service-director/shared/contract/status.ts';
import { type Request, Router } from 'express';
import type { z } from 'zod';
import { criticalPathOf } from '../deployments/critical-path.ts';
import { aroundOf, journalOf, readValue, withRequester } from '../deployments/reading.ts';
import { reportOf } from '../deployments/report.ts';
import { briefOf } from '../deployments/views.ts';
import { type CommandRecord, type DeploymentRecord, keys } from '../store/records.ts';
import { type Store, timedPlace } from '../store/store.ts';
import { whoCalls } from './authenticate.ts';
import { demand, type Scopes, visible } from './demand.ts';
import { behind, type Listing, NEWEST_FIRST } from './listing.ts';
import { Problem } from './problem.ts';
import { limitOf, queryOf } from './query.ts';
import { demandPermitted } from './roles.ts';

const PAGE = 50;
const MOST = 500;
/** Characters; nothing longer was ever kept. */
const LONGEST_ID = 300;

export function deploymentRoutes({ store, scopes }: { store: Store; scopes: Scopes }): Router {
  const router = Router();

  router.get('/deployments', demand('read'), async (request, response) => {
    const limit = limitOf(request, PAGE, MOST);
    const wanted = wantedOf(request);
    const fitting = fittingTo(wanted);
    const caller = whoCalls(request);
    const listing: Listing<DeploymentRecord> = {
      query: { ...queryFor(wanted), ...NEWEST_FIRST },
      keep: async (records) => visible(caller, await fitting(records), scopes),
      placeOf,
    };
    const found = await behind(listing, wanted.after, limit + 1, store);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const answer: z.output<typeof DeploymentPage> = {
      deployments: await briefsOf(page, store),
      ...(last ? { next: placeOf(last) } : {}),
    };
    response.json(answer);
  });

  router.get('/deployments/:id', async (request, response) => {
    const record = await demandDeployment(request.params.id, store);
    demandPermitted(whoCalls(request), 'read', await scopes.placeOf(record.scope));
    response.json(await detailOf(record, store));
  });

  return router;
}

/** All that is known of one. */
export async function detailOf(found: DeploymentRecord, store: Store): Promise<DeploymentDetail> {
  const record = await withRequester(found, store);
  const [around, events] = await Promise.all([aroundOf(record, store), journalOf(record, store)]);
  const path = criticalPathOf(record, events);
  return { ...briefOf(record, around), report: reportOf(record), ...path, events };
}

interface Wanted {
  readonly stack: string | undefined;
  readonly status: string | undefined;
  /** The place of the last of the page before. */
  readonly after: string | undefined;
}

function wantedOf(request: Request): Wanted {
  const [stack, status, after] = [
    queryOf(request, 'stack'),
    queryOf(request, 'status'),
    queryOf(request, 'after'),
  ];
  if (status !== undefined && !DEPLOYMENT_STATUSES.some((one) => one === status)) {
    const known = DEPLOYMENT_STATUSES.join(', ');
    throw new Problem(400, 'Bad request', `There is no status ${status}`, `known are: ${known}`);
  }
  if (after !== undefined && !/^\d{4}-[^/]*\/./.test(after))
    throw new Problem(400, 'Bad request', `after is ${after}`, 'give the "next" of the page before');
  return { stack, status, after };
}

function fittingTo({ stack, status }: Wanted): Listing<DeploymentRecord>['keep'] {
  return async (records) =>
    records.filter(
      (record) =>
        (stack === undefined || record.stack === stack) && (status === undefined || record.status === status),
    );
}

/** Where it stands in the list: later ones sort behind, and no two are in one place. */
export function placeOf({ createdAt, id }: DeploymentRecord): string {
  return timedPlace(createdAt, id);
}

/** The one condition that the store looks up; a stack has fewer deployments than a status. */
export function queryFor({ stack, status }: Pick<Wanted, 'stack' | 'status'>): Listing<unknown>['query'] {
  const collection = 'deployments';
  if (stack !== undefined) return { collection, where: { field: 'stack', is: stack } };
  return status === undefined ? { collection } : { collection, where: { field: 'status', is: status } };
}

export async function briefsOf(
  records: readonly DeploymentRecord[],
  store: Store,
): Promise<DeploymentBrief[]> {
  return Promise.all(
    records.map(async (record) => briefOf(await withRequester(record, store), await aroundOf(record, store))),
  );
}

/** Throws a Problem 404, which tells those of a command to whoever took its id for one of them. */
export async function demandDeployment(id: string, store: Store): Promise<DeploymentRecord> {
  const isPossible = id.length <= LONGEST_ID;
  const found = isPossible ? await readValue<DeploymentRecord>(keys.deployment(id), store) : undefined;
  if (found) return found;
  const command = isPossible ? await readValue<CommandRecord>(keys.command(id), store) : undefined;
  const isCommand = command !== undefined && command.deployments.length > 0;
  throw new Problem(
    404,
    'Not found',
    `There is no deployment ${id}`,
    isCommand
      ? `it is a command; known are its deployments: ${command.deployments.join(', ')}`
      : 'conductor deployments, or GET /deployments, lists those that there are',
  );
}
