/** Snapshots: what a subscription had not acknowledged at one moment, and all that was published since. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Table } from '../../store.ts';
import type { Broker, Subscription } from './broker.ts';
import { DAY_MS, MINUTE_MS } from './durations.ts';
import type { Message } from './message.ts';
import { DELETED_TOPIC, missing } from './names.ts';

export interface Snapshots {
  all(): MapIterator<Snapshot>;
  find(name: string): Snapshot | undefined;
  /** The same, or NOT_FOUND. */
  get(name: string): Snapshot;
  create(name: string, subscription: Subscription, labels: JsonObject | undefined): Snapshot;
  change(snapshot: Snapshot, settings: JsonObject): void;
  remove(snapshot: Snapshot): void;
  /** A message that an earlier run left in these. */
  restore(message: Message, names: readonly string[]): void;
  /** Removes those whose time is over, and forgets deleted topics. */
  sweep(): void;
}

interface Snapshot {
  readonly name: string;
  settings: JsonObject;
  readonly messages: Set<Message>;
  /** Stops taking new messages. */
  stop(): void;
}

const LIFE_MS = 7 * DAY_MS;
const SHORTEST_LIFE_MS = 60 * MINUTE_MS;

export function openSnapshots(cloud: LocalCloud, broker: Broker): Snapshots {
  const rows: Table<JsonObject> = cloud.store.table('pubsub.snapshots');
  const snapshots = new Map<string, Snapshot>();

  function open(settings: JsonObject): Snapshot {
    const name = String(settings.name);
    const topic = broker.findTopic(String(settings.topic));
    const tell = (message: Message): void => hold(snapshot, message);
    const snapshot: Snapshot = {
      name,
      settings,
      messages: new Set(),
      stop: () => void topic?.watchers.delete(tell),
    };
    topic?.watchers.add(tell);
    snapshots.set(name, snapshot);
    return snapshot;
  }

  function hold(snapshot: Snapshot, message: Message): void {
    snapshot.messages.add(message);
    message.snapshots = [...message.snapshots, snapshot.name];
    broker.changed(message);
  }

  function save(snapshot: Snapshot, settings: JsonObject): void {
    snapshot.settings = settings;
    rows.set(snapshot.name, settings);
  }

  function remove(snapshot: Snapshot): void {
    snapshot.stop();
    snapshots.delete(snapshot.name);
    rows.delete(snapshot.name);
    cloud.iam.dropPolicy(snapshot.name);
    for (const message of snapshot.messages) {
      message.snapshots = message.snapshots.filter((name) => name !== snapshot.name);
      broker.changed(message);
    }
  }

  for (const settings of rows.values()) open(settings);

  return {
    all: () => snapshots.values(),
    find: (name) => snapshots.get(name),
    get(name) {
      const snapshot = snapshots.get(name);
      if (!snapshot) throw missing(name);
      return snapshot;
    },
    create(name, { topic, backlog }, labels) {
      if (!topic) {
        throw new GoogleError('FAILED_PRECONDITION', 'The topic of the subscription has been deleted.');
      }
      const now = cloud.clock.now();
      const unsettled = [...backlog.held()].filter(({ state }) => state !== 'retained');
      const oldest = Math.min(now, ...unsettled.map(({ message }) => message.publishedAt));
      const expires = oldest + LIFE_MS;
      if (expires - now < SHORTEST_LIFE_MS) {
        throw new GoogleError(
          'FAILED_PRECONDITION',
          'The backlog of the subscription is too old for a snapshot.',
        );
      }
      const settings = { name, topic: topic.name, expireTime: timestamp(expires), ...(labels && { labels }) };
      const snapshot = open(settings);
      save(snapshot, settings);
      for (const { message } of unsettled) hold(snapshot, message);
      return snapshot;
    },
    change: save,
    remove,
    restore(message, names) {
      for (const name of names) {
        const snapshot = snapshots.get(name);
        if (snapshot) hold(snapshot, message);
      }
    },
    sweep() {
      const now = cloud.clock.now();
      for (const snapshot of snapshots.values()) {
        const { topic, expireTime } = snapshot.settings;
        if (Date.parse(String(expireTime)) <= now) remove(snapshot);
        else if (topic !== DELETED_TOPIC && !broker.findTopic(String(topic))) {
          save(snapshot, { ...snapshot.settings, topic: DELETED_TOPIC });
        }
      }
    },
  };
}
