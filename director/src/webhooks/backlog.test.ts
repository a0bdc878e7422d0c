/** What a receiver that does not answer leaves behind: it has an end, costs little, and keeps nobody else waiting. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type DeliveryRecord, keys } from '../store/records.ts';
import type { Key, Store } from '../store/store.ts';
import { dueWrite } from './deliveries.ts';
import { answers, type Bench, dueFor, openBench } from './testing.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECOND = 1_000;
const DAY = 86_400_000;

let bench: Bench;

beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

/** Fails until its breaker is open: five deliveries, one after the other. */
async function wearOut(webhook: string, sender: { wake(): void; settled(): Promise<void> }): Promise<void> {
  for (let number = 0; number < 5; number++) {
    await bench.tell(webhook, `worn${number}`);
    sender.wake();
    await sender.settled();
  }
}

/** The store as it is, and the keys that were read of it. */
function watched(): { store: Store; reads: Key[] } {
  const reads: Key[] = [];
  const store: Store = {
    ...bench.store,
    get(key) {
      reads.push(key);
      return bench.store.get(key);
    },
  };
  return { store, reads };
}

test('what has waited for a day ends untried, however much it is, though its receiver is left alone (N143)', async () => {
  const { url, received } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  const sender = bench.sender();
  await wearOut(id, sender);
  const held = await Promise.all(Array.from({ length: 300 }, (_, number) => bench.tell(id, `held${number}`)));
  sender.wake();
  await sender.settled();
  expect(await bench.dueRows()).toHaveLength(305);
  // One delivery sees, and it is open again when the day is over.
  bench.clock.advance(DAY - 10 * SECOND);
  await sender.settled();
  bench.clock.advance(10 * SECOND);
  sender.wake();
  await sender.settled();
  // But for that one, of which the next try is yet to come.
  expect(await bench.dueRows()).toHaveLength(1);
  bench.clock.advance(30 * SECOND);
  await sender.settled();
  expect(await bench.dueRows()).toEqual([]);
  // Of what ended the newest are kept.
  const kept = (await Promise.all(held.map(bench.deliveryOf))).filter((one) => one !== undefined);
  expect(kept.length).toBeGreaterThan(150);
  for (const one of kept) expect(one).toMatchObject({ state: 'failed' });
  expect(received).toHaveLength(6);
});

test('what was left by a director that did not run for a day is not told any more, and its log says why', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const old = await bench.tell(id, 'old', bench.clock.now() - DAY);
  const young = await bench.tell(id, 'young', bench.clock.now() - DAY + 1);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  expect(received.map(({ body }) => body)).toEqual(['{"name":"young"}']);
  expect(await bench.deliveryOf(old)).toMatchObject({
    ...{ state: 'failed', attempts: 0 },
    tries: [{ at: '2026-03-01T12:00:00.000Z', error: 'it could not be told within a day' }],
  });
  expect(await bench.deliveryOf(young)).toMatchObject({ state: 'delivered' });
  expect(await bench.dueRows()).toEqual([]);
});

test('while its receiver is left alone nothing is read for what waits, not even the webhook', async () => {
  const { url } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  const { store, reads } = watched();
  const sender = bench.sender({ store });
  await wearOut(id, sender);
  reads.splice(0);
  for (let number = 0; number < 50; number++) await bench.tell(id, `held${number}`);
  for (let time = 0; time < 10; time++) {
    sender.wake();
    await sender.settled();
    bench.clock.advance(2 * SECOND);
    await sender.settled();
  }
  expect(reads).toEqual([]);
});

test('the breaker is asked before the webhook is read: many at once read it no oftener than they call', async () => {
  const { url, received } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  for (let number = 0; number < 40; number++) await bench.tell(id, `d${number}`);
  const { store, reads } = watched();
  const sender = bench.sender({ store });
  sender.wake();
  await sender.settled();
  expect(reads.filter(({ collection }) => collection === 'webhooks')).toHaveLength(received.length);
  expect(received.length).toBeLessThan(10);
});

test('of too much the oldest is given up, until there is room again, and the log says so', async () => {
  const { url, received } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  const well = await bench.receiver();
  const other = await bench.webhookAt(well.url);
  const sender = bench.sender({ mostDue: 20 });
  await wearOut(id, sender);
  expect(received).toHaveLength(5);
  const due = Array.from({ length: 20 }, (_, number) =>
    dueFor(id, `d${number}`, new Date(bench.clock.now() - 1_000_000 + number).toISOString()),
  );
  await bench.store.commit(due.map(dueWrite));
  await bench.tell(other.id, 'well');
  sender.wake();
  await sender.settled();
  // 25 wait, and 18 of them may stay.
  expect(bench.troubles).toEqual([`${id}: Error: 25 deliveries wait: the oldest 7 are given up`]);
  expect(await bench.dueRows()).toHaveLength(18);
  const states = await Promise.all(due.map(async (one) => (await bench.deliveryOf(one.id))?.state));
  expect(states).toEqual([...Array(7).fill('failed'), ...Array(13).fill(undefined)]);
  expect(await bench.deliveryOf(due[0]?.id ?? '')).toMatchObject({
    tries: [{ error: 'there was too much to be told, and this was the oldest' }],
  });
  expect(well.received).toHaveLength(1);
  sender.wake();
  await sender.settled();
  expect(bench.troubles).toHaveLength(1);
  expect(received).toHaveLength(5);
});

