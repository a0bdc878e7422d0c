/** Commands under /v1: sent, listed, read. */
import { COMMAND_TYPES, type CommandType, isCommandType } from '@service-director/shared/contract/command.ts';
import { COMMAND_ROUTES } from '@service-director/shared/contract/rest/commands.ts';
import { Router } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { type CommandRecord, keys } from '../../store/records.ts';
import { type Query, timedPlace } from '../../store/store.ts';
import { whoCalls } from '../authenticate.ts';
import { briefOf, detailOf } from '../commands.ts';
import { maySeeCommand } from '../demand.ts';
import { type Listing, NEWEST_FIRST, stretchBehind } from '../listing.ts';
import { Problem } from '../problem.ts';
import { type Caller, demandPermitted } from '../roles.ts';
import { pageOf, placeIn } from './cursor.ts';
import { type SendingContext, send } from './sending.ts';
import { ok, serve } from './serve.ts';

const SENDING = {
  'dataflow-setup': COMMAND_ROUTES.sendDataflowSetup,
  deploy: COMMAND_ROUTES.sendDeploy,
  teardown: COMMAND_ROUTES.sendTeardown,
  rollback: COMMAND_ROUTES.sendRollback,
  approve: COMMAND_ROUTES.sendApprove,
  cancel: COMMAND_ROUTES.sendCancel,
  lock: COMMAND_ROUTES.sendLock,
  unlock: COMMAND_ROUTES.sendUnlock,
} as const satisfies Record<CommandType, (typeof COMMAND_ROUTES)[keyof typeof COMMAND_ROUTES]>;

export function nativeCommands(context: SendingContext): Router {
  const { store, scopes } = context;
  const router = Router();

  for (const type of COMMAND_TYPES)
    serve(router, SENDING[type], ({ raw, headers }, request) =>
      send({ type, data: raw, headers }, request, context),
    );
  router.post('/v1/commands/:type', ({ params: { type } }, _response, next) => {
    if (isCommandType(type)) return next();
    throw new Problem(
      404,
      'Unknown command',
      `There is no command ${type}`,
      `known are: ${COMMAND_TYPES.join(', ')}`,
    );
  });

  serve(router, COMMAND_ROUTES.listCommands, async ({ query }, request) => {
    const { status, correlation_id, sort, limit } = query;
    const caller = whoCalls(request);
    const listing: Listing<CommandRecord> = {
      query: { ...queryFor(status, correlation_id), ...(sort === 'id' ? {} : NEWEST_FIRST) },
      placeOf: sort === 'id' ? ({ id }) => id : ({ receivedAt, id }) => timedPlace(receivedAt, id),
      async keep(records) {
        const fitting = records.filter(
          (record) =>
            (status === undefined || record.status === status) &&
            (correlation_id === undefined || record.correlationId === correlation_id),
        );
        return seenBy(caller, fitting);
      },
    };
    const { found, lookedTo } = await stretchBehind(listing, placeIn(query), limit + 1, store);
    const { page, ...more } = pageOf(found, query, listing.placeOf, lookedTo);
    return ok({ commands: page.map(briefOf), ...more });
  });

  serve(router, COMMAND_ROUTES.getCommand, async ({ params: { id } }, request) => {
    const found = await readValue<CommandRecord>(keys.command(id), store);
    if (!found) throw new Problem(404, 'Not found', `There is no command ${id}`);
    const caller = whoCalls(request);
    if (!(await maySeeCommand(caller, found, scopes))) demandPermitted(caller, 'read', 'everywhere');
    return ok(await detailOf(found, store));
  });

  async function seenBy(caller: Caller, records: readonly CommandRecord[]): Promise<CommandRecord[]> {
    const seen = await Promise.all(records.map((record) => maySeeCommand(caller, record, scopes)));
    return records.filter((_record, place) => seen[place]);
  }

  return router;
}

/** The one condition that the store looks up; fewer commands belong together than have a status. */
function queryFor(
  status: string | undefined,
  correlation: string | undefined,
): Pick<Query, 'collection' | 'where'> {
  const collection = 'commands';
  if (correlation !== undefined) return { collection, where: { field: 'correlationId', is: correlation } };
  return status === undefined ? { collection } : { collection, where: { field: 'status', is: status } };
}
