/** Messages: what a publisher may send, and the forms they take on the wires. */
import { invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import type { Delivery } from './delivery.ts';

/** `google.pubsub.v1.PubsubMessage` as gRPC carries it. */
export interface Body {
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  readonly messageId: string;
  readonly publishTime: { readonly seconds: number; readonly nanos: number };
  readonly orderingKey: string;
}

/** What a publisher sends; what is missing is empty. */
export type Draft = Partial<Pick<Body, 'data' | 'attributes' | 'orderingKey'>>;

export interface Message {
  /** Its id as a number; a later message has a greater one. */
  readonly number: number;
  readonly topic: string;
  /** Milliseconds since 1970. */
  readonly publishedAt: number;
  /** Bytes, as limits and flow control count them. */
  readonly size: number;
  readonly body: Body;
  /** Those of the subscriptions that hold it. */
  readonly deliveries: Delivery[];
  /** Names of the snapshots that hold it. */
  snapshots: readonly string[];
  /** Whether its topic retains it. */
  retained: boolean;
}

const MOST_MESSAGES = 1_000;
const MOST_BYTES = 10_000_000;
const MOST_ATTRIBUTES = 100;
const LONGEST_KEY = 256;
const LONGEST_VALUE = 1_024;
const NO_DATA = new Uint8Array();
const NO_SNAPSHOTS: readonly string[] = [];

/** Throws INVALID_ARGUMENT unless these may be published together. */
export function checkDrafts(drafts: readonly Draft[]): void {
  atLeast('message_count', drafts.length, 1);
  atMost('message_count', drafts.length, MOST_MESSAGES);
  let bytes = 0;
  const key = drafts[0]?.orderingKey ?? '';
  for (const draft of drafts) {
    checkDraft(draft);
    bytes += sizeOf(draft);
    if ((draft.orderingKey ?? '') !== key) {
      throw invalid(
        'In a single publish request, all messages must have no ordering key or they must all have the same ordering key.',
      );
    }
  }
  atMost('request_size', bytes, MOST_BYTES);
}

function checkDraft({ data, attributes = {}, orderingKey = '' }: Draft): void {
  const names = Object.keys(attributes);
  if ((data?.length ?? 0) === 0 && names.length === 0) {
    throw invalid(
      'One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.',
    );
  }
  atMost('ordering_key_size', Buffer.byteLength(orderingKey), LONGEST_VALUE);
  atMost('num_attributes', names.length, MOST_ATTRIBUTES);
  for (const name of names) {
    atLeast('attribute_key_size', name.length, 1);
    atMost('attribute_key_size', Buffer.byteLength(name), LONGEST_KEY);
    atMost('attribute_value_size', Buffer.byteLength(attributes[name] ?? ''), LONGEST_VALUE);
    if (name.startsWith('goog'))
      throw invalid(`The attribute key '${name}' is reserved: it begins with 'goog'.`);
  }
}

export function newMessage(number: number, topic: string, publishedAt: number, draft: Draft): Message {
  return {
    number,
    topic,
    publishedAt,
    size: sizeOf(draft),
    body: {
      data: draft.data ?? NO_DATA,
      attributes: draft.attributes ?? {},
      messageId: String(number),
      publishTime: { seconds: Math.floor(publishedAt / 1000), nanos: (publishedAt % 1000) * 1_000_000 },
      orderingKey: draft.orderingKey ?? '',
    },
    deliveries: [],
    snapshots: NO_SNAPSHOTS,
    retained: false,
  };
}

/** A draft out of canonical JSON. */
export function readDraft(json: Json): Draft {
  const message = isObject(json) ? json : {};
  const attributes = Object.entries(isObject(message.attributes) ? message.attributes : {});
  return {
    data: Buffer.from(String(message.data ?? ''), 'base64'),
    attributes: Object.fromEntries(attributes.map(([name, value]) => [name, String(value)])),
    orderingKey: String(message.orderingKey ?? ''),
  };
}

/** A message in canonical JSON. */
export function writeBody(body: Body): JsonObject {
  const { seconds, nanos } = body.publishTime;
  return {
    data: Buffer.from(body.data).toString('base64'),
    attributes: { ...body.attributes },
    messageId: body.messageId,
    publishTime: new Date(seconds * 1000 + nanos / 1_000_000).toISOString(),
    orderingKey: body.orderingKey,
  };
}

function sizeOf({ data, attributes, orderingKey }: Draft): number {
  let size = (data?.length ?? 0) + Buffer.byteLength(orderingKey ?? '');
  for (const name in attributes) size += Buffer.byteLength(name) + Buffer.byteLength(attributes[name] ?? '');
  return size;
}

/** Throws INVALID_ARGUMENT in the words that Google has for a number out of its range. */
export function atLeast(name: string, value: number, least: number, unit = ''): void {
  if (value >= least) return;
  throw invalid(
    `The value for ${name} is too small. You passed ${value}${unit} in the request, but the minimum value is ${least}${unit}.`,
  );
}

export function atMost(name: string, value: number, most: number, unit = ''): void {
  if (value <= most) return;
  throw invalid(
    `The value for ${name} is too large. You passed ${value}${unit} in the request, but the maximum value is ${most}${unit}.`,
  );
}
