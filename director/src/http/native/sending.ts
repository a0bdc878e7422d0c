/** Commands over HTTP: whatever the path, they come in where all commands do. */
import { type CommandType, dataSchemaOf } from '@service-director/shared/contract/command.ts';
import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import type { CommandHeaders, Receipt } from '@service-director/shared/contract/rest/schemas.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Request } from 'express';
import type { Intake } from '../../commands/intake.ts';
import { readValue } from '../../deployments/reading.ts';
import { type CommandRecord, keys } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { callerOf, whoCalls } from '../authenticate.ts';
import { demandIncoming, type Scopes } from '../demand.ts';
import { Problem } from '../problem.ts';
import { errorsOf, invalid } from './serve.ts';

export interface SendingContext {
  readonly intake: Intake;
  readonly store: Store;
  readonly clock: Clock;
  readonly scopes: Scopes;
  /** A new id for a command that has none of its own. */
  readonly newId: () => string;
}

/** What is to be sent. */
export interface Letter {
  readonly type: CommandType;
  /** As it came, with nothing added: by it a command is known again. */
  readonly data: unknown;
  readonly headers: CommandHeaders;
}

export interface Sent {
  readonly status: 200 | 202;
  readonly body: Receipt;
  readonly headers: { readonly location: string };
}

/** Throws a Problem: nothing that cannot be read gets into the ledger, so that its id may be used for what can. */
export async function send(letter: Letter, request: Request, context: SendingContext): Promise<Sent> {
  const { type, data = {}, headers } = letter;
  const read = dataSchemaOf(type).safeParse(data);
  if (!read.success) throw invalid(errorsOf(read.error, 'body'));
  const key = headers['idempotency-key'];
  const id = key ?? context.newId();
  const { correlationid: correlationId, traceparent } = headers;
  const incoming: Incoming = {
    fallbackId: id,
    receivedAt: timestamp(context.clock.now()),
    type,
    requester: callerOf(request),
    envelope: {
      id,
      ...(correlationId === undefined ? {} : { correlationId }),
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    body: JSON.stringify(data),
  };
  await demandIncoming(whoCalls(request), incoming, context.scopes);
  const receipt = await context.intake.receive(incoming);
  if (receipt.result === 'rejected') throw await rejection(receipt, key, context.store);
  const { record, result } = receipt;
  return {
    status: result === 'accepted' ? 202 : 200,
    body: receiptOf(record, result === 'duplicate'),
    headers: { location: `/v1/commands/${encodeURIComponent(record.id)}` },
  };
}

/** The same, for what is done the moment it comes in: throws a Problem 409 when it could not be done. */
export async function demandDone(letter: Letter, request: Request, context: SendingContext): Promise<Sent> {
  const sent = await send(letter, request, context);
  const { status, error, fix } = sent.body;
  if (status !== 'failed' || error === undefined) return sent;
  throw new Problem(409, 'It cannot be done', error, fix, { headers: sent.headers });
}

/** What was read, and yet was not taken. */
async function rejection(
  { error, fix }: { readonly error: string; readonly fix?: string },
  key: string | undefined,
  store: Store,
): Promise<Problem> {
  const isTaken = key !== undefined && (await readValue(keys.command(key), store)) !== undefined;
  return isTaken
    ? new Problem(409, 'The id is taken', error, fix, { slug: 'id-taken' })
    : new Problem(400, 'The command is wrong', error, fix);
}

function receiptOf({ id, status, deployments, answer }: CommandRecord, duplicate: boolean): Receipt {
  const receipt = { id, status, duplicate, deployments: [...deployments] };
  switch (answer?.type) {
    case 'completed':
      return { ...receipt, note: answer.note, lock_id: answer.lock_id };
    case 'failed':
    case 'rejected':
      return { ...receipt, error: answer.error, fix: answer.fix };
    case undefined:
      return receipt;
  }
}

/** A body that was read and needs nothing: an object, or none. */
export function objectOf(raw: unknown): object {
  return typeof raw === 'object' && raw !== null ? raw : {};
}
