/**
 * The messages of the simulated world, at least once as Pub/Sub has them.
 *
 *   const broker = simBroker(sim);
 *   broker.subscribe('deploy', 'deploy-sub', { deadlineMs: 10_000, attempts: 5, deadLetters: 'dead' });
 *   broker.consume(process, 'deploy-sub', (delivery) => { …; delivery.ack(); });
 *   broker.bus(process).publish('events', { body, attributes }); // through faults
 *   broker.publish('deploy', { body, attributes });              // by the world, for certain
 *
 * What is not acknowledged within the deadline comes again, to whoever of the consumers lives; what is given back
 * comes again soon. A delivery may come twice, late, after younger ones, or not at all until the deadline; an
 * acknowledgement may be lost. After so many attempts the message goes to the dead letters.
 */
import type { Bus } from '@service-director/director/deployments/outbox.ts';
import type { FaultKind, Site } from './faults.ts';
import type { Process, Simulation } from './scheduler.ts';

export type Content = Parameters<Bus['publish']>[1];

export interface Published extends Content {
  /** Of this publishing; the same content published twice has two. */
  readonly messageId: string;
  readonly topic: string;
  /** Milliseconds since the beginning. */
  readonly at: number;
  /** `world` where no process did. */
  readonly by: string;
}

export interface Delivery extends Published {
  /** From 1. */
  readonly attempt: number;
  /** It need not come again; whether that is heard is another matter. */
  ack(): void;
  /** It may come again soon. */
  nack(): void;
}

export interface SubscriptionOptions {
  /** Default 20 s. */
  readonly deadlineMs?: number;
  /** Then it goes to the dead letters, where there are any. Default 5. */
  readonly attempts?: number;
  /** A topic. */
  readonly deadLetters?: string;
}

/** What a process did with a delivery. */
export interface Receipt {
  readonly at: number;
  readonly process: string;
  readonly type: 'ack' | 'nack';
  readonly delivery: Published;
}

export interface SimBroker {
  subscribe(topic: string, subscription: string, options?: SubscriptionOptions): void;
  bus(process: Process): Bus;
  consume(process: Process, subscription: string, take: (delivery: Delivery) => Promise<void> | void): void;
  publish(topic: string, content: Content): Published;
  /** All that the broker ever had, oldest first. */
  readonly published: readonly Published[];
  /** Called when the broker has it, before its sender knows. What it throws ends the run. */
  onPublish(listener: (message: Published) => void): void;
  /** Called when a process says so, before the broker knows. What it throws ends the run. */
  onReceipt(listener: (receipt: Receipt) => void): void;
  /** How many messages still wait to be acknowledged. */
  waiting(): number;
}

interface Subscription {
  readonly name: string;
  readonly options: Required<Pick<SubscriptionOptions, 'deadlineMs' | 'attempts'>> & SubscriptionOptions;
  readonly consumers: { readonly process: Process; take(delivery: Delivery): Promise<void> | void }[];
  readonly deliver: Site;
  readonly ack: Site;
}

interface Waiting {
  readonly message: Published;
  readonly subscription: Subscription;
  attempt: number;
  isDone: boolean;
}

/** Milliseconds. */
const LEG_MS = [2, 60] as const;
const DELIVERY_MS = [2, 400] as const;
const DELAY_MS = [1_000, 600_000] as const;
const NACK_MS = [10, 2_000] as const;
/** How soon a message is offered again that nobody was there to take. */
const NOBODY_MS = 1_000;
const DEADLINE_MS = 20_000;
const ATTEMPTS = 5;

