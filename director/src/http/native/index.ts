/** The director's own API: all that is below /v1, and the document that describes it. */

import { openApiDocument } from '@service-director/shared/contract/rest/openapi.ts';
import type { Route } from '@service-director/shared/contract/rest/route.ts';
import { ROUTES } from '@service-director/shared/contract/rest.ts';
import { Router } from 'express';
import type { Listening } from '../listening.ts';
import { Problem } from '../problem.ts';
import type { Reads } from '../reads.ts';
import { nativeCommands } from './commands.ts';
import { nativeDeployments } from './deployments.ts';
import { type DirectorContext, nativeDirector } from './director.ts';
import { DOCS_POLICY, docsPage } from './docs.ts';
import { nativeLogs } from './logs.ts';
import type { SendingContext } from './sending.ts';
import { expressPath } from './serve.ts';
import { nativeStacks } from './stacks.ts';

export interface NativeContext extends SendingContext {
  /** Of the director: what the document says. */
  readonly version: string;
  readonly listening: Listening;
  readonly reads: Reads;
  readonly examine: DirectorContext['examine'];
}

export function nativeRoutes(context: NativeContext): Router {
  const router = Router();
  router.use(
    nativeDeployments(context),
    nativeCommands(context),
    nativeLogs(context),
    nativeStacks(context),
    nativeDirector(context),
    documentRoutes(context.version),
    otherMethods(),
  );
  return router;
}

/** Made when it is asked for first: it takes a moment, and most directors are never asked. */
function documentRoutes(version: string): Router {
  const router = Router();
  let made: { readonly json: string; readonly page: string } | undefined;
  const make = (): { readonly json: string; readonly page: string } => {
    if (made) return made;
    const document = openApiDocument(ROUTES, version);
    made = { json: JSON.stringify(document), page: docsPage(document) };
    return made;
  };
  router.get(ROUTES.getOpenApi.path, (_request, response) => {
    response.type('application/json').send(make().json);
  });
  router.get(ROUTES.getDocs.path, (_request, response) => {
    response.set('content-security-policy', DOCS_POLICY).type('text/html').send(make().page);
  });
  return router;
}

/** What is there, and takes another method. */
function otherMethods(): Router {
  const router = Router();
  // Those of webhooks come behind us.
  const native = Object.values<Route>(ROUTES).filter(
    ({ path, tag }) => path.startsWith('/v1/') && tag !== 'webhooks',
  );
  for (const [path, routes] of Map.groupBy(native, expressPath)) {
    const allowed = routes
      .map(({ method }) => (method === 'get' ? 'GET, HEAD' : method.toUpperCase()))
      .join(', ');
    router.all(path, ({ method }) => {
      throw new Problem(405, 'Not that method', `It takes ${allowed}, and not ${method}`, undefined, {
        headers: { allow: allowed },
      });
    });
  }
  return router;
}
