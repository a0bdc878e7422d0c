import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { gunzipSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { cloudbuild, type cloudbuild_v1 } from 'googleapis/build/src/apis/cloudbuild/index.js';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Identity } from '../identity.ts';
import { type RunningCloud, startLocalCloud } from '../index.ts';
import type { JsonObject } from '../json.ts';
import { loadShapes, messageOf, toJson } from '../shapes.ts';
import { type NpmRegistry, openNpmRegistry } from './cloud-build/npm-registry.fixture.ts';
import { sourceOf, tarOf } from './cloud-build/tar.fixture.ts';

type Build = cloudbuild_v1.Schema$Build;

const dir = mkdtempSync(join(tmpdir(), 'build-'));
const tools = join(dir, 'tools');
const REPOSITORY = 'us-central1-docker.pkg.dev/p/images';
const BUILDER = 'builder@p.iam.gserviceaccount.com';
const HELLO = {
  'package.json': { name: 'hello', scripts: { start: 'node server.js' } },
  'server.js': 'console.log("hello");\n',
};

/** What the developer's shell has. */
const machine: Readonly<Record<string, string | undefined>> = { ...env };

/** Waits of exactly this long end when the test says so. */
const ON_CALL = 12_345_000;
const due: (() => void)[] = [];
const clock: Clock = {
  ...systemClock,
  after(ms, task) {
    if (ms !== ON_CALL) return systemClock.after(ms, task);
    due.push(task);
    return () => {};
  },
};

let running: RunningCloud;
let client: cloudbuild_v1.Cloudbuild;
let npm: NpmRegistry;

beforeAll(async () => {
  npm = await openNpmRegistry();
  mkdirSync(tools);
  await start();
  await api('POST', '/storage/v1/b?project=p', { name: 'source' });
  await api('POST', '/storage/v1/b?project=p', { name: 'logs' });
  await api('POST', '/v1/projects/p/locations/us-central1/repositories?repositoryId=images', {
    format: 'DOCKER',
  });
  for (const accountId of ['builder', 'nobody', 'caller']) {
    await api('POST', '/v1/projects/p/serviceAccounts', { accountId });
  }
  grant('roles/cloudbuild.builds.builder', BUILDER);
});

afterAll(async () => {
  await running.stop();
  npm.close();
  rmSync(dir, { recursive: true });
});

afterEach(() => {
  due.length = 0;
});

async function start(): Promise<void> {
  running = await startLocalCloud({
    dir: join(dir, 'cloud'),
    project: 'p',
    propagationMs: 0,
    clock,
    environment: { ...machine, PATH: `${tools}:${machine.PATH}`, NPM_CONFIG_REGISTRY: npm.url },
  });
  client = cloudbuild({ version: 'v1', rootUrl: `${running.origin}/`, retry: false });
}

async function api(method: string, path: string, body?: object): Promise<JsonObject> {
  const data = body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body);
  const answer = await fetch(running.origin + path, { method, ...(body ? { body: data } : {}) });
  expect([path, answer.status]).toEqual([path, 200]);
  return (await answer.json()) as JsonObject;
}

function grant(role: string, email: string): void {
  const { bindings, version } = running.cloud.iam.policy('projects/p', 3);
  const added = { role, members: [`serviceAccount:${email}`] };
  running.cloud.iam.setPolicy('projects/p', { bindings: [...bindings, added], version });
}

let sent = 0;

async function stage(source: Buffer): Promise<object> {
  const object = `source-${++sent}.tgz`;
  await api('POST', `/upload/storage/v1/b/source/o?uploadType=media&name=${object}`, source);
  return { storageSource: { bucket: 'source', object } };
}

const pack = (image: string, ...args: string[]) => ({
  name: 'gcr.io/k8s-skaffold/pack',
  entrypoint: 'pack',
  args: ['build', image, '--network', 'cloudbuild', ...args],
});

interface Asked extends Build {
  /** What to build instead of HELLO. */
  files?: Record<string, string | object>;
  image?: string;
  packArgs?: string[];
}

