/** Commands over HTTP: the same intake as over Pub/Sub, and what became of them. */
import { randomUUID } from 'node:crypto';
import { isCommandType } from '@service-director/shared/contract/command.ts';
import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import type { CommandBrief, CommandDetail } from '@service-director/shared/contract/rest/schemas.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { MOST_DEPTH } from '@service-director/shared/kit/json-depth.ts';
import { Router, text } from 'express';
import type { Intake } from '../commands/intake.ts';
import { journalOf, readValue } from '../deployments/reading.ts';
import { reportOf } from '../deployments/report.ts';
import { type CommandRecord, type DeploymentRecord, keys } from '../store/records.ts';
import { type Store, timedPlace } from '../store/store.ts';
import { callerOf, whoCalls } from './authenticate.ts';
import { demand, demandIncoming, maySeeCommand, type Scopes } from './demand.ts';
import { limitDepth } from './limits.ts';
import { NEWEST_FIRST } from './listing.ts';
import { Problem } from './problem.ts';
import { queryOf } from './query.ts';

const PAGE = 50;

export function commandRoutes({
  intake,
  store,
  clock,
  scopes,
}: {
  intake: Intake;
  store: Store;
  clock: Clock;
  scopes: Scopes;
}): Router {
  const router = Router();

  const body = [text({ type: () => true, limit: '9mb' }), limitDepth(MOST_DEPTH)];

  router.post('/commands/:type', ...body, async (request, response) => {
    const type = String(request.params.type);
    if (!isCommandType(type)) throw new Problem(404, 'Unknown command', `There is no command ${type}.`);
    const fallbackId = `http-${randomUUID()}`;
    const id = request.get('idempotency-key') ?? request.get('ce-id') ?? fallbackId;
    const correlationId = request.get('correlationid');
    const traceparent = request.get('traceparent');
    const incoming: Incoming = {
      fallbackId,
      receivedAt: timestamp(clock.now()),
      type,
      requester: callerOf(request),
      envelope: {
        id,
        ...(correlationId === undefined ? {} : { correlationId }),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
      body: typeof request.body === 'string' && request.body !== '' ? request.body : '{}',
    };
    await demandIncoming(whoCalls(request), incoming, scopes);
    const receipt = await intake.receive(incoming);
    if (receipt.result === 'rejected')
      throw new Problem(400, 'The command is wrong', receipt.error, receipt.fix);
    const { record } = receipt;
    response
      .status(receipt.result === 'accepted' ? 202 : 200)
      .location(`/commands/${record.id}`)
      .json({ id: record.id, status: record.status, duplicate: receipt.result === 'duplicate' });
  });

  router.get('/commands', demand('read'), async (request, response) => {
    const correlation = queryOf(request, 'correlationid');
    const after = queryOf(request, 'after');
    const rows = await store.list<CommandRecord>({
      collection: 'commands',
      ...NEWEST_FIRST,
      limit: PAGE,
      ...(correlation === undefined ? {} : { where: { field: 'correlationId', is: correlation } }),
      ...(after === undefined ? {} : { after }),
    });
    const caller = whoCalls(request);
    const seen = await Promise.all(
      rows.map(async ({ value }) => ((await maySeeCommand(caller, value, scopes)) ? [value] : [])),
    );
    const last = rows.length === PAGE ? rows.at(-1) : undefined;
    const next = last && timedPlace(last.value.receivedAt, last.id);
    response.json({ commands: seen.flat().map(briefOf), ...(next === undefined ? {} : { next }) });
  });

  router.get('/commands/:id', async (request, response) => {
    const id = String(request.params.id);
    const found = await store.get<CommandRecord>(keys.command(id));
    if (!found || !(await maySeeCommand(whoCalls(request), found.value, scopes)))
      throw new Problem(404, 'Not found', `There is no command ${id}.`);
    response.json(await detailOf(found.value, store));
  });

  return router;
}

/** All that is known of one. */
export async function detailOf(record: CommandRecord, store: Store): Promise<CommandDetail> {
  const deployments = await Promise.all(
    record.deployments.map((name) => readValue<DeploymentRecord>(keys.deployment(name), store)),
  );
  const known = deployments.flatMap((one) => one ?? []);
  const events = await Promise.all(known.map((one) => journalOf(one, store)));
  return {
    ...briefOf(record),
    deployments: known.map(reportOf),
    events: events.flat().sort((a, b) => (a.at < b.at ? -1 : 1)),
    ...(record.answer ? { answer: record.answer } : {}),
  };
}

export function briefOf({
  id,
  status,
  correlationId,
  receivedAt,
  endedAt,
  command,
}: CommandRecord): CommandBrief {
  return {
    id,
    status,
    correlation_id: correlationId,
    received_at: receivedAt,
    ...(endedAt === undefined ? {} : { ended_at: endedAt }),
    ...(command
      ? {
          type: command.type,
          // A decision on a deployment names no dataflow, and is never only tried.
          dataflow: 'dataflow' in command.data ? command.data.dataflow : undefined,
          dry_run: 'dry_run' in command.data && command.data.dry_run,
          requester: command.requester,
        }
      : {}),
  };
}
