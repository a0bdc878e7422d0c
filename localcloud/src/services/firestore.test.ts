import { firestore, type firestore_v1 } from 'googleapis/build/src/apis/firestore/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Identity } from '../identity.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

type Database = firestore_v1.Schema$GoogleFirestoreAdminV1Database;

const PROJECT = 'shop-one';
const PARENT = `projects/${PROJECT}`;
const READER: Identity = { type: 'serviceAccount', email: `reader@${PROJECT}.iam.gserviceaccount.com` };
const NATIVE: Database = { type: 'FIRESTORE_NATIVE', locationId: 'europe-west4' };
const PROTECTED: Database = { deleteProtectionState: 'DELETE_PROTECTION_ENABLED' };
const UNPROTECTED: Database = { deleteProtectionState: 'DELETE_PROTECTION_DISABLED' };

let cloud: TestCloud;
let databases: firestore_v1.Resource$Projects$Databases;

beforeAll(async () => {
  cloud = await startTestCloud({ project: PROJECT, propagationMs: 0 });
  const { status } = await cloud.call('POST', `/v1/${PARENT}/serviceAccounts`, { accountId: 'reader' });
  expect(status).toBe(200);
  open();
});
afterAll(() => cloud.end());

function open(): void {
  ({ databases } = firestore({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false }).projects);
}

const nameOf = (id: string): string => `${PARENT}/databases/${id}`;

async function create(databaseId: string, requestBody: Database = NATIVE): Promise<Database> {
  return finished((await databases.create({ parent: PARENT, databaseId, requestBody })).data);
}

async function patch(id: string, requestBody: Database, updateMask?: string): Promise<Database> {
  const { data } = await databases.patch({
    name: nameOf(id),
    requestBody,
    ...(updateMask === undefined ? {} : { updateMask }),
  });
  return finished(data);
}

async function get(id: string): Promise<Database> {
  return (await databases.get({ name: nameOf(id) })).data;
}

/** What the operation ends with. */
async function finished({ name }: firestore_v1.Schema$GoogleLongrunningOperation): Promise<Database> {
  const { data } = await databases.operations.get({ name: name ?? '' });
  expect(data).toMatchObject({ done: true });
  if (data.error) throw new Error(data.error.message ?? '');
  return data.response ?? {};
}

const refusal = (status: number, message: string) => ({
  status,
  message: expect.stringContaining(message),
});

test('a database is made by an operation, and told with what Google makes of it', async () => {
  const made = await create('orders', { ...NATIVE, ...PROTECTED, databaseEdition: 'STANDARD' });
  const { '@type': type, ...told } = made as Database & { '@type'?: string };
  expect(type).toBe('type.googleapis.com/google.firestore.admin.v1.Database');
  const got = await get('orders');
  expect({ ...told, earliestVersionTime: '' }).toEqual({ ...got, earliestVersionTime: '' });
  expect(got).toEqual({
    name: nameOf('orders'),
    uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    createTime: expect.any(String),
    updateTime: expect.any(String),
    earliestVersionTime: expect.any(String),
    etag: expect.any(String),
    type: 'FIRESTORE_NATIVE',
    locationId: 'europe-west4',
    databaseEdition: 'STANDARD',
    concurrencyMode: 'PESSIMISTIC',
    appEngineIntegrationMode: 'DISABLED',
    pointInTimeRecoveryEnablement: 'POINT_IN_TIME_RECOVERY_DISABLED',
    deleteProtectionState: 'DELETE_PROTECTION_ENABLED',
    versionRetentionPeriod: '3600s',
    freeTier: true,
  });
  await expect(create('orders')).rejects.toMatchObject(refusal(409, 'already exists'));
  expect((await create('more-orders')).freeTier).toBe(false);
});

test('the default database is named so, and all are listed', async () => {
  await create('(default)', { type: 'DATASTORE_MODE', locationId: 'eur3' });
  await create('list-one');
  const { data } = await databases.list({ parent: PARENT });
  const names = data.databases?.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining([nameOf('(default)'), nameOf('list-one')]));
  expect(await get('(default)')).toMatchObject({ type: 'DATASTORE_MODE', locationId: 'eur3' });
});

test.each<[string, string, Database]>([
  ['database ID', 'abc', NATIVE],
  ['database ID', 'Orders', NATIVE],
  ['database ID', 'orders-', NATIVE],
  ['database ID', '1-order', NATIVE],
  ['database ID', 'a0123bcd-0123-abcd-0123-0123456789ab', NATIVE],
  ['needs a type', 'wrong', { locationId: 'europe-west4' }],
  ['has no location "mars"', 'wrong', { ...NATIVE, locationId: 'mars' }],
  ['has no location ""', 'wrong', { type: 'FIRESTORE_NATIVE' }],
  ['standard edition only', 'wrong', { ...NATIVE, databaseEdition: 'ENTERPRISE' }],
  ['cmekConfig', 'wrong', { ...NATIVE, cmekConfig: { kmsKeyName: 'projects/p/key' } }],
])('what cannot be is refused: %s (%s)', async (message, id, database) => {
  await expect(create(id, database)).rejects.toMatchObject(refusal(400, message));
  await expect(get(id)).rejects.toMatchObject(refusal(404, nameOf(id)));
});