async function submit({
  files,
  image = `${REPOSITORY}/app`,
  packArgs = [],
  ...more
}: Asked = {}): Promise<string> {
  const requestBody: Build = {
    source: await stage(await sourceOf(files ?? HELLO)),
    steps: [pack(image, ...packArgs)],
    images: [image],
    serviceAccount: `projects/p/serviceAccounts/${BUILDER}`,
    options: { logging: 'CLOUD_LOGGING_ONLY' },
    ...more,
  };
  const { data } = await client.projects.builds.create({ projectId: 'p', requestBody });
  expect(data.name).toMatch(/^operations\/build\/p\/.+/);
  return String((data.metadata as { build: Build }).build.id);
}

async function get(id: string): Promise<Build> {
  return (await client.projects.builds.get({ projectId: 'p', id })).data;
}

/** Submits, and waits for the end. */
async function build(asked: Asked = {}): Promise<Build> {
  return ended(await submit(asked));
}

function ended(id: string): Promise<Build> {
  return until(id, (found) => found.finishTime != null);
}

function until(id: string, is: (found: Build) => boolean): Promise<Build> {
  return vi.waitFor(
    async () => {
      const found = await get(id);
      expect(is(found), JSON.stringify(found)).toBe(true);
      return found;
    },
    { timeout: 20_000, interval: 20 },
  );
}

async function logOf({ logUrl }: Build): Promise<string> {
  return (await fetch(String(logUrl))).text();
}

/** The image as a registry's client sees it: its configuration, and its files in order. */
async function pull(
  built: Build,
): Promise<{ config: { [key: string]: unknown }; files: string[]; layers: string[] }> {
  const [image] = built.results?.images ?? [];
  const path = `${running.origin}/v2/${String(image?.name).replace(/^[^/]+\/|:.*$/g, '')}`;
  const manifest = JSON.parse(await (await fetch(`${path}/manifests/${image?.digest}`)).text());
  const blob = async (digest: string) =>
    Buffer.from(await (await fetch(`${path}/blobs/${digest}`)).arrayBuffer());
  const layers: string[] = manifest.layers.map((layer: { digest: string }) => layer.digest);
  const tars = await Promise.all(layers.map(async (digest) => gunzipSync(await blob(digest))));
  return {
    config: JSON.parse((await blob(manifest.config.digest)).toString()).config,
    files: tars.flatMap((tar) => namesIn(tar)),
    layers,
  };
}

/** The names in a tar archive of short names. */
function namesIn(tar: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at < tar.length && tar[at] !== 0; ) {
    names.push(
      tar
        .subarray(at, at + 100)
        .toString()
        .replace(/\0.*$/s, ''),
    );
    const size = Number.parseInt(tar.subarray(at + 124, at + 136).toString(), 8);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return names;
}

