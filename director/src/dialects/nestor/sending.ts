/** Commands that the dialect at `/api/v1` comes to, through the intake like those of anybody. */

import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Request } from 'express';
import type { Intake, Receipt } from '../../commands/intake.ts';
import { callerOf, whoCalls } from '../../http/authenticate.ts';
import { demandIncoming, type Scopes } from '../../http/demand.ts';
import type { Store } from '../../store/store.ts';
import { traceOfRequest } from '../trace.ts';
import { uuidOfTime } from '../uuid.ts';
import { commandIdOf } from './document.ts';
import { ASKED } from './reading.ts';
import { Refused } from './refused.ts';

export interface SendingContext {
  readonly intake: Intake;
  readonly store: Store;
  readonly scopes: Scopes;
  readonly clock: Clock;
}

/** Joins what was only decided here. */
const DECIDED = 'api-v1-decisions';

/** `id`: of what becomes a deployment, by which its client asks for it again. */
export async function send(
  request: Request,
  type: 'dataflow-setup' | 'teardown' | 'rollback' | 'cancel',
  data: object,
  { intake, scopes, clock }: SendingContext,
  id?: string,
): Promise<Receipt> {
  const own = uuidOfTime(clock.now());
  const incoming: Incoming = {
    fallbackId: own,
    receivedAt: timestamp(clock.now()),
    type,
    requester: callerOf(request),
    envelope: {
      id: id === undefined ? own : commandIdOf(id),
      correlationId: id === undefined ? DECIDED : ASKED,
      traceparent: traceOfRequest(request),
    },
    body: JSON.stringify(data),
  };
  await demandIncoming(whoCalls(request), incoming, scopes);
  return intake.receive(incoming);
}

/** What the intake took and refused at once is the answer. Throws Refused. */
export function demandTaken(receipt: Receipt, status: number): void {
  const code = status === 409 ? 'NOT_POSSIBLE_NOW' : 'VALIDATION_FAILED';
  if (receipt.result === 'rejected') {
    const isTaken = /was used before/.test(receipt.error);
    throw new Refused(isTaken ? 409 : status, isTaken ? 'VERSION_CONFLICT' : code, receipt.error);
  }
  const { answer } = receipt.record;
  if (answer?.type === 'rejected' || answer?.type === 'failed') {
    // What was taken, and failed afterwards, has a deployment that tells.
    if (receipt.record.deployments.length > 0) return;
    throw new Refused(status, code, answer.error, answer.fix === undefined ? {} : { hint: answer.fix });
  }
}
