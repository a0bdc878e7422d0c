/**
 * What a Pub/Sub does, asked of ours and of Google's emulator with the same client and the same requests.
 * Where the emulator is not like production, the list of differences says so.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Message, PubSub, type Subscription } from '@google-cloud/pubsub';
import { startLocalCloud } from '@service-director/localcloud';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { findEmulator, startEmulator } from './pubsub-emulator.ts';

interface Target {
  /** `127.0.0.1:<port>`. */
  readonly endpoint: string;
  /** Lets the Pub/Sub service agent dead-letter, where that is asked. */
  grantDeadLetter(topic: string, subscription: string): Promise<void>;
  stop(): Promise<void>;
}

const PROJECT = 'conformance';

/** What the emulator (0.8.20) does otherwise than production, by the name of the test that it cannot pass. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  'defaults of a subscription are those of production': 'returns no expirationPolicy and no state',
  'values that production refuses are refused':
    'accepts deadlines of 9 s and 601 s, an expiration of an hour, mixed ordering keys, push with exactly-once',
  'a filter lets through what matches': 'keeps filters and does not apply them',
  'a filter that does not parse is refused, and none can be changed': 'does not parse filters',
  'after a nack the later messages of the key come again too': 'redelivers the nacked message alone',
  'a stale ack id fails with exactly-once delivery': 'tells the client success',
  'a push carries an identity token': 'sends no Authorization header',
  'policies of topics and subscriptions can be read, set and tested': 'has no IAM: UNIMPLEMENTED',
  'a detached subscription gives nothing': 'DetachSubscription is UNIMPLEMENTED',
  'messages of a push subscription cannot be pulled': 'answers without messages',
};

const emulator = await findEmulator();
if ('missing' in emulator) {
  process.stdout.write(`Conformance of Pub/Sub ran against ours only: ${emulator.missing}.\n`);
} else {
  const lines = Object.entries(DIFFERENCES).map(([name, reason]) => `  ${name}: ${reason}`);
  process.stdout.write(`Not asked of Google's Pub/Sub emulator, which differs:\n${lines.join('\n')}\n`);
}

suite('ours', startOurs, {});
if (!('missing' in emulator)) {
  suite(
    "Google's emulator",
    async () => ({ ...(await startEmulator(emulator)), grantDeadLetter: async () => {} }),
    DIFFERENCES,
  );
}

async function startOurs(): Promise<Target> {
  const dir = mkdtempSync(join(tmpdir(), 'conformance-'));
  const running = await startLocalCloud({ dir, project: PROJECT, propagationMs: 0 });
  const { cloud } = running;
  cloud.projects.enable(PROJECT, 'pubsub.googleapis.com');
  const { number } = cloud.projects.get(PROJECT);
  const members = [`serviceAccount:service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com`];
  return {
    endpoint: `127.0.0.1:${running.port}`,
    async grantDeadLetter(topic, subscription) {
      cloud.iam.setPolicy(topic, { bindings: [{ role: 'roles/pubsub.publisher', members }] });
      cloud.iam.setPolicy(subscription, { bindings: [{ role: 'roles/pubsub.subscriber', members }] });
    },
    async stop() {
      await running.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

function suite(
  title: string,
  start: () => Promise<Target>,
  differences: Readonly<Record<string, string>>,
): void {
  describe.concurrent(title, () => {
    let target: Target;
    let client: PubSub;
    let made = 0;

    beforeAll(async () => {
      target = await start();
      client = new PubSub({ projectId: PROJECT, apiEndpoint: target.endpoint, emulatorMode: true });
    });
    afterAll(async () => {
      await client?.close();
      await target?.stop();
    });

    const check = (name: string, run: () => Promise<void>): void => {
      if (differences[name] === undefined) test(name, run);
      else test.skip(`${name} (${differences[name]})`, run);
    };

    async function rest(method: string, path: string, body?: object): Promise<Answer> {
      const url = `http://${target.endpoint}/v1/projects/${PROJECT}/${path}`;
      const response = await fetch(url, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      return { status: response.status, json: (await response.json()) as Answer['json'] };
    }

    /** A topic and a subscription of their own for each test, by their short names. */
    async function pair(settings: object = {}): Promise<{ topic: string; subscription: string }> {
      const topic = `topic-${++made}`;
      const subscription = `subscription-${made}`;
      expect((await rest('PUT', `topics/${topic}`, {})).status).toBe(200);
      const created = await rest('PUT', `subscriptions/${subscription}`, { topic: full(topic), ...settings });
      expect(created).toMatchObject({ status: 200 });
      return { topic, subscription };
    }

    const full = (topic: string): string => `projects/${PROJECT}/topics/${topic}`;
    const fullSubscription = (name: string): string => `projects/${PROJECT}/subscriptions/${name}`;

    async function publish(topic: string, ...messages: object[]): Promise<string[]> {
      const { status, json } = await rest('POST', `topics/${topic}:publish`, { messages });
      expect(status).toBe(200);
      return json.messageIds ?? [];
    }

    async function pull(subscription: string, maxMessages = 10): Promise<Received[]> {
      const body = { maxMessages, returnImmediately: true };
      const { status, json } = await rest('POST', `subscriptions/${subscription}:pull`, body);
      expect(status).toBe(200);
      return json.receivedMessages ?? [];
    }

    /** Pulls until there is something. */
    const pulled = (subscription: string): Promise<Received> =>
      vi.waitFor(
        async () => {
          const [received] = await pull(subscription, 1);
          if (!received) throw new Error('Nothing came');
          return received;
        },
        { timeout: 15_000, interval: 100 },
      );

    const deadline = (subscription: string, ackIds: string[], ackDeadlineSeconds: number): Promise<Answer> =>
      rest('POST', `subscriptions/${subscription}:modifyAckDeadline`, { ackIds, ackDeadlineSeconds });
    const ack = (subscription: string, ...ackIds: string[]): Promise<Answer> =>
      rest('POST', `subscriptions/${subscription}:acknowledge`, { ackIds });

    check('topics are created, read, listed and deleted', async () => {
      const created = await rest('PUT', 'topics/crud', { labels: { team: 'orders' } });
      expect(created).toMatchObject({
        status: 200,
        json: { name: full('crud'), labels: { team: 'orders' } },
      });
      expect(await rest('PUT', 'topics/crud', {})).toMatchObject({
        status: 409,
        json: { error: { status: 'ALREADY_EXISTS' } },
      });
      expect((await rest('GET', 'topics/crud')).json).toEqual(created.json);
      const [topics] = await client.getTopics();
      expect(topics.map(({ name }) => name)).toContain(full('crud'));
      expect(await rest('DELETE', 'topics/crud')).toEqual({ status: 200, json: {} });
      expect(await rest('GET', 'topics/crud')).toMatchObject({
        status: 404,
        json: { error: { status: 'NOT_FOUND' } },
      });
      await expect(client.topic('crud').publishMessage({ data: Buffer.from('x') })).rejects.toMatchObject({
        code: 5,
      });
    });

    check('names outside the rules are refused', async () => {
      for (const name of ['ab', 'goog-topic', '1topic', 'a'.repeat(256), 'sp ace']) {
        const { status, json } = await rest('PUT', `topics/${encodeURIComponent(name)}`, {});
        expect([name, status, json.error?.status]).toEqual([name, 400, 'INVALID_ARGUMENT']);
      }
      expect((await rest('PUT', 'topics/A-z_0.~+', {})).status).toBe(200);
    });

    check('a list comes in pages', async () => {
      const { topic } = await pair();
      const names = Array.from({ length: 5 }, (_, i) => `paged-${made}-${i}`);
      for (const name of names) await rest('PUT', `subscriptions/${name}`, { topic: full(topic) });
      const seen: string[] = [];
      let token = '';
      do {
        const query = `pageSize=2&pageToken=${encodeURIComponent(token)}`;
        const { json } = await rest('GET', `topics/${topic}/subscriptions?${query}`);
        expect(json.subscriptions?.length).toBeLessThanOrEqual(2);
        seen.push(...(json.subscriptions ?? []).map(String));
        token = json.nextPageToken ?? '';
      } while (token !== '');
      expect(seen).toEqual(expect.arrayContaining(names.map(fullSubscription)));
    });

    check('a subscription keeps what it was created with', async () => {
      const { topic } = await pair();
      const settings = {
        topic: full(topic),
        ackDeadlineSeconds: 42,
        retainAckedMessages: true,
        messageRetentionDuration: '3600s',
        labels: { a: 'b' },
        enableMessageOrdering: true,
        expirationPolicy: { ttl: '86400s' },
        deadLetterPolicy: { deadLetterTopic: full(topic), maxDeliveryAttempts: 7 },
        retryPolicy: { minimumBackoff: '1s', maximumBackoff: '60s' },
      };
      const { status, json } = await rest('PUT', 'subscriptions/keeps', settings);
      expect([status, json]).toEqual([200, expect.objectContaining(settings)]);
      expect((await rest('GET', 'subscriptions/keeps')).json).toEqual(json);
      const [metadata] = await client.subscription('keeps').getMetadata();
      expect(metadata).toMatchObject({
        ackDeadlineSeconds: 42,
        messageRetentionDuration: { seconds: '3600' },
        retryPolicy: { minimumBackoff: { seconds: '1' } },
      });
    });

    check('defaults of a subscription are those of production', async () => {
      const { topic, subscription } = await pair({ retryPolicy: {} });
      expect((await rest('GET', `subscriptions/${subscription}`)).json).toEqual({
        name: fullSubscription(subscription),
        topic: full(topic),
        pushConfig: {},
        ackDeadlineSeconds: 10,
        messageRetentionDuration: '604800s',
        expirationPolicy: { ttl: '2678400s' },
        retryPolicy: { minimumBackoff: '10s', maximumBackoff: '600s' },
        state: 'ACTIVE',
      });
    });

    check('values outside their range are refused', async () => {
      const { topic } = await pair();
      const refused = async (settings: object): Promise<unknown> => {
        const { json } = await rest('PUT', 'subscriptions/refused', { topic: full(topic), ...settings });
        return json.error?.status;
      };
      expect(await refused({ ackDeadlineSeconds: 601 })).toBe('INVALID_ARGUMENT');
      expect(await refused({ messageRetentionDuration: '599s' })).toBe('INVALID_ARGUMENT');
      expect(await refused({ messageRetentionDuration: '2678401s' })).toBe('INVALID_ARGUMENT');
      expect(await refused({ retryPolicy: { minimumBackoff: '601s' } })).toBe('INVALID_ARGUMENT');
      expect(await refused({ retryPolicy: { minimumBackoff: '20s', maximumBackoff: '10s' } })).toBe(
        'INVALID_ARGUMENT',
      );
      expect(await refused({ pushConfig: { pushEndpoint: 'nonsense' } })).toBe('INVALID_ARGUMENT');
      const deadLetterTopic = full(topic);
      expect(await refused({ deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 4 } })).toBe(
        'OUT_OF_RANGE',
      );
      expect(await refused({ deadLetterPolicy: { deadLetterTopic: full('nowhere') } })).toBe('NOT_FOUND');
      expect(await refused({ topic: full('nowhere') })).toBe('NOT_FOUND');
    });

    check('values that production refuses are refused', async () => {
      const { topic, subscription } = await pair();
      const refused = async (settings: object): Promise<unknown> => {
        const { json } = await rest('PUT', 'subscriptions/refused-too', { topic: full(topic), ...settings });
        return json.error?.status;
      };
      expect(await refused({ ackDeadlineSeconds: 9 })).toBe('INVALID_ARGUMENT');
      expect(await refused({ expirationPolicy: { ttl: '3600s' } })).toBe('INVALID_ARGUMENT');
      const pushConfig = { pushEndpoint: 'http://127.0.0.1:1/' };
      expect(await refused({ pushConfig, enableExactlyOnceDelivery: true })).toBe('INVALID_ARGUMENT');
      await publish(topic, { data: 'eA==' });
      const { ackId } = await pulled(subscription);
      expect((await deadline(subscription, [ackId], 601)).status).toBe(400);
      const messages = ['a', 'b'].map((orderingKey) => ({ data: 'eA==', orderingKey }));
      expect((await rest('POST', `topics/${topic}:publish`, { messages })).status).toBe(400);
    });

    check('a subscription is updated by mask', async () => {
      const { subscription } = await pair({ labels: { a: 'b' } });
      const path = `subscriptions/${subscription}`;
      const name = fullSubscription(subscription);
      const changed = await rest('PATCH', path, {
        subscription: { name, ackDeadlineSeconds: 77, messageRetentionDuration: '1200s' },
        updateMask: 'ackDeadlineSeconds,messageRetentionDuration',
      });
      expect(changed).toMatchObject({
        status: 200,
        json: { ackDeadlineSeconds: 77, messageRetentionDuration: '1200s', labels: { a: 'b' } },
      });
      for (const updateMask of ['', 'topic', 'name', 'nonsense']) {
        const refused = await rest('PATCH', path, { subscription: { name }, updateMask });
        expect([updateMask, refused.json.error?.status]).toEqual([updateMask, 'INVALID_ARGUMENT']);
      }
      await client.subscription(subscription).setMetadata({ ackDeadlineSeconds: 33 });
      expect((await rest('GET', path)).json).toMatchObject({ ackDeadlineSeconds: 33 });
    });

    check('what cannot be published or pulled is refused', async () => {
      const { topic, subscription } = await pair();
      const status = async (path: string, body: object): Promise<unknown> =>
        (await rest('POST', path, body)).json.error?.status;
      expect(await status(`topics/${topic}:publish`, { messages: [] })).toBe('INVALID_ARGUMENT');
      expect(await status(`topics/${topic}:publish`, { messages: [{ orderingKey: 'k' }] })).toBe(
        'INVALID_ARGUMENT',
      );
      expect(await status('topics/nowhere:publish', { messages: [{ data: 'eA==' }] })).toBe('NOT_FOUND');
      expect(await status(`subscriptions/${subscription}:pull`, { maxMessages: 0 })).toBe('INVALID_ARGUMENT');
      expect(await status('subscriptions/nowhere:pull', { maxMessages: 1 })).toBe('NOT_FOUND');
      expect(await status(`subscriptions/${subscription}:acknowledge`, { ackIds: [] })).toBe(
        'INVALID_ARGUMENT',
      );
      expect(await status(`subscriptions/${subscription}:acknowledge`, { ackIds: ['bogus'] })).toBe(
        'INVALID_ARGUMENT',
      );
    });

    check('a message is published, pulled and acknowledged over REST', async () => {
      const { topic, subscription } = await pair();
      const data = Buffer.from('hello').toString('base64');
      const [id] = await publish(topic, { data, attributes: { k: 'v' }, orderingKey: 'o' });
      const received = await pulled(subscription);
      expect(received.message).toEqual({
        data,
        attributes: { k: 'v' },
        orderingKey: 'o',
        messageId: id,
        publishTime: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/),
      });
      expect(received.deliveryAttempt).toBeUndefined();
      expect(await pull(subscription)).toEqual([]);
      expect(await ack(subscription, received.ackId)).toEqual({ status: 200, json: {} });
      expect((await ack(subscription, received.ackId)).status).toBe(200);
      expect(await pull(subscription)).toEqual([]);
    });

    check('every subscription gets every message', async () => {
      const { topic, subscription } = await pair();
      await rest('PUT', 'subscriptions/second', { topic: full(topic) });
      await publish(topic, { data: 'eA==' }, { attributes: { a: 'b' } });
      for (const name of [subscription, 'second']) {
        const ids = await collect(client.subscription(name), 2);
        expect(new Set(ids.map(({ id }) => id)).size).toBe(2);
      }
    });

    check('a nacked message comes again, an acknowledged one does not', async () => {
      const { topic, subscription } = await pair();
      await publish(topic, { data: 'MQ==' }, { data: 'Mg==' });
      const seen: string[] = [];
      await collect(client.subscription(subscription), 3, (message) => {
        const data = message.data.toString();
        if (data === '1' && !seen.includes('1')) message.nack();
        else message.ack();
        seen.push(data);
      });
      expect(seen.toSorted()).toEqual(['1', '1', '2']);
      expect(await pull(subscription)).toEqual([]);
    });

    check('a message comes again when its deadline has passed', async () => {
      const { topic, subscription } = await pair();
      await publish(topic, { data: 'eA==' });
      const first = await pulled(subscription);
      expect((await deadline(subscription, [first.ackId], 1)).status).toBe(200);
      expect(await pull(subscription)).toEqual([]);
      const second = await pulled(subscription);
      expect(second.message.messageId).toBe(first.message.messageId);
      expect(second.ackId).not.toBe(first.ackId);
      expect((await deadline(subscription, [second.ackId], 600)).status).toBe(200);
    });

    check('failed attempts are counted, and end at the dead letter topic', async () => {
      const dead = await pair();
      const { topic, subscription } = await pair({
        deadLetterPolicy: { deadLetterTopic: full(dead.topic), maxDeliveryAttempts: 5 },
      });
      await target.grantDeadLetter(full(dead.topic), fullSubscription(subscription));
      await publish(topic, { data: 'cG9pc29u', attributes: { own: 'kept' } });
      const attempts: unknown[] = [];
      for (let i = 0; i < 5; i++) {
        const { ackId, deliveryAttempt } = await pulled(subscription);
        attempts.push(deliveryAttempt);
        await deadline(subscription, [ackId], 0);
      }
      expect(attempts).toEqual([1, 2, 3, 4, 5]);
      // The emulator forwards a message when it would be pulled the next time.
      expect(await pull(subscription)).toEqual([]);
      const { message } = await pulled(dead.subscription);
      expect(message.data).toBe('cG9pc29u');
      expect(message.attributes).toMatchObject({
        own: 'kept',
        CloudPubSubDeadLetterSourceDeliveryCount: '5',
        CloudPubSubDeadLetterSourceSubscription: subscription,
        CloudPubSubDeadLetterSourceSubscriptionProject: PROJECT,
      });
      expect(await pull(subscription)).toEqual([]);
    });

    check('messages of one ordering key come in order', async () => {
      const { topic, subscription } = await pair({ enableMessageOrdering: true });
      const ordered = client.topic(topic, { messageOrdering: true });
      const published = Array.from({ length: 200 }, (_, i) =>
        ordered.publishMessage({ data: Buffer.from(String(i)), orderingKey: i % 2 === 0 ? 'even' : 'odd' }),
      );
      await Promise.all(published);
      const messages = await collect(client.subscription(subscription), 200);
      for (const key of ['even', 'odd']) {
        const numbers = messages.filter(({ orderingKey }) => orderingKey === key).map(numberOf);
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        expect(numbers).toHaveLength(100);
      }
    });

    check('after a nack the later messages of the key come again too', async () => {
      const { topic, subscription } = await pair({ enableMessageOrdering: true });
      const data = ['0', '1', '2', '3'].map((text) => Buffer.from(text).toString('base64'));
      await publish(topic, ...data.map((text) => ({ data: text, orderingKey: 'k' })));
      const numbers: number[] = [];
      let nacked = false;
      await collect(client.subscription(subscription), 7, (message) => {
        numbers.push(numberOf(message));
        if (numberOf(message) === 1 && !nacked) {
          nacked = true;
          message.nack();
        } else {
          message.ack();
        }
      });
      expect(numbers).toEqual([0, 1, 2, 3, 1, 2, 3]);
    });

    check('exactly-once delivery confirms acknowledgements', async () => {
      const { topic, subscription } = await pair({ enableExactlyOnceDelivery: true });
      await publish(topic, { data: 'eA==' });
      const answers: unknown[] = [];
      const reader = client.subscription(subscription);
      reader.on('message', async (message) => answers.push(await message.ackWithResponse()));
      await vi.waitFor(() => expect(answers).toEqual(['SUCCESS']), { timeout: 10_000 });
      await reader.close();
    });

    check('a stale ack id fails with exactly-once delivery', async () => {
      const { topic, subscription } = await pair({ enableExactlyOnceDelivery: true });
      await publish(topic, { data: 'eA==' });
      const { ackId } = await pulled(subscription);
      await deadline(subscription, [ackId], 0);
      const again = await pulled(subscription);
      const { status, json } = await ack(subscription, ackId, again.ackId);
      expect([status, json.error?.details]).toEqual([
        400,
        [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'EXACTLY_ONCE_ACKID_FAILURE',
            domain: 'pubsub.googleapis.com',
            metadata: { [ackId]: 'PERMANENT_FAILURE_INVALID_ACK_ID' },
          },
        ],
      ]);
      expect((await deadline(subscription, [again.ackId], 0)).status).toBe(400);
    });

    check('a filter lets through what matches', async () => {
      const { topic, subscription } = await pair({
        filter: 'attributes.kind = "a" OR hasPrefix(attributes.kind, "x")',
      });
      const kinds = ['a', 'b', 'xy', 'a'];
      await publish(topic, ...kinds.map((kind) => ({ attributes: { kind } })), { data: 'eA==' });
      const messages = await collect(client.subscription(subscription), 3);
      expect(messages.map(({ attributes }) => attributes.kind).toSorted()).toEqual(['a', 'a', 'xy']);
      expect(await pull(subscription)).toEqual([]);
    });

    check('a filter that does not parse is refused, and none can be changed', async () => {
      const { topic, subscription } = await pair({ filter: 'attributes:kind' });
      const path = 'subscriptions/filtered';
      for (const filter of [
        'kind = "a"',
        'attributes.k = v',
        'attributes:a AND attributes:b OR attributes:c',
      ]) {
        const { status } = await rest('PUT', path, { topic: full(topic), filter });
        expect([filter, status]).toEqual([filter, 400]);
      }
      const name = fullSubscription(subscription);
      const change = { subscription: { name, filter: 'attributes:other' }, updateMask: 'filter' };
      const { json } = await rest('PATCH', `subscriptions/${subscription}`, change);
      expect(json.error?.message).toContain('filter field in the Subscription is not mutable');
    });

    check('a seek to a time brings back what was acknowledged', async () => {
      const { topic, subscription } = await pair({ retainAckedMessages: true });
      await publish(topic, { data: 'eA==' });
      const { ackId, message } = await pulled(subscription);
      await ack(subscription, ackId);
      expect(await pull(subscription)).toEqual([]);
      const time = new Date(Date.parse(message.publishTime) - 1_000).toISOString();
      expect((await rest('POST', `subscriptions/${subscription}:seek`, { time })).status).toBe(200);
      expect((await pulled(subscription)).message.messageId).toBe(message.messageId);
      const later = new Date(Date.parse(message.publishTime) + 60_000).toISOString();
      await client.subscription(subscription).seek(new Date(later));
      expect(await pull(subscription)).toEqual([]);
    });

    check('a seek to a snapshot brings back what was open then', async () => {
      const { topic, subscription } = await pair();
      await publish(topic, { data: 'MQ==' });
      await rest('PUT', 'snapshots/before', { subscription: fullSubscription(subscription) });
      await publish(topic, { data: 'Mg==' });
      await collect(client.subscription(subscription), 2);
      expect(await pull(subscription)).toEqual([]);
      const snapshot = `projects/${PROJECT}/snapshots/before`;
      expect((await rest('POST', `subscriptions/${subscription}:seek`, { snapshot })).status).toBe(200);
      const again = await collect(client.subscription(subscription), 2);
      expect(again.map(numberOf).toSorted()).toEqual([1, 2]);
      expect((await rest('DELETE', 'snapshots/before')).status).toBe(200);
      expect((await rest('POST', `subscriptions/${subscription}:seek`, {})).status).toBe(400);
    });

    check('a push is a POST, repeated until it is acknowledged', async () => {
      const endpoint = await listen((_, bodies) => (bodies.length === 1 ? 500 : 204));
      const { topic, subscription } = await pair({ pushConfig: { pushEndpoint: endpoint.url } });
      const [messageId] = await publish(topic, { data: 'eA==', attributes: { k: 'v' } });
      await vi.waitFor(() => expect(endpoint.bodies).toHaveLength(2), { timeout: 15_000 });
      for (const body of endpoint.bodies) {
        expect(JSON.parse(body)).toMatchObject({
          subscription: fullSubscription(subscription),
          message: {
            data: 'eA==',
            attributes: { k: 'v' },
            messageId,
            message_id: messageId,
            publishTime: expect.any(String),
            publish_time: expect.any(String),
          },
        });
      }
      await endpoint.close();
    });

    check('a push carries an identity token', async () => {
      const endpoint = await listen(() => 204);
      const accounts = `http://${target.endpoint}/v1/projects/${PROJECT}/serviceAccounts`;
      await fetch(accounts, { method: 'POST', body: JSON.stringify({ accountId: 'pusher' }) });
      const serviceAccountEmail = `pusher@${PROJECT}.iam.gserviceaccount.com`;
      const { topic } = await pair({
        pushConfig: { pushEndpoint: endpoint.url, oidcToken: { serviceAccountEmail } },
      });
      await publish(topic, { data: 'eA==' });
      await vi.waitFor(() => expect(endpoint.requests).toHaveLength(1), { timeout: 10_000 });
      const [, claims = ''] = String(endpoint.requests[0]?.headers.authorization).split('.');
      expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
        iss: 'https://accounts.google.com',
        aud: endpoint.url,
        email: serviceAccountEmail,
        email_verified: true,
      });
      await endpoint.close();
    });

    check('messages of a push subscription cannot be pulled', async () => {
      const { subscription } = await pair({ pushConfig: { pushEndpoint: 'http://127.0.0.1:1/' } });
      const { json } = await rest('POST', `subscriptions/${subscription}:pull`, { maxMessages: 1 });
      expect(json.error?.status).toBe('FAILED_PRECONDITION');
      await rest('POST', `subscriptions/${subscription}:modifyPushConfig`, { pushConfig: {} });
      expect(await pull(subscription)).toEqual([]);
    });

    check('policies of topics and subscriptions can be read, set and tested', async () => {
      const { topic, subscription } = await pair();
      for (const iam of [client.topic(topic).iam, client.subscription(subscription).iam]) {
        const bindings = [{ role: 'roles/pubsub.viewer', members: ['user:reader@example.com'] }];
        const [written] = await iam.setPolicy({ bindings });
        const [read] = await iam.getPolicy();
        expect(read).toMatchObject({ bindings: [expect.objectContaining(bindings[0])], etag: written.etag });
      }
      const [held] = await client.topic(topic).iam.testPermissions(['pubsub.topics.publish']);
      expect(held).toEqual({ 'pubsub.topics.publish': true });
    });

    check('a detached subscription gives nothing', async () => {
      const { topic, subscription } = await pair();
      await client.detachSubscription(subscription);
      await publish(topic, { data: 'eA==' });
      const { json } = await rest('POST', `subscriptions/${subscription}:pull`, { maxMessages: 1 });
      expect(json.error?.status).toBe('FAILED_PRECONDITION');
      expect((await rest('GET', `subscriptions/${subscription}`)).json).toMatchObject({ detached: true });
    });

    check('subscriptions outlive their topic', async () => {
      const { topic, subscription } = await pair();
      await publish(topic, { data: 'eA==' });
      await rest('DELETE', `topics/${topic}`);
      const { json } = await rest('GET', `subscriptions/${subscription}`);
      expect(json.topic).toBe('_deleted-topic_');
      expect((await pulled(subscription)).message.data).toBe('eA==');
    });

    check('a stream ends when its subscription is deleted', async () => {
      const { subscription } = await pair();
      const reader = client.subscription(subscription);
      const ended = new Promise<{ code?: number }>((resolve) => reader.once('error', resolve));
      reader.on('message', () => {});
      await rest('DELETE', `subscriptions/${subscription}`);
      expect((await ended).code).toBe(5);
      expect((await rest('POST', `subscriptions/${subscription}:pull`, { maxMessages: 1 })).status).toBe(404);
      await reader.close();
    });
  });
}

