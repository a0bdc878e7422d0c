import { text } from 'node:stream/consumers';
import { type Bucket, type CreateBucketRequest, Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Identity } from '../identity.ts';
import type { JsonObject } from '../json.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';
import { storage } from './storage.ts';

const READER: Identity = { type: 'serviceAccount', email: 'reader@shop.iam.gserviceaccount.com' };

let cloud: TestCloud;
let client: Storage;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop', propagationMs: 0 });
  cloud.running().cloud.projects.create('other');
  cloud.running().cloud.iam.setPolicy('projects/other', {
    bindings: [{ role: 'roles/owner', members: ['user:developer@example.com'] }],
  });
  const account = await cloud.call('POST', '/v1/projects/shop/serviceAccounts', { accountId: 'reader' });
  expect(account.status).toBe(200);
  client = connect();
});
afterAll(() => cloud.end());

function connect(): Storage {
  return new Storage({
    projectId: 'shop',
    apiEndpoint: cloud.origin(),
    useAuthWithCustomEndpoint: false,
    retryOptions: { autoRetry: false },
  });
}

async function insert(body: object, project = 'shop'): Promise<{ status: number; json: JsonObject }> {
  return cloud.call('POST', `/storage/v1/b?project=${project}`, body);
}

async function makeBucket(name: string, more: CreateBucketRequest = {}): Promise<Bucket> {
  const [bucket] = await client.createBucket(name, more);
  return bucket;
}

/** The one error of a legacy body. */
function reasonOf(json: JsonObject): unknown {
  const { error } = json as { error?: { errors?: { reason: string }[] } };
  return error?.errors?.[0]?.reason;
}

function messageOf(json: JsonObject): string {
  const { error } = json as { error?: { message?: string } };
  return error?.message ?? '';
}

test('a bucket is made with defaults, changed, listed and deleted by the Node client', async () => {
  const bucket = await makeBucket('first-bucket', { location: 'europe-west1', labels: { team: 'red' } });
  const [made] = await bucket.getMetadata();
  expect(made).toMatchObject({
    kind: 'storage#bucket',
    id: 'first-bucket',
    location: 'EUROPE-WEST1',
    locationType: 'region',
    storageClass: 'STANDARD',
    metageneration: '1',
    labels: { team: 'red' },
    softDeletePolicy: { retentionDurationSeconds: '604800' },
    iamConfiguration: { uniformBucketLevelAccess: { enabled: false }, publicAccessPrevention: 'inherited' },
    projectNumber: cloud.running().cloud.projects.get('shop').number,
  });
  await bucket.setMetadata({ labels: { team: null, size: 'm' }, versioning: { enabled: true } });
  const [changed] = await bucket.getMetadata();
  expect(changed).toMatchObject({
    metageneration: '2',
    labels: { size: 'm' },
    versioning: { enabled: true },
  });
  expect(changed.labels).not.toHaveProperty('team');
  expect(changed.etag).not.toBe(made.etag);
  const [buckets] = await client.getBuckets();
  expect(buckets.map(({ name }) => name)).toContain('first-bucket');
  await bucket.delete();
  expect(await bucket.exists()).toEqual([false]);
});

test('a client that is pointed here by STORAGE_EMULATOR_HOST alone works', async () => {
  vi.stubEnv('STORAGE_EMULATOR_HOST', cloud.origin());
  const [bucket] = await new Storage({ projectId: 'shop' }).createBucket('emulated');
  vi.unstubAllEnvs();
  await bucket.file('a/b').save('resumable');
  await bucket.file('a/b').save('at once', { resumable: false });
  expect(String((await bucket.file('a/b').download())[0])).toBe('at once');
  expect((await cloud.call('GET', '/storage/v1/b/emulated/o/a%2Fb')).json.size).toBe('7');
});

