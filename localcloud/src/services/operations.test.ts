import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Identity } from '../identity.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const PARENT = 'projects/p/locations/us-central1';
const STRANGER: Identity = { type: 'serviceAccount', email: 'stranger@p.iam.gserviceaccount.com' };

let cloud: TestCloud;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'p', propagationMs: 0 });
  await cloud.call('POST', '/v1/projects/p/serviceAccounts', { accountId: 'stranger' });
});
afterAll(() => cloud.end());

/** Starts an operation that ends when it is told to; of Cloud Run, unless another type is given. */
function begin(parent = PARENT, type = 'google.cloud.run.v2.Service'): { name: string; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { name } = cloud.running().cloud.operations.start({
    parent,
    metadata: { '@type': `type.googleapis.com/${type}` },
    async work({ signal }) {
      signal.addEventListener('abort', () => resolve());
      await promise;
      signal.throwIfAborted();
      return { '@type': 'type.googleapis.com/google.protobuf.Empty' };
    },
  });
  return { name, end: resolve };
}

test.each([
  [PARENT, 'google.cloud.run.v2.Service'],
  ['', 'google.cloud.resourcemanager.v3.CreateProjectMetadata'],
])('an operation below "%s" is found under its name until it is deleted', async (parent, type) => {
  const { name, end } = begin(parent, type);
  expect((await cloud.call('GET', `/v1/${name}`)).json.done).toBeUndefined();
  end();
  await vi.waitFor(
    async () =>
      expect((await cloud.call('GET', `/v1/${name}`)).json).toMatchObject({ done: true, response: {} }),
    10_000,
  );
  if (parent !== '') {
    const { json } = await cloud.call('GET', `/v2/${parent}/operations`);
    expect(json.operations).toMatchObject([{ name }]);
  }
  expect((await cloud.call('DELETE', `/v1/${name}`)).status).toBe(200);
  expect((await cloud.call('GET', `/v1/${name}`)).status).toBe(404);
});

test('waiting ends with the operation, or with the time', async () => {
  const { name, end } = begin();
  expect((await cloud.call('POST', `/v2/${name}:wait`, { timeout: '0.01s' })).json.done).toBeUndefined();
  const waiting = cloud.call('POST', `/v2/${name}:wait`, {});
  end();
  expect((await waiting).json.done).toBe(true);
});

test('a cancelled operation ends with code 1', async () => {
  const { name } = begin();
  expect((await cloud.call('POST', `/v1/${name}:cancel`, {})).status).toBe(200);
  expect((await cloud.call('POST', `/v1/${name}:wait`, {})).json).toMatchObject({
    done: true,
    error: { code: 1 },
  });
});

test('who may not see the API may not see its operations', async () => {
  const { name, end } = begin();
  const { status, json } = await cloud.call('GET', `/v1/${name}`, undefined, STRANGER);
  expect([status, JSON.stringify(json)]).toEqual([403, expect.stringContaining('run.operations.get')]);
  expect((await cloud.call('GET', `/v1/${PARENT}/operations`, undefined, STRANGER)).json).toEqual({});
  end();
});

test('an operation that was cut short by a restart ends ABORTED', async () => {
  const { name } = begin();
  await cloud.restart();
  expect((await cloud.call('GET', `/v1/${name}`)).json).toMatchObject({ done: true, error: { code: 10 } });
});

test('regions are told, each with its name', async () => {
  const { json } = await cloud.call('GET', '/v1/projects/p/locations/europe-west1');
  expect(json).toMatchObject({ locationId: 'europe-west1', displayName: 'Belgium' });
  expect((await cloud.call('GET', '/v1/projects/p/locations/moon')).status).toBe(404);
  expect((await cloud.call('GET', '/v1/projects/none/locations')).status).toBe(403);
});
