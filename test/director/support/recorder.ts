/** Hears all that directors say, from before anything is said. */
import type { Message, PubSub, Subscription } from '@google-cloud/pubsub';
import { DirectorEvent, isTerminal, type TerminalEvent } from '@service-director/shared/contract/event.ts';

/** A message as it came. */
export interface Heard {
  readonly topic: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string | undefined;
  readonly body: string;
  /** Where it is an event of the newer form. */
  readonly event: DirectorEvent | undefined;
}

export interface Recorder {
  /** Everything so far, in the order in which it came. */
  all(topic?: string): readonly Heard[];
  /** What was said about a command so far. */
  about(command: string): readonly DirectorEvent[];
  /** The last words on a command so far, each as often as it came. */
  lastWordsOn(command: string): readonly Heard[];
  /** The last word on a command; waits for it. */
  answerTo(command: string, patienceMs?: number): Promise<TerminalEvent>;
  /** The first that `pick` takes, of those so far and those to come. */
  first<T>(pick: (heard: Heard) => T | undefined, what: string): Promise<T>;
  close(): Promise<void>;
}

/** After that a test has failed, and says what it waited for. Milliseconds. */
const PATIENCE_MS = 90_000;

export async function openRecorder(pubsub: PubSub, topics: readonly string[]): Promise<Recorder> {
  const all: Heard[] = [];
  const waiting = new Set<() => void>();
  const subscriptions: Subscription[] = [];
  for (const topic of topics) {
    const [{ name }] = await pubsub.topic(topic).createSubscription(`recorder-${topic}`);
    const subscription = pubsub.subscription(name, { streamingOptions: { maxStreams: 1 } });
    subscriptions.push(subscription);
    subscription.on('message', (message: Message) => {
      message.ack();
      all.push(heardOf(topic, message));
      for (const look of waiting) look();
    });
    subscription.on('error', () => {});
  }

  function first<T>(
    pick: (heard: Heard) => T | undefined,
    what: string,
    patienceMs = PATIENCE_MS,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(look);
        reject(new Error(`Nothing was heard of ${what}. The newest words:\n${newest(all)}`));
      }, patienceMs);
      const look = (): void => {
        for (const heard of all) {
          const picked = pick(heard);
          if (picked === undefined) continue;
          waiting.delete(look);
          clearTimeout(timer);
          resolve(picked);
          return;
        }
      };
      waiting.add(look);
      look();
    });
  }

  return {
    all: (topic) => all.filter((heard) => topic === undefined || heard.topic === topic),
    about: (command) => all.flatMap(({ event }) => (event?.command === command ? [event] : [])),
    lastWordsOn: (command) => all.filter((heard) => lastWordOn(command, heard) !== undefined),
    answerTo: (command, patienceMs) =>
      first((heard) => lastWordOn(command, heard), `the last word on ${command}`, patienceMs),
    first,
    async close() {
      for (const subscription of subscriptions) await subscription.close().catch(() => {});
    },
  };
}

function lastWordOn(command: string, { event }: Heard): TerminalEvent | undefined {
  return event && isTerminal(event) && event.command === command ? event : undefined;
}

function heardOf(topic: string, { attributes, orderingKey, data }: Message): Heard {
  const body = data.toString('utf8');
  const isEvent = attributes['ce-type']?.startsWith('service-director.event.') === true;
  return {
    topic,
    attributes,
    orderingKey,
    body,
    event: isEvent ? DirectorEvent.parse(JSON.parse(body)) : undefined,
  };
}

function newest(all: readonly Heard[]): string {
  return all
    .slice(-20)
    .map(({ topic, body }) => `${topic}: ${body.slice(0, 300)}`)
    .join('\n');
}