test('a name that is taken is a conflict, in other words for another project', async () => {
  await makeBucket('taken-name');
  const own = await insert({ name: 'taken-name' });
  expect([own.status, reasonOf(own.json)]).toEqual([409, 'conflict']);
  expect(messageOf(own.json)).toBe(
    'Your previous request to create the named bucket succeeded and you already own it.',
  );
  const foreign = await insert({ name: 'taken-name' }, 'other');
  expect(foreign.status).toBe(409);
  expect(messageOf(foreign.json)).toMatch(/^The requested bucket name is not available/);
});

test('names that Google refuses are refused', async () => {
  const bad = [
    'ab',
    'a'.repeat(64),
    'Upper',
    'goog-mine',
    'my-google-bucket',
    '10.0.0.1',
    '-x-',
    'a..b',
    'a b',
  ];
  for (const name of bad) {
    const { status, json } = await insert({ name });
    expect([name, status, messageOf(json)]).toEqual([name, 400, `Invalid bucket name: '${name}'`]);
  }
  expect((await insert({ name: `${'a'.repeat(60)}.${'b'.repeat(63)}` })).status).toBe(200);
});

test('unknown fields, wrong types and bad values are refused in the older form', async () => {
  const name = 'never-made';
  const unknown = await insert({ name, lables: { a: 'b' } });
  expect(unknown.status).toBe(400);
  expect(unknown.json.error).toEqual({
    code: 400,
    message: 'Invalid JSON payload received. Unknown name "lables": Cannot find field.',
    errors: [
      {
        message: 'Invalid JSON payload received. Unknown name "lables": Cannot find field.',
        domain: 'global',
        reason: 'invalid',
      },
    ],
  });
  const bad: object[] = [
    { versioning: { enabled: 'yes' } },
    { versioning: true },
    { lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { aeg: 3 } }] } },
    { lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { age: 'old' } }] } },
    { lifecycle: { rule: [{ action: { type: 'Delete' }, condition: {} }] } },
    { lifecycle: { rule: [{ action: { type: 'Vanish' }, condition: { age: 3 } }] } },
    { lifecycle: { rule: [{ action: { type: 'SetStorageClass' }, condition: { age: 3 } }] } },
    { lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { createdBefore: 'May' } }] } },
    { storageClass: 'LUKEWARM' },
    { location: 'the moon' },
    { labels: { Upper: 'case' } },
    { softDeletePolicy: { retentionDurationSeconds: '5' } },
    { iamConfiguration: { publicAccessPrevention: 'maybe' } },
  ];
  for (const body of bad) {
    const { status, json } = await insert({ name, ...body });
    expect([body, status, reasonOf(json)]).toEqual([body, 400, 'invalid']);
  }
  const without = await cloud.call('POST', '/storage/v1/b', { name });
  expect([without.status, reasonOf(without.json)]).toEqual([400, 'required']);
  expect((await insert({ name, retentionPolicy: { retentionPeriod: '60' } })).status).toBe(501);
  expect((await cloud.call('GET', `/storage/v1/b/${name}`)).json.error).toEqual({
    code: 404,
    message: 'The specified bucket does not exist.',
    errors: [{ message: 'The specified bucket does not exist.', domain: 'global', reason: 'notFound' }],
  });
});

test('an update puts back the defaults that a patch leaves alone', async () => {
  const path = '/storage/v1/b/patched';
  await insert({
    name: 'patched',
    storageClass: 'nearline',
    labels: { a: '1' },
    cors: [{ method: ['GET'] }],
  });
  const patched = await cloud.call('PATCH', path, {
    iamConfiguration: { uniformBucketLevelAccess: { enabled: true } },
  });
  expect(patched.json).toMatchObject({
    storageClass: 'NEARLINE',
    labels: { a: '1' },
    iamConfiguration: {
      uniformBucketLevelAccess: { enabled: true, lockedTime: expect.any(String) },
      bucketPolicyOnly: { enabled: true },
    },
  });
  const updated = await cloud.call('PUT', path, { labels: { b: '2' } });
  expect(updated.json).toMatchObject({
    storageClass: 'STANDARD',
    labels: { b: '2' },
    metageneration: '3',
    iamConfiguration: { uniformBucketLevelAccess: { enabled: false } },
  });
  expect(updated.json).not.toHaveProperty('cors');
  expect((await cloud.call('PATCH', path, { location: 'eu' })).status).toBe(400);
});

