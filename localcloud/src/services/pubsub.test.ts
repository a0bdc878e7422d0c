import { PubSub, v1 } from '@google-cloud/pubsub';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Identity } from '../identity.ts';
import type { JsonObject } from '../json.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const ROOT = '/v1/projects/p';
const READER: Identity = { type: 'serviceAccount', email: 'reader@p.iam.gserviceaccount.com' };
const DAY = 24 * 60 * 60 * 1000;

let cloud: TestCloud;
let made = 0;
let topic: string;
let subscription: string;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'p', propagationMs: 0 });
  await cloud.call('POST', `${ROOT}/serviceAccounts`, { accountId: 'reader' });
});
afterAll(() => cloud.end());

/** Names of their own for each test. */
beforeEach(() => {
  cloud.running().cloud.faults.replace([]);
  topic = `projects/p/topics/topic-${++made}`;
  subscription = `projects/p/subscriptions/subscription-${made}`;
});

async function create(settings: JsonObject = {}, ofTopic: JsonObject = {}): Promise<void> {
  expect(await cloud.call('PUT', `/v1/${topic}`, ofTopic)).toMatchObject({ status: 200 });
  expect(await subscribe(subscription, settings)).toMatchObject({ status: 200 });
}

function subscribe(name: string, settings: JsonObject = {}): ReturnType<TestCloud['call']> {
  return cloud.call('PUT', `/v1/${name}`, { topic, ...settings });
}

async function publish(...texts: string[]): Promise<string[]> {
  const messages = texts.map((text) => ({ data: Buffer.from(text).toString('base64') }));
  const { status, json } = await cloud.call('POST', `/v1/${topic}:publish`, { messages });
  expect(status).toBe(200);
  return json.messageIds as string[];
}

interface Received {
  ackId: string;
  text: string;
  deliveryAttempt: number | undefined;
}

async function pull(name = subscription): Promise<Received[]> {
  const { status, json } = await cloud.call('POST', `/v1/${name}:pull`, {
    maxMessages: 100,
    returnImmediately: true,
  });
  expect(status).toBe(200);
  const messages = (json.receivedMessages ?? []) as unknown as (Received & { message: { data: string } })[];
  return messages.map(({ ackId, message, deliveryAttempt }) => ({
    ackId,
    deliveryAttempt,
    text: Buffer.from(message.data ?? '', 'base64').toString(),
  }));
}

/** Pulls until so many have come. */
async function pulled(count = 1, name = subscription): Promise<Received[]> {
  const all: Received[] = [];
  await vi.waitFor(
    async () => {
      all.push(...(await pull(name)));
      expect(all.length).toBeGreaterThanOrEqual(count);
    },
    { timeout: 10_000, interval: 50 },
  );
  return all;
}

const settle = (verb: string, body: object): ReturnType<TestCloud['call']> =>
  cloud.call('POST', `/v1/${subscription}:${verb}`, body);
const nack = (ackId: string) => settle('modifyAckDeadline', { ackIds: [ackId], ackDeadlineSeconds: 0 });

function grant(resource: string, role: string, { email }: Identity): void {
  const bindings = [{ role, members: [`serviceAccount:${email}`] }];
  cloud.running().cloud.iam.setPolicy(resource, { bindings });
}

/** A stream as its wire has it, and all that came of it. */
function openStream(first: object, as?: Identity) {
  const client = new v1.SubscriberClient({
    servicePath: '127.0.0.1',
    port: cloud.running().port,
    sslCreds: credentials.createInsecure(),
  });
  const token = as && cloud.running().cloud.tokens.access(as, 3_600);
  const stream = client.streamingPull(
    token ? { otherArgs: { headers: { authorization: `Bearer ${token}` } } } : {},
  );
  const answers: StreamAnswer[] = [];
  let error: ServiceError | undefined;
  stream.on('data', (answer: StreamAnswer) => answers.push(answer));
  stream.on('error', (found: ServiceError) => {
    error = found;
  });
  stream.write({ subscription, streamAckDeadlineSeconds: 60, ...first });
  return {
    answers,
    ackIds: () => answers.flatMap(({ receivedMessages }) => receivedMessages.map(({ ackId }) => ackId)),
    write: (request: object) => stream.write(request),
    /** The gRPC code that it ended with. */
    ended: () => vi.waitFor(() => expect(error?.code).toBeTypeOf('number'), 10_000).then(() => error?.code),
    async close() {
      stream.destroy();
      await client.close();
    },
  };
}

