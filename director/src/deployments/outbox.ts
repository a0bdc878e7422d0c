/** Publishes what the outbox holds: at least once, always under the same id, until the broker has it. */
import { COMMAND_PREFIX, EVENT_PREFIX, toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import { legacyReady } from '@service-director/shared/contract/legacy.ts';
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { backoffMs } from '@service-director/shared/kit/retry.ts';
import type { LogSubject } from '../observability/log.ts';
import { beginRelay, type RelayAsk, type RelayEvent, stepRelay } from '../protocol/relay.ts';
import { listAll } from '../store/list-all.ts';
import { type CommandRecord, keys, type OutboxRecord } from '../store/records.ts';
import { Conflict, type Store, type Write } from '../store/store.ts';

/** What carries messages. */
export interface Bus {
  publish(
    topic: string,
    message: { body: string; attributes: Readonly<Record<string, string>>; orderingKey?: string },
  ): Promise<void>;
}

export interface Outbox {
  /** Publishes these rows now; what fails is tried again later. */
  send(ids: readonly string[]): void;
  /** Takes up what an earlier process left. */
  recover(): Promise<void>;
  /** Resolves when nothing is under way. */
  settled(): Promise<void>;
}

export interface OutboxOptions {
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly onTrouble: (error: unknown, id: string, about?: LogSubject) => void;
}

const BACKOFF = { firstMs: 200, longestMs: 30_000, factor: 2 };

export function outbox({ store, bus, clock, random, onTrouble }: OutboxOptions): Outbox {
  const underWay = new Map<string, Promise<void>>();

  async function answer(ask: Exclude<RelayAsk, { type: 'over' }>, id: string): Promise<RelayEvent> {
    switch (ask.type) {
      case 'read':
        return { type: 'read', row: await store.get<OutboxRecord>(keys.outbox(id)) };
      case 'publish': {
        const { topic, body, attributes, orderingKey } = ask.row;
        await bus.publish(topic, { body, attributes, ...(orderingKey === undefined ? {} : { orderingKey }) });
        return { type: 'published' };
      }
      case 'forget':
        // Forgotten by the machine it is published again, under the same id.
        await store.commit([ask.write], 'soon');
        return { type: 'forgotten' };
      case 'wait':
        await clock.sleep(Math.max(50, backoffMs(ask.attempt, BACKOFF, random)));
        return { type: 'waited' };
      default:
        return never(ask);
    }
  }

  async function publish(id: string): Promise<void> {
    let relay = beginRelay(id);
    for (;;) {
      const { asked } = relay;
      if (asked.type === 'over') return;
      const event = await answer(asked, id).catch((error): RelayEvent => {
        if (error instanceof Conflict) return { type: 'conflict' };
        onTrouble(error, id, asked.type === 'publish' ? subjectOf(asked.row) : undefined);
        return { type: 'failed' };
      });
      relay = stepRelay(relay, event);
    }
  }

  function send(ids: readonly string[]): void {
    for (const id of ids) {
      if (underWay.has(id)) continue;
      underWay.set(
        id,
        publish(id).finally(() => underWay.delete(id)),
      );
    }
  }

  return {
    send,
    async recover() {
      const left = await listAll<OutboxRecord>(store, { collection: 'outbox' });
      send(left.map(({ id }) => id));
    },
    async settled() {
      await Promise.all(underWay.values());
    },
  };
}

function subjectOf({ attributes: { commandid: command, traceparent } }: OutboxRecord): LogSubject {
  return { command, traceparent };
}

/** Who speaks, and where. */
export interface Speaker {
  /** The `ce-source` of all events: `//run.googleapis.com/projects/p/locations/l/services/service-director`. */
  readonly source: string;
  readonly eventsTopic: string;
  readonly deadLetterTopic: string;
  /** The topic of answers in the older form. */
  readonly legacyTopic?: string | undefined;
}

/** A row that is to be written, and then sent. */
export interface OutboxRow {
  readonly id: string;
  readonly write: Write;
}

/** The last word on a command, in the form or forms in which it was asked. */
export function answerRows(record: CommandRecord, speaker: Speaker, now: number): OutboxRow[] {
  const { answer, legacyAnswer, correlationId, traceparent } = record;
  if (!answer) return [];
  // Made of the command's own id: the same fact is the same event, however often it is told.
  const id = `${record.id}.${answer.type}`;
  const envelope = {
    id,
    source: speaker.source,
    type: `${EVENT_PREFIX}${answer.type}`,
    // When it happened, not when it is told.
    time: record.endedAt ?? timestamp(now),
    correlationId,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  const attributes = { ...toAttributes(envelope), commandid: answer.command };
  const rows = [
    row({ id, topic: speaker.eventsTopic, attributes, orderingKey: record.id, body: JSON.stringify(answer) }),
  ];
  if (legacyAnswer && speaker.legacyTopic !== undefined) {
    rows.push(
      row({
        id: `${id}.legacy`,
        topic: speaker.legacyTopic,
        attributes: {},
        body: JSON.stringify(legacyAnswer),
      }),
    );
  }
  return rows;
}

/** The word of older directors that this one is up. */
export function readyRow(name: string, topic: string): OutboxRow {
  return row({ id: 'setup_complete', topic, attributes: {}, body: JSON.stringify(legacyReady(name)) });
}

/** A copy of what could not be read, for the people who look after the dead letters. */
export function deadLetterRow(
  { id, traceparent }: Pick<CommandRecord, 'id' | 'traceparent'>,
  body: string,
  error: string,
  speaker: Speaker,
): OutboxRow {
  const attributes = {
    'ce-id': id,
    'ce-type': `${COMMAND_PREFIX}unreadable`,
    error: cut(error, MOST_ERROR_BYTES),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  return row({
    id: `${id}.dead-letter`,
    topic: speaker.deadLetterTopic,
    attributes,
    body: body === '' ? '(empty)' : cut(body, MOST_BODY_BYTES),
  });
}

/** Google takes 1,024 bytes of an attribute; 10 MB of a message with all its attributes, of which the store holds 8 in one value. */
const MOST_ERROR_BYTES = 1_000;
const MOST_BODY_BYTES = 7_900_000;

function cut(text: string, mostBytes: number): string {
  return Buffer.byteLength(text) > mostBytes ? Buffer.from(text).subarray(0, mostBytes).toString() : text;
}

function row(record: OutboxRecord): OutboxRow {
  return { id: record.id, write: { type: 'put', key: keys.outbox(record.id), value: record, if: 'any' } };
}
