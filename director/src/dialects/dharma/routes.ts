/**
 * The dialect at `/api`: what clients of the older orchestrator send and read, over the deployments that there are.
 *
 * A deployment of theirs is a command of ours with one deployment of one module; its id is the command's.
 */
import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import {
  LockRequest,
  RollbackRequest,
  UnlockRequest,
} from '@service-director/shared/contract/rest/dharma-request.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { type Request, Router, text } from 'express';
import type { Receipt } from '../../commands/intake.ts';
import { Unplannable } from '../../deployments/blueprints.ts';
import { statesOf } from '../../deployments/conclusion.ts';
import { pastOf } from '../../deployments/rollback.ts';
import { callerOf, whoCalls } from '../../http/authenticate.ts';
import { demandIncoming } from '../../http/demand.ts';
import { EVENT_ID, JSON_TYPE, type Listening, listen, typeAsked } from '../../http/listening.ts';
import type { Reads } from '../../http/reads.ts';
import { permitted } from '../../http/roles.ts';
import { listAll } from '../../store/list-all.ts';
import { type DeploymentRecord, isEnded, type VersionRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { DialectOptions } from '../dialect.ts';
import type { Known } from '../known.ts';
import { traceIn } from '../trace.ts';
import { uuidOfTime } from '../uuid.ts';
import {
  aroundOf,
  currentOf,
  demandKnown,
  journalOf,
  limitOf,
  listed,
  STARTED,
  shown,
  snapshotOf,
} from './reading.ts';
import { failed, notHere, Refused } from './refused.ts';
import { documentOf, parse, parseStart, STACK, type Start, Wrong } from './request.ts';
import { aboutOf, logLinesOf, stateOf, uuidOf, voiceOf } from './views.ts';

export interface DharmaOptions extends DialectOptions {
  readonly listening: Listening;
  readonly reads: Reads;
}

/** Joins what was only decided here. */
const DECIDED = 'api-decisions';
/** As the older service took it. */
const MOST_BODY = '10mb';

export function dharmaRoutes(options: DharmaOptions): Router {
  const { intake, store, clock, scopes, reads } = options;
  const router = Router();
  // Its clients send JSON without saying so.
  router.use('/api', text({ type: () => true, limit: MOST_BODY }));

  async function send(
    request: Request,
    type: 'dataflow-setup' | 'rollback' | 'cancel' | 'lock' | 'unlock',
    data: object,
  ): Promise<Receipt & { id: string }> {
    const id = uuidOfTime(clock.now());
    const isDecision = type !== 'dataflow-setup' && type !== 'rollback';
    const incoming: Incoming = {
      fallbackId: id,
      receivedAt: timestamp(clock.now()),
      type,
      requester: callerOf(request),
      envelope: { id, correlationId: isDecision ? DECIDED : STARTED, ...traceIn(request) },
      body: JSON.stringify(data),
    };
    await demandIncoming(whoCalls(request), incoming, scopes);
    return { ...(await intake.receive(incoming)), id };
  }

  const secondsFor = ({ timeout }: Start['options']): number =>
    timeout === undefined ? options.timeoutSeconds : Math.ceil(timeout / 1000);

  /** A deployment is told with the state that it left, once it left one, to whoever may read states. */
  async function show(known: Known, request: Request): Promise<object> {
    const { scope, stack, version } = known.record;
    const mayReadState = permitted(whoCalls(request), 'read-state', await scopes.placeOf(scope));
    if (version !== undefined && mayReadState) reads.note(request, stack, 'state');
    return shown(known, mayReadState, store);
  }

  router.get('/api/health', (_request, response) => {
    response.json({ status: 'healthy', service: 'orchestrator-service' });
  });

  router.post('/api/deployments', async (request, response) => {
    const start = parseStart(jsonOf(request));
    const { options: wishes, blueprintId, generationJobId, environment, targetCloud, format } = start;
    if (format !== 'terraform')
      throw new Refused(501, `This director has no engine for ${format} yet; it deploys terraform`);
    const lockId = wishes.lockId ?? request.get('x-lock-id');
    const receipt = await send(request, 'dataflow-setup', {
      dataflow: STACK,
      architecture: { document: documentOf(start, options.project, options.region), environment },
      dry_run: wishes.dryRun,
      auto_approve: wishes.autoApprove,
      on_failure: wishes.rollbackOnFailure ? 'rollback' : 'keep',
      timeout_seconds: secondsFor(wishes),
      ...(lockId === undefined ? {} : { lock_id: lockId }),
      about: { blueprintId, generationJobId, environment, targetCloud, format },
    });
    demandTaken(receipt, 400);
    response
      .status(202)
      .location(`/api/deployments/${receipt.id}`)
      .json({ deploymentId: receipt.id, status: 'pending', message: 'Deployment started' });
  });

  router.get('/api/deployments', async (request, response) => {
    const found = await listed(request, options);
    const deployments = await Promise.all(found.map((known) => show(known, request)));
    response.json({ deployments, count: deployments.length });
  });

  router.get('/api/deployments/:id', async (request, response) => {
    response.json(await show(await demandKnown(request, options, 'read'), request));
  });

  router.get('/api/deployments/:id/logs', async (request, response) => {
    const { command, record } = await demandKnown(request, options, 'read');
    // Their clients name types that they do not mean.
    const type = typeAsked(request) ?? JSON_TYPE;
    if (type !== JSON_TYPE) {
      const told = { record, type, voice: voiceOf(command), after: 0, lastEventId: lastEventIn(request) };
      await listen(response, told, options.listening);
      return;
    }
    const entries = await journalOf(record, store);
    response.json({ deploymentId: command.id, logs: entries.flatMap((entry) => logLinesOf(entry, record)) });
  });

  router.post('/api/deployments/:id/cancel', async (request, response) => {
    const missing = 'Deployment not found or cannot be cancelled';
    const { command, record } = await demandKnown(request, options, 'cancel', missing);
    if (isEnded(record.status)) throw new Refused(404, missing);
    const receipt = await send(request, 'cancel', { deployment: record.id });
    demandTaken(receipt, 404, missing);
    response.json({ deploymentId: command.id, status: 'cancelled' });
  });

  router.post('/api/deployments/:id/rollback', async (request, response) => {
    const { targetVersion, reason } = parse(RollbackRequest, jsonOf(request));
    const { command, record } = await demandKnown(request, options, 'read');
    await demandRestorable(record, targetVersion, store);
    const receipt = await send(request, 'rollback', {
      ...(targetVersion === undefined
        ? { deployment: record.id }
        : { dataflow: record.dataflow, scope: record.scope, to_version: targetVersion }),
      reason,
      // Whoever may ask for it has decided.
      auto_approve: true,
      timeout_seconds: options.timeoutSeconds,
      about: { ...aboutOf(command) },
    });
    demandTaken(receipt, 400);
    response.json({ deploymentId: command.id, rollbackDeploymentId: receipt.id, status: 'applying' });
  });

  router.get('/api/deployments/:id/state', async (request, response) => {
    const { record } = await demandKnown(request, options, 'read-state');
    reads.note(request, record.stack, 'state');
    const around = await aroundOf(record.stack, store);
    const snapshot = await currentOf(record.stack, around, store);
    if (!snapshot) throw new Refused(404, 'State not found');
    response.json(stateOf(snapshot, record, around));
  });

  router.post('/api/deployments/:id/state/lock', async (request, response) => {
    const { operation, who } = parse(LockRequest, jsonOf(request));
    const { command, record } = await demandKnown(request, options, 'read-state');
    const { stack, lock } = await aroundOf(record.stack, store);
    if (!stack) throw new Refused(404, 'State not found');
    if (lock || stack.lease || stack.current !== undefined) throw new Refused(409, 'State is already locked');
    const { scope, dataflow } = record;
    const receipt = await send(request, 'lock', { scope, dataflow, operation, who });
    // Somebody was faster.
    demandTaken(receipt, 409, 'State is already locked');
    response.json({ deploymentId: command.id, lockId: receipt.id, locked: true });
  });

  router.post('/api/deployments/:id/state/unlock', async (request, response) => {
    const { lockId, force, reason, who } = parse(UnlockRequest, jsonOf(request));
    const { command, record } = await demandKnown(request, options, 'read-state');
    const { stack, lock } = await aroundOf(record.stack, store);
    if (!stack) throw new Refused(400, 'State not found');
    if (!lock && !(force && stack.lease)) throw new Refused(400, 'State is not locked');
    if (!force && lock?.id !== lockId) throw new Refused(400, 'Invalid lock ID');
    const { scope, dataflow } = record;
    const because = reason === undefined ? {} : { reason: who === undefined ? reason : `${reason} (${who})` };
    const receipt = await send(request, 'unlock', {
      ...{ scope, dataflow, force },
      ...(lockId === undefined ? {} : { lock_id: lockId }),
      ...because,
    });
    demandTaken(receipt, 400, 'Invalid lock ID');
    response.json({ deploymentId: command.id, locked: false });
  });

  router.get('/api/deployments/:id/state/history', async (request, response) => {
    const { command, record } = await demandKnown(request, options, 'read-state');
    const limit = limitOf(request);
    reads.note(request, record.stack, 'history');
    const around = await aroundOf(record.stack, store);
    const rows = await listAll<VersionRecord>(store, { collection: 'versions', prefix: `${record.stack}/` });
    const newest = rows.map(({ value }) => value).sort((a, b) => b.version - a.version);
    const history = await Promise.all(
      newest.slice(0, limit).map(async (version) => {
        const snapshot = await snapshotOf(record.stack, version.version, around, store);
        return {
          id: uuidOf(`${record.stack} ${version.version}`),
          deploymentId: version.deployment.split('.')[0] ?? version.deployment,
          version: version.version,
          ...(version.version === around.stack?.version ? { current: true } : {}),
          operation: version.operation,
          who: version.by,
          ...(version.reason === undefined ? {} : { reason: version.reason }),
          state: snapshot ? stateOf(snapshot, record, around) : null,
          createdAt: version.at,
        };
      }),
    );
    response.json({ deploymentId: command.id, history, count: history.length });
  });

  router.use('/api', notHere);
  router.use('/api', failed(options.log));
  return router;
}

function jsonOf({ body }: Request): unknown {
  if (typeof body !== 'string' || body.trim() === '') return {};
  try {
    return JSON.parse(body);
  } catch {
    throw new Wrong('The body is not JSON');
  }
}

function lastEventIn(request: Request): string | undefined {
  const id = request.get('last-event-id');
  if (id === undefined || EVENT_ID.test(id)) return id;
  throw new Refused(400, 'Last-Event-ID is no id of an event of these logs');
}

/** What the intake took and refused at once is the answer. */
function demandTaken(receipt: Receipt, status: number, message?: string): void {
  if (receipt.result === 'rejected') throw new Refused(status, message ?? receipt.error);
  const { answer } = receipt.record;
  if (answer?.type === 'rejected' || answer?.type === 'failed')
    throw new Refused(status, message ?? answer.error);
}

async function demandRestorable(
  { stack, version }: DeploymentRecord,
  target: number | undefined,
  store: Store,
): Promise<void> {
  const { stack: record } = await aroundOf(stack, store);
  const none = 'No previous state found for rollback';
  if (!record || record.version === 0) throw new Refused(404, 'State not found');
  if (target === undefined) {
    if (version === undefined) throw new Refused(400, none);
    return;
  }
  // Told at once what is told again where it counts: the deployment looks for itself.
  const current = await statesOf(store, stack);
  await pastOf(stack, current, record.version, target, store).catch((error: unknown) => {
    if (!(error instanceof Unplannable)) throw error;
    throw new Refused(400, error.fix === undefined ? error.message : `${error.message}; ${error.fix}`);
  });
}