test('what another director has told meanwhile does not count', async () => {
  const { url, received } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  const sender = bench.sender({ mostDue: 20 });
  await wearOut(id, sender);
  const told = await Promise.all(Array.from({ length: 10 }, (_, number) => bench.tell(id, `told${number}`)));
  sender.wake();
  await sender.settled();
  await bench.store.commit(told.map((one) => ({ type: 'delete', key: keys.due(one), if: 'any' })));
  const young = await Promise.all(
    Array.from({ length: 15 }, (_, number) => bench.tell(id, `young${number}`)),
  );
  sender.wake();
  await sender.settled();
  expect(bench.troubles).toEqual([]);
  expect(await bench.dueRows()).toHaveLength(20);
  for (const one of young) expect(await bench.deliveryOf(one)).toBeUndefined();
  expect(received).toHaveLength(5);
});

test('what is not due any more when it is claimed is not claimed: nothing waits for ever', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  // Its webhook is removed, with all that was due, right after it was read.
  const late: Store = {
    ...bench.store,
    async get<T>(key: Key) {
      const found = await bench.store.get<T>(key);
      if (key.collection === 'webhooks')
        await bench.store.commit([{ type: 'delete', key: keys.due(delivery), if: 'any' }]);
      return found;
    },
  };
  const sender = bench.sender({ store: late });
  sender.wake();
  await sender.settled();
  bench.clock.advance(60 * SECOND);
  await sender.settled();
  expect(received).toEqual([]);
  expect(await bench.store.list<DeliveryRecord>({ collection: 'deliveries' })).toEqual([]);
  expect(bench.troubles).toEqual([]);
});

test('what was to be told to who is gone or stopped is over as soon as the breaker lets it, all of it', async () => {
  const { url } = await bench.receiver(answers(503));
  const { id, record } = await bench.webhookAt(url);
  const states: string[] = [];
  const sender = bench.sender({ onBreaker: (_webhook, state) => states.push(state) });
  await wearOut(id, sender);
  for (let number = 0; number < 10; number++) await bench.tell(id, `held${number}`);
  sender.wake();
  await sender.settled();
  await bench.store.commit([
    { type: 'put', key: keys.webhook(id), value: { ...record, active: false }, if: 'any' },
  ]);
  bench.clock.advance(60 * SECOND);
  await sender.settled();
  bench.clock.advance(3_600 * SECOND);
  await sender.settled();
  expect(await bench.dueRows()).toEqual([]);
  expect(states.length).toBeLessThanOrEqual(3);
});

describe('a clock that is set back', () => {
  test('keeps nobody waiting for the time to come again', async () => {
    let isWell = false;
    const { url, received } = await bench.receiver((request, response) =>
      answers(isWell ? 204 : 503)(request, response),
    );
    const { id } = await bench.webhookAt(url);
    const sender = bench.sender();
    await wearOut(id, sender);
    const held = await bench.tell(id, 'held');
    sender.wake();
    await sender.settled();
    expect(received).toHaveLength(5);
    isWell = true;
    bench.clock.setBack(3_600 * SECOND);
    const fresh = await bench.tell(id, 'fresh');
    bench.clock.advance(31 * SECOND);
    await vi.waitFor(
      async () => {
        for (const one of [held, fresh])
          expect(await bench.deliveryOf(one)).toMatchObject({ state: 'delivered', attempts: 1 });
      },
      { timeout: 20_000 },
    );
  });

  test('keeps nobody from looking for what others left', async () => {
    const reached = Promise.withResolvers<() => void>();
    const { url, received } = await bench.receiver((request, response) =>
      reached.resolve(() => answers(204)(request, response)),
    );
    const { id } = await bench.webhookAt(url);
    await bench.tell(id);
    const sender = bench.sender();
    sender.wake();
    const answer = await reached.promise;
    bench.clock.setBack(3_600 * SECOND);
    answer();
    await sender.settled();
    const others = await bench.receiver();
    await bench.tell((await bench.webhookAt(others.url)).id);
    bench.clock.advance(30 * SECOND);
    await sender.settled();
    expect(received).toHaveLength(1);
    expect(others.received).toHaveLength(1);
  });
});
