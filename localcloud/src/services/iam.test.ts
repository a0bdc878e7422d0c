import { iam, type iam_v1 } from 'googleapis/build/src/apis/iam/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEVELOPER, type Identity } from '../identity.ts';
import type { JsonObject } from '../json.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const PROPAGATION = 60_000;
const DAY = 24 * 3_600_000;
const PROJECT = 'projects/shop-one';

let cloud: TestCloud;
let api: iam_v1.Iam;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: PROPAGATION });
  api = iam({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
});
afterAll(() => cloud.end());

const emailOf = (id: string): string => `${id}@shop-one.iam.gserviceaccount.com`;
const nameOf = (id: string): string => `${PROJECT}/serviceAccounts/${emailOf(id)}`;
const memberOf = (id: string): string => `serviceAccount:${emailOf(id)}`;
const identityOf = (id: string): Identity => ({ type: 'serviceAccount', email: emailOf(id) });

async function create(accountId: string): Promise<iam_v1.Schema$ServiceAccount> {
  const { data } = await api.projects.serviceAccounts.create({ name: PROJECT, requestBody: { accountId } });
  return data;
}

async function grant(role: string, member: string): Promise<void> {
  const { json } = await cloud.call('POST', `/v1/${PROJECT}:getIamPolicy`, {
    options: { requestedPolicyVersion: 3 },
  });
  const bindings = [...(json.bindings as JsonObject[]), { role, members: [member] }];
  const { status } = await cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, {
    policy: { ...json, bindings },
  });
  expect(status).toBe(200);
}

async function rolesOf(member: string): Promise<string[]> {
  const { json } = await cloud.call('POST', `/v1/${PROJECT}:getIamPolicy`, {});
  const bindings = json.bindings as { role: string; members: string[] }[];
  return bindings.filter(({ members }) => members.includes(member)).map(({ role }) => role);
}

test('an account is created, told at once under all its names, and changed', async () => {
  const { data } = await api.projects.serviceAccounts.create({
    name: PROJECT,
    requestBody: {
      accountId: 'orders',
      serviceAccount: { displayName: 'Orders', description: 'Takes orders' },
    },
  });
  expect(data).toMatchObject({
    name: nameOf('orders'),
    email: emailOf('orders'),
    projectId: 'shop-one',
    uniqueId: expect.stringMatching(/^\d{21}$/),
    displayName: 'Orders',
  });
  const number = cloud.running().cloud.projects.get('shop-one').number;
  for (const name of [
    nameOf('orders'),
    `projects/-/serviceAccounts/${emailOf('orders')}`,
    `projects/-/serviceAccounts/${data.uniqueId}`,
    `projects/${number}/serviceAccounts/${data.uniqueId}`,
  ]) {
    expect((await api.projects.serviceAccounts.get({ name })).data).toEqual(data);
  }
  const patched = await api.projects.serviceAccounts.patch({
    name: nameOf('orders'),
    requestBody: { serviceAccount: { displayName: 'Orders 2' }, updateMask: 'displayName' },
  });
  expect(patched.data).toMatchObject({ displayName: 'Orders 2', description: 'Takes orders' });
  const put = await api.projects.serviceAccounts.update({
    name: nameOf('orders'),
    requestBody: { displayName: 'Orders 3' },
  });
  expect(put.data).toMatchObject({ displayName: 'Orders 3', description: 'Takes orders' });
});

test('names and texts that Google refuses are refused', async () => {
  await expect(create('five5')).rejects.toMatchObject({
    status: 400,
    message: 'The account ID "five5" does not have a length between 6 and 30.',
  });
  await expect(create('Capital')).rejects.toMatchObject({ status: 400 });
  await expect(create('trailing-')).rejects.toMatchObject({ status: 400 });
  await create('twice-made');
  await expect(create('twice-made')).rejects.toMatchObject({
    status: 409,
    message: 'Service account twice-made already exists within project projects/shop-one.',
  });
  const long = await cloud.call('POST', `/v1/${PROJECT}/serviceAccounts`, {
    accountId: 'long-name',
    serviceAccount: { displayName: 'x'.repeat(101) },
  });
  expect(long.status).toBe(400);
  const field = await cloud.call('PATCH', `/v1/${nameOf('twice-made')}`, {
    serviceAccount: { email: 'x' },
    updateMask: 'email',
  });
  expect(field.status).toBe(400);
});

test('an account that is not there is 404 in its project, and 403 where there is no project to ask', async () => {
  await expect(api.projects.serviceAccounts.get({ name: nameOf('nobody') })).rejects.toMatchObject({
    status: 404,
    message: 'Unknown service account',
  });
  const wildcard = `projects/-/serviceAccounts/${emailOf('nobody')}`;
  await expect(api.projects.serviceAccounts.get({ name: wildcard })).rejects.toMatchObject({ status: 403 });
});

