import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Bench, INVOKER, isRunning, openBench, PARENT, REPOSITORY, WORKER } from './run/testing.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.end());

test('a service runs from its image, as its account, with nothing of the environment of the local cloud', async () => {
  const { error, response: service } = await bench.deploy('hello', {
    template: bench.template('serve', { serviceAccount: WORKER }),
  });
  expect(error).toBeUndefined();
  expect(service).toMatchObject({
    name: `${PARENT}/services/hello`,
    generation: '1',
    observedGeneration: '1',
    ingress: 'INGRESS_TRAFFIC_ALL',
    launchStage: 'GA',
    terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED' },
    traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
    trafficStatuses: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
    template: {
      timeout: '300s',
      maxInstanceRequestConcurrency: 80,
      scaling: { maxInstanceCount: 100 },
      containers: [{ ports: [{ name: 'http1', containerPort: 8080 }], resources: { cpuIdle: true } }],
    },
  });
  expect(service.reconciling).toBeUndefined();
  expect(service.latestReadyRevision).toBe(service.latestCreatedRevision);
  const revision = String(service.latestReadyRevision).split('/').at(-1);
  expect(revision).toMatch(/^hello-00001-[a-z0-9]{3}$/);

  const { env, cwd, argv } = await bench.ask(service.uri);
  expect(env).toMatchObject({
    FROM_IMAGE: 'yes',
    MODE: 'serve',
    K_SERVICE: 'hello',
    K_CONFIGURATION: 'hello',
    K_REVISION: revision,
    GOOGLE_CLOUD_PROJECT: 'p',
  });
  expect(env.STORAGE_EMULATOR_HOST).toBe(`http://${env.PUBSUB_EMULATOR_HOST}`);
  expect(Object.keys(env).sort()).toEqual(
    'FROM_IMAGE GCE_METADATA_HOST GOOGLE_CLOUD_PROJECT HOME K_CONFIGURATION K_REVISION K_SERVICE LANG METADATA_SERVER_DETECTION MODE PATH PORT PUBSUB_EMULATOR_HOST SERVICE_DIRECTOR_CLOUD_ENDPOINT STORAGE_EMULATOR_HOST TMPDIR'.split(
      ' ',
    ),
  );
  expect(cwd.startsWith(join(bench.dir, 'images'))).toBe(true);
  expect(argv[0]).toBe(process.execPath);
  const whoami = await fetch(`${service.uri}/whoami`, { headers: bench.bearer() });
  expect(await whoami.text()).toBe(WORKER);
  // Its account has no role: a call through its door is refused.
  expect((await fetch(`${service.uri}/api/v2/${PARENT}/services`, { headers: bench.bearer() })).status).toBe(
    403,
  );
});

