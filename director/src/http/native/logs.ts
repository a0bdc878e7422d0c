/** The journal of a deployment under /v1: a page of it, or all of it while it is written. */
import { DEPLOYMENT_ROUTES } from '@service-director/shared/contract/rest/deployments.ts';
import type { LogLine, LogPage } from '@service-director/shared/contract/rest/schemas.ts';
import { Router } from 'express';
import type { z } from 'zod';
import { reportOf } from '../../deployments/report.ts';
import { journalLineOf } from '../../deployments/views.ts';
import { type DeploymentRecord, isEnded } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { whoCalls } from '../authenticate.ts';
import type { Scopes } from '../demand.ts';
import { demandDeployment } from '../deployments.ts';
import { type Row, rowsOf } from '../follow.ts';
import { EVENTS, JSON_TYPE, LINES, type Listening, listen, typeAsked, type Voice } from '../listening.ts';
import { Problem } from '../problem.ts';
import { demandPermitted } from '../roles.ts';
import { expressPath, read } from './serve.ts';

export interface LogsContext {
  readonly store: Store;
  readonly scopes: Scopes;
  readonly listening: Listening;
}

const ROUTE = DEPLOYMENT_ROUTES.getDeploymentLogs;

export function nativeLogs({ store, scopes, listening }: LogsContext): Router {
  const router = Router();

  router.get(expressPath(ROUTE), async (request, response) => {
    const { params, query, headers } = read(ROUTE, request);
    const record = await demandDeployment(params.id, store);
    demandPermitted(whoCalls(request), 'read', await scopes.placeOf(record.scope));
    const type = typeAsked(request);
    if (type === undefined)
      throw new Problem(406, 'Not in that form', `It is told as ${JSON_TYPE}, ${EVENTS} or ${LINES}`);
    if (type === JSON_TYPE) {
      response.json(await pageOf(record, query.after, query.limit, store));
      return;
    }
    const lastEventId = headers['last-event-id'];
    await listen(response, { record, type, voice: VOICE, after: query.after, lastEventId }, listening);
  });

  return router;
}

const VOICE: Voice = {
  event: (line) => ({ name: line.entry.type, data: lineOf(line, line.record) }),
  end: reportOf,
  lastLine: (record, sequence) => ({ type: 'end', sequence, report: reportOf(record) }),
};

function lineOf({ entry, sequence }: Row, { stack }: Pick<DeploymentRecord, 'stack'>): LogLine {
  return { ...journalLineOf(entry, stack), sequence };
}

async function pageOf(
  record: DeploymentRecord,
  after: number,
  limit: number,
  store: Store,
): Promise<z.output<typeof LogPage>> {
  const { id, status } = record;
  const rows = await rowsOf(id, after, limit, store);
  const isAll = isEnded(status) && rows.length < limit;
  return {
    deployment: id,
    status,
    lines: rows.map((row) => lineOf(row, record)),
    ...(isAll ? {} : { next: rows.at(-1)?.sequence ?? after }),
  };
}
