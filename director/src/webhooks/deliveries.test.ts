/** Who is told of which status change, and in which words. */
import { fits, WebhookMessage, WebhookRequest } from '@service-director/shared/contract/webhook.ts';
import { describe, expect, test } from 'vitest';
import type { DeploymentRecord, WebhookRecord } from '../store/records.ts';
import type { Write } from '../store/store.ts';
import { deliveriesFor, tellingWrites } from './deliveries.ts';
import { masked } from './mask.ts';
import { createWebhook } from './registry.ts';
import { messageIdOf, signatureHeaders } from './signature.ts';
import { deployment, NOON, openBench } from './testing.ts';

function webhook(about: Partial<WebhookRecord> = {}): WebhookRecord {
  return {
    id: 'wh_1',
    url: 'https://hooks.example/a',
    events: ['*'],
    scopes: ['*'],
    stacks: ['*'],
    dryRuns: false,
    active: true,
    secrets: [],
    createdAt: '2026-03-01T10:00:00.000Z',
    createdBy: 'ada',
    ...about,
  };
}

const succeeded = deployment({ status: 'succeeded', endedAt: '2026-03-01T11:59:30.000Z', version: 4 });

function told(after: DeploymentRecord, to: Partial<WebhookRecord> = {}, before = deployment()): string[] {
  return deliveriesFor(before, after, [webhook(to)], NOON).map(({ key }) => key.id);
}

const bodyOf = ([write]: readonly Write[]): WebhookMessage => {
  if (write?.type !== 'put' || !('body' in write.value)) throw new Error('Nothing is told');
  return WebhookMessage.parse(JSON.parse(String(write.value.body)));
};

describe('who is told', () => {
  test('each webhook that wants it, under an id that the fact alone makes', () => {
    const writes = deliveriesFor(deployment(), succeeded, [webhook(), webhook({ id: 'wh_2' })], NOON);
    expect(writes.map(({ key }) => key.id)).toEqual([
      'due//wh_1.c7.checkout.succeeded',
      'due//wh_2.c7.checkout.succeeded',
    ]);
    expect(deliveriesFor(deployment(), succeeded, [webhook(), webhook({ id: 'wh_2' })], NOON + 5)).toEqual(
      writes,
    );
  });

  test('of a new deployment, and of nothing that leaves the status as it is', () => {
    const queued = deployment({ status: 'queued' });
    expect(deliveriesFor(undefined, queued, [webhook()], NOON)).toHaveLength(1);
    expect(told({ ...succeeded, rolledBackBy: 'c8' }, {}, succeeded)).toEqual([]);
  });

  test('by event, scope and stack, each by patterns', () => {
    expect(told(succeeded, { events: ['deployment.failed'] })).toEqual([]);
    expect(told(succeeded, { events: ['deployment.failed', 'deployment.s*'] })).toHaveLength(1);
    expect(told(succeeded, { scopes: ['shop-prod'] })).toEqual([]);
    expect(told(succeeded, { scopes: ['shop'], stacks: ['*/checkout'] })).toHaveLength(1);
    expect(told(succeeded, { scopes: ['shop'], stacks: ['*/orders'] })).toEqual([]);
  });

  test('not who is not active; of what only plans only who asked', () => {
    expect(told(succeeded, { active: false })).toEqual([]);
    const dry = { ...succeeded, dryRun: true };
    expect(told(dry)).toEqual([]);
    expect(told(dry, { dryRuns: true })).toHaveLength(1);
  });

  test('as the store knows them, in the commit of whoever asks', async () => {
    const bench = openBench();
    const request = WebhookRequest.parse({ url: 'https://hooks.example/a', events: ['deployment.succ*'] });
    const { record } = await createWebhook(request, 'ada', bench);
    const writes = await tellingWrites(deployment(), succeeded, bench);
    expect(writes.map(({ key }) => key.id)).toEqual([`due//${record.id}.c7.checkout.succeeded`]);
    expect(await tellingWrites(succeeded, succeeded, bench)).toEqual([]);
    await bench.close();
  });
});

