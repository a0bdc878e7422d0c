/** Commands over HTTP: the same intake as over Pub/Sub, and what became of them. */
import { randomUUID } from 'node:crypto';
import { isCommandType } from '@service-director/shared/contract/command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { Router, text } from 'express';
import type { Intake } from '../commands/intake.ts';
import { journalOf } from '../deployments/reading.ts';
import { reportOf } from '../deployments/report.ts';
import { type CommandRecord, type DeploymentRecord, keys } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { callerOf } from './authenticate.ts';
import { Problem } from './problem.ts';
import { queryOf } from './query.ts';

const PAGE = 50;

export function commandRoutes({
  intake,
  store,
  clock,
}: {
  intake: Intake;
  store: Store;
  clock: Clock;
}): Router {
  const router = Router();

  router.post('/commands/:type', text({ type: () => true, limit: '9mb' }), async (request, response) => {
    const type = String(request.params.type);
    if (!isCommandType(type)) throw new Problem(404, 'Unknown command', `There is no command ${type}.`);
    const fallbackId = `http-${randomUUID()}`;
    const id = request.get('idempotency-key') ?? request.get('ce-id') ?? fallbackId;
    const correlationId = request.get('correlationid');
    const traceparent = request.get('traceparent');
    const receipt = await intake.receive({
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
    });
    if (receipt.result === 'rejected')
      throw new Problem(400, 'The command is wrong', receipt.error, receipt.fix);
    const { record } = receipt;
    response
      .status(receipt.result === 'accepted' ? 202 : 200)
      .location(`/commands/${record.id}`)
      .json({ id: record.id, status: record.status, duplicate: receipt.result === 'duplicate' });
  });

  router.get('/commands', async (request, response) => {
    const correlation = queryOf(request, 'correlationid');
    const after = queryOf(request, 'after');
    const rows = await store.list<CommandRecord>({
      collection: 'commands',
      order: 'descending',
      limit: PAGE,
      ...(correlation === undefined ? {} : { where: { field: 'correlationId', is: correlation } }),
      ...(after === undefined ? {} : { after }),
    });
    const commands = rows
      .map(({ value }) => briefOf(value))
      .sort((a, b) => (a.received_at < b.received_at ? 1 : -1));
    response.json({ commands, ...(rows.length === PAGE ? { next: rows.at(-1)?.id } : {}) });
  });

  router.get('/commands/:id', async (request, response) => {
    const id = String(request.params.id);
    const found = await store.get<CommandRecord>(keys.command(id));
    if (!found) throw new Problem(404, 'Not found', `There is no command ${id}.`);
    const deployments = await Promise.all(
      found.value.deployments.map((name) => store.get<DeploymentRecord>(keys.deployment(name))),
    );
    const known = deployments.flatMap((stored) => (stored ? [stored.value] : []));
    const events = await Promise.all(known.map((record) => journalOf(record, store)));
    response.json({
      ...briefOf(found.value),
      deployments: known.map(reportOf),
      events: events.flat().sort((a, b) => (a.at < b.at ? -1 : 1)),
      ...(found.value.answer ? { answer: found.value.answer } : {}),
    });
  });

  return router;
}

function briefOf({ id, status, correlationId, receivedAt, endedAt, command }: CommandRecord) {
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
