import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  artifactregistry,
  type artifactregistry_v1,
} from 'googleapis/build/src/apis/artifactregistry/index.js';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Identity } from '../identity.ts';
import { type RunningCloud, startLocalCloud } from '../index.ts';
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../oci.ts';

const dir = mkdtempSync(join(tmpdir(), 'registry-'));
const PARENT = 'projects/p/locations/us-central1';
const PUSHER: Identity = { type: 'serviceAccount', email: 'pusher@p.iam.gserviceaccount.com' };

let running: RunningCloud;
let client: artifactregistry_v1.Artifactregistry;

beforeAll(async () => {
  await start();
  const account = { method: 'POST', body: '{"accountId":"pusher"}' };
  expect((await fetch(`${running.origin}/v1/projects/p/serviceAccounts`, account)).status).toBe(200);
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

async function start(): Promise<void> {
  running = await startLocalCloud({ dir, project: 'p', propagationMs: 0 });
  client = artifactregistry({ version: 'v1', rootUrl: `${running.origin}/`, retry: false });
}

let made = 0;
let id: string;

/** A repository of its own for each test. */
beforeEach(async () => {
  id = `r${++made}`;
  await create(id);
});

async function create(repositoryId: string, requestBody: object = {}, parent = PARENT): Promise<unknown> {
  const { data: operation } = await client.projects.locations.repositories.create({
    parent,
    repositoryId,
    requestBody: { format: 'DOCKER', ...requestBody },
  });
  return finished(operation.name);
}

async function finished(name: string | null | undefined): Promise<unknown> {
  const operation = await running.cloud.operations.wait(String(name), 10_000, new AbortController().signal);
  return operation.error ?? operation.response;
}

const repository = (name = id) => `${PARENT}/repositories/${name}`;

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

async function registry(
  method: string,
  path: string,
  init: RequestInit & { token?: string } = {},
): Promise<Answer> {
  const { token, headers, ...rest } = init;
  const response = await fetch(new URL(path, running.origin), {
    method,
    headers: { ...headers, ...(token ? { authorization: `Bearer ${token}` } : {}) },
    ...rest,
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const code = (answer: Answer): string => JSON.parse(answer.text).errors[0].code;
const digestOf = (data: string): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;

async function pushBlob(name: string, data: string): Promise<object> {
  const path = `/v2/p/${name}/blobs/uploads/?digest=${digestOf(data)}`;
  expect((await registry('POST', path, { body: data })).status).toBe(201);
  return { mediaType: 'application/octet-stream', digest: digestOf(data), size: data.length };
}

/** Pushes an image of one layer; returns its digest. */
async function push(name: string, tag: string, layer: string, mediaType = OCI_MANIFEST): Promise<string> {
  const config = await pushBlob(name, JSON.stringify({ os: 'linux', created: '2026-01-02T03:04:05Z' }));
  const layers = [await pushBlob(name, layer)];
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers });
  const answer = await registry('PUT', `/v2/p/${name}/manifests/${tag}`, {
    body,
    headers: { 'content-type': mediaType },
  });
  expect([answer.status, answer.headers.get('docker-content-digest')]).toEqual([201, digestOf(body)]);
  return digestOf(body);
}

test('a repository is created, told, changed, listed and deleted', async () => {
  const created = await create('team', {
    description: 'ours',
    labels: { env: 'test' },
    mode: 'STANDARD_REPOSITORY',
  });
  expect(created).toMatchObject({
    '@type': 'type.googleapis.com/google.devtools.artifactregistry.v1.Repository',
  });
  const name = repository('team');
  const { data: got } = await client.projects.locations.repositories.get({ name });
  expect(got).toMatchObject({
    name,
    format: 'DOCKER',
    mode: 'STANDARD_REPOSITORY',
    description: 'ours',
    labels: { env: 'test' },
    registryUri: 'us-central1-docker.pkg.dev/p/team',
  });
  const { data: patched } = await client.projects.locations.repositories.patch({
    name,
    updateMask: 'labels,dockerConfig.immutableTags',
    requestBody: { labels: { env: 'prod' }, description: 'ignored', dockerConfig: { immutableTags: true } },
  });
  expect(patched).toMatchObject({
    description: 'ours',
    labels: { env: 'prod' },
    dockerConfig: { immutableTags: true },
  });
  const list = async (params: object) =>
    (await client.projects.locations.repositories.list({ parent: PARENT, ...params })).data;
  expect((await list({ filter: 'labels.env="prod"' })).repositories?.map((one) => one.name)).toEqual([name]);
  expect((await list({ filter: `name="${repository('te*')}"` })).repositories).toHaveLength(1);
  const first = await list({ pageSize: 1 });
  const second = await list({ pageSize: 1, pageToken: first.nextPageToken });
  expect(second.repositories?.[0]?.name).not.toBe(first.repositories?.[0]?.name);
  expect(await list({ parent: 'projects/p/locations/europe-west1' })).toEqual({});
  const { data: removed } = await client.projects.locations.repositories.delete({ name });
  expect(await finished(removed.name)).toEqual({ '@type': 'type.googleapis.com/google.protobuf.Empty' });
  await expect(client.projects.locations.repositories.get({ name })).rejects.toMatchObject({ status: 404 });
});

test.each([
  ['a bad id', 'Bad_Id', {}, 400],
  ['another format', 'maven', { format: 'MAVEN' }, 400],
  ['no format', 'nothing', { format: undefined }, 400],
  ['another mode', 'remote', { mode: 'REMOTE_REPOSITORY' }, 400],
  ['a bad label', 'labels', { labels: { Big: 'x' } }, 400],
  ['an unknown field', 'field', { colour: 'red' }, 400],
])('a repository with %s is refused', async (_what, repositoryId, body, status) => {
  await expect(create(repositoryId, body)).rejects.toMatchObject({ status });
});

test('what exists is not created twice, and not in a place that does not exist', async () => {
  await expect(create(id)).rejects.toMatchObject({ status: 409 });
  await expect(create('x', {}, 'projects/p/locations/moon')).rejects.toMatchObject({ status: 403 });
});

test('locations are told, also where gcloud asks for them', async () => {
  for (const version of ['v1', 'v1beta2']) {
    const answer = await registry('GET', `/${version}/projects/p/locations`);
    const ids = JSON.parse(answer.text).locations.map((one: { locationId: string }) => one.locationId);
    expect(ids).toContain('us-central1');
  }
});

test('an image that was pushed is pulled byte for byte, by tag and by digest', async () => {
  const digest = await push(`${id}/team/api`, 'v1', 'layer one');
  for (const reference of ['v1', digest]) {
    const head = await registry('HEAD', `/v2/p/${id}/team/api/manifests/${reference}`);
    const got = await registry('GET', `/v2/p/${id}/team/api/manifests/${reference}`);
    expect(head.headers.get('docker-content-digest')).toBe(digest);
    expect(head.headers.get('content-length')).toBe(String(got.text.length));
    expect(got.headers.get('content-type')).toBe(OCI_MANIFEST);
    expect(digestOf(got.text)).toBe(digest);
  }
  const blob = `/v2/p/${id}/team/api/blobs/${digestOf('layer one')}`;
  expect((await registry('HEAD', blob)).headers.get('content-length')).toBe('9');
  expect((await registry('GET', blob)).text).toBe('layer one');
  const part = await registry('GET', blob, { headers: { range: 'bytes=6-' } });
  expect([part.status, part.text, part.headers.get('content-range')]).toEqual([206, 'one', 'bytes 6-8/9']);
  expect(JSON.parse((await registry('GET', `/v2/p/${id}/team/api/tags/list`)).text)).toEqual({
    name: `p/${id}/team/api`,
    tags: ['v1'],
  });
});

test('a blob arrives in chunks; gaps and wrong digests are refused', async () => {
  const begun = await registry('POST', `/v2/p/${id}/img/blobs/uploads/`);
  expect([begun.status, begun.headers.get('range')]).toEqual([202, '0-0']);
  const at = begun.headers.get('location') ?? '';
  const chunk = (body: string, range: string) =>
    registry('PATCH', at, { body, headers: { 'content-range': range } });
  expect((await chunk('hello ', '0-5')).headers.get('range')).toBe('0-5');
  const gap = await chunk('!', '9-9');
  expect([gap.status, code(gap)]).toEqual([416, 'BLOB_UPLOAD_INVALID']);
  expect((await registry('GET', at)).headers.get('range')).toBe('0-5');
  expect((await chunk('wor', '6-8')).status).toBe(202);
  const done = await registry('PUT', `${at}?digest=${digestOf('hello world')}`, { body: 'ld' });
  expect([done.status, done.headers.get('docker-content-digest')]).toEqual([201, digestOf('hello world')]);
  expect((await registry('GET', done.headers.get('location') ?? '')).text).toBe('hello world');
  expect(code(await registry('GET', at))).toBe('BLOB_UPLOAD_UNKNOWN');

  const wrong = await registry('POST', `/v2/p/${id}/img/blobs/uploads/?digest=${digestOf('this')}`, {
    body: 'that',
  });
  expect([wrong.status, code(wrong)]).toEqual([400, 'DIGEST_INVALID']);
  expect((await registry('HEAD', `/v2/p/${id}/img/blobs/${digestOf('that')}`)).status).toBe(404);
  const other = await registry('POST', `/v2/p/${id}/img/blobs/uploads/?digest=sha512:00`, { body: 'that' });
  expect(code(other)).toBe('DIGEST_INVALID');
});

test('a blob is mounted from another repository, and uploaded when it is not there', async () => {
  await create(`${id}-other`);
  await pushBlob(`${id}/img`, 'shared layer');
  const mount = (digest: string) =>
    registry('POST', `/v2/p/${id}-other/img/blobs/uploads/?mount=${digest}&from=p/${id}/img`);
  expect((await registry('HEAD', `/v2/p/${id}-other/img/blobs/${digestOf('shared layer')}`)).status).toBe(
    404,
  );
  expect((await mount(digestOf('shared layer'))).status).toBe(201);
  expect((await registry('GET', `/v2/p/${id}-other/img/blobs/${digestOf('shared layer')}`)).text).toBe(
    'shared layer',
  );
  expect((await mount(digestOf('nowhere'))).status).toBe(202);
});

test('a manifest that is broken, or names what was not pushed, is refused', async () => {
  const put = (reference: string, body: string, type = OCI_MANIFEST) =>
    registry('PUT', `/v2/p/${id}/img/manifests/${reference}`, { body, headers: { 'content-type': type } });
  const descriptor = { digest: digestOf('nowhere'), size: 1 };
  const missing = JSON.stringify({ schemaVersion: 2, config: descriptor, layers: [] });
  expect(code(await put('v1', missing))).toBe('MANIFEST_BLOB_UNKNOWN');
  expect(
    code(await put('v1', JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }), OCI_INDEX)),
  ).toBe('MANIFEST_BLOB_UNKNOWN');
  expect(code(await put('v1', '{'))).toBe('MANIFEST_INVALID');
  expect(code(await put('v1', missing, 'text/plain'))).toBe('MANIFEST_INVALID');
  const fine = JSON.stringify({ schemaVersion: 2, config: await pushBlob(`${id}/img`, '{}'), layers: [] });
  expect(code(await put('-tag', fine))).toBe('TAG_INVALID');
  expect(code(await put(digestOf('other'), fine))).toBe('DIGEST_INVALID');
  expect((await put(digestOf(fine), fine)).status).toBe(201);
});

test('names that lead nowhere are told apart', async () => {
  const of = async (path: string) => {
    const answer = await registry('GET', path);
    return [answer.status, code(answer)];
  };
  expect(await of(`/v2/p/${id}/manifests/latest`)).toEqual([400, 'NAME_INVALID']);
  expect(await of(`/v2/p/${id}/Big/manifests/latest`)).toEqual([400, 'NAME_INVALID']);
  expect(await of('/v2/p/none/img/manifests/latest')).toEqual([404, 'NAME_UNKNOWN']);
  expect(await of(`/v2/p/${id}/img/tags/list`)).toEqual([404, 'NAME_UNKNOWN']);
  expect(await of(`/v2/p/${id}/img/manifests/latest`)).toEqual([404, 'MANIFEST_UNKNOWN']);
  expect(await of(`/v2/p/${id}/img/blobs/${digestOf('nowhere')}`)).toEqual([404, 'BLOB_UNKNOWN']);
});

test('one id in two locations is told apart by the host', async () => {
  await create(id, {}, 'projects/p/locations/europe-west1');
  const path = `/v2/p/${id}/img/blobs/uploads/?digest=${digestOf('')}`;
  expect(code(await registry('POST', path))).toBe('NAME_INVALID');
  const status = await new Promise((resolve, reject) => {
    const host = 'europe-west1-docker.pkg.dev';
    request(new URL(path, running.origin), { method: 'POST', headers: { host } }, (answer) => {
      resolve(answer.statusCode);
      answer.resume();
    })
      .on('error', reject)
      .end();
  });
  expect(status).toBe(201);
});

test('tags come in pages, and images go when nothing names them', async () => {
  for (const tag of ['a', 'b', 'c']) await push(`${id}/img`, tag, `layer ${tag}`);
  const first = await registry('GET', `/v2/p/${id}/img/tags/list?n=2`);
  expect(JSON.parse(first.text).tags).toEqual(['a', 'b']);
  const next = /<(.+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
  expect(JSON.parse((await registry('GET', next)).text).tags).toEqual(['c']);

  const digest = await push(`${id}/img`, 'd', 'layer a');
  const manifest = (reference: string) => registry('DELETE', `/v2/p/${id}/img/manifests/${reference}`);
  expect(code(await manifest(digest))).toBe('GOOGLE_MANIFEST_DANGLING_TAG');
  expect([
    (await manifest('a')).status,
    (await manifest('d')).status,
    (await manifest(digest)).status,
  ]).toEqual([202, 202, 202]);
  expect((await registry('HEAD', `/v2/p/${id}/img/blobs/${digestOf('layer a')}`)).status).toBe(404);
  expect((await registry('HEAD', `/v2/p/${id}/img/blobs/${digestOf('layer b')}`)).status).toBe(200);
});

test('an index keeps its images, and a machine gets the one that fits', async () => {
  const child = await push(`${id}/img`, 'child', 'for this machine', DOCKER_MANIFEST);
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [
      { mediaType: DOCKER_MANIFEST, digest: child, size: 1, platform: { os: 'linux', architecture: arch } },
    ],
  });
  const put = { body: index, headers: { 'content-type': OCI_INDEX } };
  expect((await registry('PUT', `/v2/p/${id}/img/manifests/multi`, put)).status).toBe(201);
  await registry('DELETE', `/v2/p/${id}/img/manifests/child`);
  expect(code(await registry('DELETE', `/v2/p/${id}/img/manifests/${child}`))).toBe(
    'GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE',
  );
  const { data } = await client.projects.locations.repositories.dockerImages.list({ parent: repository() });
  expect(data.dockerImages).toMatchObject([
    { tags: ['multi'], imageManifests: [{ digest: child, os: 'linux' }] },
  ]);
});