test('a changed template makes a revision; traffic is split by percent, and a tag names one', async () => {
  const before =
    String((await bench.get('hello')).latestReadyRevision)
      .split('/')
      .at(-1) ?? '';
  const { response: service } = await bench.patch(
    'hello',
    {
      template: bench.template('second', { revision: 'hello-second' }),
      traffic: [
        { type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision: before, percent: 50 },
        {
          type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION',
          revision: 'hello-second',
          percent: 50,
          tag: 'green',
        },
      ],
    },
    'template,traffic',
  );
  expect(service.latestReadyRevision).toBe(`${PARENT}/services/hello/revisions/hello-second`);
  expect(service.trafficStatuses?.map(({ percent }) => percent)).toEqual([50, 50]);
  const seen = new Map<string, number>();
  for (let at = 0; at < 40; at++) {
    const mode = String((await bench.ask(service.uri)).env.MODE);
    seen.set(mode, (seen.get(mode) ?? 0) + 1);
  }
  expect(seen.get('serve')).toBeGreaterThan(5);
  expect(seen.get('second')).toBeGreaterThan(5);
  const tagged = service.trafficStatuses?.find(({ tag }) => tag === 'green')?.uri;
  for (let at = 0; at < 5; at++) expect((await bench.ask(tagged)).env.MODE).toBe('second');

  const { data } = await bench.client().projects.locations.services.revisions.list({
    parent: `${PARENT}/services/hello`,
  });
  expect(data.revisions?.map(({ name }) => name?.split('/').at(-1))).toEqual(['hello-second', before]);
  expect(data.revisions?.[0]?.containers?.[0]?.image).toBe(bench.image);
  const inUse = bench.client().projects.locations.services.revisions.delete({
    name: `${PARENT}/services/hello/revisions/${before}`,
  });
  await expect(inUse).rejects.toThrow(/cannot be deleted/);

  const toLatest = { traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }] };
  const { pid } = await bench.ask(service.uri);
  const moved = await bench.patch('hello', toLatest, 'traffic');
  expect(moved.response).toMatchObject({
    latestCreatedRevision: service.latestCreatedRevision,
    generation: String(Number(service.generation) + 1),
  });
  expect((await bench.ask(service.uri)).env.MODE).toBe('second');
  await expect(fetch(String(tagged))).rejects.toThrow();
  const { data: gone } = await bench.client().projects.locations.services.revisions.delete({
    name: `${PARENT}/services/hello/revisions/${before}`,
  });
  expect((await bench.finished(gone.name)).error).toBeUndefined();
  await vi.waitFor(
    async () => expect(isRunning(pid) && (await bench.ask(service.uri)).pid !== pid).toBe(false),
    10_000,
  );
});

test('a patch that changes nothing makes nothing; an etag of before is refused', async () => {
  const before = await bench.get('hello');
  const { response: after } = await bench.patch('hello', { ...before });
  expect([after.generation, after.latestCreatedRevision]).toEqual([
    before.generation,
    before.latestCreatedRevision,
  ]);
  const stale = bench.client().projects.locations.services.patch({
    name: String(before.name),
    requestBody: { ...before, labels: { a: 'b' } },
  });
  await expect(stale).rejects.toMatchObject({ status: 409 });
  const { data: checked } = await bench.client().projects.locations.services.patch({
    name: String(before.name),
    validateOnly: true,
    requestBody: { template: bench.template(), labels: { a: 'b' } },
  });
  expect(checked.done).toBe(true);
  expect((await bench.get('hello')).labels).toBeUndefined();
});

test('a container that exits or never listens ends the operation with error 9, and the traffic stays', async () => {
  const startupProbe = { tcpSocket: {}, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 1 };
  const [crashed, deaf] = await Promise.all([
    bench.deploy('crashing', { template: bench.template('exit') }),
    bench.deploy('deaf', { template: bench.template('deaf', {}, { startupProbe }) }),
  ]);
  for (const { error } of [crashed, deaf]) {
    expect(error?.code).toBe(9);
    expect(error?.message).toMatch(
      /^Revision '\w+-00001-\w{3}' is not ready and cannot serve traffic. The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable/,
    );
  }
  const service = await bench.get('crashing');
  expect(service).toMatchObject({
    generation: '1',
    terminalCondition: {
      type: 'Ready',
      state: 'CONDITION_FAILED',
      revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR',
    },
  });
  expect([
    service.reconciling,
    service.observedGeneration,
    service.latestReadyRevision,
    service.trafficStatuses,
  ]).toEqual(Array(4).fill(undefined));
  expect((await fetch(String(service.uri), { headers: bench.bearer() })).status).toBe(404);
  expect(
    await bench.logs('resource.labels.service_name="crashing" "Container called exit(3)."'),
  ).toHaveLength(1);
  // The same once more is the same failure; a template that works heals it.
  expect((await bench.patch('crashing', { template: bench.template('exit') })).error?.code).toBe(9);
  expect((await bench.patch('crashing', { template: bench.template() })).error).toBeUndefined();
  const { uri, generation } = await bench.get('crashing');
  const failing = await bench.patch('crashing', { template: bench.template('exit') });
  expect(failing.error?.code).toBe(9);
  expect(await bench.get('crashing')).toMatchObject({
    observedGeneration: generation,
    generation: String(Number(generation) + 1),
  });
  expect((await bench.ask(uri)).env.MODE).toBe('serve');
  await Promise.all([bench.remove('crashing'), bench.remove('deaf')]);
});

