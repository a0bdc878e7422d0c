/** The director's HTTP side, put together. */
import express, { type Express, type RequestHandler, type Router } from 'express';
import type { Log } from '../observability/log.ts';
import { problemHandler } from './problem.ts';

export interface Readiness {
  readonly ready: boolean;
  /** What is wrong, by part. */
  readonly problems: Readonly<Record<string, string>>;
}

export interface ServerOptions {
  readonly log: Log;
  readonly version: object;
  readiness(): Readiness;
  readonly authenticate: RequestHandler;
  /** For those whom `authenticate` lets in. */
  readonly routes: readonly Router[];
  /** Only where commands are pushed; it has an authentication of its own. */
  readonly push: Router | undefined;
}

export function createApp({ log, version, readiness, authenticate, routes, push }: ServerOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use((_request, response, next) => {
    response.set({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    next();
  });
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
  app.use(authenticate, ...routes);
  app.use((request, response) => {
    response
      .status(404)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: 'about:blank',
          title: 'Not found',
          status: 404,
          detail: `There is no ${request.path}`,
        }),
      );
  });
  app.use(problemHandler(log));
  return app;
}
