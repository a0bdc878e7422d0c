/** Stacks under /v1: listed, read, locked and unlocked. */
import { STACK_ROUTES } from '@service-director/shared/contract/rest/stacks.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { Request } from 'express';
import { Router } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { listAll } from '../../store/list-all.ts';
import { keys, type LockRecord, type StackRecord } from '../../store/records.ts';
import { whoCalls } from '../authenticate.ts';
import { visible } from '../demand.ts';
import { type Listing, stretchBehind } from '../listing.ts';
import type { Reads } from '../reads.ts';
import { demandPermitted, type Permission } from '../roles.ts';
import { auditOf, demandStack, entryOf, historyOf, readsOfStack, wholeOf } from '../stacks.ts';
import { pageOf, placeIn } from './cursor.ts';
import { demandDone, objectOf, type SendingContext, send } from './sending.ts';
import { ok, serve } from './serve.ts';
import { unlessKnown } from './tags.ts';

export interface NativeStacksContext extends SendingContext {
  readonly reads: Reads;
}

export function nativeStacks(context: NativeStacksContext): Router {
  const { store, scopes, reads } = context;
  const router = Router();

  /** Throws a Problem when there is none, or the caller may not see it. */
  async function find(
    params: { readonly scope: string; readonly dataflow: string },
    permission: Permission,
    request: Request,
  ): Promise<StackRecord> {
    const found = await demandStack(params, whoCalls(request), { store, scopes });
    demandPermitted(whoCalls(request), permission, await scopes.placeOf(found.scope));
    return found;
  }

  serve(router, STACK_ROUTES.listStacks, async ({ query }, request) => {
    const caller = whoCalls(request);
    const listing: Listing<StackRecord> = {
      query: { collection: 'stacks', ...(query.scope === undefined ? {} : { prefix: `${query.scope}/` }) },
      keep: (records) => visible(caller, records, scopes),
      placeOf: ({ stack }) => stack,
    };
    const { found, lookedTo } = await stretchBehind(listing, placeIn(query), query.limit + 1, store);
    const { page, ...more } = pageOf(found, query, listing.placeOf, lookedTo);
    const stacks = await Promise.all(
      page.map(async (record) => {
        const { stack } = record;
        const [units, lock] = await Promise.all([
          listAll<UnitState>(store, { collection: 'units', prefix: `${stack}//` }),
          readValue<LockRecord>(keys.lock(stack), store),
        ]);
        return entryOf(record, units.length, lock, store);
      }),
    );
    return ok({ stacks, ...more });
  });

  serve(router, STACK_ROUTES.getStack, async ({ params, headers: asked }, request) => {
    const found = await find(params, 'read-state', request);
    reads.note(request, found.stack, 'state');
    return unlessKnown(await wholeOf(found, store), asked['if-none-match']);
  });

  serve(router, STACK_ROUTES.getStackHistory, async ({ params, query }, request) => {
    const { stack, version } = await find(params, 'read', request);
    reads.note(request, stack, 'history');
    return ok(await historyOf(stack, version, query.limit, store));
  });

  serve(router, STACK_ROUTES.getStackAudit, async ({ params, query }, request) => {
    const { stack } = await find(params, 'read-state', request);
    reads.note(request, stack, 'audit');
    return ok(await auditOf(stack, query.limit, store));
  });

  serve(router, STACK_ROUTES.getStackReads, async ({ params, query }, request) => {
    const { stack } = await find(params, 'read-state', request);
    reads.note(request, stack, 'audit');
    return ok(await readsOfStack(stack, query.limit, store));
  });

  serve(router, STACK_ROUTES.checkStack, async ({ params, body, headers }, request) => {
    const { scope, dataflow } = await find(params, 'read', request);
    const { repair, ...rest } = body;
    const data = { ...rest, scope, dataflow, to_version: 'current', dry_run: !repair };
    return send({ type: 'rollback', data, headers }, request, context);
  });

  serve(router, STACK_ROUTES.lockStack, async ({ params, raw, headers }, request) => {
    const { scope, dataflow } = await find(params, 'read', request);
    return demandDone(
      { type: 'lock', data: { ...objectOf(raw), scope, dataflow }, headers },
      request,
      context,
    );
  });

  serve(router, STACK_ROUTES.unlockStack, async ({ params, raw, headers }, request) => {
    const { scope, dataflow } = await find(params, 'read', request);
    return demandDone(
      { type: 'unlock', data: { ...objectOf(raw), scope, dataflow }, headers },
      request,
      context,
    );
  });

  return router;
}
