/** Topics and subscriptions, and what flows between them. */
import { randomBytes } from 'node:crypto';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Table } from '../../store.ts';
import { type Backlog, openBacklog } from './backlog.ts';
import { detached } from './consume.ts';
import type { Delivery } from './delivery.ts';
import { type Dispatch, openDispatch } from './dispatch.ts';
import { readDuration, writeDuration } from './durations.ts';
import { openJournal } from './journal.ts';
import { checkDrafts, type Draft, type Message, newMessage } from './message.ts';
import { DELETED_TOPIC, missing, projectName, shortName } from './names.ts';
import { type Terms, termsOf } from './terms.ts';

interface Topic {
  readonly name: string;
  settings: JsonObject;
  readonly subscriptions: Set<Subscription>;
  /** The messages that it retains, oldest first. */
  log: Message[];
  /** Told of every message, before any subscription. */
  readonly watchers: Set<(message: Message) => void>;
}

export interface Subscription {
  readonly name: string;
  settings: JsonObject;
  terms: Terms;
  /** Undefined once it is deleted, or the subscription detached. */
  topic: Topic | undefined;
  readonly backlog: Backlog;
  readonly dispatch: Dispatch;
  /** When it was last used, in milliseconds since 1970; a start of the local cloud counts. */
  activeAt: number;
}

export interface Broker {
  topics(): MapIterator<Topic>;
  subscriptions(): MapIterator<Subscription>;
  findTopic(name: string): Topic | undefined;
  findSubscription(name: string): Subscription | undefined;
  /** The same, or NOT_FOUND. */
  topic(name: string): Topic;
  subscription(name: string): Subscription;
  addTopic(settings: JsonObject): Topic;
  changeTopic(topic: Topic, settings: JsonObject): void;
  removeTopic(topic: Topic): void;
  addSubscription(settings: JsonObject): Subscription;
  changeSubscription(subscription: Subscription, settings: JsonObject): void;
  removeSubscription(subscription: Subscription): void;
  /** Cuts it off from its topic for good. */
  detach(subscription: Subscription): void;
  /** The ids of the messages, in order. */
  publish(topic: Topic, drafts: readonly Draft[]): string[];
  /** Makes unacknowledged exactly what is `wanted`, of what the subscription, the topic and `more` still have. */
  seek(subscription: Subscription, wanted: (message: Message) => boolean, more: readonly Message[]): void;
  /** Takes up the messages that an earlier run left; tells of those that snapshots hold. To be called once. */
  load(inSnapshots: (message: Message, names: readonly string[]) => void): void;
  /** What time takes: retained messages, subscriptions that nobody uses. To be called every second or so. */
  sweep(): void;
  /** What has to be remembered of the message has changed. */
  readonly changed: (message: Message) => void;
  /** Writes what is left to write; nothing flows any more. */
  close(): void;
}

/** What the broker tells about a subscription whose settings are new or changed, or that is gone. */
export interface BrokerEvents {
  settled(subscription: Subscription): void;
  removed(subscription: Subscription): void;
}

interface SubscriptionRow {
  readonly settings: JsonObject;
  /** Begins its ack ids. */
  readonly tag: string;
}