test('accounts are listed in pages', async () => {
  for (const id of ['page-aa', 'page-bb', 'page-cc']) await create(id);
  const all: string[] = [];
  let pageToken: string | undefined;
  do {
    const { data } = await api.projects.serviceAccounts.list({
      name: PROJECT,
      pageSize: 2,
      ...(pageToken === undefined ? {} : { pageToken }),
    });
    expect(data.accounts?.length).toBeLessThanOrEqual(2);
    all.push(...(data.accounts ?? []).map(({ email }) => email ?? ''));
    pageToken = data.nextPageToken ?? undefined;
  } while (pageToken !== undefined);
  expect(all).toEqual(expect.arrayContaining(['page-aa', 'page-bb', 'page-cc'].map(emailOf)));
  expect(new Set(all).size).toBe(all.length);
});

test('a new account can be bound and can act only after propagation; a grant takes effect only after another', async () => {
  await create('newcomer');
  const binding = { policy: { bindings: [{ role: 'roles/viewer', members: [memberOf('newcomer')] }] } };
  const early = await cloud.call('POST', `/v1/${nameOf('newcomer')}:setIamPolicy`, binding);
  expect(early).toMatchObject({
    status: 400,
    json: { error: { message: `Service account ${emailOf('newcomer')} does not exist.` } },
  });
  cloud.pass(PROPAGATION);
  await grant('roles/browser', memberOf('newcomer'));
  expect(await rolesOf(memberOf('newcomer'))).toEqual(['roles/browser']);
  const see = () => cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('newcomer'));
  expect((await see()).status).toBe(403);
  cloud.pass(PROPAGATION);
  expect((await see()).status).toBe(200);
});

test('a disabled account cannot call, and can again when it is enabled', async () => {
  await create('resting');
  cloud.pass(PROPAGATION);
  await grant('roles/browser', memberOf('resting'));
  cloud.pass(PROPAGATION);
  const see = () => cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('resting'));
  await api.projects.serviceAccounts.disable({ name: nameOf('resting') });
  expect(await see()).toMatchObject({
    status: 401,
    json: { error: { details: [{ reason: 'ACCOUNT_STATE_INVALID' }] } },
  });
  expect((await api.projects.serviceAccounts.get({ name: nameOf('resting') })).data.disabled).toBe(true);
  await api.projects.serviceAccounts.enable({ name: nameOf('resting') });
  expect((await see()).status).toBe(200);
});

test('a deleted account leaves its mark in policies, and undelete takes all of it back', async () => {
  const { uniqueId } = await create('comeback');
  cloud.pass(PROPAGATION);
  await grant('roles/browser', memberOf('comeback'));
  const own = {
    policy: { bindings: [{ role: 'roles/iam.serviceAccountUser', members: ['user:ann@example.com'] }] },
  };
  await cloud.call('POST', `/v1/${nameOf('comeback')}:setIamPolicy`, own);
  await api.projects.serviceAccounts.delete({ name: nameOf('comeback') });

  const marked = `deleted:serviceAccount:${emailOf('comeback')}?uid=${uniqueId}`;
  expect(await rolesOf(marked)).toEqual(['roles/browser']);
  expect(await rolesOf(memberOf('comeback'))).toEqual([]);
  const call = await cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('comeback'));
  expect(call.status).toBe(401);

  const restored = await api.projects.serviceAccounts.undelete({
    name: `${PROJECT}/serviceAccounts/${uniqueId}`,
    requestBody: {},
  });
  expect(restored.data.restoredAccount).toMatchObject({ uniqueId, email: emailOf('comeback') });
  expect(await rolesOf(memberOf('comeback'))).toEqual(['roles/browser']);
  const policy = await api.projects.serviceAccounts.getIamPolicy({ resource: nameOf('comeback') });
  expect(policy.data.bindings).toEqual(own.policy.bindings);
});

test('an account that is created again is another one, and the old one can then not be restored', async () => {
  const first = await create('second-life');
  cloud.pass(PROPAGATION);
  await grant('roles/browser', memberOf('second-life'));
  await api.projects.serviceAccounts.delete({ name: nameOf('second-life') });
  const second = await create('second-life');
  cloud.pass(PROPAGATION);
  expect(second.uniqueId).not.toBe(first.uniqueId);
  expect(await rolesOf(memberOf('second-life'))).toEqual([]);
  const call = await cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('second-life'));
  expect(call.status).toBe(403);
  const name = `${PROJECT}/serviceAccounts/${first.uniqueId}`;
  await expect(api.projects.serviceAccounts.undelete({ name, requestBody: {} })).rejects.toMatchObject({
    status: 409,
  });
});

