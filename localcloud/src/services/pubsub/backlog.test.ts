import { beforeEach, expect, test } from 'vitest';
import { type Backlog, openBacklog } from './backlog.ts';
import type { Consumer, Delivery } from './delivery.ts';
import { type Message, newMessage } from './message.ts';
import type { Terms } from './terms.ts';
import { type ManualClock, manualClock } from './testing.ts';

let clock: ManualClock;
let backlog: Backlog;
let terms: Terms;
let buried: Delivery[];
let mayBury: boolean;
let published: number;

beforeEach(() => {
  clock = manualClock();
  buried = [];
  mayBury = true;
  published = 0;
  terms = {
    ackDeadlineMs: 10_000,
    retentionMs: 600_000,
    retainAcked: false,
    ordering: false,
    exactlyOnce: false,
    detached: false,
    filter: () => true,
    ttlMs: undefined,
    deadLetter: undefined,
    retry: undefined,
    push: undefined,
  };
  backlog = openBacklog({
    clock,
    name: 'projects/p/subscriptions/s',
    tag: '0123456789ab',
    terms: () => terms,
    wake: () => {},
    changed: () => {},
    bury(delivery) {
      if (mayBury) buried.push(delivery);
      return mayBury;
    },
  });
});

/** Publishes so many messages `1`, `2`, `3` … */
function publish(count: number, orderingKey = ''): Message[] {
  return Array.from({ length: count }, () => {
    const message = newMessage(++published, 'projects/p/topics/t', clock.now(), {
      data: Buffer.from(String(published)),
      orderingKey,
    });
    backlog.add(message);
    return message;
  });
}

function consumer(room = 100, more: Partial<Consumer> = {}): Consumer {
  return {
    room: { messages: room, bytes: Number.POSITIVE_INFINITY },
    open: true,
    batch: 100,
    once: false,
    oneOfAKey: false,
    leaseMs: 10_000,
    take: () => {},
    close: () => {},
    ...more,
  };
}

/** The numbers of the messages that the consumer gets now. */
function lease(to = consumer()): { numbers: number[]; ackIds: string[] } {
  const leased = backlog.lease(to);
  return {
    numbers: leased.map(({ message }) => message.number),
    ackIds: leased.map(({ ackId }) => ackId),
  };
}

test('a lease ends with its deadline, which can be moved', () => {
  publish(2);
  const { numbers, ackIds } = lease();
  expect(numbers).toEqual([1, 2]);
  clock.pass(9_000);
  expect(backlog.extend(ackIds[0] ?? '', 10_000)).toBe(true);
  clock.pass(1_100);
  expect(lease().numbers).toEqual([2]);
  clock.pass(9_000);
  expect(lease().numbers).toEqual([1]);
});

test('a late acknowledgement counts until the message goes out again', () => {
  publish(2);
  const first = lease();
  clock.pass(10_100);
  expect(backlog.ack(first.ackIds[0] ?? '')).toBe(true);
  const second = lease();
  expect(second.numbers).toEqual([2]);
  expect(backlog.ack(first.ackIds[1] ?? '')).toBe(false);
  expect(backlog.ack(second.ackIds[0] ?? '')).toBe(true);
  clock.pass(60_000);
  expect(lease().numbers).toEqual([]);
  expect([...backlog.held()]).toEqual([]);
});

test('with exactly-once delivery only the newest ack id counts, and only until its deadline', () => {
  terms = { ...terms, exactlyOnce: true };
  publish(1);
  const [first = ''] = lease().ackIds;
  clock.pass(10_000);
  expect(backlog.ack(first)).toBe(false);
  expect(backlog.extend(first, 10_000)).toBe(false);
  clock.pass(100);
  const [second = ''] = lease().ackIds;
  expect(backlog.ack(first)).toBe(false);
  expect(backlog.ack(second)).toBe(true);
  expect(backlog.ack(second)).toBe(false);
});

test('room counts messages and bytes, and comes back when they are settled', () => {
  publish(5);
  const small = consumer(2);
  const { numbers, ackIds } = lease(small);
  expect(numbers).toEqual([1, 2]);
  expect(lease(small).numbers).toEqual([]);
  backlog.ack(ackIds[0] ?? '');
  backlog.nack(ackIds[1] ?? '');
  expect(lease(small).numbers.toSorted()).toEqual([2, 3]);
  const few = consumer(100, { room: { messages: 100, bytes: 1 } });
  expect(lease(few).numbers).toEqual([4]);
  expect(lease(few).numbers).toEqual([]);
});

test('redelivery does not starve what is new', () => {
  publish(1);
  const one = consumer(1);
  backlog.nack(lease(one).ackIds[0] ?? '');
  publish(1);
  const seen = Array.from({ length: 4 }, () => {
    const { numbers, ackIds } = lease(one);
    backlog.nack(ackIds[0] ?? '');
    return numbers[0];
  });
  expect(new Set(seen)).toEqual(new Set([1, 2]));
});

test('a retry policy doubles the wait with each failure, up to its longest', () => {
  terms = { ...terms, retry: { shortestMs: 1_000, longestMs: 3_000 } };
  publish(1);
  let { ackIds } = lease();
  for (const wait of [1_000, 2_000, 3_000, 3_000]) {
    backlog.nack(ackIds[0] ?? '');
    clock.pass(wait - 200);
    expect(lease().numbers).toEqual([]);
    clock.pass(300);
    const again = lease();
    expect(again.numbers).toEqual([1]);
    ackIds = again.ackIds;
  }
});