test('source becomes an image, and the same source the same image', async () => {
  const first = await build({ tags: ['one'], packArgs: ['--env', 'A=b'] });
  expect(first).toMatchObject({
    status: 'SUCCESS',
    projectId: 'p',
    steps: [{ status: 'SUCCESS' }],
    results: { images: [{ name: `${REPOSITORY}/app`, digest: expect.stringMatching(/^sha256:/) }] },
    sourceProvenance: {
      resolvedStorageSource: { bucket: 'source', generation: expect.stringMatching(/^\d+$/) },
    },
    timeout: '3600s',
  });
  expect(Object.keys(first.timing ?? {}).sort()).toEqual(['BUILD', 'FETCHSOURCE', 'PUSH']);
  const image = await pull(first);
  expect(image.config).toMatchObject({ Entrypoint: ['node', 'server.js'], WorkingDir: '/workspace' });
  expect(image.files).toEqual(['workspace/', 'workspace/package.json', 'workspace/server.js']);
  const second = await build();
  expect(second.results?.images?.[0]?.digest).toBe(first.results?.images?.[0]?.digest);
  expect(await logOf(first)).toMatch(/FETCHSOURCE[\s\S]*Step #0: ===> DETECTING[\s\S]*PUSH[\s\S]*DONE/);
});

test('dependencies are installed once, as a layer of their own', async () => {
  const files = {
    'package.json': npm.manifest,
    'package-lock.json': npm.lockfile,
    'index.js': 'require("tiny")',
  };
  const first = await build({ files });
  expect([first.status, first.statusDetail]).toEqual(['SUCCESS', undefined]);
  expect(await logOf(first)).toContain('Running "npm ci --omit=dev');
  const before = await pull(first);
  expect(before.files).toContain('workspace/node_modules/tiny/index.js');
  expect(before.config.Entrypoint).toEqual(['node', 'index.js']);
  const second = await build({ files: { ...files, 'index.js': 'console.log(require("tiny"))' } });
  const log = await logOf(second);
  expect(log).toContain('Reusing the dependencies of package-lock.json');
  expect(log).not.toContain('Running');
  const after = await pull(second);
  expect([after.layers[0] === before.layers[0], after.layers[1] === before.layers[1]]).toEqual([true, false]);
  expect(npm.fetched).toHaveLength(1);
});

test('a build script sees the development dependencies, the image does not', async () => {
  const { dependencies, ...manifest } = npm.manifest as { dependencies: object };
  const root = {
    ...manifest,
    main: './dist/app.js',
    devDependencies: dependencies,
    scripts: { build: 'node make.js' },
  };
  const locked = npm.lockfile as { packages: Record<string, object> };
  const packages = {
    ...locked.packages,
    '': root,
    'node_modules/tiny': { ...locked.packages['node_modules/tiny'], dev: true },
  };
  const files = {
    'package.json': root,
    'package-lock.json': { ...locked, packages },
    'make.js':
      'const { mkdirSync, writeFileSync } = require("fs"); mkdirSync("dist"); writeFileSync("dist/app.js", String(require("tiny")));',
  };
  const built = await build({ files });
  expect([built.status, built.statusDetail]).toEqual(['SUCCESS', undefined]);
  const image = await pull(built);
  expect(image.config.Entrypoint).toEqual(['node', 'dist/app.js']);
  expect(image.files).toContain('workspace/dist/app.js');
  expect(image.files.filter((name) => name.includes('tiny'))).toEqual([]);
  const again = await build({ files: { ...files, 'extra.txt': 'x' } });
  expect(await logOf(again)).toContain('Reusing the dependencies of package-lock.json');
  expect((await pull(again)).files).toContain('workspace/dist/app.js');
});

test('a start that needs a shell is a script of the image', async () => {
  const files = { ...HELLO, Procfile: 'web: PORT=$PORT node server.js && true\n' };
  const image = await pull(await build({ files }));
  expect(image.config.Entrypoint).toEqual(['/cnb/process/web']);
  expect(image.files).toContain('cnb/process/web');
});

test.each<[string, Asked, string]>([
  [
    'an install that fails',
    {
      files: {
        'package.json': { dependencies: { gone: '1.0.0' } },
        'package-lock.json': {
          name: 'x',
          lockfileVersion: 3,
          packages: {
            '': { dependencies: { gone: '1.0.0' } },
            'node_modules/gone': { version: '1.0.0', resolved: 'gone' },
          },
        },
        'index.js': '',
      },
    },
    '"npm ci --omit=dev',
  ],
  [
    'dependencies without a lockfile',
    { files: { 'package.json': { dependencies: { tiny: '1.0.0' } } } },
    'npm install --package-lock-only',
  ],
  ['nothing to start', { files: { 'package.json': {}, 'lib.js': '' } }, 'Nothing says how to start'],
  [
    'no language',
    { files: { 'go.mod': '' } },
    'No buildpack groups passed detection. Looked in the source for package.json (Node.js is the only language that the local cloud builds) and for a Dockerfile. There is a go.mod: the local cloud does not build Go.',
  ],
  ['a broken package.json', { files: { 'package.json': '{' } }, 'package.json cannot be read'],
  ['a folder that is not there', { packArgs: ['--path', 'nowhere'] }, 'no folder "nowhere"'],
])('%s fails the build and says why', async (_what, asked, message) => {
  const failed = await build(asked);
  expect(failed).toMatchObject({
    status: 'FAILURE',
    failureInfo: {
      type: 'USER_BUILD_STEP',
      detail: expect.stringContaining('build step 0 "gcr.io/k8s-skaffold/pack" failed'),
    },
    steps: [{ status: 'FAILURE' }],
  });
  expect(failed.statusDetail).toContain(message);
  expect(await logOf(failed)).toContain(message);
});

test('an image that no step made is missed; a step may be allowed to fail', async () => {
  const failing = { ...pack(`${REPOSITORY}/app`, '--path', 'nowhere'), allowFailure: true };
  const missed = await build({ steps: [failing] });
  expect(missed).toMatchObject({
    failureInfo: { type: 'PUSH_IMAGE_NOT_FOUND' },
    statusDetail: `failed to find one or more images after execution of build steps: ["${REPOSITORY}/app"]`,
    steps: [{ status: 'FAILURE' }],
  });
});

test('source that is not there, or leads out of its folder, is not fetched', async () => {
  const missing = await build({ source: { storageSource: { bucket: 'source', object: 'none.tgz' } } });
  expect(missing).toMatchObject({ status: 'FAILURE', failureInfo: { type: 'FETCH_SOURCE_FAILED' } });
  const evil = await build({ files: { '../../evil.js': 'x' } });
  expect(evil.statusDetail).toContain('leads out of the archive');
  const zip = await build({ source: await stage(Buffer.from('PK\u0003\u0004'.padEnd(600))) });
  expect(zip).toMatchObject({ status: 'FAILURE', failureInfo: { type: 'FETCH_SOURCE_FAILED' } });
  expect(readdirSync(join(dir, 'cloud')).filter((name) => name.includes('evil'))).toEqual([]);
});

/** A build that says its process ids and then hangs. */
const HANGING: Asked = {
  files: {
    'package.json': { scripts: { start: 'node x', build: 'node hang.js' } },
    'hang.js': 'console.log("pids", process.ppid, process.pid); setInterval(() => {}, 1000);',
  },
};

async function hang(asked: Asked = {}): Promise<{ id: string; pids: number[] }> {
  const id = await submit({ ...HANGING, ...asked });
  const pids = await vi.waitFor(
    async () => {
      const found = /pids (\d+) (\d+)/.exec(await logOf(await get(id)));
      expect(found).not.toBeNull();
      return (found ?? []).slice(1, 3).map(Number);
    },
    { timeout: 20_000, interval: 20 },
  );
  return { id, pids };
}

/** Waits until none of them runs; one that has ended and was not yet buried counts as gone. */
async function gone(pids: readonly number[]): Promise<void> {
  await vi.waitFor(() => {
    const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', pids.join()], { encoding: 'utf8' });
    expect(stdout.split('\n').filter((state) => state !== '' && !state.startsWith('Z'))).toEqual([]);
  }, 10_000);
}

test('cancel ends a working build and all its processes, and a queued one at once', async () => {
  const [one, two] = await Promise.all([hang(), hang()]);
  const late = await submit({ queueTtl: `${ON_CALL / 1000}s` });
  due.shift()?.();
  expect(await ended(late)).toMatchObject({ status: 'EXPIRED' });
  const waiting = await submit();
  expect((await get(waiting)).status).toBe('QUEUED');
  const ongoing = await client.projects.builds.list({
    projectId: 'p',
    filter: 'status="WORKING" OR status="QUEUED"',
  });
  expect(ongoing.data.builds?.map((found) => found.id)).toEqual([
    waiting,
    expect.any(String),
    expect.any(String),
  ]);
  expect((await client.projects.builds.cancel({ projectId: 'p', id: waiting })).data.status).toBe(
    'CANCELLED',
  );
  for (const { id, pids } of [one, two]) {
    const { data } = await client.projects.builds.cancel({ projectId: 'p', id });
    expect(data).toMatchObject({ status: 'CANCELLED', steps: [{ status: 'CANCELLED' }] });
    await gone(pids);
  }
  await expect(client.projects.builds.cancel({ projectId: 'p', id: one.id })).rejects.toMatchObject({
    status: 400,
  });
  expect(readdirSync(join(dir, 'cloud', 'builds'))).toEqual([]);
});

test('timeouts of a build and of a step end its processes', async () => {
  const whole = await hang({ timeout: `${ON_CALL / 1000}s` });
  due.shift()?.();
  expect(await ended(whole.id)).toMatchObject({ status: 'TIMEOUT', steps: [{ status: 'TIMEOUT' }] });
  const step = await hang({ steps: [{ ...pack(`${REPOSITORY}/app`), timeout: `${ON_CALL / 1000}s` }] });
  due.shift()?.();
  expect(await ended(step.id)).toMatchObject({
    status: 'TIMEOUT',
    statusDetail: expect.stringContaining('build step 0'),
  });
  await gone([...whole.pids, ...step.pids]);
});

test('what a build may not do, it does not', async () => {
  const { nobody } = accounts();
  const asNobody = { serviceAccount: `projects/p/serviceAccounts/${nobody}` };
  expect(await build(asNobody)).toMatchObject({ failureInfo: { type: 'FETCH_SOURCE_FAILED' } });
  grant('roles/storage.objectViewer', nobody);
  const unlogged = await build(asNobody);
  expect(unlogged).toMatchObject({
    failureInfo: { type: 'PUSH_NOT_AUTHORIZED' },
    warnings: [{ priority: 'ALERT' }],
  });
  const options = { logging: 'GCS_ONLY' };
  expect(await build({ ...asNobody, options, logsBucket: 'gs://logs' })).toMatchObject({
    failureInfo: { type: 'LOGGING_FAILURE' },
  });
  expect(await build({ image: 'us-central1-docker.pkg.dev/p/none/app' })).toMatchObject({
    failureInfo: { type: 'PUSH_FAILED' },
  });
});

const accounts = () => ({
  nobody: 'nobody@p.iam.gserviceaccount.com',
  caller: 'caller@p.iam.gserviceaccount.com',
});

test('who starts a build needs the right to, and to act as its account', async () => {
  const { caller } = accounts();
  const identity: Identity = { type: 'serviceAccount', email: caller };
  const headers = { authorization: `Bearer ${running.cloud.tokens.access(identity, 60)}` };
  const create = async () => {
    const body = JSON.stringify({
      source: await stage(await sourceOf(HELLO)),
      steps: [pack(`${REPOSITORY}/app`)],
      serviceAccount: `projects/-/serviceAccounts/${BUILDER}`,
      options: { logging: 'NONE' },
    });
    const answer = await fetch(`${running.origin}/v1/projects/p/builds`, { method: 'POST', headers, body });
    return [answer.status, await answer.text()];
  };
  expect(await create()).toEqual([403, expect.stringContaining('cloudbuild.builds.create')]);
  grant('roles/cloudbuild.builds.editor', caller);
  expect(await create()).toEqual([403, expect.stringContaining('iam.serviceAccounts.actAs')]);
  running.cloud.iam.setPolicy(`projects/p/serviceAccounts/${BUILDER}`, {
    bindings: [{ role: 'roles/iam.serviceAccountUser', members: [`serviceAccount:${caller}`] }],
  });
  expect(await create()).toEqual([200, expect.stringContaining('QUEUED')]);
});

test.each<[string, Asked, string]>([
  [
    'an account of its own and no word of logs',
    { options: {} },
    "if 'build.service_account' is specified, the build must either",
  ],
  [
    'another step',
    { steps: [{ name: 'gcr.io/cloud-builders/gcloud', args: ['version'] }] },
    'invalid build step 0 ("gcr.io/cloud-builders/gcloud"): its builder is not supported',
  ],
  ['a script', { steps: [{ name: 'bash', script: 'true' }] }, 'its script is not supported'],
  [
    'another pack command',
    { steps: [{ name: 'gcr.io/k8s-skaffold/pack', args: ['inspect'] }] },
    '"pack inspect" is not supported',
  ],
  ['an unknown flag', { packArgs: ['--descriptor', 'x'] }, '"--descriptor" is not supported'],
  ['a path that leads out', { packArgs: ['--path', '../x'] }, 'outside the source'],
  ['no steps', { steps: [] }, 'no build steps'],
  ['no source', { source: {} }, 'source.storageSource'],
  ['a zip', { source: { storageSource: { bucket: 'source', object: 'x.zip' } } }, 'not .zip'],
  ['an image elsewhere', { image: 'gcr.io/p/app' }, 'Invalid image reference'],
  ['secrets', { availableSecrets: { secretManager: [{ env: 'A', versionName: 'x' }] } }, 'availableSecrets'],
  ['a worker pool', { options: { logging: 'NONE', pool: { name: 'x' } } }, 'options.pool'],
  ['a tag that is none', { tags: ['a b'] }, 'invalid build tag'],
  ['a timeout too long', { timeout: '90000s' }, 'at most 24 hours'],
  ['an unknown variable', { images: ['$_NAME'] }, 'not a valid built-in substitution'],
  ['a variable that is not used', { substitutions: { _NAME: 'x' } }, 'is not matched in the template'],
])('%s is refused', async (_what, asked, message) => {
  await expect(submit(asked)).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining(message),
  });
});

