import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Identity } from '../../identity.ts';
import { type RunningCloud, startLocalCloud } from '../../index.ts';
import type { JsonObject } from '../../json.ts';
import { fastClock } from './testing.ts';

const dir = mkdtempSync(join(tmpdir(), 'push-'));
/** A deadline of ten seconds passes in half of one. */
const clock = fastClock(20);
const PUSHER = 'pusher@p.iam.gserviceaccount.com';
const DEPLOYER: Identity = { type: 'serviceAccount', email: 'deployer@p.iam.gserviceaccount.com' };

interface Arrived {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let running: RunningCloud;
let made = 0;
let topic: string;
let subscription: string;
let arrived: Arrived[];
let answer: (request: Arrived, response: ServerResponse) => void;

const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const entry = { path: request.url ?? '', headers: request.headers, body };
  arrived.push(entry);
  answer(entry, response);
});
const url = (path = '/', host = '127.0.0.1'): string =>
  `http://${host}:${(server.address() as AddressInfo).port}${path}`;

const start = async (): Promise<void> => {
  running = await startLocalCloud({ dir, project: 'p', propagationMs: 0, clock });
};

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await start();
  for (const accountId of ['pusher', 'deployer'])
    await call('POST', 'projects/p/serviceAccounts', { accountId });
});
afterAll(async () => {
  await running.stop();
  server.closeAllConnections();
  server.close();
  rmSync(dir, { recursive: true });
});
beforeEach(async () => {
  topic = `projects/p/topics/topic-${++made}`;
  subscription = `projects/p/subscriptions/subscription-${made}`;
  arrived = [];
  answer = (_, response) => response.writeHead(204).end();
  await call('PUT', topic, {});
});
afterEach(() => call('DELETE', subscription));

async function call(
  method: string,
  path: string,
  body?: object,
  as?: Identity,
): Promise<{ status: number; json: JsonObject }> {
  const headers: Record<string, string> = as
    ? { authorization: `Bearer ${running.cloud.tokens.access(as, 36_000)}` }
    : {};
  const response = await fetch(`${running.origin}/v1/${path}`, {
    method,
    headers,
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: response.status, json: (await response.json()) as JsonObject };
}

function subscribe(pushConfig: JsonObject, more: JsonObject = {}, as?: Identity): ReturnType<typeof call> {
  return call(
    'PUT',
    subscription,
    { topic, pushConfig: { pushEndpoint: url(), ...pushConfig }, ...more },
    as,
  );
}

async function publish(...messages: object[]): Promise<void> {
  expect((await call('POST', `${topic}:publish`, { messages })).status).toBe(200);
}

const arrivals = (count: number): Promise<void> =>
  vi.waitFor(() => expect(arrived.length).toBeGreaterThanOrEqual(count), { timeout: 10_000 });

/** Resolves when nothing of the subscription is left to deliver. */
async function drained(): Promise<void> {
  await call('POST', `${subscription}:modifyPushConfig`, { pushConfig: {} });
  const { json } = await call('POST', `${subscription}:pull`, { maxMessages: 9, returnImmediately: true });
  expect(json.receivedMessages).toBeUndefined();
}

test('a wrapped message has all that Google sends', async () => {
  expect((await subscribe({}, { enableMessageOrdering: true })).status).toBe(200);
  await publish({ data: 'eA==', attributes: { k: 'v' }, orderingKey: 'o' });
  await arrivals(1);
  const [{ headers, body } = { headers: {}, body: '' }] = arrived;
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'user-agent': expect.stringContaining('APIs-Google'),
  });
  expect(headers.authorization).toBeUndefined();
  const { messageId, publishTime } = JSON.parse(body).message;
  expect(JSON.parse(body)).toEqual({
    subscription,
    message: {
      data: 'eA==',
      attributes: { k: 'v' },
      orderingKey: 'o',
      messageId,
      message_id: messageId,
      publishTime,
      publish_time: publishTime,
    },
  });
  await drained();
});

