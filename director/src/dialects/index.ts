/** What clients of other systems speak, put together: their routes, and how they are refused. */
import type { ErrorRequestHandler, Router } from 'express';
import type { ServerOptions } from '../http/server.ts';
import { failed as buildsRefusal } from './builds/refused.ts';
import { type BuildsOptions, buildsDialect } from './builds/routes.ts';
import { failed as dharmaRefusal } from './dharma/refused.ts';
import { type DharmaOptions, dharmaRoutes } from './dharma/routes.ts';
import { failed as nestorRefusal } from './nestor/refused.ts';
import { type NestorOptions, nestorRoutes } from './nestor/routes.ts';
import { type VerificationOptions, verificationRoutes } from './verification/routes.ts';
import { versionRoutes } from './versions.ts';

export type DialectsOptions = BuildsOptions & NestorOptions & DharmaOptions & VerificationOptions;

export interface Dialects {
  readonly routes: readonly Router[];
  readonly refusals: NonNullable<ServerOptions['refusals']>;
  /** Ends what goes on without being asked. */
  stop(): Promise<void>;
}

export function dialects(options: DialectsOptions): Dialects {
  const { log } = options;
  const building = buildsDialect(options);
  building.worker.start();
  return {
    // Each below its root, and what the roots of the others hold comes before.
    routes: [
      verificationRoutes(options),
      versionRoutes(),
      building.routes,
      nestorRoutes(options),
      dharmaRoutes(options),
    ],
    refusals: [
      { path: '/api/builds', handler: buildsRefusal(log) },
      { path: '/api/v1', handler: nestorRefusal(log) },
      { path: '/deployments', handler: postRefusal(nestorRefusal(log)) },
      { path: '/api', handler: dharmaRefusal(log) },
    ],
    stop: () => building.worker.stop(),
  };
}

/** Whatever else there is at that path is the director's own. */
function postRefusal(handler: ErrorRequestHandler): ErrorRequestHandler {
  return (error, request, response, next) =>
    request.method === 'POST' && request.path === '/' ? handler(error, request, response, next) : next(error);
}
