/** How fast a Pub/Sub is, seen through Google's own client: one message there and back, and many at once. */
import { randomUUID } from 'node:crypto';
import { type Message, PubSub, type Subscription, type Topic } from '@google-cloud/pubsub';

export interface PubSubFigures {
  /** From the call of publish to the arrival of the message, one message at a time. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Ten thousand messages of 1 KB to a subscription that nobody reads, until the last was accepted. */
  readonly publishedPerSecond: number;
  /** Ten thousand more, with a reader: from the first publish until the last had arrived. */
  readonly receivedPerSecond: number;
}

const WARM_UP = 50;
const ROUND_TRIPS = 150;
const MANY = 10_000;
const DATA = Buffer.alloc(1024, 'x');

/** `endpoint` is `http://127.0.0.1:8085` or `127.0.0.1:8085`. Leaves nothing behind. */
export async function measurePubSub(endpoint: string, projectId = 'local-project'): Promise<PubSubFigures> {
  const client = new PubSub({
    projectId,
    apiEndpoint: endpoint.replace(/^https?:\/\//, ''),
    emulatorMode: true,
  });
  try {
    const trips = await withTopic(client, measureTrips);
    const publishedPerSecond = await withTopic(client, measurePublishing);
    const receivedPerSecond = await withTopic(client, measureReceiving);
    return { ...trips, publishedPerSecond, receivedPerSecond };
  } finally {
    await client.close();
  }
}

/** A fresh topic with one subscription, for one measurement. */
async function withTopic<T>(
  client: PubSub,
  measure: (topic: (batch: number) => Topic, subscription: Subscription) => Promise<T>,
): Promise<T> {
  const name = `bench-${randomUUID()}`;
  const [topic] = await client.createTopic(name);
  const [subscription] = await topic.createSubscription(name);
  try {
    return await measure(
      (maxMessages) => client.topic(name, { batching: { maxMessages } }),
      // Out of the way of the measurement: by default the client takes a thousand per tenth of a second.
      client.subscription(name, { flowControl: { maxMessages: MANY } }),
    );
  } finally {
    await subscription.delete();
    await topic.delete();
  }
}

interface Arrivals {
  /** Resolves when so many more have arrived. */
  next(count: number): Promise<void>;
}

function arrivalsOf(subscription: Subscription): Arrivals {
  let waiting = { left: 0, done: (): void => {} };
  let fail = (_error: Error): void => {};
  subscription.on('error', (error) => fail(error));
  subscription.on('message', (message: Message) => {
    message.ack();
    if (--waiting.left === 0) waiting.done();
  });
  return {
    next: (count) =>
      new Promise((done, reject) => {
        waiting = { left: count, done };
        fail = reject;
      }),
  };
}

async function measureTrips(
  topic: (batch: number) => Topic,
  subscription: Subscription,
): Promise<Pick<PubSubFigures, 'p50Ms' | 'p99Ms'>> {
  const arrivals = arrivalsOf(subscription);
  const single = topic(1);
  const times: number[] = [];
  for (let trip = 0; trip < WARM_UP + ROUND_TRIPS; trip++) {
    const arrived = arrivals.next(1);
    const started = performance.now();
    await Promise.all([single.publishMessage({ data: DATA }), arrived]);
    if (trip >= WARM_UP) times.push(performance.now() - started);
  }
  await subscription.close();
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function measurePublishing(topic: (batch: number) => Topic): Promise<number> {
  const batched = topic(100);
  const started = performance.now();
  await publishMany(batched);
  return perSecond(started);
}

async function measureReceiving(
  topic: (batch: number) => Topic,
  subscription: Subscription,
): Promise<number> {
  const arrivals = arrivalsOf(subscription);
  const warm = arrivals.next(1);
  await topic(1).publishMessage({ data: DATA });
  await warm;
  const batched = topic(100);
  const arrived = arrivals.next(MANY);
  const started = performance.now();
  await Promise.all([publishMany(batched), arrived]);
  const rate = perSecond(started);
  await subscription.close();
  return rate;
}

async function publishMany(topic: Topic): Promise<void> {
  await Promise.all(Array.from({ length: MANY }, () => topic.publishMessage({ data: DATA })));
}

function perSecond(started: number): number {
  return MANY / ((performance.now() - started) / 1000);
}
