import { ProjectsClient } from '@google-cloud/resource-manager';
import { credentials } from '@grpc/grpc-js';
import {
  cloudresourcemanager,
  type cloudresourcemanager_v3,
} from 'googleapis/build/src/apis/cloudresourcemanager/index.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEVELOPER, type Identity } from '../identity.ts';
import type { JsonObject } from '../json.ts';
import { startTestCloud, type TestCloud } from '../testing.ts';

const DAY = 24 * 3_600_000;
const ANN: Identity = { type: 'user', email: 'ann@example.com' };
const OWNER = { role: 'roles/owner', members: [`user:${DEVELOPER.email}`] };

let cloud: TestCloud;
let v3: cloudresourcemanager_v3.Cloudresourcemanager;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: 60_000 });
  v3 = cloudresourcemanager({ version: 'v3', rootUrl: `${cloud.origin()}/`, retry: false });
});
afterAll(() => cloud.end());

const numberOf = (projectId: string): string => cloud.running().cloud.projects.get(projectId).number;
const done = async (name: unknown, version = 'v3'): Promise<JsonObject> => {
  const { json } = await cloud.call('GET', `/${version}/${name}`);
  expect(json.done).toBe(true);
  return json;
};

/** Google's own client, on either wire. An API key, which nobody looks at here, keeps it from looking for credentials. */
function client(wire: 'rest' | 'grpc'): ProjectsClient {
  const { port } = cloud.running();
  const common = { apiEndpoint: '127.0.0.1', port, projectId: 'shop-one', apiKey: 'none' };
  if (wire === 'grpc') return new ProjectsClient({ ...common, sslCreds: credentials.createInsecure() });
  return new ProjectsClient({ ...common, fallback: true, protocol: 'http' });
}

test.each(['rest', 'grpc'] as const)("Google's client creates and finds a project over %s", async (wire) => {
  const projects = client(wire);
  const projectId = `made-by-${wire}`;
  const [operation] = await projects.createProject({ project: { projectId, labels: { team: 'a' } } });
  const [created] = await operation.promise();
  expect(created).toMatchObject({
    projectId,
    name: `projects/${numberOf(projectId)}`,
    displayName: projectId,
  });
  const [found] = await projects.getProject({ name: `projects/${projectId}` });
  expect(found).toMatchObject({ projectId, labels: { team: 'a' } });
  const [policy] = await projects.getIamPolicy({ resource: `projects/${projectId}` });
  expect(policy.bindings).toEqual([expect.objectContaining({ role: 'roles/owner' })]);
  const names: (string | null | undefined)[] = [];
  for await (const project of projects.searchProjectsAsync(
    { query: 'labels.team:a' },
    { autoPaginate: false },
  ))
    names.push(project.projectId);
  expect(names).toContain(projectId);
  await projects.close();
});

test('a new project has an owner and what Google enables, in effect at once', async () => {
  const { data } = await v3.projects.create({ requestBody: { projectId: 'fresh-one' } });
  const operation = await done(data.name);
  expect(operation.response).toMatchObject({ projectId: 'fresh-one', state: 'ACTIVE' });
  const { cloud: inner } = cloud.running();
  expect(inner.projects.answers('fresh-one', 'storage.googleapis.com')).toBe(true);
  expect(inner.projects.isEnabled('fresh-one', 'run.googleapis.com')).toBe(false);
  const tested = await v3.projects.testIamPermissions({
    resource: 'projects/fresh-one',
    requestBody: { permissions: ['resourcemanager.projects.delete', 'iam.serviceAccounts.signJwt'] },
  });
  expect(tested.data.permissions).toEqual(['resourcemanager.projects.delete']);
});