describe('what is told', () => {
  test('what happened, when it happened, to which state', () => {
    expect(bodyOf(deliveriesFor(deployment(), succeeded, [webhook()], NOON))).toEqual({
      type: 'deployment.succeeded',
      timestamp: '2026-03-01T11:59:30.000Z',
      data: {
        deployment: 'c7.checkout',
        command: 'c7',
        stack: 'shop/checkout',
        scope: 'shop',
        dataflow: 'checkout',
        status: 'succeeded',
        operation: 'deploy',
        dry_run: false,
        version: 4,
      },
    });
  });

  test('the plan that waits for an approval', () => {
    const approval = { state: 'pending', planHash: 'abc', expiresAt: NOON + 1 } as const;
    const parked = deployment({ status: 'awaiting_approval', approval });
    expect(bodyOf(deliveriesFor(deployment(), parked, [webhook()], NOON))).toMatchObject({
      type: 'deployment.awaiting_approval',
      timestamp: '2026-03-01T12:00:00.000Z',
      data: { plan_hash: 'abc', expires_at: '2026-03-01T12:00:00.001Z' },
    });
  });

  test('why it failed, in short, and without a secret', () => {
    const because = `denied: password=hunter2 ${'x'.repeat(5_000)}`;
    const units = [{ unit: 'topic/orders', result: 'failed', because, fix: 'grant it' }];
    const failed = deployment({ status: 'failed', units });
    const { data } = bodyOf(deliveriesFor(deployment(), failed, [webhook()], NOON));
    expect(data).toMatchObject({ fix: 'grant it', error: expect.stringMatching(/^topic\/orders: denied: /) });
    expect(JSON.stringify(data)).not.toContain('hunter2');
    expect(JSON.stringify(data).length).toBeLessThan(3_000);
  });
});

test('a pattern stands for a text as its stars say, in little time', () => {
  const cases: [string, string, boolean][] = [
    ['*', '', true],
    ['a', 'a', true],
    ['a', 'ab', false],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['*b*', 'abc', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*c*b', 'a-b-c', false],
    ['shop*/x', 'shop-prod/x', true],
    ['s.op', 'shop', false],
  ];
  for (const [pattern, text, expected] of cases)
    expect(fits(pattern, text), `${pattern} ${text}`).toBe(expected);
  expect(fits(`${'*a'.repeat(149)}b`, 'a'.repeat(10_000))).toBe(false);
});

test('a signature is as others make it; the id of a message has no full stop in it', () => {
  // As OpenSSL makes it: printf '<id>.<seconds>.<body>' | openssl dgst -sha256 -mac HMAC -macopt hexkey:… -binary | base64
  const secret = 'whsec_c2VydmljZS1kaXJlY3Rvci10ZXN0LWtleS0zMmJ5dGU=';
  const about = {
    message: 'msg_0123456789abcdef0123456789abcdef',
    body: '{"type":"webhook.test"}',
    now: NOON + 999,
  };
  expect(signatureHeaders(about, [secret])).toEqual({
    'webhook-id': about.message,
    'webhook-timestamp': '1772366400',
    'webhook-signature': 'v1,7nkgX+4KDS21KsJ/FqchmKcXe1jvwv7mDMuXkRpaEgg=',
  });
  expect(messageIdOf('wh_1.c7.checkout.succeeded')).toMatch(/^msg_[0-9a-f]{32}$/);
});

test('what looks like a secret is not shown', () => {
  const planted = [
    'whsec_c2VjcmV0c2VjcmV0',
    'Authorization: Bearer abc.def-ghi',
    '{"access_token":"planted"}',
    'API_KEY = planted',
    'https://ada:planted@example.com/',
    'v1,planted0123456789abcdef=',
    'eyJhbGciOiJIUzI1NiJ9.planted.sig',
    "client_secret: 'planted planted'",
  ];
  for (const text of planted) expect(masked(text, 200)).not.toMatch(/planted|c2VjcmV0|abc\.def/);
  expect(masked('thank you\u001b[31m', 200)).toBe('thank you [31m');
  expect(masked('x'.repeat(1_000), 200)).toHaveLength(201);
});
