/** Deployments under /v1: listed, read, and told what to do. */
import { DEPLOYMENT_ROUTES } from '@service-director/shared/contract/rest/deployments.ts';
import type { Asked } from '@service-director/shared/contract/rest/route.ts';
import type { DecisionHeaders } from '@service-director/shared/contract/rest/schemas.ts';
import { type Request, Router } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { type CommandRecord, type DeploymentRecord, keys } from '../../store/records.ts';
import { whoCalls } from '../authenticate.ts';
import { visible } from '../demand.ts';
import { briefsOf, demandDeployment, detailOf, placeOf, queryFor } from '../deployments.ts';
import { type Listing, NEWEST_FIRST, stretchBehind } from '../listing.ts';
import { Problem } from '../problem.ts';
import { demandPermitted } from '../roles.ts';
import { pageOf, placeIn } from './cursor.ts';
import { recentAnswers } from './recent.ts';
import { demandDone, type Letter, objectOf, type SendingContext, type Sent } from './sending.ts';
import { ok, serve } from './serve.ts';
import { etagOf, matches, unlessKnown } from './tags.ts';

export function nativeDeployments(context: SendingContext): Router {
  const { store, scopes } = context;
  const router = Router();
  const recent = recentAnswers(store);

  serve(router, DEPLOYMENT_ROUTES.listDeployments, list, recent);
  serve(router, DEPLOYMENT_ROUTES.getDeployment, get, recent);

  async function list({ query }: Asked<typeof DEPLOYMENT_ROUTES.listDeployments>, request: Request) {
    const { stack, scope, status, operation, sort, limit } = query;
    const caller = whoCalls(request);
    const listing: Listing<DeploymentRecord> = {
      query: { ...queryFor({ stack, status }), ...(sort === 'id' ? {} : NEWEST_FIRST) },
      placeOf: sort === 'id' ? ({ id }) => id : placeOf,
      async keep(records) {
        const fitting = records.filter(
          (record) =>
            (stack === undefined || record.stack === stack) &&
            (scope === undefined || record.scope === scope) &&
            (status === undefined || record.status === status) &&
            (operation === undefined || record.operation === operation),
        );
        return visible(caller, fitting, scopes);
      },
    };
    const { found, lookedTo } = await stretchBehind(listing, placeIn(query), limit + 1, store);
    const { page, ...more } = pageOf(found, query, listing.placeOf, lookedTo);
    return ok({ deployments: await briefsOf(page, store), ...more });
  }

  async function get(asked: Asked<typeof DEPLOYMENT_ROUTES.getDeployment>, request: Request) {
    const { id } = asked.params;
    const record = await demandDeployment(id, store);
    demandPermitted(whoCalls(request), 'read', await scopes.placeOf(record.scope));
    return unlessKnown(await detailOf(record, store), asked.headers['if-none-match']);
  }

  serve(router, DEPLOYMENT_ROUTES.cancelDeployment, ({ params: { id }, raw, headers }, request) =>
    actOn(id, { headers, data: { ...objectOf(raw), deployment: id }, type: 'cancel' }, headers, request),
  );
  serve(router, DEPLOYMENT_ROUTES.rollbackDeployment, ({ params: { id }, raw, headers }, request) =>
    actOn(id, { headers, data: { ...objectOf(raw), deployment: id }, type: 'rollback' }, headers, request),
  );
  for (const [decision, route] of [
    ['approve', DEPLOYMENT_ROUTES.approveDeployment],
    ['reject', DEPLOYMENT_ROUTES.rejectDeployment],
  ] as const)
    serve(router, route, async ({ params: { id }, raw, headers }, request) => {
      const plan = await planMeant(id, headers);
      const data = { ...objectOf(raw), ...plan, deployment: id, decision };
      return actOn(id, { headers, data, type: 'approve' }, headers, request);
    });

  async function actOn(
    id: string,
    letter: Letter,
    headers: DecisionHeaders,
    request: Request,
  ): Promise<Sent> {
    const record = await demandDeployment(id, store);
    demandPermitted(whoCalls(request), 'read', await scopes.placeOf(record.scope));
    // What came before is answered as it was then, whatever has become of the deployment since.
    if ((await earlier(headers)) === undefined) await demandMatch(record, headers);
    return demandDone(letter, request, context);
  }

  async function earlier(headers: DecisionHeaders): Promise<CommandRecord | undefined> {
    const key = headers['idempotency-key'];
    return key === undefined ? undefined : readValue<CommandRecord>(keys.command(key), store);
  }

  /** With If-Match, the hash of the plan that is there now, so that the word is bound to it. */
  async function planMeant(id: string, headers: DecisionHeaders): Promise<{ plan_hash?: string }> {
    if (headers['if-match'] === undefined) return {};
    const known = (await earlier(headers))?.command;
    const said = known?.type === 'approve' ? known.data.plan_hash : undefined;
    const hash = said ?? (await demandDeployment(id, store)).approval?.planHash;
    return hash === undefined ? {} : { plan_hash: hash };
  }

  /** Throws a Problem 412 when it is not the plan, or not the deployment as it was, that If-Match means. */
  async function demandMatch(record: DeploymentRecord, headers: DecisionHeaders): Promise<void> {
    const meant = headers['if-match'];
    if (meant === undefined) return;
    const plan = record.approval?.planHash ?? record.plan?.hash;
    const tags = plan === undefined ? [] : [`"${plan}"`];
    if (matches([...tags, etagOf(await detailOf(record, store))], meant)) return;
    throw new Problem(
      412,
      'It is another one',
      plan === undefined
        ? `${record.id} is not as it was: it is ${record.status}`
        : `${record.id} is not as it was: it is ${record.status}, and the hash of its plan is ${plan}`,
      'read it again',
    );
  }

  return router;
}
