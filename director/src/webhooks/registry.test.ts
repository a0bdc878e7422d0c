/** Secrets that are replaced or gone, webhooks that are gone, and what is kept of what was told. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type DeliveryRecord, keys } from '../store/records.ts';
import { KEPT } from './log.ts';
import { removeWebhook, rotateSecret } from './registry.ts';
import { answers, type Bench, dueFor, openBench, signaturesBy } from './testing.ts';

vi.setConfig({ testTimeout: 60_000 });

const SECOND = 1_000;
const HOUR = 3_600_000;

let bench: Bench;

beforeEach(() => {
  bench = openBench();
});
afterEach(() => bench.close());

test('while a secret is replaced both sign, then the new one alone', async () => {
  const { url, received } = await bench.receiver();
  const { id, secret: old } = await bench.webhookAt(url);
  const made = await rotateSecret(id, HOUR, bench);
  const young = made?.secret ?? '';
  const sender = bench.sender();
  for (const [name, signers] of [
    ['both', [young, old]],
    ['one', [young]],
  ] as const) {
    await bench.tell(id, name);
    sender.wake();
    await sender.settled();
    const last = received.at(-1);
    if (!last) throw new Error('Nothing came');
    expect([young, old].filter((secret) => signaturesBy(secret, last).length === 1)).toEqual(signers);
    bench.clock.advance(HOUR);
    await sender.settled();
  }
  await rotateSecret(id, 0, bench);
  const left = await bench.store.list({ collection: 'artifacts' });
  expect(left).toHaveLength(1);
});

test('two that replace a secret at once both have one that signs', async () => {
  const { url, received } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const made = await Promise.all([rotateSecret(id, HOUR, bench), rotateSecret(id, HOUR, bench)]);
  await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  const [last] = received;
  if (!last) throw new Error('Nothing came');
  for (const one of made) expect(signaturesBy(one?.secret ?? '', last)).toHaveLength(1);
});

test('without its secret nothing is sent: unsigned it would teach the receiver to believe anybody', async () => {
  const { url, received } = await bench.receiver();
  const { id, record } = await bench.webhookAt(url);
  for (const { key } of record.secrets) await bench.artifacts.remove(key);
  const delivery = await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  expect(received).toEqual([]);
  expect(await bench.deliveryOf(delivery)).toMatchObject({
    tries: [{ error: 'its secret is gone: rotate it' }],
  });
});

test('of a webhook that is gone nothing stays', async () => {
  const { url, received } = await bench.receiver(answers(500));
  const { id } = await bench.webhookAt(url);
  await bench.tell(id);
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  expect(await removeWebhook(id, bench)).toBe(true);
  // Written by a director that had read it before it went.
  await bench.tell(id, 'late');
  bench.clock.advance(HOUR);
  await sender.settled();
  expect(received).toHaveLength(1);
  for (const collection of ['webhooks', 'deliveries', 'artifacts'] as const)
    expect(await bench.store.list({ collection })).toEqual([]);
  expect(await removeWebhook(id, bench)).toBe(false);
});

test('of what was told the newest 200 are kept, and all that is not over', async () => {
  const { url } = await bench.receiver();
  const { id } = await bench.webhookAt(url);
  const old = (number: number): DeliveryRecord => {
    const { body: _, ...head } = dueFor(id, `old-${number}`, timestamp(number * SECOND));
    return { ...head, state: number === 0 ? 'pending' : 'delivered', attempts: 1, tries: [] };
  };
  const before = Array.from({ length: KEPT + 30 }, (_, number) => old(number));
  await bench.store.commit(
    before.map((value) => ({ type: 'put', key: keys.delivery(value.id), value, if: 'absent' })),
  );
  await bench.tell(id, 'new');
  const sender = bench.sender();
  sender.wake();
  await sender.settled();
  const kept = await bench.store.list<DeliveryRecord>({ collection: 'deliveries' });
  const ended = kept.filter(({ value }) => value.state !== 'pending').map(({ value }) => value.id);
  expect(ended).toHaveLength(KEPT);
  expect(ended).toContain(`${id}.new.succeeded`);
  expect(ended).not.toContain(`${id}.old-30.succeeded`);
  expect(ended).toContain(`${id}.old-31.succeeded`);
  expect(kept).toHaveLength(KEPT + 1);
});
