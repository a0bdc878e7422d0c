/** Phases alone and skipped, parts of an architecture, a director that is there already, and every field of a service. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConductorEvent, PHASES, type Phase } from '@service-director/conductor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ground, openGround, type Recorded } from './support.ts';
import { worldOf } from './world.ts';

const PROJECT = 'phases-local';

const YAML = `
name: phases
project_id: ${PROJECT}
region: us-central1
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
      subscriptions:
        - name: page-views-store
          topic: page-views
          push: { service: store, path: /views }
        - name: page-views-audit
          topic: page-views
          iam_access_policy:
            - { name: phases-auditor, role: roles/pubsub.subscriber, type: service-account }
            - { name: page, role: roles/pubsub.viewer, type: service }
  back:
    lifecycle: { strategy: ephemeral }
    services:
      store:
        service_account: phases-store
        deployment: { source_path: ./store }
    resources:
      gcs_buckets:
        - name: phases-local-data
          producers: [{ name: store, lookup: { method: env } }]
          lifecycle_rules: [{ action: { type: Delete }, condition: { age_in_days: 30 } }]
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
  await ground.conductor(folder).run();
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

async function serviceOf<T = { uri: string }>(name: string): Promise<T> {
  return (await (
    await fetch(`${ground.origin}/v2/projects/${PROJECT}/locations/us-central1/services/${name}`)
  ).json()) as T;
}

interface Told {
  readonly env: Record<string, string>;
  readonly resources: string | null;
  readonly settings: string | null;
  readonly secret: string | null;
}

async function askService(name: string): Promise<Told> {
  const { uri } = await serviceOf(name);
  const token = (await (
    await fetch(`${ground.origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { 'metadata-flavor': 'Google' },
    })
  ).json()) as { access_token: string };
  return (await (
    await fetch(uri, { headers: { authorization: `Bearer ${token.access_token}` } })
  ).json()) as Told;
}

const phasesIn = (events: readonly ConductorEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'phase-started' ? [event.phase] : []));

describe('every field of a service has an effect', () => {
  test('on the Cloud Run service (G25, G26)', async () => {
    const service = await serviceOf<{
      description: string;
      labels: Record<string, string>;
      template: {
        serviceAccount: string;
        scaling: object;
        containers: { image: string; resources: { limits: object }; ports: object[]; startupProbe: object }[];
      };
    }>('page');
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
  });

  test('on what the program finds in its environment (G30, G60)', async () => {
    const { env } = await askService('page');
    const director = await serviceOf('service-director');
    const store = await serviceOf('store');
    expect(env).toMatchObject({
      PROJECT_ID: PROJECT,
      SERVICE_NAME: 'page',
      DATAFLOW_NAME: 'front',
      SERVICE_DIRECTOR_URL: director.uri,
      STORE_URL: store.uri,
      COLOUR: 'blue',
      COUNT: '3',
    });
    expect((await askService('store')).env.PHASES_LOCAL_DATA_WRITE_BUCKET).toBe('phases-local-data');
  });

  test('on the files beside it: generated and copied in the build, ignored ones left out, nothing in the user’s folder (G43, G58)', async () => {
    const { resources, settings, secret } = await askService('page');
    expect(resources).toContain('name: page-views');
    expect(settings).toBe('{"from": "the template"}');
    expect(secret).toBeNull();
    expect(treeOf(folder)).toEqual(before);
    const bucket = (await (
      await fetch(`${ground.origin}/storage/v1/b/${PROJECT}-service-director`)
    ).json()) as { lifecycle: object };
    expect(bucket.lifecycle).toEqual({ rule: [{ action: { type: 'Delete' }, condition: { age: 7 } }] });
  });
});

describe('resources', () => {
  test('carry labels, access policies of both types and lifecycle rules (G28, G29, G31, G32, G35)', async () => {
    const world = await worldOf(ground.origin, PROJECT);
    const named = (items: readonly object[], name: string) =>
      (items as { name: string; labels: object }[]).find((item) => item.name.endsWith(name));
    expect(named(world.topics, 'page-views')?.labels).toMatchObject({ kind: 'views', team: 'blue' });
    const audit = world.policies[`projects/${PROJECT}/subscriptions/page-views-audit`];
    expect(audit).toEqual({
      'roles/pubsub.subscriber': [`serviceAccount:phases-auditor@${PROJECT}.iam.gserviceaccount.com`],
      'roles/pubsub.viewer': [`serviceAccount:phases-page@${PROJECT}.iam.gserviceaccount.com`],
    });
    expect(named(world.buckets, 'phases-local-data')).toMatchObject({
      lifecycle: { rule: [{ condition: { age: 30 } }] },
    });
  });

  test('that depend on services come after them, and push really arrives there (G46)', async () => {
    const subscription = (await (
      await fetch(`${ground.origin}/v1/projects/${PROJECT}/subscriptions/page-views-store`)
    ).json()) as { pushConfig: { pushEndpoint: string; oidcToken: object } };
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
  test('APIs that the architecture takes are enabled by preflight (G61)', async () => {
    const { services } = (await (
      await fetch(`${ground.origin}/v1/projects/${PROJECT}/services?filter=state:ENABLED&pageSize=200`)
    ).json()) as { services: { name: string }[] };
    const names = services.map(({ name }) => name.split('/').at(-1));
    expect(names).toEqual(
      expect.arrayContaining([
        'run.googleapis.com',
        'pubsub.googleapis.com',
        'iamcredentials.googleapis.com',
        'cloudbuild.googleapis.com',
      ]),
    );
  });

  test.each(PHASES)('%s runs alone, with its inputs found in the world (G4)', async (phase: Phase) => {
    const alone = ground.conductor(folder, { only: [phase] });
    await alone.run();
    expect(phasesIn(alone.events)).toEqual([phase]);
    expect(alone.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
  });

  test('phases are skipped (G4)', async () => {
    const some = ground.conductor(folder, { skip: ['build', 'verify-grants', 'verify-services'] });
    await some.run();
    expect(phasesIn(some.events).sort()).toEqual(['bootstrap', 'deploy', 'identities', 'preflight', 'setup']);
  });

  test('a director that runs already is used, neither built nor deployed (G5)', async () => {
    const { uri } = await serviceOf('service-director');
    const given = ground.conductor(folder, { directorUrl: uri });
    await given.run();
    expect(phasesIn(given.events)).not.toContain('bootstrap');
    expect(given.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
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

  test('a run has a deadline; what the director was told goes on, and can be awaited again (G18)', async () => {
    await fetch(`${ground.origin}/_local/faults`, {
      method: 'PUT',
      body: JSON.stringify([{ api: 'pubsub', method: 'UpdateTopic', delay: 4_000, count: 1 }]),
    });
    writeFileSync(join(folder, 'architecture.yaml'), YAML.replace('kind: views', 'kind: looks'));
    const hasty = ground.conductor(folder, { timeoutSeconds: 3, only: ['setup'] });
    await expect(hasty.run()).rejects.toMatchObject({
      exitCode: 124,
      fix: expect.stringContaining('conductor events --follow'),
    });
    const again: Recorded = ground.conductor(folder, { only: ['setup'] });
    await again.run();
    const topic = (await (
      await fetch(`${ground.origin}/v1/projects/${PROJECT}/topics/page-views`)
    ).json()) as { labels: object };
    expect(topic.labels).toMatchObject({ kind: 'looks' });
  });
});

interface CallRecord {
  readonly method: string;
  readonly resource: string;
  readonly mutating: boolean;
}

async function callsSoFar(): Promise<number> {
  return ((await (await fetch(`${ground.origin}/_local/calls`)).json()) as { next: number }).next;
}

async function callsSince(number: number): Promise<CallRecord[]> {
  return (
    (await (await fetch(`${ground.origin}/_local/calls?since=${number}`)).json()) as { calls: CallRecord[] }
  ).calls;
}
