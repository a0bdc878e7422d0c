/** The journal of a deployment under /v1: a page of it, or all of it while it is written. */
import { DEPLOYMENT_ROUTES } from '@service-director/shared/contract/rest/deployments.ts';
import type { LogPage } from '@service-director/shared/contract/rest/schemas.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { Router } from 'express';
import type { z } from 'zod';
import { type DeploymentRecord, isEnded } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { whoCalls } from '../authenticate.ts';
import type { Scopes } from '../demand.ts';
import { demandDeployment } from '../deployments.ts';
import { Problem } from '../problem.ts';
import { demandPermitted } from '../roles.ts';
import { follow, linesOf, type News, type Pace } from './follow.ts';
import { expressPath, read } from './serve.ts';
import type { Streams } from './streams.ts';

export interface LogsContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly streams: Streams;
  readonly pace: Pace;
  /** How long a stream may be silent, in milliseconds. */
  readonly heartbeatMs: number;
}

const JSON_TYPE = 'application/json';
const EVENTS = 'text/event-stream';
const LINES = 'application/x-ndjson';

const ROUTE = DEPLOYMENT_ROUTES.getDeploymentLogs;

export function nativeLogs(context: LogsContext): Router {
  const { store, scopes } = context;
  const router = Router();

  router.get(expressPath(ROUTE), async (request, response) => {
    const { params, query, headers } = read(ROUTE, request);
    const record = await demandDeployment(params.id, store);
    demandPermitted(whoCalls(request), 'read', await scopes.placeOf(record.scope));
    const type = request.accepts([JSON_TYPE, EVENTS, LINES]);
    if (type === false)
      throw new Problem(406, 'Not in that form', `It is told as ${JSON_TYPE}, ${EVENTS} or ${LINES}`);
    if (type === JSON_TYPE || request.method === 'HEAD') {
      response.json(await pageOf(record, query.after, query.limit, store));
      return;
    }
    const known = headers['last-event-id'];
    if (known?.endsWith(END) === true) {
      // What tells a browser that it need not come again.
      response.status(204).end();
      return;
    }
    const after = known === undefined ? query.after : Number(known);
    const [speaks, beat] = type === EVENTS ? [eventOf, ':\n\n'] : [lineOf, '\n'];
    await context.streams.speak(response, type, (signal) => spoken(record, after, speaks, beat, signal));
  });

  async function* spoken(
    record: DeploymentRecord,
    after: number,
    speaks: (news: Exclude<News, { type: 'quiet' }>) => string,
    beat: string,
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    const { clock, heartbeatMs } = context;
    let spokenAt = clock.now();
    // At once, so that whoever listens knows that somebody speaks.
    yield beat;
    for await (const news of follow(record, after, { ...context, signal })) {
      if (news.type === 'quiet' && clock.now() - spokenAt < heartbeatMs) continue;
      spokenAt = clock.now();
      yield news.type === 'quiet' ? beat : speaks(news);
    }
  }

  return router;
}

/** After the number of the last line: the end was told. */
const END = '-end';

type Told = Exclude<News, { type: 'quiet' }>;

function eventOf(news: Told): string {
  switch (news.type) {
    case 'line':
      return `id: ${news.line.sequence}\nevent: ${news.line.type}\ndata: ${JSON.stringify(news.line)}\n\n`;
    case 'end':
      return `id: ${news.sequence}${END}\nevent: end\ndata: ${JSON.stringify(news.report)}\n\n`;
    default:
      return never(news);
  }
}

function lineOf(news: Told): string {
  switch (news.type) {
    case 'line':
      return `${JSON.stringify(news.line)}\n`;
    case 'end':
      return `${JSON.stringify({ type: 'end', sequence: news.sequence, report: news.report })}\n`;
    default:
      return never(news);
  }
}

async function pageOf(
  record: DeploymentRecord,
  after: number,
  limit: number,
  store: Store,
): Promise<z.output<typeof LogPage>> {
  const { id, status } = record;
  const lines = await linesOf(record, after, limit, store);
  const isAll = isEnded(status) && lines.length < limit;
  return { deployment: id, status, lines, ...(isAll ? {} : { next: lines.at(-1)?.sequence ?? after }) };
}
