/** The director itself under /v1: how it is, and how it has done. */
import { DIRECTOR_ROUTES, type Doctor } from '@service-director/shared/contract/rest/director.ts';
import { Router } from 'express';
import type { Store } from '../../store/store.ts';
import { whoCalls } from '../authenticate.ts';
import { type Scopes, visible } from '../demand.ts';
import { durationsOf } from '../durations.ts';
import { demandPermitted } from '../roles.ts';
import { ok, serve } from './serve.ts';

export interface DirectorContext {
  readonly store: Store;
  readonly scopes: Scopes;
  /** Looks at everything that may keep deployments from going through. */
  examine(): Promise<Doctor>;
}

export function nativeDirector({ store, scopes, examine }: DirectorContext): Router {
  const router = Router();

  serve(router, DIRECTOR_ROUTES.getDoctor, async (_asked, request) => {
    demandPermitted(whoCalls(request), 'read', 'everywhere');
    return ok(await examine());
  });

  serve(router, DIRECTOR_ROUTES.getDurations, async (_asked, request) => {
    const caller = whoCalls(request);
    demandPermitted(caller, 'read', 'somewhere');
    return ok(await durationsOf(store, (records) => visible(caller, records, scopes)));
  });

  return router;
}
