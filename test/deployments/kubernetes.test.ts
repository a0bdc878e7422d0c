/** Several directors on Kubernetes: `deployments/kubernetes`, as kubectl puts it together, and a director that lives as it says. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { FIRESTORE, findEmulator, startEmulator } from '../conformance/emulator.ts';
import { startDirector } from '../director/support/director.ts';
import { documentOf, ephemeral } from '../director/support/documents.ts';
import { openWorld, PROJECT, type World } from '../director/support/world.ts';
import { documentsOf, eventually, read, root, yamlOf } from './support/files.ts';
import { stages, unpack } from './support/image.ts';
import {
  containerOf,
  environmentOf,
  expectConfined,
  expectSettings,
  expectToFit,
  type Manifests,
  noPod,
  startPod,
  the,
} from './support/pod.ts';

vi.setConfig({ testTimeout: 400_000, hookTimeout: 120_000 });

const BASE = 'deployments/kubernetes';
const kubectl = spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' });
const NO_KUBECTL = kubectl.status === 0 ? '' : ' (without kubectl, which is not here: the files as they are)';

/** What kubectl would send. */
function manifestsOf(folder: string): Manifests {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return documentsOf(stdout);
}

describe('as files', () => {
  test('each is YAML, one thing of its kind, and named in the kustomization', () => {
    const { resources } = yamlOf(read(`${BASE}/kustomization.yaml`));
    const files = readdirSync(`${root}/${BASE}`).filter((file) => file.endsWith('.yaml'));
    expect(files.toSorted()).toEqual([...resources, 'kustomization.yaml'].toSorted());
    const kinds = resources.map((file: string) =>
      documentsOf(read(`${BASE}/${file}`)).map(({ kind }) => kind),
    );
    expect(kinds.flat()).toEqual([
      'Namespace',
      'ServiceAccount',
      'Deployment',
      'Service',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'HorizontalPodAutoscaler',
    ]);
  });

  test('two replicas, who are told that their state is shared (D181)', () => {
    const [{ spec }] = documentsOf(read(`${BASE}/deployment.yaml`));
    // A number of its own would scale back with each apply what the autoscaler did.
    expect(spec.replicas).toBeUndefined();
    const [scaler] = documentsOf(read(`${BASE}/autoscaler.yaml`));
    expect(scaler.spec).toMatchObject({ minReplicas: 2, scaleTargetRef: { name: 'service-director' } });
    expect(read(`${BASE}/settings.env`)).toMatch(/^DIRECTOR_STATE=firestore:/m);
    expect(JSON.stringify(spec)).toContain('"key":"azure-subscription-id"');
    expect(JSON.stringify(spec)).toContain('"mountPath":"/tmp"');
  });
});

describe.skipIf(NO_KUBECTL !== '')(`put together${NO_KUBECTL}`, () => {
  const folders = [
    [BASE, 8080],
    ['deployments/kubernetes-port-3004', 3004],
  ] as const;

  test.each(folders)('%s at port %i: settings that the director reads', (folder, port) =>
    expectSettings(manifestsOf(folder), port),
  );

  test.each(folders)('%s at port %i: selectors, names and ports fit each other', (folder, port) =>
    expectToFit(manifestsOf(folder), port),
  );

  test.each(folders)(
    '%s at port %i: nothing may be done that need not be, and there is time to end',
    (folder) => expectConfined(manifestsOf(folder)),
  );

  test('it is somebody to Google by Workload Identity, and nobody to Kubernetes', () => {
    const manifests = manifestsOf(BASE);
    const { metadata } = the('ServiceAccount', manifests);
    const { DIRECTOR_ACCOUNT, PROJECT_ID } = environmentOf(manifests);
    expect(metadata.annotations).toEqual({
      'iam.gke.io/gcp-service-account': `${DIRECTOR_ACCOUNT}@${PROJECT_ID}.iam.gserviceaccount.com`,
    });
    expect(the('Deployment', manifests).spec.template.spec.automountServiceAccountToken).toBe(false);
  });

  test('other settings are a new rollout, and all that is there is in its namespace', () => {
    const [one, other] = folders.map(([folder]) => manifestsOf(folder));
    const nameIn = (manifests: Manifests = []): string => the('ConfigMap', manifests).metadata.name;
    expect(nameIn(one)).not.toBe(nameIn(other));
    for (const { kind, metadata } of one ?? [])
      if (kind !== 'Namespace') expect(metadata.namespace, kind).toBe('service-director');
  });
});