test('the API tells images, packages, versions and tags', async () => {
  const digest = await push(`${id}/team/api`, 'v1', 'some layer');
  const { repositories } = client.projects.locations;
  const name = `${repository()}/packages/team%2Fapi`;
  const { data: images } = await repositories.dockerImages.list({ parent: repository() });
  expect(images.dockerImages).toMatchObject([
    {
      name: `${repository()}/dockerImages/team%2Fapi@${digest}`,
      uri: `us-central1-docker.pkg.dev/p/${id}/team/api@${digest}`,
      tags: ['v1'],
      mediaType: OCI_MANIFEST,
      buildTime: '2026-01-02T03:04:05Z',
    },
  ]);
  const imageName = images.dockerImages?.[0]?.name ?? '';
  expect((await repositories.dockerImages.get({ name: imageName })).data.uri).toContain(digest);
  expect((await repositories.packages.list({ parent: repository() })).data.packages).toMatchObject([
    { name },
  ]);
  const { data: versions } = await repositories.packages.versions.list({ parent: name, view: 'FULL' });
  expect(versions.versions).toMatchObject([
    {
      name: `${name}/versions/${digest}`,
      relatedTags: [{ name: `${name}/tags/v1` }],
      metadata: { mediaType: OCI_MANIFEST },
    },
  ]);
  const version = `${name}/versions/${digest}`;
  const tag = { parent: name, tagId: 'stable', requestBody: { version } };
  expect((await repositories.packages.tags.create(tag)).data).toEqual({
    name: `${name}/tags/stable`,
    version,
  });
  await expect(repositories.packages.tags.create(tag)).rejects.toMatchObject({ status: 409 });
  await expect(repositories.packages.versions.delete({ name: version })).rejects.toMatchObject({
    status: 400,
  });
  await repositories.packages.tags.delete({ name: `${name}/tags/stable` });
  expect((await repositories.packages.tags.list({ parent: name })).data.tags).toHaveLength(1);
  const { data: removed } = await repositories.packages.versions.delete({ name: version, force: true });
  await finished(removed.name);
  await expect(repositories.packages.get({ name })).rejects.toMatchObject({ status: 404 });
});