test('after 30 days a deleted account is lost', async () => {
  const { uniqueId } = await create('too-late');
  await api.projects.serviceAccounts.delete({ name: nameOf('too-late') });
  cloud.pass(30 * DAY);
  const name = `${PROJECT}/serviceAccounts/${uniqueId}`;
  await expect(api.projects.serviceAccounts.undelete({ name, requestBody: {} })).rejects.toMatchObject({
    status: 404,
  });
});

test('a user who creates an account without other rights may act as it', async () => {
  const ann: Identity = { type: 'user', email: 'ann@example.com' };
  await grant('roles/iam.serviceAccountAdmin', 'user:ann@example.com');
  cloud.pass(PROPAGATION);
  const made = await cloud.call('POST', `/v1/${PROJECT}/serviceAccounts`, { accountId: 'made-by-ann' }, ann);
  expect(made.status).toBe(200);
  cloud.pass(PROPAGATION);
  const asked = { permissions: ['iam.serviceAccounts.actAs', 'iam.serviceAccounts.signJwt'] };
  const hers = await cloud.call('POST', `/v1/${nameOf('made-by-ann')}:testIamPermissions`, asked, ann);
  expect(hers.json.permissions).toEqual(['iam.serviceAccounts.actAs']);
  await create('by-the-owner');
  const policy = await api.projects.serviceAccounts.getIamPolicy({ resource: nameOf('by-the-owner') });
  expect(policy.data.bindings).toBeUndefined();
});

test('an account has ten keys at most', async () => {
  await create('key-collector');
  cloud.pass(PROPAGATION);
  const name = nameOf('key-collector');
  const make = () =>
    api.projects.serviceAccounts.keys.create({ name, requestBody: { keyAlgorithm: 'KEY_ALG_RSA_1024' } });
  await Promise.all(Array.from({ length: 10 }, make));
  await expect(make()).rejects.toMatchObject({ status: 400, message: 'Precondition check failed.' });
  expect((await api.projects.serviceAccounts.keys.list({ name })).data.keys).toHaveLength(10);
});

test('a custom role grants what it includes, until it is deleted', async () => {
  await create('custom-one');
  cloud.pass(PROPAGATION);
  const name = `${PROJECT}/roles/looker`;
  const { data: role } = await api.projects.roles.create({
    parent: PROJECT,
    requestBody: {
      roleId: 'looker',
      role: { title: 'Looker', stage: 'GA', includedPermissions: ['resourcemanager.projects.get'] },
    },
  });
  expect(role).toMatchObject({ name, title: 'Looker', stage: 'GA' });
  await grant(name, memberOf('custom-one'));
  cloud.pass(PROPAGATION);
  const see = async () =>
    (await cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('custom-one'))).status;
  expect(await see()).toBe(200);

  const change = { includedPermissions: ['resourcemanager.projects.list'] };
  const stale = api.projects.roles.patch({ name, requestBody: { ...change, etag: 'AAAAAAAAAAA=' } });
  await expect(stale).rejects.toMatchObject({ status: 409 });
  await api.projects.roles.patch({
    name,
    updateMask: 'includedPermissions',
    requestBody: { ...change, etag: role.etag ?? '' },
  });
  expect(await see()).toBe(403);
  await api.projects.roles.patch({
    name,
    requestBody: { includedPermissions: ['resourcemanager.projects.get'] },
  });
  expect(await see()).toBe(200);

  expect((await api.projects.roles.delete({ name })).data.deleted).toBe(true);
  expect(await see()).toBe(403);
  expect((await api.projects.roles.list({ parent: PROJECT })).data.roles).toBeUndefined();
  await grant('roles/browser', 'user:carl@example.com');
  expect((await api.projects.roles.list({ parent: PROJECT, showDeleted: true })).data.roles).toHaveLength(1);
  await api.projects.roles.undelete({ name, requestBody: {} });
  expect(await see()).toBe(200);
});

test('a role with a permission that does not exist is refused, and so are roles nobody may make', async () => {
  const make = (roleId: string, permission: string) =>
    api.projects.roles.create({
      parent: PROJECT,
      requestBody: { roleId, role: { includedPermissions: [permission] } },
    });
  await expect(make('wrong1', 'pubsub.topics.publsh')).rejects.toMatchObject({
    status: 400,
    message: 'Permission pubsub.topics.publsh is not valid.',
  });
  await expect(make('wrong2', 'everything')).rejects.toMatchObject({ status: 400 });
  await expect(make('no', 'pubsub.topics.get')).rejects.toMatchObject({ status: 400 });
  const elsewhere = await cloud.call('POST', '/v1/organizations/1/roles', { roleId: 'abc', role: {} });
  expect(elsewhere.status).toBe(403);
  const unknown = await cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, {
    policy: {
      bindings: [
        { role: 'roles/owner', members: [`user:${DEVELOPER.email}`] },
        { role: `${PROJECT}/roles/none`, members: [`user:${DEVELOPER.email}`] },
      ],
    },
  });
  expect(unknown.json.error).toMatchObject({
    code: 400,
    message: `Role (${PROJECT}/roles/none) does not exist in the resource's hierarchy.`,
  });
});