test('variables are replaced, in a region of its own', async () => {
  const image = `us-central1-docker.pkg.dev/$PROJECT_ID/images/app:\${_TAG}-$LOCATION`;
  const { data } = await client.projects.locations.builds.create({
    parent: 'projects/p/locations/europe-west1',
    requestBody: {
      source: await stage(
        await sourceOf({ 'services/api/package.json': { main: 'a.js' }, 'services/api/a.js': '' }),
      ),
      steps: [
        {
          name: 'gcr.io/k8s-skaffold/pack',
          entrypoint: 'pack',
          args: ['config', 'default-builder', 'gcr.io/buildpacks/builder:latest'],
        },
        { ...pack(image, '--path=api'), dir: 'services' },
      ],
      images: [image],
      substitutions: { _TAG: 'v1' },
      serviceAccount: 'projects/$PROJECT_ID/serviceAccounts/builder@$PROJECT_ID.iam.gserviceaccount.com',
      logsBucket: 'gs://logs/deep',
    },
  });
  const { id } = (data.metadata as { build: Build }).build;
  const name = `projects/p/locations/europe-west1/builds/${id}`;
  const operation = await running.cloud.operations.wait(
    String(data.name),
    10_000,
    new AbortController().signal,
  );
  expect(operation).toMatchObject({
    done: true,
    response: { status: 'SUCCESS' },
    metadata: { build: { id } },
  });
  const { data: found } = await client.projects.locations.builds.get({ name });
  expect(found.images).toEqual([`${REPOSITORY}/app:v1-europe-west1`]);
  await expect(get(String(id))).rejects.toMatchObject({ status: 404 });
  const object = encodeURIComponent(`deep/log-${id}.txt`);
  const log = await fetch(`${running.origin}/storage/v1/b/logs/o/${object}?alt=media`);
  expect(await log.text()).toContain('DONE');
});