interface StreamAnswer {
  receivedMessages: { ackId: string }[];
  acknowledgeConfirmation: { ackIds: string[]; invalidAckIds: string[] } | null;
  modifyAckDeadlineConfirmation: { ackIds: string[]; invalidAckIds: string[] } | null;
  subscriptionProperties: { exactlyOnceDeliveryEnabled: boolean; messageOrderingEnabled: boolean };
}

describe('who may', () => {
  test.each([
    ['PUT', 'topics/new', {}, 'pubsub.topics.create', 'projects/p'],
    ['GET', 'topics', undefined, 'pubsub.topics.list', 'projects/p'],
    ['GET', 'topics/ttt', undefined, 'pubsub.topics.get', 'projects/p/topics/ttt'],
    ['GET', 'topics/ttt/subscriptions', undefined, 'pubsub.topics.get', 'projects/p/topics/ttt'],
    [
      'PATCH',
      'topics/ttt',
      { topic: {}, updateMask: 'labels' },
      'pubsub.topics.update',
      'projects/p/topics/ttt',
    ],
    ['DELETE', 'topics/ttt', undefined, 'pubsub.topics.delete', 'projects/p/topics/ttt'],
    ['POST', 'topics/ttt:publish', {}, 'pubsub.topics.publish', 'projects/p/topics/ttt'],
    ['GET', 'topics/ttt:getIamPolicy', undefined, 'pubsub.topics.getIamPolicy', 'projects/p/topics/ttt'],
    ['POST', 'topics/ttt:setIamPolicy', {}, 'pubsub.topics.setIamPolicy', 'projects/p/topics/ttt'],
    [
      'PUT',
      'subscriptions/sss',
      { topic: 'projects/p/topics/ttt' },
      'pubsub.subscriptions.create',
      'projects/p',
    ],
    ['GET', 'subscriptions', undefined, 'pubsub.subscriptions.list', 'projects/p'],
    ['GET', 'subscriptions/sss', undefined, 'pubsub.subscriptions.get', 'projects/p/subscriptions/sss'],
    ['DELETE', 'subscriptions/sss', undefined, 'pubsub.subscriptions.delete', 'projects/p/subscriptions/sss'],
    ['POST', 'subscriptions/sss:pull', {}, 'pubsub.subscriptions.consume', 'projects/p/subscriptions/sss'],
    [
      'POST',
      'subscriptions/sss:acknowledge',
      {},
      'pubsub.subscriptions.consume',
      'projects/p/subscriptions/sss',
    ],
    [
      'POST',
      'subscriptions/sss:modifyAckDeadline',
      {},
      'pubsub.subscriptions.consume',
      'projects/p/subscriptions/sss',
    ],
    [
      'POST',
      'subscriptions/sss:modifyPushConfig',
      {},
      'pubsub.subscriptions.update',
      'projects/p/subscriptions/sss',
    ],
    ['POST', 'subscriptions/sss:seek', {}, 'pubsub.subscriptions.consume', 'projects/p/subscriptions/sss'],
    ['POST', 'subscriptions/sss:detach', undefined, 'pubsub.topics.detachSubscription', 'projects/p'],
    ['GET', 'snapshots/nap', undefined, 'pubsub.snapshots.get', 'projects/p/snapshots/nap'],
  ])('%s %s asks for its permission', async (method, path, body, permission, resource) => {
    const { status, json } = await cloud.call(method, `${ROOT}/${path}`, body, READER);
    expect(status).toBe(403);
    expect(json.error).toMatchObject({
      status: 'PERMISSION_DENIED',
      details: [expect.objectContaining({ metadata: { permission, resource } })],
    });
  });

  test('a subscription in another project needs leave of its topic', async () => {
    await create();
    const { projects } = cloud.running().cloud;
    projects.create('other');
    projects.enable('other', 'pubsub.googleapis.com', 0);
    grant('projects/other', 'roles/pubsub.editor', READER);
    const path = '/v1/projects/other/subscriptions/reads-p';
    const refused = await cloud.call('PUT', path, { topic }, READER);
    expect(refused.json.error).toMatchObject({
      details: [{ metadata: { permission: 'pubsub.topics.attachSubscription', resource: topic } }],
    });
    grant(topic, 'roles/pubsub.subscriber', READER);
    expect((await cloud.call('PUT', path, { topic }, READER)).status).toBe(200);
  });

  test('a stream is refused without the permission, and ends when that is taken away', async () => {
    await create();
    const refused = openStream({}, READER);
    expect(await refused.ended()).toBe(7);
    await refused.close();
    grant(subscription, 'roles/pubsub.subscriber', READER);
    const stream = openStream({}, READER);
    await publish('x');
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(1), 10_000);
    cloud.running().cloud.iam.setPolicy(subscription, { bindings: [] });
    expect(await stream.ended()).toBe(7);
    await stream.close();
  });

  test('messages are dead-lettered once the service agent may', async () => {
    const dead = `${topic}-dead`;
    await cloud.call('PUT', `/v1/${dead}`, {});
    await create({ deadLetterPolicy: { deadLetterTopic: dead, maxDeliveryAttempts: 5 } });
    await cloud.call('PUT', `/v1/${subscription}-dead`, { topic: dead });
    await publish('poison');
    for (let attempt = 1; attempt <= 6; attempt++) {
      const [received] = await pulled();
      expect(received?.deliveryAttempt).toBe(attempt);
      await nack(received?.ackId ?? '');
    }
    const { number } = cloud.running().cloud.projects.get('p');
    const email = `service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com`;
    grant(dead, 'roles/pubsub.publisher', { type: 'serviceAccount', email });
    grant(subscription, 'roles/pubsub.subscriber', { type: 'serviceAccount', email });
    const [last] = await pulled();
    await nack(last?.ackId ?? '');
    expect((await pulled(1, `${subscription}-dead`)).map(({ text }) => text)).toEqual(['poison']);
    expect(await pull()).toEqual([]);
  });
});

