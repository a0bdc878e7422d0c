/**
 * The contract of the system before this one, for services that gate their own start:
 *
 *     POST /dataflow/verify      {"dataflow_name", "service_name"}   200 once the service may use what it is linked with
 *     POST /dataflow/setup       {"dataflow_name"?}                  200 once it is set up; all, where none is named
 *     POST /orchestrate/teardown {"dataflow_name"}                   200 once it is taken down
 *
 * What could not be done within its time, or at all, is answered with 500 and {"error"}. What is taken and answered
 * stands in `shared/src/contract/gate.ts`, beside a client.
 */
import { randomUUID } from 'node:crypto';
import {
  type CarriedOut,
  HELD_BACK_MS,
  SetupRequest,
  TeardownRequest,
  type Verified,
  VerifyRequest,
} from '@service-director/shared/contract/gate.ts';
import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { bindingsOf, type UnitState } from '@service-director/shared/model/state.ts';
import { stackOf } from '@service-director/shared/model/unit.ts';
import { json, type Request, Router } from 'express';
import { z } from 'zod';
import type { Intake } from '../../commands/intake.ts';
import { type Blueprints, ownerOf, Unplannable } from '../../deployments/blueprints.ts';
import { readValue } from '../../deployments/reading.ts';
import { callerOf, whoCalls } from '../../http/authenticate.ts';
import { demandIncoming, type Scopes } from '../../http/demand.ts';
import { Problem } from '../../http/problem.ts';
import { demandPermitted } from '../../http/roles.ts';
import { listAll } from '../../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  keys,
  type StackRecord,
  type VersionRecord,
} from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { traceIn } from '../trace.ts';

export interface VerificationOptions {
  readonly intake: Intake;
  readonly store: Store;
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly blueprints: Blueprints;
}

/** Milliseconds. */
const LOOK_AGAIN_MS = 500;

export function verificationRoutes(options: VerificationOptions): Router {
  const { intake, store, clock, scopes, blueprints } = options;
  const router = Router();
  const body = json({ type: () => true, limit: '100kb' });

  /** Asks until there is an answer, the caller hangs up, or the time is over. */
  async function awaited<T>(
    request: Request,
    ms: number,
    ask: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const gone = new AbortController();
    request.res?.once('close', () => gone.abort());
    for (const until = clock.now() + ms; clock.now() < until; ) {
      const answer = await ask();
      if (answer !== undefined || gone.signal.aborted) return answer;
      await clock.sleep(LOOK_AGAIN_MS, gone.signal).catch(() => {});
    }
    return undefined;
  }

  /** Sends it, and waits for its last word. */
  async function carryOut(request: Request, type: 'dataflow-setup' | 'teardown', dataflow: string) {
    const id = `http-${randomUUID()}`;
    const incoming: Incoming = {
      fallbackId: id,
      receivedAt: timestamp(clock.now()),
      type,
      requester: callerOf(request),
      envelope: { id, ...traceIn(request) },
      body: JSON.stringify({ dataflow }),
    };
    await demandIncoming(whoCalls(request), incoming, scopes);
    const receipt = await intake.receive(incoming);
    if (receipt.result === 'rejected')
      throw new Problem(400, 'The command is wrong', receipt.error, receipt.fix);
    const answer = await awaited(request, HELD_BACK_MS.command, async () => {
      const record = await readValue<CommandRecord>(keys.command(id), store);
      return record?.answer;
    });
    return answer?.type === 'completed'
      ? { status: 200, body: { status: 'completed', command: id } satisfies CarriedOut }
      : {
          status: 500,
          body: { error: answer && 'error' in answer ? answer.error : 'It is not done yet', command: id },
        };
  }

  router.post('/dataflow/verify', body, async (request, response) => {
    const { dataflow_name, service_name } = parsed(VerifyRequest, request);
    demandPermitted(whoCalls(request), 'read', 'somewhere');
    let because = '';
    const isGood = await awaited(request, HELD_BACK_MS.verify, async () => {
      because = await missingFor(dataflow_name, service_name, blueprints, store);
      return because === '' ? true : undefined;
    });
    if (isGood) response.json({ status: 'verified', dataflow_name, service_name } satisfies Verified);
    else response.status(500).json({ error: because });
  });

  router.post('/dataflow/setup', body, async (request, response) => {
    const { dataflow_name } = parsed(SetupRequest, request);
    const answer = await carryOut(request, 'dataflow-setup', dataflow_name);
    response.status(answer.status).json(answer.body);
  });

  router.post('/orchestrate/teardown', body, async (request, response) => {
    const { dataflow_name } = parsed(TeardownRequest, request);
    const answer = await carryOut(request, 'teardown', dataflow_name);
    response.status(answer.status).json(answer.body);
  });

  return router;
}

function parsed<Schema extends z.ZodType>(schema: Schema, { body }: Request): z.output<Schema> {
  const read = schema.safeParse(body ?? {});
  if (read.success) return read.data;
  throw new Problem(400, 'Bad request', z.prettifyError(read.error));
}

/** What the service still lacks of its dataflow; empty when it is all there, and its grants are in effect. */
async function missingFor(
  dataflow: string,
  service: string,
  blueprints: Blueprints,
  store: Store,
): Promise<string> {
  try {
    const owner = await ownerOf({ dataflow, scope: undefined }, blueprints, store);
    const stack = stackOf(owner);
    const record = await readValue<StackRecord>(keys.stack(stack), store);
    if (!record || record.version === 0) return `${dataflow} is not set up yet`;
    if (record.current !== undefined) return `${record.current} works on ${dataflow}`;
    if (await isTakenDown(record, store)) return `${dataflow} is taken down`;
    const units = await listAll<UnitState>(store, { collection: 'units', prefix: `${stack}//` });
    const account = units.find(({ value }) => value.id === `service/${service}`)?.value.spec.serviceAccount;
    const late = units.find(
      ({ value }) =>
        value.kind === 'grants' &&
        value.effective === false &&
        (account === undefined ||
          bindingsOf(value).some(({ member }) => member === `serviceAccount:${account}`)),
    );
    return late ? `${late.value.id} is not seen in effect yet` : '';
  } catch (error) {
    if (error instanceof Unplannable) return error.message;
    throw error;
  }
}

/** Whether nothing was set up since its teardown; a set-up that finds all as it should be makes no version. */
async function isTakenDown({ stack, version }: StackRecord, store: Store): Promise<boolean> {
  const newest = await readValue<VersionRecord>(keys.version(stack, version), store);
  if (newest?.operation !== 'teardown') return false;
  const deployments = await listAll<DeploymentRecord>(store, {
    ...{ collection: 'deployments', where: { field: 'stack', is: stack } },
  });
  return !deployments.some(
    ({ value: { status, operation, dryRun, endedAt = '' } }) =>
      status === 'succeeded' && operation !== 'teardown' && !dryRun && endedAt >= newest.at,
  );
}