test('builds are listed by tag, newest first, in pages, and made again', async () => {
  const old = await build({ tags: ['listed', 'old'] });
  const { data: operation } = await client.projects.builds.retry({
    projectId: 'p',
    id: String(old.id),
    requestBody: {},
  });
  const id = String((operation.metadata as { build: Build }).build.id);
  expect((await ended(id)).results?.images?.[0]?.digest).toBe(old.results?.images?.[0]?.digest);
  const list = async (filter: string, more: object = {}) =>
    (await client.projects.builds.list({ projectId: 'p', filter, ...more })).data;
  expect((await list('tags="listed"')).builds?.map((found) => found.id)).toEqual([id, old.id]);
  expect((await list(`tags=listed AND NOT build_id="${id}"`)).builds).toHaveLength(1);
  const first = await list('tags=listed', { pageSize: 1 });
  const second = await list('tags=listed', { pageSize: 1, pageToken: first.nextPageToken });
  expect([first.builds?.[0]?.id, second.builds?.[0]?.id]).toEqual([id, old.id]);
  await expect(list('tags=')).rejects.toMatchObject({ status: 400 });
});

test('Cloud Logging has the lines of a build', async () => {
  const { id } = await build();
  const { entries } = await api('POST', '/v2/entries:list', {
    resourceNames: ['projects/p'],
    filter: `logName="projects/p/logs/cloudbuild" AND resource.type="build" AND resource.labels.build_id="${id}"`,
  });
  expect(entries).toEqual(expect.arrayContaining([expect.objectContaining({ textPayload: 'DONE' })]));
});

