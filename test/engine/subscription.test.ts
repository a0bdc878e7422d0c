/** What a subscription refers to and is not there. */
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench, PROJECT, unitOf } from './bench.ts';
import { type Fields, specOf } from './cases/case.ts';
import { subscription } from './cases/subscription.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

const topicPath = (name: string): string => `projects/${PROJECT}/topics/${name}`;
const unit = async (name: string, ...more: Fields[]): Promise<Unit> =>
  unitOf('subscription', specOf(await subscription.spec(name, bench), ...more));

test("on a topic that is not there it fails with Google's words, and nothing is made", async () => {
  const desired = await unit('lonely', { topic: topicPath('absent') });
  const { outcome, calls } = await bench.apply(desired);
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { reason: 'not-found', message: expect.stringContaining('absent') },
  });
  expect(calls).toEqual(['CreateSubscription']);
  expect(await subscription.look('lonely', bench)).toBeUndefined();
});

test("with dead letters to a topic that is not there it fails with Google's words", async () => {
  const before = await unit('deadly');
  await bench.apply(before);
  const letters = { deadLetterTopic: topicPath('absent'), maxDeliveryAttempts: 5 };
  const after = unitOf('subscription', specOf(before.spec, { deadLetterPolicy: letters }));
  const { outcome } = await bench.apply(after);
  expect(outcome).toMatchObject({
    status: 'failed',
    error: { reason: 'not-found', message: expect.stringContaining('absent') },
  });
  expect((await bench.plan(before)).change).toEqual({ action: 'none' });
});

test('whose topic was deleted it is replaced, once that is planned', async () => {
  await bench.ensure('PUT', `/v1/${topicPath('brief')}`, {});
  const desired = await unit('orphan', { topic: topicPath('brief') });
  await bench.apply(desired);
  await bench.call('DELETE', `/v1/${topicPath('brief')}`);
  expect((await bench.plan(desired)).change).toEqual({
    action: 'replace',
    because: 'its topic was deleted',
  });
  await bench.ensure('PUT', `/v1/${topicPath('brief')}`, {});
  const unplanned = await bench.apply(desired, { planned: { action: 'none' } });
  expect([unplanned.outcome.status, unplanned.calls]).toEqual(['failed', []]);
  const { outcome, calls } = await bench.apply(desired);
  expect(outcome).toMatchObject({ status: 'done', change: { action: 'replace' } });
  expect(calls).toEqual(['DeleteSubscription', 'CreateSubscription']);
  expect(await subscription.look('orphan', bench)).toMatchObject({ topic: topicPath('brief') });
});

test('a replacement whose answers get lost removes and makes exactly one', async () => {
  const before = await unit('torn');
  await bench.apply(before);
  const after = unitOf('subscription', specOf(before.spec, { filter: '' }));
  bench.fault(
    { api: 'pubsub', method: 'DeleteSubscription', error: 'UNAVAILABLE', effect: 'after', count: 1 },
    { api: 'pubsub', method: 'CreateSubscription', error: 'UNAVAILABLE', effect: 'after', count: 1 },
  );
  const { outcome, calls } = await bench.apply(after);
  expect(outcome).toMatchObject({ status: 'done', change: { action: 'replace' } });
  expect(calls).toEqual(['DeleteSubscription', 'CreateSubscription']);
  expect((await bench.plan(after)).change).toEqual({ action: 'none' });
});
