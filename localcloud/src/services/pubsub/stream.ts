/** StreamingPull: messages down, acknowledgements and deadlines up, on one stream for as long as it lasts. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { LocalCloud } from '../../cloud.ts';
import { invalid } from '../../error.ts';
import { demandStill, gate } from '../../gate.ts';
import { grpcError } from '../../rpc.ts';
import type { Access, Call, Service, Stream } from '../../service.ts';
import type { Broker, Subscription } from './broker.ts';
import { checkAckIds, demandPull, receivedMessages } from './consume.ts';
import type { Consumer } from './delivery.ts';
import { atLeast, atMost } from './message.ts';
import { readName } from './names.ts';

/** `google.pubsub.v1.StreamingPullRequest`: what is not set is missing. */
interface StreamingPullRequest {
  readonly subscription?: string;
  readonly ackIds?: readonly string[];
  readonly modifyDeadlineSeconds?: readonly number[];
  readonly modifyDeadlineAckIds?: readonly string[];
  readonly streamAckDeadlineSeconds?: number;
  readonly maxOutstandingMessages?: string;
  readonly maxOutstandingBytes?: string;
  readonly protocolVersion?: string;
}

export interface Streams {
  readonly serve: Stream;
  /** Ends those whose caller may no more. To be called every second or so. */
  check(): void;
  /** Resolves when all are gone, or after a moment. */
  gone(): Promise<void>;
}

/** How long to wait for streams that were ended. */
const LONGEST_END_MS = 500;

/** Few and large answers cost a client least. */
const BATCH = 1_000;