test('an image that is missing, forbidden or unsafe is not run', async () => {
  const missing = await bench.deploy('missing', {
    template: { containers: [{ image: `${REPOSITORY}/nothing:v1` }] },
  });
  expect(missing.error).toMatchObject({ code: 5, message: `Image '${REPOSITORY}/nothing:v1' not found.` });
  expect((await bench.get('missing')).terminalCondition?.reason).toBe('CONTAINER_MISSING');

  const tar = pack();
  tar.entry({ name: '../../outside' }, 'x');
  tar.finalize();
  const layer = await buffer(Readable.from(tar).pipe(createGzip()));
  const unsafe = await bench.pushLayers('unsafe:v1', [layer], { Cmd: ['node', 'x'] });
  const refused = await bench.patch('missing', { template: { containers: [{ image: unsafe }] } });
  expect(refused.error?.message).toContain('a name outside it: ../../outside');
  expect(existsSync(join(bench.dir, 'outside'))).toBe(false);

  const { number } = bench.running().cloud.projects.get('p');
  const agent = `serviceAccount:service-${number}@serverless-robot-prod.iam.gserviceaccount.com`;
  const { bindings } = bench.running().cloud.iam.policy('projects/p');
  bench.running().cloud.iam.setPolicy('projects/p', {
    bindings: bindings.map((one) => ({ ...one, members: one.members.filter((member) => member !== agent) })),
  });
  const forbidden = await bench.patch('missing', { template: bench.template() });
  bench.running().cloud.iam.setPolicy('projects/p', { bindings });
  expect(forbidden.error).toMatchObject({
    code: 7,
    message: expect.stringContaining('Google Cloud Run Service Agent service-'),
  });
  expect((await bench.patch('missing', { template: bench.template() })).error).toBeUndefined();
  await bench.remove('missing');
});

test('a newer deployment replaces one that still goes on', async () => {
  const startupProbe = { tcpSocket: {}, periodSeconds: 60, failureThreshold: 1, timeoutSeconds: 60 };
  const { data: first } = await bench.client().projects.locations.services.create({
    parent: PARENT,
    serviceId: 'replaced',
    requestBody: { template: bench.template('deaf', {}, { startupProbe }) },
  });
  expect((await bench.get('replaced')).reconciling).toBe(true);
  const second = await bench.patch('replaced', { template: bench.template() });
  expect(second.error).toBeUndefined();
  expect((await bench.finished(first.name)).error?.code).toBe(10);
  const { data: third } = await bench.client().projects.locations.services.patch({
    name: `${PARENT}/services/replaced`,
    requestBody: { template: bench.template('deaf', {}, { startupProbe }) },
  });
  await bench.remove('replaced');
  expect((await bench.finished(third.name)).error?.code).toBe(10);
});

