/** Phases alone and skipped, parts of an architecture, a director that is there already, and every field of a service. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Conductor,
  type ConductorEvent,
  type ConductorOptions,
  conductor,
  PHASES,
  type Phase,
  type Summary,
  type UpResult,
} from '@service-director/conductor';
import { callCli } from '@service-director/conductor/cli/testing.ts';
import { loadArchitecture } from '@service-director/conductor/load.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Ground, openGround, pidsOf, type Recorded } from './support.ts';
import { worldOf } from './world.ts';

const PROJECT = 'phases-local';
const DEVELOPER = 'developer@example.com';
const DIRECTOR = `service-director@${PROJECT}.iam.gserviceaccount.com`;

const YAML = `
name: phases
project_id: ${PROJECT}
region: us-central1
location: EU
labels: { team: blue }
director: { command_topic: old-commands, completion_topic: old-events }
dataflows:
  front:
    lifecycle: { strategy: ephemeral }
    services:
      page:
        description: Shows what it was given
        service_account: phases-page
        dependencies: [store]
        health_check: { path: /healthy, port: 9090 }
        metadata: { tier: web, critical: true }
        deployment:
          source_path: ./page
          buildable_module_path: program
          config_templates: { settings.example.json: settings.json }
          image_repo: own-images
          platform: managed
          cpu: 2
          memory: 1Gi
          min_instances: 1
          max_instances: 7
          environment_vars: { COLOUR: blue, COUNT: 3 }
    resources:
      topics:
        - name: page-views
          labels: { kind: views }
          producer_service: page
          message_retention_duration: 1d
          iam_access_policy: [{ name: phases-auditor, role: roles/pubsub.viewer, type: service-account }]
      subscriptions:
        - name: page-views-store
          topic: page-views
          push: { service: store, path: /views }
        - name: page-views-audit
          labels: { kind: audit }
          topic: page-views
          consumer_service: { name: page, lookup: { key: AUDIT, method: env } }
          ack_deadline_seconds: 30
          message_retention_duration: 3d
          retry_policy: { minimum_backoff: 5s, maximum_backoff: 2m }
          iam_access_policy:
            - { name: phases-auditor, role: roles/pubsub.subscriber, type: service-account }
            - { name: page, role: roles/pubsub.admin, type: service }
  back:
    lifecycle: { strategy: ephemeral }
    services:
      store:
        service_account: phases-store
        deployment: { source_path: ./store, region: us-east1 }
    resources:
      gcs_buckets:
        - name: phases-local-data
          labels: { kind: data }
          producers: [{ name: store, lookup: { method: env } }]
          consumers: [{ name: store, lookup: { method: env } }]
          location: US
          storage_class: NEARLINE
          versioning_enabled: true
          lifecycle_rules: [{ action: { type: Delete }, condition: { age_in_days: 30 } }]
          iam_access_policy: [{ name: phases-auditor, role: roles/storage.objectViewer, type: service-account }]
        - name: phases-local-plain
`;

/** Answers with its environment and the files beside it. */
const PROGRAM = `
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
const read = (name) => { try { return readFileSync(new URL(name, import.meta.url), 'utf8') } catch { return null } };
createServer((request, response) => {
  response.end(JSON.stringify({ env: process.env, resources: read('resources.yaml'), settings: read('settings.json'), secret: read('secret.txt') }));
}).listen(process.env.PORT);
`;
const MANIFEST = JSON.stringify({ name: 'program', type: 'module', scripts: { start: 'node main.js' } });

let ground: Ground;
let folder: string;
let before: string[];
/** How the architecture came up, phase by phase. */
const steps = new Map<Phase, Step>();

interface Step {
  readonly events: readonly ConductorEvent[];
  /** All that were made meanwhile, by whomever. */
  readonly calls: readonly CallRecord[];
}

beforeAll(async () => {
  ground = await openGround({ propagationMs: 0 });
  folder = join(ground.dir, 'phases');
  mkdirSync(join(folder, 'page', 'program'), { recursive: true });
  mkdirSync(join(folder, 'store'), { recursive: true });
  writeFileSync(join(folder, 'architecture.yaml'), YAML);
  for (const place of ['page/program', 'store']) {
    writeFileSync(join(folder, place, 'main.js'), PROGRAM);
    writeFileSync(join(folder, place, 'package.json'), MANIFEST);
  }
  writeFileSync(join(folder, 'page', 'program', 'settings.example.json'), '{"from": "the template"}');
  writeFileSync(join(folder, 'page', 'program', 'secret.txt'), 'not to be sent');
  writeFileSync(join(folder, 'page', '.gcloudignore'), 'secret.txt\n');
  before = treeOf(folder);
  // Each phase by a conductor that knows nothing of those before.
  for (const phase of PHASES) {
    const next = await callsSoFar();
    const alone = ground.conductor(folder, { only: [phase] });
    await alone.run();
    steps.set(phase, { events: alone.events, calls: await callsSince(next) });
  }
}, 240_000);