test('a patch changes what its mask names, without one what it has', async () => {
  const before = await create('patched', { ...NATIVE, ...PROTECTED });
  const masked = await patch(
    'patched',
    { ...UNPROTECTED, pointInTimeRecoveryEnablement: 'POINT_IN_TIME_RECOVERY_ENABLED' },
    'pointInTimeRecoveryEnablement',
  );
  expect(masked).toMatchObject({ ...PROTECTED, versionRetentionPeriod: '604800s', uid: before.uid });
  expect(masked.etag).not.toBe(before.etag);
  expect(await patch('patched', UNPROTECTED)).toMatchObject({
    ...UNPROTECTED,
    pointInTimeRecoveryEnablement: 'POINT_IN_TIME_RECOVERY_ENABLED',
  });
  await expect(patch('patched', { locationId: 'eur3' }, 'locationId')).rejects.toMatchObject(
    refusal(400, 'locationId'),
  );
  await expect(patch('patched', { ...PROTECTED, etag: before.etag ?? null })).rejects.toMatchObject(
    refusal(400, 'etag'),
  );
  await expect(patch('absent', PROTECTED)).rejects.toMatchObject(refusal(404, nameOf('absent')));
});

test('what is protected is not deleted, and what is deleted is gone', async () => {
  await create('deleted', { ...NATIVE, ...PROTECTED });
  const name = nameOf('deleted');
  await expect(databases.delete({ name })).rejects.toMatchObject(refusal(400, 'protected from deletion'));
  await patch('deleted', UNPROTECTED);
  await expect(databases.delete({ name, etag: 'another' })).rejects.toMatchObject(refusal(400, 'etag'));
  await finished((await databases.delete({ name })).data);
  await expect(get('deleted')).rejects.toMatchObject(refusal(404, name));
  await expect(databases.delete({ name })).rejects.toMatchObject(refusal(404, name));
});

test('databases outlive the local cloud that made them', async () => {
  const before = await create('lasting');
  await cloud.restart();
  open();
  expect(await get('lasting')).toMatchObject({ uid: before.uid, etag: before.etag });
});

test('each method asks for its permission on the project, and so do its operations', async () => {
  const { data } = await databases.create({ parent: PARENT, databaseId: 'guarded', requestBody: NATIVE });
  const path = `/v1/${nameOf('guarded')}`;
  const asked = await Promise.all(
    [
      cloud.call('POST', `/v1/${PARENT}/databases?databaseId=theirs`, NATIVE, READER),
      cloud.call('GET', path, undefined, READER),
      cloud.call('GET', `/v1/${PARENT}/databases`, undefined, READER),
      cloud.call('PATCH', path, PROTECTED, READER),
      cloud.call('DELETE', path, undefined, READER),
      cloud.call('GET', `/v1/${data.name}`, undefined, READER),
    ].map(async (call) => {
      const { status, json } = await call;
      return [status, /'([a-z.]+)'/i.exec(JSON.stringify(json))?.[1]];
    }),
  );
  expect(asked).toEqual([
    [403, 'datastore.databases.create'],
    [403, 'datastore.databases.getMetadata'],
    [403, 'datastore.databases.list'],
    [403, 'datastore.databases.update'],
    [403, 'datastore.databases.delete'],
    [403, 'datastore.operations.get'],
  ]);
});

test('operations are listed below their database', async () => {
  await create('listed');
  const { data } = await databases.operations.list({ name: nameOf('listed') });
  expect(data.operations).toEqual([
    expect.objectContaining({
      name: expect.stringMatching(`^${nameOf('listed')}/operations/`),
      metadata: { '@type': 'type.googleapis.com/google.firestore.admin.v1.CreateDatabaseMetadata' },
    }),
  ]);
});

test('documents are not served, and a project has to enable the API', async () => {
  const documents = await cloud.call('GET', `/v1/${nameOf('orders')}/documents/things/one`);
  expect(documents.status).toBe(404);
  const { projects } = cloud.running().cloud;
  projects.disable(PROJECT, 'firestore.googleapis.com');
  await expect(get('orders')).rejects.toMatchObject(refusal(403, 'Cloud Firestore API'));
  projects.enable(PROJECT, 'firestore.googleapis.com', 0);
});