export function openBroker(cloud: LocalCloud, events: BrokerEvents): Broker {
  const { clock, store } = cloud;
  const topicRows: Table<JsonObject> = store.table('pubsub.topics');
  const subscriptionRows: Table<SubscriptionRow> = store.table('pubsub.subscriptions');
  const journal = openJournal(store, clock);
  const topics = new Map<string, Topic>();
  const subscriptions = new Map<string, Subscription>();
  const closing = new AbortController();
  /** Greater than any of an earlier run: it begins with the time. */
  let lastNumber = clock.now() * 1000;

  function openTopic(settings: JsonObject): Topic {
    const name = String(settings.name);
    const topic: Topic = { name, settings, subscriptions: new Set(), log: [], watchers: new Set() };
    topics.set(name, topic);
    return topic;
  }

  function openSubscription({ settings, tag }: SubscriptionRow): Subscription {
    const name = String(settings.name);
    const dispatch = openDispatch({
      cloud,
      name,
      signal: closing.signal,
      backlog: () => subscription.backlog,
      exactlyOnce: () => subscription.terms.exactlyOnce,
    });
    const subscription: Subscription = {
      name,
      settings,
      terms: termsOf(settings),
      topic: topics.get(String(settings.topic)),
      activeAt: clock.now(),
      dispatch,
      backlog: openBacklog({
        clock,
        name,
        tag,
        terms: () => subscription.terms,
        wake: dispatch.wake,
        changed: journal.changed,
        bury: (delivery) => bury(subscription, delivery),
      }),
    };
    if (subscription.terms.detached) subscription.topic = undefined;
    subscription.topic?.subscriptions.add(subscription);
    subscriptions.set(name, subscription);
    return subscription;
  }

  function save(subscription: Subscription): void {
    const row = subscriptionRows.get(subscription.name);
    if (row) subscriptionRows.set(subscription.name, { ...row, settings: subscription.settings });
  }

  function load(inSnapshots: Parameters<Broker['load']>[0]): void {
    for (const { message, row } of journal.load()) {
      lastNumber = Math.max(lastNumber, message.number);
      for (const [name, failures] of Object.entries(row.deliveries)) {
        subscriptions.get(name)?.backlog.add(message, Math.max(0, failures), failures < 0);
      }
      const topic = topics.get(message.topic);
      if (row.retained && topic) retain(topic, message);
      inSnapshots(message, row.snapshots);
      journal.changed(message);
    }
  }

  function retain(topic: Topic, message: Message): void {
    message.retained = true;
    topic.log.push(message);
    journal.changed(message);
  }

  function letGo(message: Message): void {
    message.retained = false;
    journal.changed(message);
  }

  function publish(topic: Topic, drafts: readonly Draft[]): string[] {
    const now = clock.now();
    return drafts.map((draft) => {
      lastNumber = Math.max(lastNumber + 1, now * 1000);
      const message = newMessage(lastNumber, topic.name, now, draft);
      if (topic.settings.messageRetentionDuration !== undefined) retain(topic, message);
      for (const tell of topic.watchers) tell(message);
      for (const { terms, backlog } of topic.subscriptions) {
        if (terms.filter(message.body.attributes)) backlog.add(message);
      }
      return message.body.messageId;
    });
  }

  /** Moves a message to the dead letter topic, if the service agent of the subscription's project may. */
  function bury({ name, terms }: Subscription, { message, failures }: Delivery): boolean {
    const topic = topics.get(terms.deadLetter?.topic ?? '');
    const project = cloud.projects.find(shortName(projectName(name)));
    if (!topic || !project) return false;
    const agent = {
      type: 'serviceAccount',
      email: `service-${project.number}@gcp-sa-pubsub.iam.gserviceaccount.com`,
    } as const;
    const may = (permission: string, resource: string): boolean =>
      cloud.iam.test(agent, [permission], resource).length > 0;
    if (!may('pubsub.topics.publish', topic.name) || !may('pubsub.subscriptions.consume', name)) return false;
    const attributes = {
      ...message.body.attributes,
      CloudPubSubDeadLetterSourceDeliveryCount: String(failures),
      CloudPubSubDeadLetterSourceSubscription: shortName(name),
      CloudPubSubDeadLetterSourceSubscriptionProject: project.projectId,
      CloudPubSubDeadLetterSourceTopicPublishTime: new Date(message.publishedAt)
        .toISOString()
        .replace('Z', '+00:00'),
    };
    publish(topic, [{ ...message.body, attributes }]);
    return true;
  }

  function removeSubscription(subscription: Subscription): void {
    subscription.topic?.subscriptions.delete(subscription);
    subscriptions.delete(subscription.name);
    subscriptionRows.delete(subscription.name);
    cloud.iam.dropPolicy(subscription.name);
    subscription.dispatch.closeAll(missing(subscription.name));
    subscription.backlog.dropBefore(Number.POSITIVE_INFINITY);
    events.removed(subscription);
  }

  function retentionOf(topic: Topic | undefined): number | undefined {
    return readDuration(topic?.settings.messageRetentionDuration);
  }

  function sweepTopic(topic: Topic, now: number): void {
    const oldest = now - (retentionOf(topic) ?? 0);
    const keep = topic.log.findIndex(({ publishedAt }) => publishedAt >= oldest);
    for (const message of topic.log.splice(0, keep < 0 ? topic.log.length : keep)) letGo(message);
  }

  function sweepSubscription(subscription: Subscription, now: number): void {
    const { terms, topic, activeAt, backlog } = subscription;
    if (terms.ttlMs !== undefined && activeAt + terms.ttlMs < now) {
      removeSubscription(subscription);
      return;
    }
    backlog.dropBefore(now - Math.max(terms.retentionMs, retentionOf(topic) ?? 0));
    backlog.checkDeadlines();
  }

  for (const settings of topicRows.values()) openTopic(settings);
  for (const row of subscriptionRows.values()) openSubscription(row);

  return {
    load,
    changed: journal.changed,
    topics: () => topics.values(),
    subscriptions: () => subscriptions.values(),
    findTopic: (name) => topics.get(name),
    findSubscription: (name) => subscriptions.get(name),
    topic: (name) => found(topics.get(name), name),
    subscription(name) {
      const subscription = found(subscriptions.get(name), name);
      subscription.activeAt = clock.now();
      return subscription;
    },
    addTopic(settings) {
      topicRows.set(String(settings.name), settings);
      return openTopic(settings);
    },
    changeTopic(topic, settings) {
      topic.settings = settings;
      topicRows.set(topic.name, settings);
    },
    removeTopic(topic) {
      topics.delete(topic.name);
      topicRows.delete(topic.name);
      cloud.iam.dropPolicy(topic.name);
      for (const message of topic.log.splice(0)) letGo(message);
      for (const subscription of topic.subscriptions) {
        subscription.topic = undefined;
        subscription.settings = { ...subscription.settings, topic: DELETED_TOPIC };
        save(subscription);
      }
    },
    addSubscription(settings) {
      const row = { settings, tag: randomBytes(6).toString('hex') };
      subscriptionRows.set(String(settings.name), row);
      const subscription = openSubscription(row);
      events.settled(subscription);
      return subscription;
    },
    changeSubscription(subscription, settings) {
      subscription.settings = settings;
      subscription.terms = termsOf(settings);
      save(subscription);
      events.settled(subscription);
      subscription.dispatch.wake();
    },
    removeSubscription,
    detach(subscription) {
      subscription.topic?.subscriptions.delete(subscription);
      subscription.topic = undefined;
      subscription.settings = { ...subscription.settings, detached: true };
      subscription.terms = termsOf(subscription.settings);
      save(subscription);
      subscription.dispatch.closeAll(detached());
      subscription.backlog.dropBefore(Number.POSITIVE_INFINITY);
      events.settled(subscription);
    },
    publish(topic, drafts) {
      // What is not written any more must not be promised.
      if (closing.signal.aborted) throw stopping();
      checkDrafts(drafts);
      return publish(topic, drafts);
    },
    seek({ name, topic, terms, backlog }, wanted, more) {
      const here = new Set([...backlog.held()].map(({ message }) => message));
      for (const message of new Set([...(topic?.log ?? []), ...more])) {
        if (here.has(message) || !wanted(message) || !terms.filter(message.body.attributes)) continue;
        if (message.deliveries.every(({ subscription }) => subscription !== name)) backlog.add(message);
      }
      backlog.seek(wanted);
    },
    sweep() {
      const now = clock.now();
      for (const topic of topics.values()) sweepTopic(topic, now);
      for (const subscription of subscriptions.values()) sweepSubscription(subscription, now);
    },
    close() {
      closing.abort();
      journal.close();
    },
  };
}

/** A subscription as it is shown. */
export function showSubscription({ settings, topic }: Subscription): JsonObject {
  const retention = readDuration(topic?.settings.messageRetentionDuration);
  return retention === undefined
    ? settings
    : { ...settings, topicMessageRetentionDuration: writeDuration(retention) };
}

/** What ends streams and waiting Pulls, and answers late calls, when the local cloud stops: clients try again. */
export function stopping(): GoogleError {
  return new GoogleError('UNAVAILABLE', 'The local cloud is stopping.');
}

function found<T>(entry: T | undefined, name: string): T {
  if (!entry) throw missing(name);
  return entry;
}