afterAll(async () => {
  await ground?.stop();
});

function treeOf(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const stat = statSync(join(path, name));
      return stat.isFile()
        ? `${name} ${readFileSync(join(path, name), 'utf8').length} ${stat.mtimeMs}`
        : name;
    });
}

async function get<T>(path: string): Promise<T> {
  return (await (await fetch(ground.origin + path)).json()) as T;
}

/** The store is in a region of its own. */
async function serviceOf<T = { uri: string }>(name: string): Promise<T> {
  const region = name === 'store' ? 'us-east1' : 'us-central1';
  return get<T>(`/v2/projects/${PROJECT}/locations/${region}/services/${name}`);
}

function stepOf(phase: Phase): Step {
  const step = steps.get(phase);
  if (!step) throw new Error(`${phase} was not run`);
  return step;
}

/** What a caller changed, messages apart: `CreateTopic`, … */
function changesOf(calls: readonly CallRecord[], caller: string): string[] {
  const speech =
    /^(Publish|Acknowledge|ModifyAckDeadline|StreamingPull|GenerateAccessToken|GenerateIdToken|WaitOperation)$/;
  return calls
    .filter((call) => call.mutating && call.caller === caller && !speech.test(call.method))
    .map(({ method }) => method)
    .sort();
}

interface Told {
  readonly env: Record<string, string>;
  readonly resources: string | null;
  readonly settings: string | null;
  readonly secret: string | null;
}