test('the default account is told', async () => {
  const { data } = await client.projects.locations.getDefaultServiceAccount({
    name: 'projects/p/locations/global/defaultServiceAccount',
  });
  expect(data.serviceAccountEmail).toMatch(
    /^projects\/p\/serviceAccounts\/\d+-compute@developer\.gserviceaccount\.com$/,
  );
});

test('gRPC tells the same', async () => {
  const protos = [
    'google/devtools/cloudbuild/v1/cloudbuild.proto',
    'google/devtools/artifactregistry/v1/service.proto',
    'google/longrunning/operations.proto',
  ];
  const shapes = loadShapes(protos);
  const caller = new grpc.Client(running.origin.replace('http://', ''), grpc.credentials.createInsecure());
  const call = (serviceName: string, name: string, request: object): Promise<JsonObject> =>
    new Promise((resolve, reject) => {
      const rpc = shapes.service(serviceName).methods[name];
      if (!rpc) throw new Error(name);
      rpc.resolve();
      const asked = messageOf(rpc.resolvedRequestType, rpc);
      const answered = messageOf(rpc.resolvedResponseType, rpc);
      caller.makeUnaryRequest(
        `/${serviceName}/${name}`,
        (message: object) => Buffer.from(asked.encode(asked.fromObject(message)).finish()),
        (bytes: Buffer) => toJson(answered, answered.decode(bytes)),
        request,
        (error, answer) => (answer ? resolve(answer) : reject(error)),
      );
    });
  const done = await build();
  const builds = 'google.devtools.cloudbuild.v1.CloudBuild';
  expect(await call(builds, 'GetBuild', { projectId: 'p', id: done.id })).toMatchObject({
    id: done.id,
    results: { images: [{ digest: done.results?.images?.[0]?.digest }] },
    timing: { PUSH: { endTime: expect.any(String) } },
  });
  const retried = await call(builds, 'RetryBuild', { projectId: 'p', id: done.id });
  expect(retried.metadata).toMatchObject({
    '@type': 'type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata',
  });
  const parent = 'projects/p/locations/us-central1/repositories/images/packages/app';
  const registry = 'google.devtools.artifactregistry.v1.ArtifactRegistry';
  expect(await call(registry, 'ListVersions', { parent, view: 'FULL' })).toMatchObject({
    versions: expect.arrayContaining([
      expect.objectContaining({ metadata: expect.objectContaining({ mediaType: expect.any(String) }) }),
    ]),
  });
  const operation = { name: retried.name };
  await vi.waitFor(
    async () =>
      expect(await call('google.longrunning.Operations', 'GetOperation', operation)).toMatchObject({
        done: true,
        response: { status: 'SUCCESS' },
      }),
    10_000,
  );
  caller.close();
});