test('an unwrapped message is its data, with metadata in headers when asked', async () => {
  await subscribe({ noWrapper: { writeMetadata: true } });
  await publish({
    data: Buffer.from('plain').toString('base64'),
    attributes: { 'x-own': 'v', 'no header': 'v', bad: 'a\nb' },
  });
  await arrivals(1);
  expect(arrived[0]?.body).toBe('plain');
  expect(arrived[0]?.headers).toMatchObject({
    'x-own': 'v',
    'x-goog-pubsub-subscription-name': subscription,
    'x-goog-pubsub-message-id': expect.stringMatching(/^\d+$/),
    'x-goog-pubsub-publish-time': expect.stringMatching(/Z$/),
  });
  expect(arrived[0]?.headers.bad).toBeUndefined();
});

test('without writeMetadata there are no such headers', async () => {
  await subscribe({ noWrapper: {} });
  await publish({ data: 'eA==', attributes: { 'x-own': 'v' } });
  await arrivals(1);
  expect(Object.keys(arrived[0]?.headers ?? {}).filter((name) => name.startsWith('x-'))).toEqual([]);
});

test.each([200, 201, 202, 204])('%i acknowledges', async (status) => {
  answer = (_, response) => response.writeHead(status).end();
  await subscribe({});
  await publish({ data: 'eA==' });
  await arrivals(1);
  await drained();
});

test('102 acknowledges, whatever comes after it', async () => {
  answer = (_, response) => {
    response.writeProcessing();
    setImmediate(() => response.writeHead(500).end());
  };
  await subscribe({});
  await publish({ data: 'eA==' });
  await arrivals(1);
  await drained();
});

test.each([203, 301, 400, 404, 500])('%i is a nack', async (status) => {
  answer = (_, response) =>
    response.writeHead(arrived.length === 1 ? status : 200, { location: url('/elsewhere') }).end();
  await subscribe({});
  await publish({ data: 'eA==' });
  await arrivals(2);
  expect(arrived.map(({ path }) => path)).toEqual(['/', '/']);
});

test('no answer within the ack deadline is a nack', async () => {
  answer = (_, response) => {
    if (arrived.length > 1) response.writeHead(200).end();
  };
  await subscribe({});
  await publish({ data: 'eA==' });
  await arrivals(2);
  await drained();
});

test('failed pushes count, and end at the dead letter topic', async () => {
  const dead = `${topic}-dead`;
  await call('PUT', dead, {});
  answer = (_, response) => response.writeHead(500).end();
  await subscribe({}, { deadLetterPolicy: { deadLetterTopic: dead } });
  const { number } = running.cloud.projects.get('p');
  const members = [`serviceAccount:service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com`];
  running.cloud.iam.setPolicy(dead, { bindings: [{ role: 'roles/pubsub.publisher', members }] });
  running.cloud.iam.setPolicy(subscription, { bindings: [{ role: 'roles/pubsub.subscriber', members }] });
  await publish({ data: 'eA==' });
  await arrivals(5);
  await drained();
  expect(arrived.map(({ body }) => JSON.parse(body).deliveryAttempt)).toEqual([1, 2, 3, 4, 5]);
});

test('one message of an ordering key is out at a time', async () => {
  const waiting: ServerResponse[] = [];
  answer = (_, response) => waiting.push(response);
  await subscribe({}, { enableMessageOrdering: true, ackDeadlineSeconds: 600 });
  await publish({ data: 'MQ==', orderingKey: 'a' }, { data: 'Mg==', orderingKey: 'a' });
  await publish({ data: 'Mw==', orderingKey: 'b' });
  const data = (): string[] => arrived.map(({ body }) => JSON.parse(body).message.data);
  await arrivals(2);
  expect(data().toSorted()).toEqual(['MQ==', 'Mw==']);
  waiting[data().indexOf('MQ==')]?.writeHead(200).end();
  await arrivals(3);
  expect(data()[2]).toBe('Mg==');
});

