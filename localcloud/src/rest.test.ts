import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import { seededRandom, systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCalls } from './calls.ts';
import type { LocalCloud } from './cloud.ts';
import { notFound } from './error.ts';
import { openFaults } from './faults.ts';
import { openIam } from './iam.ts';
import { DEVELOPER } from './identity.ts';
import type { JsonObject } from './json.ts';
import { openOperations } from './operations.ts';
import { openProjects } from './projects.ts';
import { openRoles } from './roles.ts';
import { createWire } from './server.ts';
import type { Door, Service } from './service.ts';
import { loadShapes } from './shapes.ts';
import { openStore } from './store.ts';
import { openTokens } from './tokens.ts';

const dir = mkdtempSync(join(tmpdir(), 'localcloud-'));
const store = openStore(dir);
const cloud: LocalCloud = {
  clock: systemClock,
  random: seededRandom(1),
  store,
  iam: openIam(store, systemClock, 0, openRoles(store)),
  tokens: openTokens(store, systemClock),
  projects: openProjects(store, systemClock, 0),
  operations: openOperations(store, systemClock),
  faults: openFaults(systemClock, seededRandom(1)),
  calls: openCalls(),
  propagationMs: 0,
  origin: () => '',
  openDoor: () => Promise.reject(new Error('not here')),
};
const topics = new Map<string, JsonObject>();
const nameOf = (request: JsonObject): string => String(request.name ?? request.topic);

/** A few methods of Pub/Sub, enough to see the wire. */
const service: Service = {
  name: 'pubsub',
  host: 'pubsub.googleapis.com',
  title: 'Cloud Pub/Sub API',
  protos: ['google/pubsub/v1/pubsub.proto'],
  methods: {
    'google.pubsub.v1.Publisher': {
      CreateTopic: {
        access: (request) => ({
          permission: 'pubsub.topics.create',
          resource: nameOf(request).split('/topics/')[0] ?? '',
        }),
        handle: (request) => {
          topics.set(nameOf(request), request);
          return request;
        },
      },
      GetTopic: {
        access: (request) => ({ permission: 'pubsub.topics.get', resource: nameOf(request) }),
        handle: (request) => {
          const topic = topics.get(nameOf(request));
          if (!topic) throw notFound(nameOf(request));
          return topic;
        },
      },
    },
  },
};

let door: Door;
let url: string;

beforeAll(async () => {
  cloud.projects.create('p');
  cloud.projects.enable('p', 'pubsub.googleapis.com');
  cloud.iam.setPolicy('projects/p', {
    bindings: [{ role: 'roles/owner', members: [`user:${DEVELOPER.email}`] }],
  });
  door = await createWire(cloud, [service], loadShapes(service.protos ?? [])).open(0, {
    identity: DEVELOPER,
    projectId: 'p',
    region: 'us-central1',
  });
  url = `http://127.0.0.1:${door.port}/v1/projects/p/topics`;
});

afterAll(async () => {
  await door.close();
  store.close();
  rmSync(dir, { recursive: true });
});

async function call(
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; json: JsonObject }> {
  const response = await fetch(url + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: response.status, json: (await response.json()) as JsonObject };
}

test('a request is made of path, query and body, and answered in canonical JSON', async () => {
  const created = await call('PUT', '/orders', {
    labels: { a: 'b' },
    message_retention_duration: '600s',
    kmsKeyName: '',
  });
  expect(created).toEqual({
    status: 200,
    json: { name: 'projects/p/topics/orders', labels: { a: 'b' }, messageRetentionDuration: '600s' },
  });
  expect((await call('GET', '/orders')).json).toEqual(created.json);
});

test('unknown fields and bad values are refused in the words of Google', async () => {
  const unknown = await call('PUT', '/orders', { lables: {} });
  expect(unknown.status).toBe(400);
  expect(unknown.json.error).toMatchObject({
    code: 400,
    status: 'INVALID_ARGUMENT',
    message: `Invalid JSON payload received. Unknown name "lables": Cannot find field.`,
  });
  const badEnum = await call('PUT', '/orders', { state: 'SIDEWAYS' });
  expect(badEnum.json.error).toMatchObject({
    message: `Invalid value at 'state' (type.googleapis.com/google.pubsub.v1.Topic.State), "SIDEWAYS"`,
  });
  const query = await call('GET', '/orders?depth=3');
  expect(query.json.error).toMatchObject({ message: expect.stringContaining('Cannot bind query parameter') });
});

test('a path that no API has is 404', async () => {
  expect((await fetch(`http://127.0.0.1:${door.port}/v9/nothing`)).status).toBe(404);
});

test('gRPC serves the same methods on the same port', async () => {
  const client = new PubSub({ projectId: 'p', apiEndpoint: `127.0.0.1:${door.port}` });
  await client.createTopic({ name: 'projects/p/topics/rpc', messageRetentionDuration: { seconds: 600 } });
  const [topic] = await client.topic('rpc').getMetadata();
  expect(topic).toMatchObject({
    name: 'projects/p/topics/rpc',
    messageRetentionDuration: { seconds: '600' },
  });
  await expect(client.topic('none').getMetadata()).rejects.toMatchObject({ code: 5 });
  await client.close();
});

test('a caller without the permission is refused, and an API that is not enabled too', async () => {
  const token = cloud.tokens.access({ type: 'serviceAccount', email: 'a@p.iam.gserviceaccount.com' }, 60);
  const denied = await fetch(`${url}/orders`, { headers: { authorization: `Bearer ${token}` } });
  expect(denied.status).toBe(403);
  expect(await denied.text()).toContain('IAM_PERMISSION_DENIED');
  const garbled = await fetch(`${url}/orders`, { headers: { authorization: 'Bearer nonsense' } });
  expect(garbled.status).toBe(401);
  cloud.projects.create('q');
  const disabled = await fetch(url.replace('/p/', '/q/').concat('/orders'));
  expect(await disabled.text()).toContain('SERVICE_DISABLED');
});

test('faults refuse before the effect, or lose the answer after it', async () => {
  cloud.faults.replace([
    { api: 'pubsub', method: 'CreateTopic', error: 'UNAVAILABLE', retryAfter: 3, effect: 'after', count: 1 },
  ]);
  const lost = await fetch(`${url}/lost`, { method: 'PUT', body: '{}' });
  expect([lost.status, lost.headers.get('retry-after')]).toEqual([503, '3']);
  expect(topics.has('projects/p/topics/lost')).toBe(true);
  cloud.faults.replace([{ method: 'Create*', resource: 'projects/p*', error: 'ABORTED', count: 1 }]);
  expect((await call('PUT', '/never', {})).status).toBe(409);
  expect(topics.has('projects/p/topics/never')).toBe(false);
  expect((await call('PUT', '/never', {})).status).toBe(200);
});