/** As the developer. */
async function authorized(): Promise<Record<string, string>> {
  const token = (await (
    await fetch(`${ground.origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { 'metadata-flavor': 'Google' },
    })
  ).json()) as { access_token: string };
  return { authorization: `Bearer ${token.access_token}` };
}

async function askService(name: string): Promise<Told> {
  const { uri } = await serviceOf(name);
  return (await (await fetch(uri, { headers: await authorized() })).json()) as Told;
}

const phasesIn = (events: readonly ConductorEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'phase-started' ? [event.phase] : []));

describe('from nothing, phase by phase', () => {
  test('each phase finds its inputs in the world (G4)', async () => {
    for (const phase of PHASES) {
      expect(phasesIn(stepOf(phase).events)).toEqual([phase]);
      expect(stepOf(phase).events.at(-1)).toMatchObject({ type: 'completed' });
    }
    const whole = ground.conductor(folder);
    await whole.run();
    expect(whole.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
  });

  test('the APIs that are called are enabled first, and asked about by every preflight (G61)', async () => {
    expect(changesOf(stepOf('preflight').calls, DEVELOPER)).toEqual(['BatchEnableServices', 'CreateProject']);
    const { services } = await get<{ services: { name: string }[] }>(
      `/v1/projects/${PROJECT}/services?filter=state:ENABLED&pageSize=200`,
    );
    const enabled = services.map(({ name }) => name.split('/').at(-1));
    const ofNoApi = ['local', 'operations', 'metadata'];
    const called = [...steps.values()].flatMap(({ calls }) => calls.map(({ api }) => api));
    const used = [...new Set(called)].filter((api) => !ofNoApi.includes(api));
    expect(used.length).toBeGreaterThan(7);
    expect(enabled).toEqual(expect.arrayContaining(used.map((api) => `${api}.googleapis.com`)));

    await fetch(`${ground.origin}/v1/projects/${PROJECT}/services/run.googleapis.com:disable`, {
      method: 'POST',
      body: JSON.stringify({ disableDependentServices: true }),
    });
    const next = await callsSoFar();
    await ground.conductor(folder, { only: ['preflight'] }).run();
    expect(changesOf(await callsSince(next), DEVELOPER)).toEqual(['BatchEnableServices']);
  });

  test('all accounts are made with the identities, before anything is built or deployed (G6)', async () => {
    const { accounts } = await worldOf(ground.origin, PROJECT);
    const made = PHASES.map(
      (phase) => stepOf(phase).calls.filter(({ method }) => method === 'CreateServiceAccount').length,
    );
    expect(made).toEqual(PHASES.map((phase) => (phase === 'identities' ? accounts.length : 0)));
    expect(accounts.length).toBe(6);
  });

  test('once there is a director, all is made by it: every kind of resource on dataflow-setup, then the services (G1, G10)', async () => {
    const resources = Object.values(loadArchitecture(folder, folder).architecture.dataflows).map((dataflow) =>
      Object.entries(dataflow.resources),
    );
    const kinds = new Set(resources.flat().map(([kind]) => kind));
    const described = resources.flat().flatMap(([kind, list]) => (list.length > 0 ? [kind] : []));
    expect(new Set(described)).toEqual(kinds);
    expect(changesOf(stepOf('setup').calls, DIRECTOR)).toEqual([
      'CreateSubscription',
      'CreateTopic',
      'SetIamPolicy',
      'SetIamPolicy',
      'buckets.insert',
      'buckets.insert',
      'buckets.setIamPolicy',
    ]);
    expect(changesOf(stepOf('deploy').calls, DIRECTOR)).toEqual([
      'CreateService',
      'CreateService',
      'CreateSubscription',
      'SetIamPolicy',
    ]);
    const since = PHASES.slice(PHASES.indexOf('bootstrap') + 1).flatMap((phase) => stepOf(phase).calls);
    // Each run listens to the director through a subscription of its own.
    const listening = ['CreateSubscription', 'DeleteSubscription'];
    expect(changesOf(since, DEVELOPER)).toEqual(listening.flatMap((method) => [method, method]));
  });

  test('services are deployed by digest, and nothing is built for it (G13)', async () => {
    const { calls } = stepOf('deploy');
    expect(calls.filter(({ api }) => api === 'cloudbuild')).toEqual([]);
    expect(calls.filter(({ api, mutating }) => api === 'artifactregistry' && mutating)).toEqual([]);
    for (const name of ['page', 'store']) {
      const { template } = await serviceOf<{ template: { containers: { image: string }[] } }>(name);
      expect(template.containers[0]?.image).toMatch(/@sha256:[0-9a-f]{64}$/);
    }
  });

  test('sources go to a bucket, from there into a build, and images into the registry (G58)', async () => {
    const bucket = `${PROJECT}-service-director`;
    const { items } = await get<{ items: { name: string }[] }>(`/storage/v1/b/${bucket}/o`);
    const { builds } = await get<{ builds: object[] }>(
      `/v1/projects/${PROJECT}/locations/us-central1/builds`,
    );
    const [source] = items.filter(({ name }) => /^source\/page-src-[0-9a-f]{16}\.tar\.gz$/.test(name));
    const tag = /src-[0-9a-f]{16}/.exec(source?.name ?? '')?.[0];
    expect(builds).toContainEqual(
      expect.objectContaining({
        status: 'SUCCESS',
        source: { storageSource: { bucket, object: source?.name } },
        images: [`us-central1-docker.pkg.dev/${PROJECT}/own-images/page:${tag}`],
      }),
    );
    const { template } = await serviceOf<{ template: { containers: { image: string }[] } }>('page');
    const { dockerImages } = await get<{ dockerImages: object[] }>(
      `/v1/projects/${PROJECT}/locations/us-central1/repositories/own-images/dockerImages`,
    );
    expect(dockerImages).toMatchObject([{ uri: template.containers[0]?.image, tags: [tag] }]);
    const { lifecycle } = await get<{ lifecycle: object }>(`/storage/v1/b/${bucket}`);
    expect(lifecycle).toEqual({ rule: [{ action: { type: 'Delete' }, condition: { age: 7 } }] });
  });

  test('who sees to accounts and grants asks no director, and who asks it touches neither (G20)', () => {
    const apis = (phase: Phase): Set<string> =>
      new Set(stepOf(phase).calls.flatMap(({ api, caller }) => (caller === DEVELOPER ? [api] : [])));
    for (const api of ['pubsub', 'run', 'storage', 'cloudbuild'])
      expect(apis('identities')).not.toContain(api);
    expect(changesOf(stepOf('verify-grants').calls, DEVELOPER)).toEqual([]);
    expect(apis('verify-grants')).not.toContain('run');
    for (const phase of ['setup', 'deploy'] as const) {
      expect(apis(phase)).not.toContain('iam');
      expect(changesOf(stepOf(phase).calls, DEVELOPER)).not.toContain('SetIamPolicy');
    }
  });
});

test('every key of the environment has an effect (G23)', async () => {
  const world = await worldOf(ground.origin, PROJECT);
  type Labelled = { name: string; labels: Record<string, string> };
  const labelled = [
    ...world.topics,
    ...world.subscriptions,
    ...world.buckets,
    ...world.services,
  ] as Labelled[];
  const mine = labelled.filter(({ labels }) => ['front', 'back'].includes(labels['sd-dataflow'] ?? ''));
  expect(mine.map(({ name }) => name.split('/').at(-1))).toEqual([
    'page-views',
    'page-views-audit',
    'page-views-store',
    'phases-local-data',
    'phases-local-plain',
    'page',
  ]);
  for (const { labels, name } of mine) {
    // The name of the architecture, and its labels.
    expect(labels, name).toMatchObject({ 'sd-scope': 'phases', team: 'blue' });
    if (name.includes('/')) expect(name).toContain(`projects/${PROJECT}/`);
  }
  expect(await serviceOf('page')).toMatchObject({
    name: `projects/${PROJECT}/locations/us-central1/services/page`,
  });
  expect(world.buckets).toContainEqual(expect.objectContaining({ name: 'phases-local-plain', place: 'EU' }));
});

describe('every field of a service has an effect', () => {
  interface Live {
    readonly name: string;
    readonly description: string;
    readonly labels: Record<string, string>;
    readonly template: {
      readonly serviceAccount: string;
      readonly scaling: object;
      readonly containers: {
        image: string;
        resources: { limits: object };
        ports: object[];
        startupProbe: object;
      }[];
    };
  }

  test('on the Cloud Run service (G25, G26)', async () => {
    const service = await serviceOf<Live>('page');
    expect(service.description).toBe('Shows what it was given');
    expect(service.labels).toMatchObject({
      team: 'blue',
      tier: 'web',
      critical: 'true',
      'managed-by': 'service-director',
      'sd-dataflow': 'front',
    });
    expect(service.template.serviceAccount).toBe(`phases-page@${PROJECT}.iam.gserviceaccount.com`);
    expect(service.template.scaling).toEqual({ minInstanceCount: 1, maxInstanceCount: 7 });
    const [container] = service.template.containers;
    expect(container?.image).toMatch(
      new RegExp(`^us-central1-docker.pkg.dev/${PROJECT}/own-images/page@sha256:[0-9a-f]{64}$`),
    );
    expect(container?.resources.limits).toEqual({ cpu: '2', memory: '1Gi' });
    expect(container?.ports).toMatchObject([{ containerPort: 9090 }]);
    expect(container?.startupProbe).toMatchObject({ httpGet: { path: '/healthy' } });

    const elsewhere = await serviceOf<Live>('store');
    expect(elsewhere.name).toBe(`projects/${PROJECT}/locations/us-east1/services/store`);
    expect(elsewhere.template.containers[0]?.image).toMatch(/^us-east1-docker\.pkg\.dev\//);
  });

  test('on who may call it (G25)', async () => {
    const { bindings } = await get<{ bindings: object[] }>(
      `/v2/projects/${PROJECT}/locations/us-east1/services/store:getIamPolicy`,
    );
    const members = ['page-views-store-push', 'phases-page'].map(
      (account) => `serviceAccount:${account}@${PROJECT}.iam.gserviceaccount.com`,
    );
    expect(bindings).toEqual([{ role: 'roles/run.invoker', members }]);
  });

  test('on what the program finds in its environment (G25, G26, G30, G60)', async () => {
    const { env } = await askService('page');
    const director = await serviceOf('service-director');
    const store = await serviceOf('store');
    expect(env).toMatchObject({
      PROJECT_ID: PROJECT,
      SERVICE_NAME: 'page',
      DATAFLOW_NAME: 'front',
      SERVICE_DIRECTOR_URL: director.uri,
      STORE_URL: store.uri,
      AUDIT: 'page-views-audit',
      COLOUR: 'blue',
      COUNT: '3',
    });
    expect((await askService('store')).env).toMatchObject({
      PHASES_LOCAL_DATA_WRITE_BUCKET: 'phases-local-data',
      PHASES_LOCAL_DATA_READ_BUCKET: 'phases-local-data',
    });
  });

  test('on the files beside it: generated and copied in the build, ignored ones left out, nothing in the user’s folder (G26, G30, G43, G58)', async () => {
    const { resources, settings, secret } = await askService('page');
    expect(resources).toContain('name: page-views');
    expect(settings).toBe('{"from": "the template"}');
    expect(secret).toBeNull();
    const { stdout } = await callCli(['validate', folder, '--hydrated'], { cwd: ground.dir });
    expect(stdout).toContain('SERVICE_NAME: page');
    expect(treeOf(folder)).toEqual(before);
  });
});

describe('resources', () => {
  const account = (id: string): string => `serviceAccount:${id}@${PROJECT}.iam.gserviceaccount.com`;
  const named = (items: readonly object[], name: string): object | undefined =>
    (items as { name: string }[]).find((item) => item.name.split('/').at(-1) === name);

  test('of each kind carry labels of their own, and access policies of both types, and nobody gets more (G11, G28, G29, G31, G32, G35)', async () => {
    const world = await worldOf(ground.origin, PROJECT);
    expect(named(world.topics, 'page-views')).toMatchObject({ labels: { kind: 'views' } });
    expect(named(world.subscriptions, 'page-views-audit')).toMatchObject({ labels: { kind: 'audit' } });
    expect(named(world.buckets, 'phases-local-data')).toMatchObject({ labels: { kind: 'data' } });
    const { policies } = world;
    expect(policies[`projects/${PROJECT}/topics/page-views`]).toEqual({
      'roles/pubsub.publisher': [account('phases-page')],
      'roles/pubsub.viewer': [account('phases-auditor'), account('phases-page')],
    });
    expect(policies[`projects/${PROJECT}/subscriptions/page-views-audit`]).toEqual({
      'roles/pubsub.admin': [account('phases-page')],
      'roles/pubsub.subscriber': [account('phases-auditor'), account('phases-page')],
      'roles/pubsub.viewer': [account('phases-page')],
    });
    expect(policies['bucket phases-local-data']).toMatchObject({
      'roles/storage.objectAdmin': [account('phases-store')],
      'roles/storage.objectViewer': [account('phases-auditor'), account('phases-store')],
    });
    expect(JSON.stringify(policies.project)).not.toContain('serviceAccount:phases-');
  });

  test('are as they are described, field by field (G31, G32, G35)', async () => {
    const { topics, subscriptions, buckets } = await worldOf(ground.origin, PROJECT);
    expect(named(topics, 'page-views')).toMatchObject({ messageRetentionDuration: '86400s' });
    expect(named(subscriptions, 'page-views-audit')).toMatchObject({
      topic: `projects/${PROJECT}/topics/page-views`,
      ackDeadlineSeconds: 30,
      messageRetentionDuration: '259200s',
      retryPolicy: { minimumBackoff: '5s', maximumBackoff: '120s' },
    });
    expect(named(buckets, 'phases-local-data')).toMatchObject({
      place: 'US',
      storageClass: 'NEARLINE',
      versioning: { enabled: true },
      lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { age: 30 } }] },
    });
  });

  test('that depend on services come after them, and push really arrives there (G46)', async () => {
    const subscription = await get<{ pushConfig: { pushEndpoint: string; oidcToken: object } }>(
      `/v1/projects/${PROJECT}/subscriptions/page-views-store`,
    );
    const store = await serviceOf('store');
    expect(subscription.pushConfig).toMatchObject({
      pushEndpoint: `${store.uri}/views`,
      oidcToken: {
        serviceAccountEmail: `page-views-store-push@${PROJECT}.iam.gserviceaccount.com`,
        audience: store.uri,
      },
    });
    await fetch(`${ground.origin}/v1/projects/${PROJECT}/topics/page-views:publish`, {
      method: 'POST',
      body: JSON.stringify({ messages: [{ data: 'eA==' }] }),
    });
    const arrived = async (): Promise<boolean> => {
      const filter = 'resource.labels.service_name="store" AND httpRequest.requestUrl:"/views"';
      const body = JSON.stringify({ resourceNames: [`projects/${PROJECT}`], filter, pageSize: 10 });
      const answer = (await (
        await fetch(`${ground.origin}/v2/entries:list`, { method: 'POST', body })
      ).json()) as { entries?: { httpRequest?: { status?: number } }[] };
      return (answer.entries ?? []).some(({ httpRequest }) => httpRequest?.status === 200);
    };
    await expect.poll(arrived, { timeout: 30_000 }).toBe(true);
  });
});

describe('phases', () => {
  afterEach(() => setFaults([]));

  test.each(PHASES)('%s runs alone, and finds that all is as it should be (G4)', async (phase: Phase) => {
    const alone = ground.conductor(folder, { only: [phase] });
    await alone.run();
    expect(phasesIn(alone.events)).toEqual([phase]);
    expect(alone.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
  });

  test.each(PHASES)('%s is skipped (G4)', async (phase: Phase) => {
    const some = ground.conductor(folder, { skip: [phase] });
    await some.run();
    expect(phasesIn(some.events).sort()).toEqual(PHASES.filter((one) => one !== phase).sort());
  });

  test('bootstrap ends when the director takes commands, not when it answers (G9)', async () => {
    const { uri } = await serviceOf('service-director');
    await setFaults([
      { method: 'TestIamPermissions', resource: '*/subscriptions/deploy-sub', error: 'PERMISSION_DENIED' },
    ]);
    for (const pid of pidsOf('service-director', ground)) process.kill(pid, 'SIGKILL');
    const authorization = await authorized();
    let healthy: Promise<number> | undefined;
    const waiting = ground.conductor(folder, {
      only: ['bootstrap'],
      onEvent: (event) => {
        if (event.type !== 'task-waiting' || !/"deploy-sub":"[^"]*PERMISSION_DENIED/.test(event.because))
          return;
        healthy ??= fetch(`${uri}/health`, { headers: authorization }).then(async ({ status }) => {
          await setFaults([]);
          return status;
        });
      },
    });
    await waiting.run();
    expect(await healthy).toBe(200);
    const deploying = ground.conductor(folder, { only: ['deploy'] });
    await deploying.run();
    expect(deploying.events.at(-1)).toMatchObject({ type: 'completed' });
  }, 120_000);

  test('a director that runs already is used, by whatever needs one, and not even looked for (G5)', async () => {
    const { uri } = await serviceOf('service-director');
    const next = await callsSoFar();
    const given = ground.conductor(folder, { directorUrl: uri });
    await given.run();
    expect(phasesIn(given.events)).not.toContain('bootstrap');
    expect(given.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
    for (const phase of ['setup', 'deploy'] as const)
      await ground.conductor(folder, { directorUrl: uri, only: [phase] }).run();
    await ground.conductor(folder, { directorUrl: uri }).teardown({ dryRun: true });
    const calls = await callsSince(next);
    expect(calls.length).toBeGreaterThan(100);
    expect(calls.filter(({ resource }) => resource.endsWith('services/service-director'))).toEqual([]);
  });

  test('one dataflow goes down and up and touches nothing else (G16, G57)', async () => {
    const whole = await worldOf(ground.origin, PROJECT);
    await ground.conductor(folder, { dataflow: 'front' }).teardown();
    const less = await worldOf(ground.origin, PROJECT);
    expect(less.buckets).toEqual(whole.buckets);
    expect(less.services.length).toBe(whole.services.length - 1);
    const next = await callsSoFar();
    await ground.conductor(folder, { dataflow: 'front' }).run();
    expect(await worldOf(ground.origin, PROJECT)).toEqual(whole);
    const touched = (await callsSince(next)).filter(
      ({ mutating, resource }) => mutating && /phases-local-data|services\/store$/.test(resource),
    );
    expect(touched.filter(({ method }) => method !== 'SetIamPolicy')).toEqual([]);
  });

  test('a new dataflow comes to a director that is there, and only that is made (G16)', async () => {
    const more = 'lifecycle: { strategy: ephemeral }\nresources: { topics: [{ name: more-topic }] }\n';
    mkdirSync(join(folder, 'dataflows'));
    writeFileSync(join(folder, 'dataflows', 'more.yaml'), `name: more\n${more}`);
    const next = await callsSoFar();
    await ground.conductor(folder, { dataflow: 'more' }).run();
    const calls = await callsSince(next);
    expect(changesOf(calls, DIRECTOR)).toEqual(['CreateTopic']);
    expect(changesOf(calls, DEVELOPER)).toEqual(['CreateSubscription', 'DeleteSubscription']);
  });

  test('a build that fails is what is told, whatever the end of the run meets', async () => {
    const source = join(folder, 'store', 'main.js');
    writeFileSync(source, `${PROGRAM}// changed\n`);
    await setFaults([
      { api: 'cloudbuild', method: 'CreateBuild', error: 'INVALID_ARGUMENT', message: 'not today' },
      { api: 'pubsub', method: 'CreateSubscription', error: 'PERMISSION_DENIED' },
    ]);
    try {
      await expect(ground.conductor(folder).run()).rejects.toMatchObject({
        message: expect.stringMatching(/^the image of store: .*not today/s),
      });
    } finally {
      writeFileSync(source, PROGRAM);
    }
  }, 120_000);

  test('a second director, in another region, is not begun; nor is the first overlooked there', async () => {
    const file = join(folder, 'architecture.yaml');
    writeFileSync(file, YAML.replace('region: us-central1', 'region: us-east1'));
    const next = await callsSoFar();
    const moved = ground.conductor(folder);
    const refusal = {
      message: `The director service-director of ${PROJECT} runs in us-central1 already, not in us-east1`,
      exitCode: 1,
      fix: 'set director.deployment.region to us-central1, or give this director another name and topic_prefix',
    };
    try {
      await expect(moved.run()).rejects.toMatchObject(refusal);
      await expect(moved.plan()).rejects.toMatchObject(refusal);
      await expect(moved.teardown()).rejects.toMatchObject(refusal);
      expect(changesOf(await callsSince(next), DEVELOPER)).toEqual([]);
    } finally {
      writeFileSync(file, YAML);
    }
  }, 120_000);

  describe('a plan is what an up would do', () => {
    const file = (): string => join(folder, 'architecture.yaml');
    afterEach(() => writeFileSync(file(), YAML));

    test('to what the director stands on too, and to the director', async () => {
      const bootstrap = async () =>
        (await ground.conductor(folder).plan()).plans.filter(({ operation }) => operation === 'bootstrap');
      expect(await bootstrap()).toMatchObject([{ plan: { changes: [], refused: [] } }]);
      writeFileSync(file(), YAML.replace('director: {', 'director: { metadata: { tier: control },'));
      const change = { unit: 'service/service-director', action: 'update', fields: ['labels'] };
      expect(await bootstrap()).toMatchObject([{ plan: { changes: [change] } }]);
      const where = ['--local-dir', join(ground.dir, 'cloud')];
      const { code } = await callCli(['plan', folder, ...where, '--detailed-exitcode'], { cwd: ground.dir });
      expect(code).toBe(2);
    }, 120_000);

    test('and a director that may not be seen is not one that is not there', async () => {
      await setFaults([
        { api: 'run', method: 'GetService', resource: '*/service-director', error: 'PERMISSION_DENIED' },
      ]);
      await expect(ground.conductor(folder).plan()).rejects.toMatchObject({ exitCode: 77 });
    }, 120_000);
  });

  test('a dataflow that is described no more is told of, and can be taken down by its name', async () => {
    const old = join(folder, 'dataflows', 'old.yaml');
    const forgotten = 'dataflow old is described no more: conductor down --dataflow old removes it';
    const notesOf = ({ events }: Recorded): string[] =>
      events.flatMap((event) => (event.type === 'note' ? [event.message] : []));
    const topics = async (): Promise<string> =>
      JSON.stringify((await worldOf(ground.origin, PROJECT)).topics);
    writeFileSync(
      old,
      'name: old\nlifecycle: { strategy: ephemeral }\nresources: { topics: [{ name: old-topic }] }\n',
    );
    await ground.conductor(folder, { dataflow: 'old' }).run();
    rmSync(old);
    const without = ground.conductor(folder, { only: ['setup'] });
    await without.run();
    expect(notesOf(without)).toEqual([forgotten]);
    expect((await without.plan()).notes).toEqual([forgotten]);
    expect(await topics()).toContain('old-topic');

    expect(await ground.conductor(folder, { dataflow: 'old' }).teardown()).toMatchObject({ deleted: 1 });
    expect(await topics()).not.toContain('old-topic');
    const after = ground.conductor(folder, { only: ['setup'] });
    await after.run();
    expect(notesOf(after)).toEqual([]);
    await expect(ground.conductor(folder, { dataflow: 'never' }).teardown()).rejects.toThrow('never');
  }, 120_000);

  test('a run has a deadline; what the director was told goes on, and can be awaited again (G18)', async () => {
    await setFaults([{ api: 'pubsub', method: 'UpdateTopic', error: 'UNAVAILABLE' }]);
    writeFileSync(join(folder, 'architecture.yaml'), YAML.replace('kind: views', 'kind: looks'));
    const hasty = ground.conductor(folder, { timeoutSeconds: 8, only: ['setup'] });
    await expect(hasty.run()).rejects.toMatchObject({
      exitCode: 124,
      fix: expect.stringContaining('conductor events --follow'),
    });
    const told = hasty.events.flatMap((event) => (event.type === 'director' ? [event.event.command] : []));
    expect(told).not.toEqual([]);
    // Run again, it comes after what was told before, and finds it done.
    const again: Recorded = ground.conductor(folder, { only: ['setup'] });
    const awaited = again.run();
    await setFaults([]);
    await awaited;
    expect(again.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
    const { labels } = await get<{ labels: object }>(`/v1/projects/${PROJECT}/topics/page-views`);
    expect(labels).toMatchObject({ kind: 'looks' });
    const { uri } = await serviceOf('service-director');
    const headers = await authorized();
    for (const id of told) {
      const response = await fetch(`${uri}/commands/${encodeURIComponent(id)}`, { headers });
      expect(await response.json()).toMatchObject({ id, status: 'succeeded' });
    }
  }, 120_000);
});

describe('up and down of the command line are run and teardown of the library (G3)', () => {
  const onTheLine = async (...argv: string[]) => {
    const where = ['--local-dir', join(ground.dir, 'cloud'), '--json'];
    const { code, stdout } = await callCli([...argv, ...where], { cwd: ground.dir });
    const events: ConductorEvent[] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    return { code, last: events.at(-1) };
  };
  let library: Conductor;

  beforeAll(() => {
    const options: ConductorOptions = { architecture: folder, local: { dir: join(ground.dir, 'cloud') } };
    library = conductor(options);
  });

  test('up', async () => {
    // What its resources.yaml holds has changed: one service is built and deployed again.
    const { code, last } = await onTheLine('up', folder);
    expect(code).toBe(0);
    const result: UpResult = await library.run();
    const { urls } = result.summary;
    expect(last).toMatchObject({ type: 'completed', operation: 'up', changes: 1, summary: { urls } });
    expect(Object.keys(urls).sort()).toEqual(['page', 'store']);
    expect(result.summary).toMatchObject({ created: 0, updated: 0, deleted: 0 });
  });

  test('down, of what is described no more too (G15)', async () => {
    rmSync(join(folder, 'dataflows'), { recursive: true });
    const asked: Summary = await library.teardown({ dryRun: true });
    expect(asked.deleted).toBe(0);
    const { code, last } = await onTheLine('down', folder);
    expect(code).toBe(0);
    expect(last).toMatchObject({
      type: 'completed',
      operation: 'down',
      summary: {
        kept: [{ unit: 'apis/service-director', because: 'others in the project may use them' }],
      },
    });
    const { policies, ...left } = await worldOf(ground.origin, PROJECT);
    expect(Object.values(left).flat()).toEqual([]);
    expect(JSON.stringify(policies)).not.toContain(`@${PROJECT}.iam.gserviceaccount.com`);
    expect(await serviceOf('store')).toMatchObject({ error: { code: 404 } });
  }, 120_000);
});

test('a down that broke off once the director was gone is finished by another, unless that takes a director', async () => {
  await ground.conductor(folder, { only: ['preflight', 'identities', 'bootstrap'] }).run();
  await setFaults([
    {
      api: 'pubsub',
      method: 'DeleteTopic',
      resource: '*/topics/director-events',
      error: 'INVALID_ARGUMENT',
      message: 'not today',
    },
  ]);
  await expect(ground.conductor(folder).teardown()).rejects.toThrow('not today');
  await setFaults([]);
  expect(await serviceOf('service-director')).toMatchObject({ error: { code: 404 } });

  const views = `${ground.origin}/v1/projects/${PROJECT}/topics/page-views`;
  const labels = { 'managed-by': 'service-director', 'sd-scope': 'phases', 'sd-dataflow': 'front' };
  await fetch(views, { method: 'PUT', body: JSON.stringify({ labels }) });
  await expect(ground.conductor(folder).teardown()).rejects.toMatchObject({
    message: `There is no director service-director in ${PROJECT} to remove topic/page-views`,
    exitCode: 69,
    fix: 'run conductor up, then conductor down',
  });
  await fetch(views, { method: 'DELETE' });
  for (const { dataflow, keepDirector } of [{ dataflow: 'front' }, { keepDirector: true }] as {
    dataflow?: string;
    keepDirector?: boolean;
  }[])
    await expect(
      ground.conductor(folder, { dataflow }).teardown({ keepDirector: keepDirector ?? false }),
    ).rejects.toMatchObject({ exitCode: 69 });

  expect((await worldOf(ground.origin, PROJECT)).topics).toMatchObject([
    { name: `projects/${PROJECT}/topics/director-events` },
  ]);
  expect(await ground.conductor(folder).teardown({ dryRun: true })).toMatchObject({ deleted: 0 });
  expect((await ground.conductor(folder).teardown()).deleted).toBeGreaterThan(0);
  const { policies: _, ...left } = await worldOf(ground.origin, PROJECT);
  expect(Object.values(left).flat()).toEqual([]);
  // What is gone is no failure.
  expect(await ground.conductor(folder).teardown()).toMatchObject({ deleted: 0 });
}, 180_000);

interface CallRecord {
  readonly api: string;
  readonly method: string;
  readonly resource: string;
  readonly caller: string;
  readonly mutating: boolean;
}

async function callsSoFar(): Promise<number> {
  return (await get<{ next: number }>('/_local/calls')).next;
}

async function callsSince(number: number): Promise<CallRecord[]> {
  return (await get<{ calls: CallRecord[] }>(`/_local/calls?since=${number}`)).calls;
}

async function setFaults(rules: readonly object[]): Promise<void> {
  const { ok } = await fetch(`${ground.origin}/_local/faults`, {
    method: 'PUT',
    body: JSON.stringify(rules),
  });
  expect(ok).toBe(true);
}