describe('streams', () => {
  test('flow control bounds what is out', async () => {
    await create();
    await publish(...'123456789');
    const stream = openStream({ maxOutstandingMessages: 4 });
    for (const out of [4, 8, 9]) {
      await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(out), 10_000);
      stream.write({ ackIds: stream.ackIds().slice(-4) });
    }
    await stream.close();
  });

  test('bytes bound it too', async () => {
    await create();
    await publish('x'.repeat(600), 'x'.repeat(600), 'x'.repeat(600));
    const stream = openStream({ maxOutstandingBytes: 1_000 });
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(2), 10_000);
    stream.write({ ackIds: stream.ackIds() });
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(3), 10_000);
    await stream.close();
  });

  test('acknowledgements and deadlines travel on the stream, confirmed with exactly-once delivery', async () => {
    await create({ enableExactlyOnceDelivery: true, enableMessageOrdering: true });
    await publish('1', '2');
    const stream = openStream({});
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(2), 10_000);
    const [first = '', second = ''] = stream.ackIds();
    expect(stream.answers[0]?.subscriptionProperties).toEqual({
      exactlyOnceDeliveryEnabled: true,
      messageOrderingEnabled: true,
    });
    stream.write({ ackIds: [first], modifyDeadlineAckIds: [second], modifyDeadlineSeconds: [0] });
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(3), 10_000);
    stream.write({ ackIds: [first, second] });
    await vi.waitFor(
      () =>
        expect(stream.answers.map(({ acknowledgeConfirmation }) => acknowledgeConfirmation)).toContainEqual(
          expect.objectContaining({ ackIds: [], invalidAckIds: [first, second] }),
        ),
      10_000,
    );
    expect(stream.answers).toContainEqual(
      expect.objectContaining({
        acknowledgeConfirmation: expect.objectContaining({ ackIds: [first], invalidAckIds: [] }),
        modifyAckDeadlineConfirmation: expect.objectContaining({ ackIds: [second] }),
      }),
    );
    await stream.close();
  });

  test('an empty request of a newer client is answered, to show that the stream lives', async () => {
    await create();
    const stream = openStream({ protocolVersion: 1 });
    stream.write({});
    await vi.waitFor(() => expect(stream.answers).toHaveLength(1), 10_000);
    expect(stream.ackIds()).toEqual([]);
    await stream.close();
  });

  test.each([
    ['a deadline below 10 s', { streamAckDeadlineSeconds: 9 }, {}],
    ['another flow control later', {}, { maxOutstandingMessages: 5 }],
    ['another subscription later', {}, { subscription: 'projects/p/subscriptions/other' }],
    ['lists of unequal length', {}, { modifyDeadlineSeconds: [10] }],
    ['a malformed ack id', {}, { ackIds: ['bogus'] }],
  ])('%s ends the stream', async (_, first, later) => {
    await create();
    const stream = openStream(first);
    stream.write(later);
    expect(await stream.ended()).toBe(3);
    await stream.close();
  });

  test('a subscription that is missing, detached, deleted or becomes a push one ends them', async () => {
    const missing = openStream({});
    expect(await missing.ended()).toBe(5);
    await create();
    const pushed = openStream({});
    await publish('x');
    await vi.waitFor(() => expect(pushed.ackIds()).toHaveLength(1), 10_000);
    await settle('modifyPushConfig', { pushConfig: { pushEndpoint: 'http://127.0.0.1:1/' } });
    expect(await pushed.ended()).toBe(9);
    expect(await openStream({}).ended()).toBe(9);
    await settle('modifyPushConfig', { pushConfig: {} });
    await cloud.call('POST', `/v1/${subscription}:detach`);
    expect(await openStream({}).ended()).toBe(9);
  });

  test('a fault refuses the stream when it opens', async () => {
    await create();
    cloud
      .running()
      .cloud.faults.replace([{ method: 'StreamingPull', error: 'RESOURCE_EXHAUSTED', count: 1 }]);
    expect(await openStream({}).ended()).toBe(8);
    const stream = openStream({});
    await publish('x');
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(1), 10_000);
    await stream.close();
  });
});