export function simBroker(sim: Simulation): SimBroker {
  const topics = new Map<string, Subscription[]>();
  const subscriptions = new Map<string, Subscription>();
  const published: Published[] = [];
  const unsettled = new Set<Waiting>();
  const publishListeners: ((message: Published) => void)[] = [];
  const receiptListeners: ((receipt: Receipt) => void)[] = [];
  const random = sim.random('messages');
  const publishing = sim.faults.site('bus.publish', [
    'lost-request',
    'lost-answer',
    'unavailable',
    'unavailable-after',
    'slow',
  ]);

  const between = ([least, most]: readonly [number, number]): number => least + (most - least) * random();

  function publish(topic: string, content: Content, by = 'world'): Published {
    const message: Published = {
      ...content,
      messageId: `m${published.length + 1}`,
      topic,
      at: sim.now(),
      by,
    };
    published.push(message);
    sim.note('publishes', `${topic} ${message.messageId} ${message.body}`);
    for (const listener of publishListeners) sim.guard(() => listener(message));
    for (const subscription of topics.get(topic) ?? []) {
      const waiting = { message, subscription, attempt: 0, isDone: false };
      unsettled.add(waiting);
      offer(waiting);
    }
    return message;
  }

  function settle(waiting: Waiting): void {
    waiting.isDone = true;
    unsettled.delete(waiting);
  }

  /** One attempt, and another one when its deadline passes. */
  function offer(waiting: Waiting): void {
    const { subscription, message } = waiting;
    const { deadlineMs, attempts, deadLetters } = subscription.options;
    if (waiting.isDone) return;
    const consumers = subscription.consumers.filter(({ process }) => process.state() !== 'dead');
    const consumer = consumers[Math.floor(random() * consumers.length)];
    if (!consumer) return void sim.at(NOBODY_MS, () => offer(waiting));
    if (deadLetters !== undefined && waiting.attempt >= attempts) {
      settle(waiting);
      const { body, attributes } = message;
      return void publish(deadLetters, { body, attributes });
    }
    const attempt = ++waiting.attempt;
    const fault = subscription.deliver.draw();
    const lateMs = fault === 'delay' ? between(DELAY_MS) : 0;
    const copies = fault === 'drop' ? 0 : fault === 'duplicate' ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delivery = deliveryOf(waiting, attempt, consumer.process);
      const about = `${message.messageId} attempt ${attempt} on ${subscription.name}`;
      sim.reach(consumer.process, between(DELIVERY_MS) + lateMs, () => hand(delivery, consumer), about);
    }
    sim.at(deadlineMs + lateMs, () => again(waiting, attempt));
  }

  function hand(delivery: Delivery, { process, take }: Subscription['consumers'][number]): void {
    Promise.resolve(take(delivery)).catch((error) => {
      if (process.state() !== 'dead')
        sim.guard(() => {
          throw error;
        });
    });
  }

  function again(waiting: Waiting, attempt: number): void {
    if (!waiting.isDone && waiting.attempt === attempt) offer(waiting);
  }

  function deliveryOf(waiting: Waiting, attempt: number, process: Process): Delivery {
    const { message, subscription } = waiting;

    function say(type: Receipt['type'], heard: () => void): void {
      if (process.state() === 'dead') return;
      sim.note(type, `${message.messageId} of ${process.name}`);
      const receipt: Receipt = { at: sim.now(), process: process.name, type, delivery: message };
      for (const listener of receiptListeners) sim.guard(() => listener(receipt));
      if (subscription.ack.draw() !== 'ack-lost') sim.at(between(LEG_MS), heard);
    }

    return {
      ...message,
      attempt,
      ack: () => say('ack', () => settle(waiting)),
      nack: () => say('nack', () => sim.at(between(NACK_MS), () => again(waiting, attempt))),
    };
  }

  return {
    subscribe(topic, name, { deadlineMs = DEADLINE_MS, attempts = ATTEMPTS, ...rest } = {}) {
      const subscription: Subscription = {
        name,
        options: { deadlineMs, attempts, ...rest },
        consumers: [],
        deliver: sim.faults.site(`bus.deliver ${name}`, ['duplicate', 'drop', 'delay']),
        ack: sim.faults.site(`bus.ack ${name}`, ['ack-lost']),
      };
      subscriptions.set(name, subscription);
      topics.set(topic, [...(topics.get(topic) ?? []), subscription]);
    },
    bus: (process) => ({
      async publish(topic, content) {
        const failure = (kind: FaultKind): Error => new Error(`The message was not published: ${kind}`);
        const passage = { site: publishing, legMs: LEG_MS, failure };
        await sim.call(process, passage, () => publish(topic, content, process.name), topic);
      },
    }),
    consume(process, name, take) {
      const subscription = subscriptions.get(name);
      if (!subscription) throw new Error(`There is no subscription ${name}`);
      subscription.consumers.push({ process, take });
    },
    publish: (topic, content) => publish(topic, content),
    published,
    onPublish: (listener) => void publishListeners.push(listener),
    onReceipt: (listener) => void receiptListeners.push(listener),
    waiting: () => unsettled.size,
  };
}
