/** The director's HTTP side, put together. */
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { Log } from '../observability/log.ts';
import { limitBody, MOST_BODY_BYTES, securityHeaders } from './limits.ts';
import { Problem, problemHandler } from './problem.ts';

export interface Readiness {
  readonly ready: boolean;
  /** What is wrong, by part. */
  readonly problems: Readonly<Record<string, string>>;
}

export interface ServerOptions {
  readonly log: Log;
  /** Sees every request, before anything else does. */
  readonly onRequest?: RequestHandler;
  readonly version: object;
  /** Whether it is called over TLS alone. */
  readonly isEncrypted: boolean;
  readiness(): Readiness;
  readonly authenticate: RequestHandler;
  /** For whoever was let in. */
  readonly limit: RequestHandler;
  /** For those whom `authenticate` lets in. */
  readonly routes: readonly Router[];
  /** How refusals are told below other paths, also those that come before a route is reached; the deepest paths first. */
  readonly refusals?: readonly { readonly path: string; readonly handler: ErrorRequestHandler }[];
  /** Only where commands are pushed; it has an authentication of its own. */
  readonly push: Router | undefined;
  /** What is reached by a link and without a token; it has a limit and a check of its own. */
  readonly byLink?: Router | undefined;
}

export function createApp(options: ServerOptions): Express {
  const {
    log,
    onRequest,
    version,
    isEncrypted,
    readiness,
    authenticate,
    limit,
    routes,
    refusals = [],
    push,
    byLink,
  } = options;
  const app = express();
  app.disable('x-powered-by');
  if (onRequest) app.use(onRequest);
  app.use(securityHeaders({ isEncrypted }), limitBody(MOST_BODY_BYTES));
  // Both spellings: Cloud Run keeps some paths that end in z for itself.
  app.get(['/health', '/healthz'], (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.get(['/ready', '/readyz'], (_request, response) => {
    const { ready, problems } = readiness();
    response.status(ready ? 200 : 503).json({ ready, problems });
  });
  app.get('/version', (_request, response) => {
    response.json(version);
  });
  if (push) app.use(push);
  if (byLink) app.use(byLink);
  app.use(authenticate, limit, ...routes);
  app.use(({ path }) => {
    throw new Problem(404, 'Not found', `There is no ${path}`);
  });
  for (const { path, handler } of refusals) app.use(path, handler);
  app.use(problemHandler(log));
  return app;
}