test('immutable tags neither move nor go', async () => {
  await client.projects.locations.repositories.patch({
    name: repository(),
    updateMask: 'dockerConfig',
    requestBody: { dockerConfig: { immutableTags: true } },
  });
  const digest = await push(`${id}/img`, 'v1', 'first');
  expect(await push(`${id}/img`, 'v1', 'first')).toBe(digest);
  const config = await pushBlob(`${id}/img`, '{"other":1}');
  const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] });
  const headers = { 'content-type': OCI_MANIFEST };
  expect(code(await registry('PUT', `/v2/p/${id}/img/manifests/v1`, { body, headers }))).toBe('DENIED');
  expect(code(await registry('DELETE', `/v2/p/${id}/img/manifests/v1`))).toBe('DENIED');
  const version = `${repository()}/packages/img/versions/${digest}`;
  const { versions } = client.projects.locations.repositories.packages;
  await expect(versions.delete({ name: version, force: true })).rejects.toMatchObject({ status: 400 });
});

test('credentials: a challenge, a token for them, and what they may', async () => {
  const challenge = await registry('GET', '/v2/');
  expect([challenge.status, code(challenge)]).toEqual([401, 'UNAUTHORIZED']);
  const realm =
    /^Bearer realm="([^"]+)",service="[^"]+"$/.exec(challenge.headers.get('www-authenticate') ?? '')?.[1] ??
    '';
  const basic = (user: string, password: string) =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const tokenFor = async (headers: Record<string, string>): Promise<string> =>
    JSON.parse((await registry('GET', realm, { headers })).text).token;

  expect((await registry('GET', '/v2/', { token: await tokenFor({}) })).status).toBe(200);
  const key = await registry('GET', '/v2/', { headers: { authorization: basic('_json_key', '{}') } });
  expect([key.status, code(key)]).toEqual([401, 'UNAUTHORIZED']);
  expect((await registry('GET', `/v2/p/${id}/img/tags/list`, { token: 'nonsense' })).status).toBe(401);

  const access = running.cloud.tokens.access(PUSHER, 60);
  const token = await tokenFor({ authorization: basic('oauth2accesstoken', access) });
  const upload = () =>
    registry('POST', `/v2/p/${id}/img/blobs/uploads/?digest=${digestOf('x')}`, { token, body: 'x' });
  const denied = await upload();
  expect([denied.status, code(denied)]).toEqual([403, 'DENIED']);
  expect(denied.text).toContain('artifactregistry.repositories.uploadArtifacts');
  await client.projects.locations.repositories.setIamPolicy({
    resource: repository(),
    requestBody: {
      policy: {
        bindings: [{ role: 'roles/artifactregistry.writer', members: [`serviceAccount:${PUSHER.email}`] }],
      },
    },
  });
  expect((await upload()).status).toBe(201);
  expect((await registry('DELETE', `/v2/p/${id}/img/blobs/${digestOf('x')}`, { token })).status).toBe(403);
  const { data: policy } = await client.projects.locations.repositories.getIamPolicy({
    resource: repository(),
  });
  expect(policy.bindings).toHaveLength(1);
});

test('images survive a restart', async () => {
  const digest = await push(`${id}/img`, 'v1', 'lasting');
  await running.stop();
  await start();
  expect((await registry('GET', `/v2/p/${id}/img/manifests/v1`)).headers.get('docker-content-digest')).toBe(
    digest,
  );
  expect((await registry('GET', `/v2/p/${id}/img/blobs/${digestOf('lasting')}`)).text).toBe('lasting');
});