test('predefined roles and permissions can be asked for', async () => {
  const { data: role } = await api.roles.get({ name: 'roles/pubsub.subscriber' });
  expect(role.includedPermissions).toEqual([
    'pubsub.snapshots.seek',
    'pubsub.subscriptions.consume',
    'pubsub.topics.attachSubscription',
  ]);
  const { data } = await api.roles.list({ pageSize: 1_000 });
  expect(data.roles?.map(({ name }) => name)).toContain('roles/run.invoker');
  expect(data.roles?.every(({ includedPermissions }) => includedPermissions === undefined)).toBe(true);
  const topic = '//pubsub.googleapis.com/projects/shop-one/topics/t';
  const grantable = await api.roles.queryGrantableRoles({ requestBody: { fullResourceName: topic } });
  const names = grantable.data.roles?.map(({ name }) => name);
  expect(names).toContain('roles/pubsub.publisher');
  expect(names).not.toContain('roles/run.invoker');
  const testable = await api.permissions.queryTestablePermissions({
    requestBody: {
      fullResourceName: '//cloudresourcemanager.googleapis.com/projects/shop-one',
      pageSize: 1_000,
    },
  });
  expect(testable.data.permissions?.map(({ name }) => name)).toContain('storage.objects.get');
});

test('a binding with a condition is hidden from old readers, and grants while its condition holds', async () => {
  await create('on-condition');
  cloud.pass(PROPAGATION);
  const until = (ms: number) =>
    `resource.name.startsWith("projects/shop") && request.time < timestamp("${new Date(ms).toISOString()}")`;
  const condition = {
    title: 'a while',
    expression: until(cloud.running().cloud.clock.now() + 2 * PROPAGATION),
  };
  const { json: before } = await cloud.call('POST', `/v1/${PROJECT}:getIamPolicy`, {});
  const bindings = [
    ...(before.bindings as JsonObject[]),
    { role: 'roles/browser', members: [memberOf('on-condition')], condition },
  ];
  const write = (version: number) =>
    cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, { policy: { ...before, version, bindings } });
  expect((await write(1)).status).toBe(400);
  expect((await write(3)).status).toBe(200);
  const old = await cloud.call('POST', `/v1/${PROJECT}:getIamPolicy`, {});
  expect(old.json.version).toBe(1);
  const hidden = (old.json.bindings as JsonObject[]).find(({ role }) => String(role).includes('_withcond_'));
  expect(hidden).toEqual({
    role: expect.stringMatching(/^roles\/browser_withcond_[0-9a-f]{20}$/),
    members: [memberOf('on-condition')],
  });
  const back = await cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, { policy: old.json });
  expect(back.status).toBe(400);

  const see = async () =>
    (await cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('on-condition'))).status;
  expect(await see()).toBe(403);
  cloud.pass(PROPAGATION);
  expect(await see()).toBe(200);
  cloud.pass(PROPAGATION);
  expect(await see()).toBe(403);
  await cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, { policy: { bindings: before.bindings } });
});

test('a stale etag is refused, whoever was faster', async () => {
  const { json: first } = await cloud.call('POST', `/v1/${PROJECT}:getIamPolicy`, {});
  await grant('roles/viewer', 'user:bob@example.com');
  const late = await cloud.call('POST', `/v1/${PROJECT}:setIamPolicy`, { policy: first });
  expect(late).toMatchObject({
    status: 409,
    json: {
      error: {
        status: 'ABORTED',
        message:
          'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.',
      },
    },
  });
});

test('accounts, keys and roles are there after a restart', async () => {
  const { uniqueId } = await create('lasting');
  const { data: roles } = await api.projects.roles.list({ parent: PROJECT });
  await cloud.restart();
  api = iam({ version: 'v1', rootUrl: `${cloud.origin()}/`, retry: false });
  expect((await api.projects.serviceAccounts.get({ name: nameOf('lasting') })).data.uniqueId).toBe(uniqueId);
  const keys = await api.projects.serviceAccounts.keys.list({ name: nameOf('key-collector') });
  expect(keys.data.keys).toHaveLength(10);
  expect((await api.projects.roles.list({ parent: PROJECT })).data).toEqual(roles);
  expect((await cloud.call('GET', '/v1/projects/shop-one', undefined, identityOf('too-late'))).status).toBe(
    401,
  );
});