test('preconditions on the metageneration hold', async () => {
  await makeBucket('guarded');
  const path = '/storage/v1/b/guarded';
  const late = await cloud.call('PATCH', `${path}?ifMetagenerationMatch=7`, { labels: {} });
  expect(late).toEqual({
    status: 412,
    json: {
      error: {
        code: 412,
        message: 'At least one of the pre-conditions you specified did not hold.',
        errors: [
          {
            message: 'At least one of the pre-conditions you specified did not hold.',
            domain: 'global',
            reason: 'conditionNotMet',
          },
        ],
      },
    },
  });
  expect((await fetch(`${cloud.origin()}${path}?ifMetagenerationNotMatch=1`)).status).toBe(304);
  expect((await cloud.call('PATCH', `${path}?ifMetagenerationMatch=1`, { labels: {} })).status).toBe(200);
});

test('buckets are listed in pages', async () => {
  for (const name of ['page-a', 'page-b', 'page-c']) await makeBucket(name);
  const names: string[] = [];
  let token = '';
  do {
    const path = `/storage/v1/b?project=shop&prefix=page-&maxResults=2&pageToken=${token}`;
    const { json } = await cloud.call('GET', path);
    names.push(...(json.items as { name: string }[]).map(({ name }) => name));
    token = String(json.nextPageToken ?? '');
  } while (token !== '');
  expect(names).toEqual(['page-a', 'page-b', 'page-c']);
});

test('a bucket that is not empty stays', async () => {
  const bucket = await makeBucket('full-bucket');
  await bucket.file('one').save('1');
  const { status, json } = await cloud.call('DELETE', '/storage/v1/b/full-bucket');
  expect([status, messageOf(json)]).toEqual([409, 'The bucket you tried to delete is not empty.']);
  await bucket.deleteFiles();
  await bucket.delete();
});

test('a new bucket has the policy of Google; a stale etag and public members are refused', async () => {
  const bucket = await makeBucket('policy-bucket');
  const [policy] = await bucket.iam.getPolicy({ requestedPolicyVersion: 3 });
  expect(policy.bindings).toContainEqual({
    role: 'roles/storage.legacyBucketOwner',
    members: ['projectEditor:shop', 'projectOwner:shop'],
  });
  policy.bindings.push({ role: 'roles/storage.objectViewer', members: ['user:a@example.com'] });
  const [written] = await bucket.iam.setPolicy(policy);
  expect(written.bindings).toContainEqual({
    role: 'roles/storage.objectViewer',
    members: ['user:a@example.com'],
  });
  await expect(bucket.iam.setPolicy(policy)).rejects.toMatchObject({ code: 412 });
  await bucket.setMetadata({ iamConfiguration: { publicAccessPrevention: 'enforced' } });
  const open = { bindings: [{ role: 'roles/storage.objectViewer', members: ['allUsers'] }] };
  const refused = await cloud.call('PUT', '/storage/v1/b/policy-bucket/iam', open);
  expect([refused.status, messageOf(refused.json)]).toEqual([
    412,
    'The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced.',
  ]);
});

