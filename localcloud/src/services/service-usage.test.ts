import { serviceusage, type serviceusage_v1 } from 'googleapis/build/src/apis/serviceusage/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../json.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const PROPAGATION = 60_000;

let cloud: TestCloud;
let api: serviceusage_v1.Serviceusage;
let number: string;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: PROPAGATION, apis: 'default' });
  api = serviceusage({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
  number = cloud.running().cloud.projects.get('shop-one').number;
});
afterAll(() => cloud.end());

const nameOf = (host: string): string => `projects/shop-one/services/${host}`;
const enable = (host: string) => api.services.enable({ name: nameOf(host), requestBody: {} });
const result = async (operation: serviceusage_v1.Schema$Operation) => {
  const { data } = await api.operations.get({ name: operation.name ?? '' });
  expect(data.done).toBe(true);
  return data.response;
};
const members = async (): Promise<string[]> => {
  const { json } = await cloud.call('POST', '/v1/projects/shop-one:getIamPolicy', {});
  return (json.bindings as JsonObject[]).flatMap(({ role, members }) =>
    (members as string[]).map((member) => `${role} ${member}`),
  );
};

test('an API is told as enabled at once, and answers after propagation', async () => {
  const list = () => cloud.call('GET', '/v1/projects/shop-one/serviceAccounts');
  expect(await list()).toMatchObject({
    status: 403,
    json: {
      error: {
        message: expect.stringContaining(`has not been used in project ${number} before or it is disabled`),
        details: [{ reason: 'SERVICE_DISABLED', metadata: { service: 'iam.googleapis.com' } }],
      },
    },
  });
  const { data } = await enable('iam.googleapis.com');
  expect(await result(data)).toMatchObject({
    service: { name: `projects/${number}/services/iam.googleapis.com`, state: 'ENABLED' },
  });
  const told = await api.services.get({ name: nameOf('iam.googleapis.com') });
  expect(told.data).toMatchObject({ state: 'ENABLED', parent: `projects/${number}` });
  expect((await list()).status).toBe(403);
  cloud.pass(PROPAGATION);
  expect((await list()).status).toBe(200);
  expect(await result((await enable('iam.googleapis.com')).data)).toBeDefined();
  expect((await list()).status).toBe(200);
});

test('enabling makes the service agents, with their roles', async () => {
  const agent = `serviceAccount:service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com`;
  expect(await members()).not.toContain(`roles/pubsub.serviceAgent ${agent}`);
  await api.services.batchEnable({
    parent: `projects/${number}`,
    requestBody: { serviceIds: ['pubsub.googleapis.com', 'run.googleapis.com'] },
  });
  expect(await members()).toEqual(
    expect.arrayContaining([
      `roles/pubsub.serviceAgent ${agent}`,
      `roles/run.serviceAgent serviceAccount:service-${number}@serverless-robot-prod.iam.gserviceaccount.com`,
    ]),
  );
  const { json } = await cloud.call('GET', '/v1/projects/shop-one/serviceAccounts');
  expect((json.accounts as JsonObject[]).map(({ email }) => email)).toEqual([
    `${number}-compute@developer.gserviceaccount.com`,
  ]);
  const hidden = await cloud.call(
    'GET',
    `/v1/projects/-/serviceAccounts/service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com`,
  );
  expect(hidden.status).toBe(403);
});

test('services that do not exist are refused, and then none of the batch is enabled', async () => {
  await expect(enable('bogus.googleapis.com')).rejects.toMatchObject({
    status: 403,
    message: 'Not found or permission denied for service(s): bogus.googleapis.com.',
  });
  const batch = (serviceIds: string[]) =>
    api.services.batchEnable({ parent: 'projects/shop-one', requestBody: { serviceIds } });
  await expect(batch(['dns.googleapis.com', 'bogus.googleapis.com'])).rejects.toMatchObject({ status: 403 });
  const { data } = await api.services.batchGet({
    parent: 'projects/shop-one',
    names: [nameOf('dns.googleapis.com'), nameOf('pubsub.googleapis.com')],
  });
  expect(data.services?.map(({ state }) => state)).toEqual(['DISABLED', 'ENABLED']);
  await expect(batch([])).rejects.toMatchObject({ status: 400 });
  await expect(batch(Array.from({ length: 21 }, () => 'dns.googleapis.com'))).rejects.toMatchObject({
    status: 400,
  });
});

test('disable takes an enabled API away', async () => {
  cloud.pass(PROPAGATION);
  await enable('iam.googleapis.com');
  cloud.pass(PROPAGATION);
  const disable = () => api.services.disable({ name: nameOf('iam.googleapis.com'), requestBody: {} });
  expect(await result((await disable()).data)).toMatchObject({ service: { state: 'DISABLED' } });
  expect((await cloud.call('GET', '/v1/projects/shop-one/serviceAccounts')).status).toBe(403);
  await expect(disable()).rejects.toMatchObject({ status: 400 });
});

test('services are listed by state, in pages', async () => {
  const list = async (filter: string) => {
    const hosts: string[] = [];
    let pageToken: string | undefined;
    do {
      const { data } = await api.services.list({
        parent: 'projects/shop-one',
        filter,
        pageSize: 20,
        ...(pageToken === undefined ? {} : { pageToken }),
      });
      hosts.push(...(data.services ?? []).map(({ config }) => config?.name ?? ''));
      pageToken = data.nextPageToken ?? undefined;
    } while (pageToken !== undefined);
    return hosts;
  };
  const [enabled, disabled, all] = await Promise.all(['state:ENABLED', 'state:DISABLED', ''].map(list));
  expect(enabled).toContain('bigquery.googleapis.com');
  expect(enabled).not.toContain('dns.googleapis.com');
  expect(disabled).toContain('dns.googleapis.com');
  expect([...(enabled ?? []), ...(disabled ?? [])].sort()).toEqual(all);
  expect(all).not.toContain('metadata.google.internal');
  await expect(list('title:x')).rejects.toMatchObject({ status: 400 });
});

test('who has no right on the project enables nothing', async () => {
  const nobody = { type: 'user', email: 'nobody@example.com' } as const;
  const call = await cloud.call('POST', `/v1/${nameOf('dns.googleapis.com')}:enable`, {}, nobody);
  expect(call).toMatchObject({
    status: 403,
    json: { error: { message: expect.stringContaining("Permission 'serviceusage.services.enable' denied") } },
  });
});

test('by default everything that is served is enabled from the start, and answers', async () => {
  const other = await startTestCloud({ project: 'shop-two', propagationMs: PROPAGATION });
  const { json } = await other.call('GET', '/v1/projects/shop-two/services?filter=state:ENABLED');
  const hosts = (json.services as { config: { name: string } }[]).map(({ config }) => config.name);
  expect(hosts).toEqual(expect.arrayContaining(['iam.googleapis.com', 'serviceusage.googleapis.com']));
  expect((await other.call('GET', '/v1/projects/shop-two/serviceAccounts')).status).toBe(200);
  await other.end();
});