export function openStreams(cloud: LocalCloud, broker: Broker, service: () => Service): Streams {
  const open = new Set<{ check(): void; close(error: Error): void }>();
  let lastGone = (): void => {};

  function serve(stream: ServerDuplexStream<unknown, unknown>, call: Call): void {
    stream.once('data', (request: StreamingPullRequest) => {
      stream.pause();
      start(stream, call, request).then(
        () => stream.resume(),
        (error) => stream.emit('error', grpcError(error)),
      );
    });
    stream.once('end', () => stream.end());
  }

  async function start(
    stream: ServerDuplexStream<unknown, unknown>,
    call: Call,
    request: StreamingPullRequest,
  ): Promise<void> {
    const resource = readName(cloud.projects, 'subscriptions', request.subscription, 'subscription');
    const access: Access = { permission: 'pubsub.subscriptions.consume', resource };
    await gate(cloud, service(), 'StreamingPull', access, false, call, async () => {
      const subscription = broker.subscription(resource);
      demandPull(subscription);
      const puller = pullThrough(cloud, stream, subscription, request);
      const entry = {
        close: puller.close,
        check() {
          subscription.activeAt = cloud.clock.now();
          demandStill(cloud, service(), call.identity, access);
        },
      };
      open.add(entry);
      const disconnect = subscription.dispatch.connect(puller);
      const gone = (): void => {
        disconnect();
        open.delete(entry);
        if (open.size === 0) lastGone();
      };
      if (call.signal.aborted) gone();
      else call.signal.addEventListener('abort', gone, { once: true });
    });
  }

  return {
    serve,
    check() {
      for (const entry of open) {
        try {
          entry.check();
        } catch (error) {
          if (error instanceof Error) entry.close(error);
        }
      }
    },
    async gone() {
      await new Promise<void>((resolve) => {
        lastGone = resolve;
        cloud.clock.after(LONGEST_END_MS, resolve);
        if (open.size === 0) resolve();
      });
      // By then their last frames are written.
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
  };
}

/** The consumer at the end of a stream whose first request was accepted. */
function pullThrough(
  cloud: LocalCloud,
  stream: ServerDuplexStream<unknown, unknown>,
  subscription: Subscription,
  first: StreamingPullRequest,
): Consumer {
  const keepsAlive = Number(first.protocolVersion ?? 0) >= 1;
  let leaseMs = deadlineOf(first.streamAckDeadlineSeconds ?? 0);
  let open = true;
  let full = false;

  function close(error: Error): void {
    if (!open) return;
    open = false;
    stream.emit('error', grpcError(error));
  }

  function answer(more: object): void {
    const subscriptionProperties = {
      exactlyOnceDeliveryEnabled: subscription.terms.exactlyOnce,
      messageOrderingEnabled: subscription.terms.ordering,
    };
    if (!stream.write({ ...more, subscriptionProperties })) full = true;
  }

  function onRequest(request: StreamingPullRequest): void {
    subscription.activeAt = cloud.clock.now();
    if (request.streamAckDeadlineSeconds) leaseMs = deadlineOf(request.streamAckDeadlineSeconds);
    const confirmation = settle(subscription, request);
    if (confirmation) answer(confirmation);
    else if (keepsAlive && isEmpty(request)) answer({});
  }

  stream.on('data', (request: StreamingPullRequest) => {
    if (!open) return;
    try {
      refuseChange(first, request);
      onRequest(request);
    } catch (error) {
      close(error instanceof Error ? error : new Error(String(error)));
    }
  });
  stream.on('drain', () => {
    full = false;
    subscription.dispatch.wake();
  });
  settle(subscription, first);

  return {
    room: {
      messages: limitOf(first.maxOutstandingMessages),
      bytes: limitOf(first.maxOutstandingBytes),
    },
    batch: BATCH,
    once: false,
    oneOfAKey: false,
    get open() {
      return open && !full && !stream.destroyed;
    },
    get leaseMs() {
      return leaseMs;
    },
    take(batch) {
      if (batch.length > 0) answer({ receivedMessages: receivedMessages(batch, subscription.terms) });
    },
    close,
  };
}

/** Acknowledges and moves deadlines. With exactly-once delivery it says what became of each. */
function settle(subscription: Subscription, request: StreamingPullRequest): object | undefined {
  const { backlog, terms } = subscription;
  const { ackIds = [], modifyDeadlineAckIds = [], modifyDeadlineSeconds = [] } = request;
  if (ackIds.length === 0 && modifyDeadlineAckIds.length === 0 && modifyDeadlineSeconds.length === 0) {
    return undefined;
  }
  if (modifyDeadlineAckIds.length !== modifyDeadlineSeconds.length) {
    throw invalid('There must be as many modify_deadline_seconds as modify_deadline_ack_ids.');
  }
  for (const seconds of modifyDeadlineSeconds) {
    atLeast('modify_deadline_seconds', seconds, 0);
    atMost('modify_deadline_seconds', seconds, 600);
  }
  checkAckIds(subscription, [...ackIds, ...modifyDeadlineAckIds]);
  const acked = new Map(ackIds.map((ackId) => [ackId, backlog.ack(ackId)]));
  const modified = new Map(
    modifyDeadlineAckIds.map((ackId, i) => {
      const seconds = modifyDeadlineSeconds[i] ?? 0;
      return [ackId, seconds === 0 ? backlog.nack(ackId) : backlog.extend(ackId, seconds * 1000)];
    }),
  );
  if (!terms.exactlyOnce) return undefined;
  return {
    ...(acked.size > 0 ? { acknowledgeConfirmation: confirmation(acked) } : {}),
    ...(modified.size > 0 ? { modifyAckDeadlineConfirmation: confirmation(modified) } : {}),
  };
}

function confirmation(done: ReadonlyMap<string, boolean>): object {
  const those = (counted: boolean): string[] =>
    [...done].filter(([, counts]) => counts === counted).map(([ackId]) => ackId);
  return { ackIds: those(true), invalidAckIds: those(false) };
}

/** Some things can be said in the first request only. */
function refuseChange(first: StreamingPullRequest, later: StreamingPullRequest): void {
  if (later.subscription && later.subscription !== first.subscription) {
    throw invalid('The subscription can only be set in the initial request of a stream.');
  }
  for (const field of ['maxOutstandingMessages', 'maxOutstandingBytes', 'protocolVersion'] as const) {
    if (Number(later[field] ?? 0) !== 0) {
      throw invalid(`${field} can only be set in the initial request of a stream.`);
    }
  }
}

function isEmpty(request: StreamingPullRequest): boolean {
  return Object.keys(request).length === 0;
}

function deadlineOf(seconds: number): number {
  atLeast('stream_ack_deadline_seconds', seconds, 10);
  atMost('stream_ack_deadline_seconds', seconds, 600);
  return seconds * 1000;
}

function limitOf(given: string | undefined): number {
  const limit = Number(given ?? 0);
  return limit > 0 ? limit : Number.POSITIVE_INFINITY;
}