const DOCKERFILE: Asked = {
  files: { Dockerfile: 'FROM scratch\n' },
  steps: [
    {
      name: 'gcr.io/cloud-builders/docker',
      args: ['build', '--network', 'cloudbuild', '--no-cache', '-t', `${REPOSITORY}/app`, '.'],
    },
  ],
};

/** Puts a program named `docker` on the PATH of builds. */
function installDocker(script: string): void {
  writeFileSync(join(tools, 'docker'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(tools, 'docker'), 0o755);
}

test('a Dockerfile without an engine fails and says what to do', async () => {
  installDocker('echo no engine >&2; exit 1');
  for (const asked of [DOCKERFILE, { files: { Dockerfile: 'FROM scratch\n' } }]) {
    const failed = await build(asked);
    expect(failed.status).toBe('FAILURE');
    expect(failed.statusDetail).toContain(
      'needs a container engine on this machine, and its engine does not answer',
    );
  }
});

test('a Dockerfile is built by the engine, and its image pushed', async () => {
  const layer = await tarOf([{ name: 'app.js', data: 'x' }]);
  const saved = await tarOf([
    { name: 'manifest.json', data: JSON.stringify([{ Config: 'config.json', Layers: ['1/layer.tar'] }]) },
    { name: 'config.json', data: JSON.stringify({ os: 'linux', config: { Cmd: ['app'] } }) },
    { name: '1/layer.tar', data: layer },
  ]);
  writeFileSync(join(tools, 'saved.tar'), saved);
  installDocker(`echo "docker $*"; [ "$1" = save ] && cp ${join(tools, 'saved.tar')} "$3"; exit 0`);
  const built = await build(DOCKERFILE);
  expect([built.status, built.statusDetail]).toEqual(['SUCCESS', undefined]);
  expect(await logOf(built)).toContain(`docker build --no-cache --tag ${REPOSITORY}/app .`);
  expect(await pull(built)).toMatchObject({ config: { Cmd: ['app'] }, files: ['app.js'] });
});

test('builds survive a restart; one at work does not end well', async () => {
  const done = await build();
  const { id, pids } = await hang();
  await running.stop();
  await gone(pids);
  await start();
  expect(await get(id)).toMatchObject({
    status: 'INTERNAL_ERROR',
    statusDetail: expect.stringContaining('stopped'),
  });
  expect((await get(String(done.id))).results).toEqual(done.results);
  expect((await pull(done)).files).toContain('workspace/server.js');
});