describe.skipIf(NO_KUBECTL !== '')('a director with these settings', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world?.stop());

  const cannot = noPod();
  test.skipIf(cannot !== '')(
    `runs as that user on a root that is read only, and answers its probes to others than itself${cannot && ` (skipped: ${cannot})`}`,
    async () => {
      const manifests = manifestsOf(BASE);
      // There is no Firestore where it is: it lives, and says what it waits for.
      const app = join(world.dir, 'app');
      const image = stages().at(-1);
      if (image) unpack(image, app);
      const pod = startPod(manifests, app, { FIRESTORE_EMULATOR_HOST: '127.0.0.1:1' });
      onTestFinished(() => pod.stop());
      const { livenessProbe, readinessProbe, ports } = containerOf(manifests);
      const [{ containerPort }] = ports;
      await eventually(async () =>
        expect(await pod.get(livenessProbe.httpGet.path, containerPort)).toMatchObject({ status: 200 }),
      );
      await eventually(async () =>
        expect(await pod.get(readinessProbe.httpGet.path, containerPort), pod.output()).toMatchObject({
          status: 503,
          body: { ready: false, problems: { state: expect.any(String) } },
        }),
      );
      expect(pod.output()).not.toMatch(/EROFS|EACCES/);
    },
  );

  test('is ready where it finds its cloud; what one of two was asked, either tells of, and it is done once (D181)', async () => {
    const manifests = manifestsOf(BASE);
    const { PORT: _, ...settings } = environmentOf(manifests);
    const installed = await findEmulator(FIRESTORE);
    const emulator = 'missing' in installed ? undefined : await startEmulator(installed);
    if ('missing' in installed)
      process.stdout.write(`One SQLite file in the place of Firestore: ${installed.missing}\n`);
    onTestFinished(async () => void (await emulator?.stop()));
    const { DIRECTOR_STATE, ...others } = settings;
    const env = {
      ...others,
      ...(emulator && DIRECTOR_STATE !== undefined
        ? { DIRECTOR_STATE, FIRESTORE_EMULATOR_HOST: emulator.endpoint }
        : {}),
      PROJECT_ID: PROJECT,
      TERRAFORM_WORK_DIR: `${world.dir}/work`,
      // Nobody here has a token of Google's.
      DIRECTOR_ACCESS: 'loopback',
      DIRECTOR_HOST: '127.0.0.1',
    };
    const directors = await Promise.all([startDirector(world, { env }), startDirector(world, { env })]);
    const { livenessProbe, readinessProbe } = containerOf(manifests);
    for (const director of directors) {
      await director.ready();
      for (const { httpGet } of [livenessProbe, readinessProbe])
        expect(await director.get(httpGet.path)).toMatchObject({ status: 200 });
    }
    const since = world.now();
    const document = documentOf('shared', {
      flow: ephemeral({ resources: { topics: [{ name: 'shared-topic' }] } }),
    });
    const sent = await directors[0]?.post('dataflow-setup', JSON.stringify({ architecture: { document } }), {
      'idempotency-key': 'shared.setup',
    });
    expect(sent).toMatchObject({ status: 202 });
    await world.recorder.answerTo('shared.setup');
    for (const director of directors)
      expect(await director.get('/v1/deployments/shared.setup.flow')).toMatchObject({
        status: 200,
        body: { status: 'succeeded' },
      });
    expect(world.changes(since).filter(({ method }) => method === 'CreateTopic')).toHaveLength(1);
    for (const director of directors) expect(await director.stop()).toBe(0);
  });
});
