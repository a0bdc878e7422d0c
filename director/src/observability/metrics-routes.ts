/** Where the metrics are asked for, and how requests get into them. */
import { OWN_ROUTES } from '@service-director/shared/contract/rest/older.ts';
import express, { type Express, type Request, type RequestHandler, Router } from 'express';
import { whoCalls } from '../http/authenticate.ts';
import { securityHeaders } from '../http/limits.ts';
import { Problem, problemHandler } from '../http/problem.ts';
import { demandPermitted, LOCAL_CALLER } from '../http/roles.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** They tell of all environments at once, so they take the role in all of them. */
export function metricsRoutes(metrics: Metrics): Router {
  const router = Router();
  router.get(OWN_ROUTES.getMetrics.path, async (request, response) => {
    demandPermitted(whoCalls(request), 'read', 'everywhere');
    response.set('content-type', metrics.contentType).send(await metrics.text());
  });
  return router;
}

/**
 * The metrics and nothing else, for whoever is on this machine: a collector beside the director, in the same instance
 * of Cloud Run, has no identity token. To be listened for on loopback alone.
 */
export function metricsDoor(metrics: Metrics, log: Log): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(securityHeaders({ isEncrypted: false }), ownMachine, metricsRoutes(metrics));
  app.use(({ path }) => {
    throw new Problem(404, 'Not found', `There is no ${path} here`, 'the metrics are at /metrics');
  });
  app.use(problemHandler(log));
  return app;
}

/** As for the director itself on loopback; Google's collector, beside it, calls this machine 0.0.0.0. */
const ownMachine: RequestHandler = (request, response, next) => {
  const isLocal = /^(::ffff:)?127\./.test(request.socket.remoteAddress ?? '');
  if (!isLocal || !OWN_HOST.test(request.get('host') ?? ''))
    throw new Problem(403, 'Forbidden', 'The metrics are here for their own machine only.');
  response.locals.caller = LOCAL_CALLER;
  next();
};

/** No name of anybody's: a page could turn its own to this address. */
const OWN_HOST = /^(localhost|127(\.\d{1,3}){3}|0\.0\.0\.0)(:\d+)?$/i;

/** Counts each request when its answer is over, however it ended. */
export function countRequests(metrics: Metrics): RequestHandler {
  return (request, response, next) => {
    response.once('close', () => metrics.answered(templateOf(request), request.method, response.statusCode));
    next();
  };
}

/** `/v1/deployments/:id`; all routers stand at the root. `none` where no route was found, or nobody was let in so far. */
function templateOf({ route }: Request): string {
  const path: unknown = Array.isArray(route?.path) ? route.path[0] : route?.path;
  return typeof path === 'string' ? path : 'none';
}