test('a caller can do what the policies of the bucket and the project give, and no more', async () => {
  const bucket = await makeBucket('private-bucket');
  await bucket.file('in/a').save('a');
  const path = '/storage/v1/b/private-bucket';
  const denied = await cloud.call('GET', `${path}/o/in%2Fa`, undefined, READER);
  expect([denied.status, reasonOf(denied.json), messageOf(denied.json)]).toEqual([
    403,
    'forbidden',
    `${READER.email} does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).`,
  ]);
  expect((await cloud.call('GET', '/storage/v1/b/no-such-bucket', undefined, READER)).status).toBe(404);
  const member = `serviceAccount:${READER.email}`;
  const grants = {
    version: 3,
    bindings: [
      {
        role: 'roles/storage.legacyObjectReader',
        members: [member],
        condition: {
          title: 'in',
          expression: 'resource.name.startsWith("projects/_/buckets/private-bucket/objects/in/")',
        },
      },
      { role: 'roles/storage.objectCreator', members: [member] },
    ],
  };
  expect((await cloud.call('PUT', `${path}/iam`, grants)).status).toBe(200);
  expect((await cloud.call('GET', `${path}/o/in%2Fa`, undefined, READER)).status).toBe(200);
  expect((await cloud.call('GET', `${path}/o/out%2Fa`, undefined, READER)).status).toBe(403);
  // Who may not list must not learn what is missing.
  expect((await cloud.call('GET', `${path}/o/in%2Fnone`, undefined, READER)).status).toBe(403);
  const upload = `/upload${path}/o?uploadType=media&name=`;
  expect((await cloud.call('POST', `${upload}new`, {}, READER)).status).toBe(200);
  const overwritten = await cloud.call('POST', `${upload}new`, {}, READER);
  expect(messageOf(overwritten.json)).toContain('storage.objects.delete');
  const asked = `${path}/iam/testPermissions?permissions=storage.objects.create&permissions=storage.objects.list`;
  expect((await cloud.call('GET', asked, undefined, READER)).json.permissions).toEqual([
    'storage.objects.create',
  ]);
});

test('an answer that a fault loses is really lost, and its effect is not', async () => {
  cloud
    .running()
    .cloud.faults.replace([
      { api: 'storage', method: 'buckets.insert', error: 'UNAVAILABLE', effect: 'after', count: 1 },
    ]);
  const lost = await insert({ name: 'lost-answer' });
  expect([lost.status, reasonOf(lost.json)]).toEqual([503, 'backendError']);
  expect((await insert({ name: 'lost-answer' })).status).toBe(409);
});

test('other services read and write objects behind the scenes', async () => {
  const bucket = await makeBucket('staging');
  await bucket.file('source.tgz').save('source');
  const { objects } = storage(cloud.running().cloud);
  const source = objects.find('staging', 'source.tgz');
  expect(source).toMatchObject({ bucket: 'staging', name: 'source.tgz', blob: { size: 6 } });
  expect(source && (await text(objects.read(source)))).toBe('source');
  expect(objects.find('staging', 'source.tgz', '1')).toBeUndefined();
  await objects.write('staging', 'log.txt', Buffer.from('built'), 'text/plain');
  await expect(objects.write('no-such', 'log.txt', Buffer.from(''), 'text/plain')).rejects.toThrow(
    'The specified bucket does not exist.',
  );
  await cloud.restart();
  client = connect();
  const log = client.bucket('staging').file('log.txt');
  expect((await log.getMetadata())[0]).toMatchObject({ contentType: 'text/plain', size: '5' });
});

test('everything is there after a restart', async () => {
  const bucket = await makeBucket('kept', { versioning: { enabled: true }, labels: { a: 'b' } });
  await bucket.file('one').save('first');
  await bucket.file('one').save('second', { metadata: { metadata: { k: 'v' } } });
  const [before] = await bucket.getMetadata();
  const [versions] = await bucket.getFiles({ versions: true });
  await cloud.restart();
  client = connect();
  const again = client.bucket('kept');
  const [after] = await again.getMetadata();
  expect({ ...after, selfLink: '' }).toEqual({ ...before, selfLink: '' });
  const [found] = await again.getFiles({ versions: true });
  expect(found.map(({ metadata }) => metadata.generation)).toEqual(
    versions.map(({ metadata }) => metadata.generation),
  );
  expect(String(await again.file('one').download())).toBe('second');
  expect((await again.file('one').getMetadata())[0].metadata).toEqual({ k: 'v' });
  await again.file('one').save('third');
  const newest = Number((await again.file('one').getMetadata())[0].generation);
  expect(newest).toBeGreaterThan(Number(versions.at(-1)?.metadata.generation));
});