test('a push carries a token of its account, for the endpoint or the audience that is given', async () => {
  const oidcToken = { serviceAccountEmail: PUSHER };
  await subscribe({ pushEndpoint: url('/own'), oidcToken });
  await publish({ data: 'eA==' });
  await arrivals(1);
  await call('PATCH', subscription, {
    subscription: { pushConfig: { pushEndpoint: url(), oidcToken: { ...oidcToken, audience: 'orders' } } },
    updateMask: 'pushConfig',
  });
  await publish({ data: 'eA==' });
  await arrivals(2);
  const [jwk] = running.cloud.tokens.keys().keys;
  const tokens = arrived.map(({ headers }) => String(headers.authorization).replace('Bearer ', ''));
  const claims = tokens.map((token) => {
    const [head = '', text = '', signature = ''] = token.split('.');
    const key = createPublicKey({ key: jwk ?? {}, format: 'jwk' });
    const signed = Buffer.from(`${head}.${text}`);
    expect(verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url'))).toBe(true);
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  });
  expect(claims).toEqual([
    expect.objectContaining({ aud: url('/own'), email: PUSHER, email_verified: true }),
    expect.objectContaining({ aud: 'orders', email: PUSHER }),
  ]);
});

test('whoever lets pushes carry a token must be allowed to act as the account', async () => {
  running.cloud.iam.setPolicy('projects/p', {
    bindings: [
      { role: 'roles/owner', members: ['user:developer@example.com'] },
      { role: 'roles/pubsub.admin', members: [`serviceAccount:${DEPLOYER.email}`] },
    ],
  });
  const oidcToken = { serviceAccountEmail: PUSHER };
  const refused = await subscribe({ oidcToken }, {}, DEPLOYER);
  expect(refused.json.error).toMatchObject({
    status: 'PERMISSION_DENIED',
    details: [{ metadata: { permission: 'iam.serviceAccounts.actAs' } }],
  });
  expect((await subscribe({}, {}, DEPLOYER)).status).toBe(200);
  const pushConfig = { pushEndpoint: url(), oidcToken };
  const modify = `${subscription}:modifyPushConfig`;
  expect((await call('POST', modify, { pushConfig }, DEPLOYER)).status).toBe(403);
  running.cloud.iam.setPolicy(`projects/p/serviceAccounts/${PUSHER}`, {
    bindings: [{ role: 'roles/iam.serviceAccountUser', members: [`serviceAccount:${DEPLOYER.email}`] }],
  });
  expect((await call('POST', modify, { pushConfig }, DEPLOYER)).status).toBe(200);
  const nobody = {
    pushEndpoint: url(),
    oidcToken: { serviceAccountEmail: 'nobody@p.iam.gserviceaccount.com' },
  };
  expect((await call('POST', modify, { pushConfig: nobody })).status).toBe(400);
});

test('while the account is disabled nothing is pushed', async () => {
  const account = `projects/p/serviceAccounts/${PUSHER}`;
  await subscribe({ oidcToken: { serviceAccountEmail: PUSHER } });
  await call('POST', `${account}:disable`, {});
  await publish({ data: 'eA==' });
  const { calls } = running.cloud;
  await vi.waitFor(() => expect(calls.since(0).at(-1)?.method).toBe('Publish'), 10_000);
  expect(arrived).toEqual([]);
  await call('POST', `${account}:enable`, {});
  await arrivals(1);
});

test('names under localhost are this machine', async () => {
  await subscribe({ pushEndpoint: url('/', 'orders.localhost') });
  await publish({ data: 'eA==' });
  await arrivals(1);
  expect(arrived[0]?.headers.host).toContain('orders.localhost');
});

test('other machines are never reached: the message waits', async () => {
  await subscribe({ pushEndpoint: 'http://192.0.2.1/' });
  await publish({ data: 'eA==' });
  await call('POST', `${subscription}:modifyPushConfig`, { pushConfig: { pushEndpoint: url() } });
  await arrivals(1);
});

test('pushing goes on after a restart', async () => {
  answer = (_, response) => response.writeHead(500).end();
  await subscribe({});
  await publish({ data: 'eA==' });
  await arrivals(1);
  await running.stop();
  arrived = [];
  answer = (_, response) => response.writeHead(200).end();
  await start();
  await arrivals(1);
  await drained();
});

test('a subscription that stops pushing can be pulled, and one that begins takes what waits', async () => {
  await call('PUT', subscription, { topic });
  await publish({ data: 'eA==' });
  await call('POST', `${subscription}:modifyPushConfig`, { pushConfig: { pushEndpoint: url() } });
  await arrivals(1);
  await drained();
  await publish({ data: 'eQ==' });
  const { json } = await call('POST', `${subscription}:pull`, { maxMessages: 9 });
  expect(json.receivedMessages).toHaveLength(1);
});
