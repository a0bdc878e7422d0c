/**
 * What of the messages lasts: rows, written behind.
 *
 * A change waits for one to two periods before it is written, so a message that is acknowledged soon
 * after it was published never reaches the disk. Rows are written in slices, so that nobody waits for many.
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Store, Table } from '../../store.ts';
import { type Message, newMessage } from './message.ts';

/** A message at rest. */
interface MessageRow {
  readonly topic: string;
  readonly publishedAt: number;
  /** Base64. */
  readonly data: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
  /** By subscription, how often delivery failed; -1 once acknowledged and retained. */
  readonly deliveries: Readonly<Record<string, number>>;
  readonly snapshots: readonly string[];
  /** Whether the topic retains it. */
  readonly retained: boolean;
}

export interface Journal {
  /** The message is new, or who holds it has changed. */
  changed(message: Message): void;
  /** What an earlier run left, oldest first. */
  load(): { message: Message; row: MessageRow }[];
  /** Writes what is left to write, and nothing after that. */
  close(): void;
}

/** A row that makes its JSON only when it is written. */
type Lazy = { toJSON(): MessageRow };

const PERIOD_MS = 500;
const SLICE = 200;

export function openJournal(store: Store, clock: Clock): Journal {
  const rows: Table<MessageRow | Lazy> = store.table('pubsub.messages');
  /** Changed since the last tick, and before it. */
  let young = new Set<Message>();
  let old = new Set<Message>();
  let ticking = false;
  let open = true;

  function tick(): void {
    ticking = false;
    if (!open) return;
    for (const message of [...old].slice(0, SLICE)) {
      old.delete(message);
      write(message);
    }
    const more = old.size > 0;
    if (!more) {
      old = young;
      young = new Set();
    }
    if (old.size > 0) schedule(more ? 0 : PERIOD_MS);
  }

  function schedule(ms: number): void {
    if (ticking || !open) return;
    ticking = true;
    clock.after(ms, tick);
  }

  function write(message: Message): void {
    const id = message.body.messageId;
    if (isHeld(message)) rows.set(id, { toJSON: () => rowOf(message) });
    else rows.delete(id);
  }

  return {
    changed(message) {
      if (!old.has(message)) young.add(message);
      schedule(PERIOD_MS);
    },
    load: () =>
      [...rows.entries()]
        .flatMap(([id, row]) => ('toJSON' in row ? [] : [{ message: messageOf(id, row), row }]))
        .sort((a, b) => a.message.number - b.message.number),
    close() {
      for (const message of [...old, ...young]) write(message);
      open = false;
    },
  };
}

function isHeld(message: Message): boolean {
  return message.deliveries.length > 0 || message.snapshots.length > 0 || message.retained;
}

function messageOf(id: string, row: MessageRow): Message {
  const { attributes, orderingKey } = row;
  const data = Buffer.from(row.data, 'base64');
  return newMessage(Number(id), row.topic, row.publishedAt, { data, attributes, orderingKey });
}

function rowOf({ topic, publishedAt, body, deliveries, snapshots, retained }: Message): MessageRow {
  return {
    topic,
    publishedAt,
    data: Buffer.from(body.data).toString('base64'),
    attributes: body.attributes,
    orderingKey: body.orderingKey,
    deliveries: Object.fromEntries(
      deliveries.map(({ subscription, state, failures }) => [
        subscription,
        state === 'retained' ? -1 : failures,
      ]),
    ),
    snapshots,
    retained,
  };
}