interface Received {
  readonly ackId: string;
  readonly deliveryAttempt?: number;
  readonly message: {
    readonly data?: string;
    readonly attributes?: Readonly<Record<string, string>>;
    readonly messageId: string;
    readonly publishTime: string;
    readonly orderingKey?: string;
  };
}

interface Answer {
  readonly status: number;
  readonly json: {
    readonly error?: { readonly status?: string; readonly message?: string; readonly details?: unknown };
    readonly messageIds?: string[];
    readonly receivedMessages?: Received[];
    readonly subscriptions?: unknown[];
    readonly nextPageToken?: string;
    readonly topic?: string;
  };
}

/** Reads that many messages from a stream, each settled by `settle`; acknowledged by default. */
async function collect(
  subscription: Subscription,
  count: number,
  settle: (message: Message) => void = (message) => message.ack(),
): Promise<Message[]> {
  const messages: Message[] = [];
  await new Promise<void>((resolve, reject) => {
    subscription.on('error', reject);
    subscription.on('message', (message: Message) => {
      messages.push(message);
      settle(message);
      if (messages.length === count) resolve();
    });
  });
  await subscription.close();
  return messages;
}

function numberOf({ data }: Message): number {
  return Number(data.toString());
}

interface Endpoint {
  readonly url: string;
  readonly requests: IncomingMessage[];
  readonly bodies: string[];
  close(): Promise<void>;
}

/** An HTTP server that keeps what it gets and answers with the status that it is told. */
async function listen(
  statusOf: (request: IncomingMessage, bodies: readonly string[]) => number,
): Promise<Endpoint> {
  const requests: IncomingMessage[] = [];
  const bodies: string[] = [];
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push(request);
    bodies.push(Buffer.concat(chunks).toString());
    response.writeHead(statusOf(request, bodies)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/push`,
    requests,
    bodies,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