describe('settling', () => {
  test('a stale ack id fails on gRPC with what became of it', async () => {
    await create({ enableExactlyOnceDelivery: true });
    await publish('x');
    const [first] = await pulled();
    await nack(first?.ackId ?? '');
    const client = new v1.SubscriberClient({
      servicePath: '127.0.0.1',
      port: cloud.running().port,
      sslCreds: credentials.createInsecure(),
    });
    const ackIds = [first?.ackId ?? ''];
    await expect(client.acknowledge({ subscription, ackIds })).rejects.toMatchObject({
      code: 3,
      reason: 'EXACTLY_ONCE_ACKID_FAILURE',
      errorInfoMetadata: { [ackIds[0] ?? '']: 'PERMANENT_FAILURE_INVALID_ACK_ID' },
    });
    await client.close();
  });

  test('an ack id of another subscription is refused, also of a deleted one of the same name', async () => {
    await create();
    await publish('x');
    const [{ ackId } = { ackId: '' }] = await pulled();
    await cloud.call('DELETE', `/v1/${subscription}`);
    await subscribe(subscription);
    const { status, json } = await settle('acknowledge', { ackIds: [ackId] });
    expect([status, JSON.stringify(json)]).toEqual([400, expect.stringContaining('does not belong')]);
  });

  test('a Pull waits for the first message', async () => {
    await create();
    const waiting = cloud.call('POST', `/v1/${subscription}:pull`, { maxMessages: 5 });
    await publish('x');
    expect((await waiting).json.receivedMessages).toHaveLength(1);
    const deleted = cloud.call('POST', `/v1/${subscription}:pull`, { maxMessages: 5 });
    await vi.waitFor(() => expect(pull()).resolves.toEqual([]), 10_000);
    await cloud.call('DELETE', `/v1/${subscription}`);
    expect((await deleted).status).toBe(404);
  });

  test('a seek to a time reaches what the topic retains, whoever acknowledged it', async () => {
    await create({}, { messageRetentionDuration: '3600s' });
    const before = new Date().toISOString();
    await publish('1', '2');
    for (const { ackId } of await pulled(2)) await settle('acknowledge', { ackIds: [ackId] });
    await subscribe(`${subscription}-late`, { filter: 'NOT attributes:none' });
    for (const name of [subscription, `${subscription}-late`]) {
      await cloud.call('POST', `/v1/${name}:seek`, { time: before });
      expect((await pulled(2, name)).map(({ text }) => text)).toEqual(['1', '2']);
    }
    const shown = await cloud.call('GET', `/v1/${subscription}`);
    expect(shown.json.topicMessageRetentionDuration).toBe('3600s');
  });
});

