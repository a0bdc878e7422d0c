/** Taking messages and settling them, one call at a time: Pull, Acknowledge, ModifyAckDeadline. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { Subscription } from './broker.ts';
import type { Consumer, Delivery } from './delivery.ts';
import { atLeast, atMost, type Body } from './message.ts';
import type { Terms } from './terms.ts';

/** `google.pubsub.v1.ReceivedMessage` as gRPC carries it. */
export interface ReceivedMessage {
  readonly ackId: string;
  readonly message: Body;
  readonly deliveryAttempt: number;
}

/** How long a Pull waits for the first message. */
const LONGEST_PULL_MS = 10_000;
const ACK_ID = /^[0-9a-f]{12}\.[0-9a-z]+\.\d+$/;

export function receivedMessages(batch: readonly Delivery[], { deadLetter }: Terms): ReceivedMessage[] {
  return batch.map(({ ackId, message, failures }) => ({
    ackId,
    message: message.body,
    deliveryAttempt: deadLetter ? failures + 1 : 0,
  }));
}

/** What there is, at most `most`; when there is nothing, what comes within a few seconds, unless `immediately`. */
export async function pull(
  cloud: LocalCloud,
  subscription: Subscription,
  most: number,
  immediately: boolean,
  signal: AbortSignal,
): Promise<ReceivedMessage[]> {
  atLeast('max_messages', most, 1);
  demandPull(subscription);
  const { terms, dispatch } = subscription;
  const batch = await new Promise<readonly Delivery[]>((resolve, reject) => {
    const consumer: Consumer = {
      room: { messages: Math.min(most, 1_000), bytes: Number.POSITIVE_INFINITY },
      open: true,
      batch: 1_000,
      once: true,
      oneOfAKey: false,
      leaseMs: terms.ackDeadlineMs,
      take: (taken) => finish(() => resolve(taken)),
      close: (error) => finish(() => reject(error)),
    };
    const disconnect = dispatch.connect(consumer);
    const giveUp = (): void => finish(() => resolve([]));
    const stopTimer = immediately ? () => {} : cloud.clock.after(LONGEST_PULL_MS, giveUp);
    const finish = (settle: () => void): void => {
      disconnect();
      stopTimer();
      signal.removeEventListener('abort', giveUp);
      settle();
    };
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    // What there is has been offered by then.
    if (immediately) setImmediate(() => setImmediate(giveUp));
  });
  subscription.activeAt = cloud.clock.now();
  return receivedMessages(batch, terms);
}

export function acknowledge(subscription: Subscription, ackIds: readonly string[]): void {
  const { backlog } = subscription;
  settleAll(subscription, ackIds, (ackId) => backlog.ack(ackId));
}

export function modifyAckDeadline(
  subscription: Subscription,
  ackIds: readonly string[],
  seconds: number,
): void {
  const { backlog } = subscription;
  atLeast('ack_deadline_seconds', seconds, 0);
  atMost('ack_deadline_seconds', seconds, 600);
  settleAll(subscription, ackIds, (ackId) =>
    seconds === 0 ? backlog.nack(ackId) : backlog.extend(ackId, seconds * 1000),
  );
}

function settleAll(
  subscription: Subscription,
  ackIds: readonly string[],
  settle: (ackId: string) => boolean,
): void {
  if (ackIds.length === 0) throw invalid('No ack ids specified.');
  checkAckIds(subscription, ackIds);
  const stale = ackIds.filter((ackId) => !settle(ackId));
  if (stale.length > 0 && subscription.terms.exactlyOnce) throw staleAckIds(stale);
}

/** Throws INVALID_ARGUMENT for ack ids that cannot be of this subscription. With exactly-once delivery those are stale, like others. */
export function checkAckIds({ name, backlog, terms }: Subscription, ackIds: readonly string[]): void {
  if (terms.exactlyOnce) return;
  for (const ackId of ackIds) {
    if (backlog.owns(ackId)) continue;
    throw invalid(
      ACK_ID.test(ackId)
        ? `You have passed a subscription that does not belong to the given ack ID (resource=${name}).`
        : `You have passed an invalid ack ID to the service (ack_id=${ackId}).`,
    );
  }
}

/** Throws FAILED_PRECONDITION where messages cannot be pulled. */
export function demandPull({ terms }: Subscription): void {
  if (terms.detached) throw detached();
  if (terms.push) throw pushed();
}

export function detached(): GoogleError {
  return new GoogleError('FAILED_PRECONDITION', 'The subscription is detached from its topic.');
}

export function pushed(): GoogleError {
  return new GoogleError(
    'FAILED_PRECONDITION',
    'This method is not supported for push subscriptions with a defined push configuration.',
  );
}

function staleAckIds(ackIds: readonly string[]): GoogleError {
  return new GoogleError(
    'INVALID_ARGUMENT',
    'Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids have expired or the acknowledgement ids were malformed.',
    [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'EXACTLY_ONCE_ACKID_FAILURE',
        domain: 'pubsub.googleapis.com',
        metadata: Object.fromEntries(ackIds.map((ackId) => [ackId, 'PERMANENT_FAILURE_INVALID_ACK_ID'])),
      },
    ],
  );
}
