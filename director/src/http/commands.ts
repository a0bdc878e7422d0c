/** Commands over HTTP: the same intake as over Pub/Sub, and what became of them. */
import { randomUUID } from 'node:crypto';
import { isCommandType } from '@service-director/shared/contract/command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import { type Request, Router, text } from 'express';
import type { Intake } from '../commands/intake.ts';
import { reportOf } from '../deployments/report.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type JournalEntry,
  keys,
  type StackRecord,
} from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { callerOf } from './authenticate.ts';
import { Problem } from './problem.ts';

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
    const events = await Promise.all(known.map((record) => eventsOf(record, store)));
    response.json({
      ...briefOf(found.value),
      deployments: known.map(reportOf),
      events: events.flat().sort((a, b) => (a.at < b.at ? -1 : 1)),
      ...(found.value.answer ? { answer: found.value.answer } : {}),
    });
  });

  router.get('/stacks', async (_request, response) => {
    const [stacks, units] = await Promise.all([
      listAll<StackRecord>(store, { collection: 'stacks' }),
      listAll<UnitState>(store, { collection: 'units' }),
    ]);
    const counts = Map.groupBy(units, ({ id }) => id.split('//')[0]);
    response.json({
      stacks: stacks.map(({ value }) => ({
        stack: value.stack,
        scope: value.scope,
        dataflow: value.dataflow,
        version: value.version,
        units: counts.get(value.stack)?.length ?? 0,
        ...(value.lease
          ? {
              lease: { deployment: value.lease.deployment, heartbeat_at: timestamp(value.lease.heartbeatAt) },
            }
          : {}),
      })),
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
          dataflow: command.data.dataflow,
          dry_run: command.data.dry_run,
          requester: command.requester,
        }
      : {}),
  };
}

/** What the journal says, as it is told: without the states. */
async function eventsOf(
  record: DeploymentRecord,
  store: Store,
): Promise<{ at: string; stack: string; type: string }[]> {
  const rows = await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${record.id}/` });
  return rows.map(({ value }) => {
    const about = { at: value.at, stack: record.stack, type: value.type };
    switch (value.type) {
      case 'status':
        return { ...about, status: value.status };
      case 'intend':
        return { ...about, unit: value.unit, action: value.action };
      case 'waiting':
        return { ...about, unit: value.unit, because: value.because };
      case 'finish':
        return { ...about, ...value.line, seconds: value.seconds };
      default:
        return never(value);
    }
  });
}

function queryOf(request: Request, name: string): string | undefined {
  const value = request.query[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