describe('publishing', () => {
  const message = { data: 'eA==' };
  test.each([
    ['too many messages', Array.from({ length: 1_001 }, () => message)],
    [
      'too many bytes',
      Array.from({ length: 2 }, () => ({ data: Buffer.alloc(5_000_001).toString('base64') })),
    ],
    [
      'too many attributes',
      [{ attributes: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, ''])) }],
    ],
    ['a long attribute key', [{ attributes: { ['k'.repeat(257)]: '' } }]],
    ['a long attribute value', [{ attributes: { k: 'v'.repeat(1_025) } }]],
    ['a reserved attribute key', [{ attributes: { googclient: '' } }]],
    ['a long ordering key', [{ ...message, orderingKey: 'k'.repeat(1_025) }]],
    ['two ordering keys', [{ ...message, orderingKey: 'a' }, message]],
  ])('%s: refused', async (_, messages) => {
    await cloud.call('PUT', `/v1/${topic}`, {});
    const { status, json } = await cloud.call('POST', `/v1/${topic}:publish`, { messages });
    expect([status, json.error]).toEqual([400, expect.objectContaining({ status: 'INVALID_ARGUMENT' })]);
  });

  test('a project may be named by its number', async () => {
    const { number } = cloud.running().cloud.projects.get('p');
    const { json } = await cloud.call('PUT', `/v1/${topic.replace('/p/', `/${number}/`)}`, {});
    expect(json.name).toBe(topic);
    expect((await cloud.call('GET', `/v1/${topic}`)).status).toBe(200);
  });

  test('what the local cloud does not serve is refused, not ignored', async () => {
    const transforms = { messageTransforms: [{ javascriptUdf: { functionName: 'f', code: 'x' } }] };
    expect((await cloud.call('PUT', `/v1/${topic}`, transforms)).status).toBe(501);
    const schema = { schemaSettings: { schema: 'projects/p/schemas/none' } };
    expect((await cloud.call('PUT', `/v1/${topic}`, schema)).status).toBe(404);
    await cloud.call('PUT', `/v1/${topic}`, {});
    expect((await subscribe(subscription, { bigqueryConfig: { table: 'p.d.t' } })).status).toBe(501);
  });
});

describe('faults of deliveries', () => {
  const rule = (more: object) => [
    { api: 'pubsub', method: 'Deliver', resource: subscription, count: 1, ...more },
  ];

  test('after: the message comes twice', async () => {
    await create();
    cloud.running().cloud.faults.replace(rule({ error: 'ABORTED', effect: 'after' }));
    await publish('x');
    const stream = openStream({});
    await vi.waitFor(() => expect(stream.ackIds()).toHaveLength(2), 10_000);
    stream.write({ ackIds: stream.ackIds() });
    await stream.close();
  });

  test('before: the message is lost until its deadline has passed', async () => {
    await create();
    cloud.running().cloud.faults.replace(rule({ error: 'ABORTED' }));
    await publish('lost', 'there');
    expect((await pulled(1)).map(({ text }) => text)).toEqual(['there']);
    cloud.pass(10_000);
    expect((await pulled(2)).map(({ text }) => text).toSorted()).toEqual(['lost', 'there']);
  });

  test('delay: others overtake it', async () => {
    await create();
    cloud.running().cloud.faults.replace(rule({ delay: 200 }));
    await publish('slow', 'quick');
    const client = new PubSub({ projectId: 'p', apiEndpoint: `127.0.0.1:${cloud.running().port}` });
    const texts: string[] = [];
    const reader = client.subscription(subscription);
    reader.on('message', (message) => {
      texts.push(message.data.toString());
      message.ack();
    });
    await vi.waitFor(() => expect(texts).toEqual(['quick', 'slow']), 10_000);
    await reader.close();
    await client.close();
  });
});