const REFUSED: Readonly<Record<string, readonly [service: () => object, message: RegExp]>> = {
  'an unknown field': [
    () => ({ template: { ...bench.template(), contaners: [] } }),
    /Unknown name "contaners" at 'service.template'/,
  ],
  'no container': [() => ({ template: {} }), /exactly one container/],
  'reserved variables': [
    () => ({ template: bench.template('a', {}, { env: [{ name: 'PORT', value: '1' }] }) }),
    /reserved env names were provided: PORT/,
  ],
  secrets: [
    () => ({
      template: bench.template(
        'a',
        {},
        { env: [{ name: 'A', valueSource: { secretKeyRef: { secret: 's' } } }] },
      ),
    }),
    /no Secret Manager/,
  ],
  'reserved labels': [
    () => ({ labels: { 'run.googleapis.com/a': 'b' }, template: bench.template() }),
    /not supported by the v2 API/,
  ],
  'little CPU for many requests': [
    () => ({
      template: bench.template(
        'a',
        { maxInstanceRequestConcurrency: 2 },
        { resources: { limits: { cpu: '0.5' }, cpuIdle: true } },
      ),
    }),
    /Total cpu < 1 is not supported with concurrency > 1/,
  ],
  'odd CPU': [
    () => ({ template: bench.template('a', {}, { resources: { limits: { cpu: '3' } } }) }),
    /Invalid value specified for cpu/,
  ],
  'much CPU with little memory': [
    () => ({ template: bench.template('a', {}, { resources: { limits: { cpu: '4', memory: '1Gi' } } }) }),
    /Invalid value specified for container memory/,
  ],
  'two kinds of probe': [
    () => ({ template: bench.template('a', {}, { startupProbe: { tcpSocket: {}, httpGet: {} } }) }),
    /oneof field 'probeType' is already set/,
  ],
  'a slow probe': [
    () => ({ template: bench.template('a', {}, { startupProbe: { tcpSocket: {}, periodSeconds: 300 } }) }),
    /between 1 and 240/,
  ],
  'traffic that does not add up': [
    () => ({
      template: bench.template(),
      traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 50 }],
    }),
    /sum to 50, want 100/,
  ],
  volumes: [
    () => ({ template: bench.template('a', { volumes: [{ name: 'v', emptyDir: {} }] }) }),
    /not supported by the local cloud/,
  ],
  "another's revision name": [
    () => ({ template: bench.template('a', { revision: 'other-1' }) }),
    /must begin with 'refused-'/,
  ],
  'an account that does not exist': [
    () => ({ template: bench.template('a', { serviceAccount: 'nobody@p.iam.gserviceaccount.com' }) }),
    /'iam.serviceaccounts.actAs' denied on service account nobody@/,
  ],
};

test.each(Object.keys(REFUSED))('refused: %s', async (what) => {
  const [service, message] = REFUSED[what] ?? [];
  const requestBody = service?.() ?? {};
  const refused = bench.client().projects.locations.services.create({
    parent: PARENT,
    serviceId: 'refused',
    requestBody,
  });
  await expect(refused).rejects.toThrow(message);
  await expect(bench.get('refused')).rejects.toMatchObject({ status: 404 });
});

test('refused: names, places, and callers who may not', async () => {
  const create = (serviceId: string, parent = PARENT, more = {}) =>
    bench.client().projects.locations.services.create({
      parent,
      serviceId,
      requestBody: { template: bench.template() },
      ...more,
    });
  await expect(create('Upper')).rejects.toThrow(/Invalid service id/);
  await expect(create(`a${'b'.repeat(49)}`)).rejects.toThrow(/less than 50 characters/);
  await expect(create('a', 'projects/p/locations/atlantis-1')).rejects.toThrow(
    /Location atlantis-1 is not found/,
  );
  await expect(create('hello')).rejects.toMatchObject({ status: 409 });

  const token = bench.running().cloud.tokens.access({ type: 'serviceAccount', email: INVOKER }, 60);
  const as = { headers: { authorization: `Bearer ${token}` } };
  const asInvoker = () =>
    bench
      .client()
      .projects.locations.services.create(
        { parent: PARENT, serviceId: 'a', requestBody: { template: bench.template() } },
        as,
      );
  await expect(asInvoker()).rejects.toThrow(/Permission 'run.services.create' denied/);
  const { bindings } = bench.running().cloud.iam.policy('projects/p');
  const grant = (...roles: string[]) =>
    bench.running().cloud.iam.setPolicy('projects/p', {
      bindings: [...bindings, ...roles.map((role) => ({ role, members: [`serviceAccount:${INVOKER}`] }))],
    });
  grant('roles/run.admin');
  await expect(asInvoker()).rejects.toThrow(/Permission 'iam.serviceaccounts.actAs' denied/);
  grant('roles/run.admin', 'roles/iam.serviceAccountUser');
  await expect(asInvoker()).rejects.toThrow(/User must have permission to read the image/);
  grant('roles/run.admin', 'roles/iam.serviceAccountUser', 'roles/artifactregistry.reader');
  const { data } = await asInvoker();
  expect((await bench.finished(data.name)).response.creator).toBe(INVOKER);
  bench.running().cloud.iam.setPolicy('projects/p', { bindings });
  await bench.remove('a');
});