test('projects that Google refuses are refused', async () => {
  const create = (requestBody: cloudresourcemanager_v3.Schema$Project) => v3.projects.create({ requestBody });
  for (const projectId of ['short', 'Capital-one', 'ends-in-', '1-digit-first', 'x'.repeat(31)]) {
    await expect(create({ projectId })).rejects.toMatchObject({ status: 400 });
  }
  await expect(create({ projectId: 'shop-one' })).rejects.toMatchObject({ status: 409 });
  await expect(create({ projectId: 'good-name', displayName: 'abc' })).rejects.toMatchObject({ status: 400 });
  await expect(create({ projectId: 'good-name', labels: { Upper: 'x' } })).rejects.toMatchObject({
    status: 400,
  });
  await expect(create({ projectId: 'good-name', parent: 'folders/1' })).rejects.toMatchObject({
    status: 403,
  });
  const account: Identity = { type: 'serviceAccount', email: 'a@shop-one.iam.gserviceaccount.com' };
  const made = await cloud.call('POST', '/v3/projects', { projectId: 'good-name' }, account);
  expect(made).toMatchObject({
    status: 403,
    json: { error: { message: 'Service accounts cannot create projects without a parent.' } },
  });
});

test('a missing project is refused like a forbidden one, and nothing is told of it', async () => {
  await expect(v3.projects.get({ name: 'projects/nowhere' })).rejects.toMatchObject({ status: 403 });
  await expect(
    v3.projects.getIamPolicy({ resource: 'projects/nowhere', requestBody: {} }),
  ).rejects.toMatchObject({ status: 403 });
  const tested = await v3.projects.testIamPermissions({
    resource: 'projects/nowhere',
    requestBody: { permissions: ['resourcemanager.projects.get'] },
  });
  expect(tested.data.permissions).toBeUndefined();
});

test('a project is changed, by whoever has seen its last state', async () => {
  await v3.projects.create({ requestBody: { projectId: 'to-change' } });
  const name = 'projects/to-change';
  const { data: before } = await v3.projects.get({ name });
  const { data } = await v3.projects.patch({
    name,
    updateMask: 'displayName,labels',
    requestBody: { displayName: 'Changed', labels: { env: 'test' }, etag: before.etag ?? '' },
  });
  expect((await done(data.name)).response).toMatchObject({ displayName: 'Changed', labels: { env: 'test' } });
  const stale = v3.projects.patch({ name, requestBody: { displayName: 'Late', etag: before.etag ?? '' } });
  await expect(stale).rejects.toMatchObject({ status: 409 });
  await expect(v3.projects.patch({ name, updateMask: 'state', requestBody: {} })).rejects.toMatchObject({
    status: 400,
  });
});

test('a deleted project refuses all its APIs, until it is undeleted', async () => {
  await v3.projects.create({ requestBody: { projectId: 'short-lived' } });
  const { cloud: inner } = cloud.running();
  inner.projects.enable('short-lived', 'iam.googleapis.com', 0);
  const list = () => cloud.call('GET', '/v1/projects/short-lived/serviceAccounts');
  expect((await list()).status).toBe(200);
  const { data } = await v3.projects.delete({ name: 'projects/short-lived' });
  expect((await done(data.name)).response).toMatchObject({ state: 'DELETE_REQUESTED' });
  expect(await list()).toMatchObject({
    status: 403,
    json: { error: { message: "Project 'short-lived' has been deleted." } },
  });
  await v3.projects.delete({ name: 'projects/short-lived' });
  await v3.projects.undelete({ name: 'projects/short-lived', requestBody: {} });
  expect((await list()).status).toBe(200);
  await v3.projects.delete({ name: 'projects/short-lived' });
  cloud.pass(31 * DAY);
  await expect(v3.projects.undelete({ name: 'projects/short-lived', requestBody: {} })).rejects.toMatchObject(
    { status: 400 },
  );
});

