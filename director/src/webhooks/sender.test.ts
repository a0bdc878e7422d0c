/** Telling receivers on this machine: signed, once where all goes well, and again and again where it does not. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keys, type WebhookRecord } from '../store/records.ts';
import { Conflict, type Store, StoreFailure } from '../store/store.ts';
import type { Transport } from './attempt.ts';
import { deliveriesFor } from './deliveries.ts';
import { answers, type Bench, deployment, openBench, signaturesBy } from './testing.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECOND = 1_000;
const HOUR = 3_600_000;

let bench: Bench;

beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

test('a status change reaches its receiver once, signed, and is not due any more', async () => {
  const { url, received } = await bench.receiver(answers(200, {}, 'thank you'));
  const { id, secret, record } = await bench.webhookAt(url);
  const after = deployment({ status: 'succeeded', endedAt: '2026-03-01T12:00:00.000Z' });
  const writes = deliveriesFor(deployment(), after, [record], bench.clock.now());
  await bench.store.commit(writes);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  expect(received).toHaveLength(1);
  for (const one of received) {
    expect(signaturesBy(secret, one)).toHaveLength(1);
    expect(one.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-timestamp': String(bench.clock.now() / 1000),
    });
    expect(JSON.parse(one.body)).toMatchObject({
      type: 'deployment.succeeded',
      data: { deployment: 'c7.checkout' },
    });
  }
  expect(await bench.deliveryOf(`${id}.c7.checkout.succeeded`)).toMatchObject({
    state: 'delivered',
    attempts: 1,
    tries: [{ at: '2026-03-01T12:00:00.000Z', milliseconds: 0, status: 200, answer: 'thank you' }],
  });
  expect(await bench.dueRows()).toEqual([]);
  // The same fact once more, as after a commit whose answer got lost.
  await bench.store.commit(writes);
  sender.wake();
  await sender.settled();
  expect(received).toHaveLength(1);
  expect(await bench.dueRows()).toEqual([]);
});

test('a receiver that fails is asked again, later and later, under the same id, with a new time, until it takes it', async () => {
  let failures = 3;
  const { url, received } = await bench.receiver((request, response) =>
    answers(failures-- > 0 ? 503 : 200, {}, 'not now')(request, response),
  );
  const { id, secret } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  for (const [wait, tries] of [
    [5 * SECOND, 1],
    [15 * SECOND, 2],
    [45 * SECOND, 3],
  ] as const) {
    bench.clock.advance(wait - 1);
    await sender.settled();
    expect(received).toHaveLength(tries);
    bench.clock.advance(1);
    await sender.settled();
    expect(received).toHaveLength(tries + 1);
  }
  expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(new Set(received.map(({ headers }) => headers['webhook-timestamp'])).size).toBe(4);
  for (const one of received) expect(signaturesBy(secret, one)).toHaveLength(1);
  const { state, tries } = (await bench.deliveryOf(delivery)) ?? {};
  expect(state).toBe('delivered');
  expect(tries?.map(({ status, error }) => [status, error])).toEqual([
    [503, 'it answered 503'],
    [503, 'it answered 503'],
    [503, 'it answered 503'],
    [200, undefined],
  ]);
});

test('it is given up after twelve tries, and never tried more than that', async () => {
  const { url, received } = await bench.receiver(answers(500));
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  for (let hour = 0; hour < 30; hour++) {
    bench.clock.advance(HOUR);
    await sender.settled();
  }
  expect(received).toHaveLength(12);
  expect(await bench.deliveryOf(delivery)).toMatchObject({ state: 'failed', attempts: 12 });
  expect(await bench.dueRows()).toEqual([]);
});

test('it waits as long as the receiver asks, in seconds or by a date, but not for ever', async () => {
  const waits = ['120', new Date(bench.clock.now() + 10 * 60 * SECOND).toUTCString(), '999999999'];
  const { url, received } = await bench.receiver((request, response) =>
    answers(429, { 'retry-after': waits[received.length - 1] ?? '' })(request, response),
  );
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  const nextIn = async () => ((await bench.deliveryOf(delivery))?.nextAt ?? 0) - bench.clock.now();
  expect(await nextIn()).toBe(120 * SECOND);
  bench.clock.advance(120 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(2);
  expect(await nextIn()).toBe(480 * SECOND);
  bench.clock.advance(480 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(3);
  expect(await nextIn()).toBe(24 * HOUR);
});

test('410 ends it and the webhook, and what else was to be told is dropped', async () => {
  const { url, received } = await bench.receiver(answers(410));
  const { id } = await bench.webhookAt(url);
  const first = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  const second = await bench.tell(id, 'two');
  sender.wake();
  await sender.settled();
  expect(received).toHaveLength(1);
  expect(await bench.deliveryOf(first)).toMatchObject({ state: 'failed', attempts: 1 });
  expect(await bench.deliveryOf(second)).toMatchObject({ state: 'dropped', attempts: 0 });
  const webhook = await bench.store.get<WebhookRecord>(keys.webhook(id));
  expect(webhook?.value).toMatchObject({
    active: false,
    disabled: { because: expect.stringMatching(/410/) },
  });
  expect(bench.disabled).toEqual([id]);
});

test('a director that dies between its claim and the sending loses nothing: another sends it, not before the claim is over', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const delivery = await bench.tell(id);
  // It claims, and is never heard of again.
  const reached = Promise.withResolvers<void>();
  const dies: Transport = (_url, { signal }) => {
    reached.resolve();
    return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
  };
  bench.sender({ transport: dies, timeoutMs: 10 * HOUR }).wake();
  await reached.promise;
  const other = bench.sender();
  other.wake();
  await other.settled();
  bench.clock.advance(29 * SECOND);
  await other.settled();
  expect(received).toEqual([]);
  bench.clock.advance(SECOND);
  await other.settled();
  expect(received).toHaveLength(1);
  expect(await bench.deliveryOf(delivery)).toMatchObject({
    state: 'delivered',
    attempts: 2,
    tries: [{ error: expect.stringMatching(/ended before it could tell/) }, { status: 204 }],
  });
});

test('a director that dies after the sending, before it noted that, has it sent again under the same id', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  await bench.tell(id);
  const dying: Store = {
    ...bench.store,
    async commit(writes, durability) {
      if (received.length > 0) throw new StoreFailure('The power is gone', undefined);
      await bench.store.commit(writes, durability);
    },
  };
  const first = bench.sender({ store: dying });
  first.wake();
  await first.settled();
  expect(received).toHaveLength(1);
  expect(bench.troubles).toEqual([expect.stringMatching(/The power is gone/)]);
  const other = bench.sender();
  other.wake();
  await other.settled();
  bench.clock.advance(30 * SECOND);
  await Promise.all([first.settled(), other.settled()]);
  expect(received).toHaveLength(2);
  expect(received[1]?.headers['webhook-id']).toBe(received[0]?.headers['webhook-id']);
});

test('of any number of directors one sends', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  for (let number = 0; number < 20; number++) await bench.tell(id, `d${number}`);
  const senders = [bench.sender(), bench.sender(), bench.sender()];
  for (const sender of senders) sender.wake();
  await Promise.all(senders.map((sender) => sender.settled()));
  // Whoever came second looks again when the claims are over, and finds nothing to do.
  bench.clock.advance(60 * SECOND);
  await Promise.all(senders.map((sender) => sender.settled()));
  const ids = received.map(({ headers }) => headers['webhook-id']);
  expect(new Set(ids).size).toBe(20);
  expect(ids).toHaveLength(20);
  expect(await bench.dueRows()).toEqual([]);
});

test('what another director left is found without being told of it', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  await bench.tell(id);
  bench.clock.advance(30 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(1);
});

test('a director that stops cuts off what is under way, and another goes on with it', async () => {
  const silent = await bench.receiver(() => {});
  const { id } = await bench.webhookAt(silent.url);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await vi.waitFor(() => expect(silent.received).toHaveLength(1), { timeout: 20_000 });
  await sender.stop();
  expect(await bench.deliveryOf(delivery)).toMatchObject({
    state: 'pending',
    tries: [{ error: 'this director stopped' }],
  });
  const other = bench.sender();
  other.wake();
  bench.clock.advance(5 * SECOND);
  await vi.waitFor(() => expect(silent.received).toHaveLength(2), { timeout: 20_000 });
});

test('a receiver that fails five times in a row is left alone, then one delivery sees, and nobody lost a try (N143)', async () => {
  let isWell = false;
  const { url, received } = await bench.receiver((request, response) =>
    answers(isWell ? 204 : 503)(request, response),
  );
  const { id } = await bench.webhookAt(url);
  const others = await bench.receiver();
  const other = await bench.webhookAt(others.url);
  const states: string[] = [];
  const sender = bench.sender({ onBreaker: (webhook, state) => states.push(`${webhook} ${state}`) });
  // One after the other, so that the count is that of the machine and not of who was under way.
  for (let number = 0; number < 5; number++) {
    await bench.tell(id, `d${number}`);
    sender.wake();
    await sender.settled();
  }
  expect(received).toHaveLength(5);
  expect(states).toEqual([`${id} open`]);
  const held = await Promise.all([5, 6, 7, 8].map((number) => bench.tell(id, `d${number}`)));
  await bench.tell(other.id);
  sender.wake();
  await sender.settled();
  bench.clock.advance(29 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(5);
  expect(others.received).toHaveLength(1);
  for (const one of held) expect(await bench.deliveryOf(one)).toBeUndefined();
  // Half-open: one sees that it still fails, and the time is twice as long.
  bench.clock.advance(SECOND);
  await sender.settled();
  expect(received).toHaveLength(6);
  bench.clock.advance(59 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(6);
  isWell = true;
  bench.clock.advance(SECOND);
  await sender.settled();
  expect(states).toEqual(
    ['open', 'half-open', 'open', 'half-open', 'closed'].map((state) => `${id} ${state}`),
  );
  // Those that were held back, and those whose own wait is over, as soon as it is closed.
  await vi.waitFor(() => expect(received).toHaveLength(6 + 9), { timeout: 20_000 });
  await sender.settled();
  const [first, ...rest] = await Promise.all(held.map(bench.deliveryOf));
  expect(first?.state).toBe('delivered');
  for (const one of rest) expect(one).toMatchObject({ state: 'delivered', attempts: 1 });
  expect(await bench.dueRows()).toEqual([]);
});

test('what another director took meanwhile is no call, and does not keep the one call from being made', async () => {
  const { url, received } = await bench.receiver(answers(503));
  const { id } = await bench.webhookAt(url);
  let isTaken = false;
  const contested: Store = {
    ...bench.store,
    async commit(writes, durability) {
      if (isTaken) throw new Conflict({ collection: 'deliveries', id: 'taken' });
      await bench.store.commit(writes, durability);
    },
  };
  const states: string[] = [];
  const sender = bench.sender({ store: contested, onBreaker: (_webhook, state) => states.push(state) });
  for (let number = 0; number < 5; number++) {
    await bench.tell(id, `d${number}`);
    sender.wake();
    await sender.settled();
  }
  isTaken = true;
  bench.clock.advance(30 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(5);
  expect(states.slice(0, 3)).toEqual(['open', 'half-open', 'open']);
  isTaken = false;
  bench.clock.advance(5 * SECOND);
  await sender.settled();
  expect(received).toHaveLength(6);
});