test('nacks and passed deadlines count, and lead to the dead letter topic', () => {
  terms = { ...terms, deadLetter: { topic: 'projects/p/topics/dead', attempts: 3 } };
  publish(1);
  backlog.nack(lease().ackIds[0] ?? '');
  lease();
  clock.pass(10_100);
  expect(backlog.lease(consumer()).map(({ failures }) => failures)).toEqual([2]);
  mayBury = false;
  clock.pass(10_100);
  expect(buried).toEqual([]);
  mayBury = true;
  backlog.nack(lease().ackIds[0] ?? '');
  expect(buried.map(({ failures }) => failures)).toEqual([4]);
  expect(lease().numbers).toEqual([]);
});

test('messages of a key go ahead of their acknowledgements, and come again from the one that failed', () => {
  terms = { ...terms, ordering: true };
  publish(4, 'a');
  publish(1, 'b');
  const reader = consumer();
  const first = lease(reader);
  expect(first.numbers.filter((number) => number < 5)).toEqual([1, 2, 3, 4]);
  const ackIdOf = (number: number): string => first.ackIds[first.numbers.indexOf(number)] ?? '';
  backlog.ack(ackIdOf(1));
  backlog.ack(ackIdOf(3));
  backlog.nack(ackIdOf(2));
  publish(1, 'a');
  expect(backlog.ack(ackIdOf(4))).toBe(false);
  const second = lease(reader);
  expect(second.numbers).toEqual([2, 3, 4, 6]);
  for (const ackId of second.ackIds) backlog.ack(ackId);
  expect([...backlog.held()].map(({ message }) => message.number)).toEqual([5]);
});

test('with exactly-once delivery what was acknowledged in a key does not come again', () => {
  terms = { ...terms, ordering: true, exactlyOnce: true };
  publish(3, 'a');
  const { ackIds } = lease();
  expect(backlog.ack(ackIds[1] ?? '')).toBe(true);
  backlog.nack(ackIds[0] ?? '');
  const again = lease();
  expect(again.numbers).toEqual([1, 3]);
  for (const ackId of again.ackIds) backlog.ack(ackId);
  expect([...backlog.held()]).toEqual([]);
});

test('a key stays with its consumer until all it has is settled', () => {
  terms = { ...terms, ordering: true };
  publish(2, 'a');
  const [one, other] = [consumer(1), consumer()];
  const first = lease(one);
  expect(first.numbers).toEqual([1]);
  expect(lease(other).numbers).toEqual([]);
  backlog.ack(first.ackIds[0] ?? '');
  expect(lease(other).numbers).toEqual([2]);
});

test('a consumer of one message of a key at a time gets the next after the one before', () => {
  terms = { ...terms, ordering: true };
  publish(2, 'a');
  publish(1, 'b');
  const pusher = consumer(100, { oneOfAKey: true });
  const first = lease(pusher);
  expect(first.numbers.toSorted()).toEqual([1, 3]);
  backlog.ack(first.ackIds[first.numbers.indexOf(1)] ?? '');
  expect(lease(pusher).numbers).toEqual([2]);
});

test('a retry policy holds up the whole key', () => {
  terms = { ...terms, ordering: true, retry: { shortestMs: 5_000, longestMs: 5_000 } };
  publish(2, 'a');
  backlog.nack(lease().ackIds[0] ?? '');
  publish(1, 'a');
  expect(lease().numbers).toEqual([]);
  clock.pass(5_100);
  expect(lease().numbers).toEqual([1, 2, 3]);
});

test('a seek settles and brings back', () => {
  terms = { ...terms, retainAcked: true };
  const messages = publish(4);
  const { ackIds } = lease();
  backlog.ack(ackIds[0] ?? '');
  backlog.ack(ackIds[1] ?? '');
  backlog.seek((message) => message !== messages[0] && message !== messages[3]);
  expect(lease().numbers).toEqual([2]);
  clock.pass(10_100);
  expect(lease().numbers.toSorted()).toEqual([2, 3]);
});

test('a seek in an ordered backlog delivers in order', () => {
  terms = { ...terms, ordering: true, retainAcked: true };
  publish(4, 'a');
  const { ackIds } = lease();
  for (const ackId of ackIds.slice(0, 2)) backlog.ack(ackId);
  backlog.seek(() => true);
  expect(lease().numbers).toEqual([1, 2, 3, 4]);
});

test('what is too old is dropped, out or not', () => {
  terms = { ...terms, ordering: true };
  publish(2, 'a');
  const { ackIds } = lease(consumer(1));
  clock.pass(1_000);
  publish(1, 'a');
  backlog.dropBefore(clock.now());
  expect(backlog.ack(ackIds[0] ?? '')).toBe(false);
  expect(lease().numbers).toEqual([3]);
});

test('a repeated delivery counts no failure', () => {
  publish(1);
  const reader = consumer();
  const [delivery] = backlog.lease(reader);
  if (!delivery) throw new Error('Nothing to lease');
  backlog.repeat(delivery);
  expect(backlog.lease(reader).map(({ failures }) => failures)).toEqual([0]);
});