describe('time', () => {
  test('a subscription that nobody uses expires', async () => {
    await create({ expirationPolicy: { ttl: '86400s' } });
    await subscribe(`${subscription}-used`, { expirationPolicy: { ttl: '86400s' } });
    await subscribe(`${subscription}-ever`, { expirationPolicy: {} });
    cloud.pass(DAY - 10_000);
    await pull(`${subscription}-used`);
    cloud.pass(11_000);
    await vi.waitFor(
      async () => {
        const { json } = await cloud.call('GET', `/v1/${topic}/subscriptions`);
        expect(json.subscriptions).toEqual([`${subscription}-ever`, `${subscription}-used`]);
      },
      { timeout: 5_000 },
    );
  });

  test('messages are dropped when their retention is over', async () => {
    await create({ messageRetentionDuration: '600s' });
    await publish('x');
    const leased = await pulled();
    cloud.pass(601_000);
    await vi.waitFor(
      async () => expect((await settle('acknowledge', { ackIds: [leased[0]?.ackId] })).status).toBe(200),
      10_000,
    );
    await publish('y');
    expect((await pulled()).map(({ text }) => text)).toEqual(['y']);
  });
});

describe('a restart', () => {
  test('keeps settings, messages, attempts, policies and snapshots', async () => {
    const dead = { deadLetterTopic: topic, maxDeliveryAttempts: 9 };
    await create({ deadLetterPolicy: dead, labels: { a: 'b' }, filter: 'NOT attributes:none' });
    grant(topic, 'roles/pubsub.viewer', READER);
    const before = await cloud.call('GET', `/v1/${subscription}`);
    await publish('nacked', 'leased', 'acked', 'waiting');
    const received = await pulled(4);
    const ackIdOf = (text: string): string => received.find((message) => message.text === text)?.ackId ?? '';
    await settle('acknowledge', { ackIds: [ackIdOf('acked')] });
    const snapshot = `projects/p/snapshots/snapshot-${made}`;
    await cloud.call('PUT', `/v1/${snapshot}`, { subscription });
    await nack(ackIdOf('nacked'));

    const waiting = openStream({ subscription: `${subscription}` });
    await vi.waitFor(() => expect(waiting.ackIds()).toHaveLength(1), 10_000);
    await cloud.restart();
    expect(await waiting.ended()).toBe(14);

    expect(await cloud.call('GET', `/v1/${subscription}`)).toEqual(before);
    const again = await pulled(3);
    expect(again.map(({ text }) => text)).toEqual(['nacked', 'leased', 'waiting']);
    expect(again.map(({ deliveryAttempt }) => deliveryAttempt)).toEqual([2, 1, 1]);
    expect((await settle('acknowledge', { ackIds: [ackIdOf('leased')] })).status).toBe(200);
    await settle('acknowledge', { ackIds: again.map(({ ackId }) => ackId) });
    expect((await cloud.call('GET', `/v1/${topic}`, undefined, READER)).status).toBe(200);

    await publish('later');
    await settle('seek', { snapshot });
    const texts = (await pulled(4)).map(({ text }) => text);
    expect(texts).toEqual(['nacked', 'leased', 'waiting', 'later']);
  });

  test('leaves nothing of what was acknowledged', async () => {
    await create();
    await publish('1', '2', '3');
    await settle('acknowledge', { ackIds: (await pulled(3)).map(({ ackId }) => ackId) });
    await cloud.restart();
    expect(await pull()).toEqual([]);
  });
});
