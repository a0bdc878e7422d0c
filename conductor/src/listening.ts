/** Hears what a director says, through a subscription of one's own that expires by itself. */
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import { fromAttributes } from '@service-director/shared/contract/cloud-event.ts';
import { DirectorEvent, type Envelope } from '@service-director/shared/contract/event.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { EXIT, Failure } from './failure.ts';
import { OUT_OF_REACH_MS } from './reach.ts';

/** An event as it was heard. */
export interface Heard extends Envelope {
  /** The stack that it is about, where it is about one. */
  readonly subject: string | undefined;
}

export interface ListenOptions {
  readonly pubsub: PubSub;
  /** Of the director's events. */
  readonly topic: string;
  /** Of the subscription. */
  readonly name: string;
  /** Which events to hear; all of them without one. */
  readonly filter?: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Each event once, however often it comes. */
  hear(heard: Heard): void;
  /** Nothing more is heard. */
  onBroken?(error: Error): void;
}

export interface Listening {
  /** Hears no more, and removes the subscription. */
  close(): Promise<void>;
}

const DAY_SECONDS = 86_400;

/** Resolves when events published from now on will be heard. Rejects with a Failure, or with the signal's reason. */
export async function listenToDirector(options: ListenOptions): Promise<Listening> {
  const { clock, hear, onBroken } = options;
  const subscription = await subscribe(options);
  const seen = new Set<string>();

  subscription.on('message', (message: Message) => {
    message.ack();
    const { id = message.id, time, correlationId = '', subject } = fromAttributes(message.attributes);
    if (seen.has(id)) return;
    seen.add(id);
    const event = readEvent(message.data.toString('utf8'));
    if (event) hear({ id, time: time ?? timestamp(clock.now()), correlationId, subject, event });
  });
  subscription.on('error', (error: Error) => onBroken?.(error));

  return {
    async close() {
      await subscription.close().catch(() => {});
      await subscription.delete().catch(() => {});
    },
  };
}

/** Undefined for what a newer director says and we do not know. */
function readEvent(text: string): DirectorEvent | undefined {
  try {
    return DirectorEvent.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function subscribe({
  pubsub,
  topic,
  name,
  filter,
  clock,
  signal,
}: ListenOptions): Promise<Subscription> {
  const started = clock.now();
  for (let wait = 200; ; wait = Math.min(5_000, wait * 1.6)) {
    try {
      const [subscription] = await pubsub.topic(topic).createSubscription(name, {
        ...(filter === undefined ? {} : { filter }),
        expirationPolicy: { ttl: { seconds: DAY_SECONDS } },
        messageRetentionDuration: { seconds: 3_600 },
        ackDeadlineSeconds: 10,
      });
      return pubsub.subscription(subscription.name, {
        streamingOptions: { maxStreams: 1 },
        batching: { maxMessages: 100, maxMilliseconds: 50 },
      });
    } catch (error) {
      const known = CloudError.from(error);
      if (known.reason === 'already-exists')
        return pubsub.subscription(name, { streamingOptions: { maxStreams: 1 } });
      if (known.reason === 'not-found') {
        throw new Failure(`The director's topic ${topic} does not exist`, {
          exitCode: EXIT.unreachable,
          fix: 'run conductor up first',
          cause: error,
        });
      }
      const mayPass = known.reason === 'unknown-outcome' || known.reason === 'propagating';
      if (!mayPass || clock.now() - started > OUT_OF_REACH_MS)
        throw Failure.from(error, 'listening to the director');
      await clock.sleep(wait, signal);
    }
  }
}