test('policies are written by id, by number and by either version, and read the same', async () => {
  const bindings = [OWNER, { role: 'roles/viewer', members: ['user:ann@example.com'] }];
  await v3.projects.create({ requestBody: { projectId: 'with-policy' } });
  const number = numberOf('with-policy');
  await v3.projects.setIamPolicy({ resource: `projects/${number}`, requestBody: { policy: { bindings } } });
  const old = await cloud.call('POST', '/v1/projects/with-policy:getIamPolicy', {});
  expect(old.json.bindings).toEqual(bindings);
  const { data } = await v3.projects.getIamPolicy({ resource: 'projects/with-policy', requestBody: {} });
  expect(data).toEqual(old.json);
  const see = () => cloud.call('GET', '/v3/projects/with-policy', undefined, ANN);
  expect((await see()).status).toBe(403);
  cloud.pass(60_000);
  expect((await see()).status).toBe(200);
  expect((await cloud.call('DELETE', '/v3/projects/with-policy', undefined, ANN)).status).toBe(403);
});

test('a project is never public, and never without an owner', async () => {
  const write = (bindings: object[]) =>
    cloud.call('POST', '/v1/projects/shop-one:setIamPolicy', { policy: { bindings } });
  expect((await write([OWNER, { role: 'roles/viewer', members: ['allUsers'] }])).status).toBe(400);
  expect(await write([])).toMatchObject({
    status: 400,
    json: { error: { details: [{ type: 'SOLO_REQUIRE_TOS_ACCEPTOR' }] } },
  });
});

test('each caller finds what it may see, by what it asks for', async () => {
  await v3.projects.create({
    requestBody: { projectId: 'find-me', displayName: 'Find me', labels: { x: 'y' } },
  });
  const search = async (query: string) =>
    (await v3.projects.search({ query })).data.projects?.map(({ projectId }) => projectId);
  expect(await search('id:FIND-*')).toEqual(['find-me']);
  expect(await search('displayName="find me" state:ACTIVE labels.x:y')).toEqual(['find-me']);
  expect(await search('labels.x:z')).toBeUndefined();
  await expect(search('color:red')).rejects.toMatchObject({ status: 400 });
  const hers = await cloud.call('GET', '/v1/projects?filter=lifecycleState:ACTIVE', undefined, ANN);
  expect((hers.json.projects as JsonObject[]).map(({ projectId }) => projectId)).toEqual(['with-policy']);
  const first = await cloud.call('GET', '/v1/projects?pageSize=1');
  const second = await cloud.call('GET', `/v1/projects?pageSize=1&pageToken=${first.json.nextPageToken}`);
  expect(second.json.projects).toHaveLength(1);
  expect(second.json.projects).not.toEqual(first.json.projects);
});

test('v1 does what gcloud asks of it', async () => {
  const created = await cloud.call('POST', '/v1/projects', { projectId: 'old-style', name: 'Old style' });
  expect((await done(created.json.name, 'v1')).response).toMatchObject({ lifecycleState: 'ACTIVE' });
  const get = () => cloud.call('GET', '/v1/projects/old-style');
  expect((await get()).json).toEqual({
    projectId: 'old-style',
    projectNumber: numberOf('old-style'),
    name: 'Old style',
    lifecycleState: 'ACTIVE',
    createTime: expect.any(String),
  });
  await cloud.call('PUT', '/v1/projects/old-style', { name: 'New name', labels: { a: 'b' } });
  expect((await get()).json).toMatchObject({ name: 'New name', labels: { a: 'b' } });
  expect((await cloud.call('PUT', '/v1/projects/old-style', { nmae: 'x' })).status).toBe(400);
  await cloud.call('DELETE', '/v1/projects/old-style');
  expect((await get()).json.lifecycleState).toBe('DELETE_REQUESTED');
  await cloud.call('POST', '/v1/projects/old-style:undelete', {});
  expect((await get()).json.lifecycleState).toBe('ACTIVE');
});

test('projects and policies are there after a restart', async () => {
  const before = await cloud.call('GET', '/v1/projects');
  const policy = await cloud.call('POST', '/v1/projects/with-policy:getIamPolicy', {});
  await cloud.restart();
  expect((await cloud.call('GET', '/v1/projects')).json).toEqual(before.json);
  expect((await cloud.call('POST', '/v1/projects/with-policy:getIamPolicy', {})).json).toEqual(policy.json);
});
