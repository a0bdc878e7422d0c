/** Several directors on Kubernetes with Helm: the chart in `deployments/helm`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startDirector } from '../director/support/director.ts';
import { freePort, openWorld } from '../director/support/world.ts';
import {
  type Chosen,
  faultsIn,
  hasHelm,
  helm,
  helmSays,
  rendered,
  templates,
  valuesWith,
} from './support/chart.ts';
import { type Anything, eventually, read, root, yamlOf } from './support/files.ts';
import { stages, unpack } from './support/image.ts';
import {
  containerOf,
  environmentOf,
  expectConfined,
  expectSettings,
  expectToFit,
  noPod,
  startPod,
  the,
} from './support/pod.ts';

vi.setConfig({ testTimeout: 400_000 });

const NEEDED: Chosen = { 'config.project': 'my-project', 'config.audience': 'https://director.example' };
const NO_HELM = hasHelm ? '' : ' (skipped: there is no helm)';
if (!hasHelm)
  process.stdout.write(
    `There is no helm (${helm.error?.message ?? helm.stderr}): the templates are read by test/deployments/support/chart.ts\n`,
  );

test.skipIf(!hasHelm)(`Helm finds nothing to mend${NO_HELM}`, () => {
  expect(helmSays('lint', NEEDED)).toContain('0 chart(s) failed');
});

test('the chart says of which program it is', () => {
  const { version } = JSON.parse(read('package.json'));
  expect(yamlOf(read('deployments/helm/Chart.yaml'))).toMatchObject({
    apiVersion: 'v2',
    name: 'service-director',
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    appVersion: version,
  });
});

describe('its values', () => {
  test('those that it has fit; two have to be said', () => {
    expect(faultsIn(valuesWith(NEEDED))).toEqual([]);
    expect(faultsIn(valuesWith({})).map((fault) => fault.split(' ')[0])).toEqual([
      '/config/project',
      '/config/audience',
    ]);
  });

  test.each<[string, Chosen]>([
    ['/config', { 'config.catalog.endpoint': 'https://catalog.example' }],
    ['', { replicas: 3 }],
    ['/config/generator', { 'config.generator.endpoint': 'https://generator.example' }],
    ['/config/state', { 'config.state': 'sqlite:/scratch/state.sqlite' }],
    ['/settings', { 'settings.DIRECTOR_ACCESS': 'loopback' }],
    ['/port', { port: 80 }],
  ])('what is not known at %j, or cannot be, is refused before anything is made (N127)', (place, set) => {
    expect(faultsIn(valuesWith({ ...NEEDED, ...set })).some((fault) => fault.startsWith(place))).toBe(true);
    expect(() => rendered({ ...NEEDED, ...set })).toThrow(/schema/);
  });

  test('each that a template takes is there, and each that is there is taken', () => {
    const { whole, parts } = templates();
    const texts = [...whole, ...parts.values(), read('deployments/helm/templates/NOTES.txt')];
    const taken = texts.flatMap((text) =>
      [...text.matchAll(/\.Values((?:\.\w+)+)/g)].map(([, path = '']) => path.slice(1)),
    );
    const there = leaves(yamlOf(read('deployments/helm/values.yaml')));
    for (const path of taken)
      expect(
        there.some((one) => one === path || one.startsWith(`${path}.`)),
        path,
      ).toBe(true);
    for (const one of there)
      expect(
        taken.some((path) => one === path || one.startsWith(`${path}.`)),
        one,
      ).toBe(true);
    expect(taken.length).toBeGreaterThan(30);
  });

  test('a setting by its path arrives at the director, and so does one by its name (N127)', () => {
    const manifests = rendered({
      ...NEEDED,
      'config.generator.url': 'https://generator.example',
      'settings.DIRECTOR_CONCURRENCY': '48',
      credentialsSecret: 'cloud-credentials',
    });
    expect(
      environmentOf(manifests.filter(({ kind }) => kind !== 'Secret').map(withoutSecrets)),
    ).toMatchObject({
      PROJECT_ID: 'my-project',
      IAC_GENERATOR_URL: 'https://generator.example',
      DIRECTOR_CONCURRENCY: '48',
    });
    expect(containerOf(manifests).envFrom.at(-1)).toEqual({ secretRef: { name: 'cloud-credentials' } });
  });
});

describe('what it makes', () => {
  const port = { port: 3004, 'image.repository': 'registry.example/director' };
  const sets: [string, number, Chosen][] = [
    ['as it is', 8080, NEEDED],
    ['at another port', 3004, { ...NEEDED, ...port }],
    [
      'with metrics',
      8080,
      { ...NEEDED, 'serviceMonitor.enabled': true, 'serviceMonitor.labels.release': 'prometheus' },
    ],
  ];

  test.each(sets)('%s, at port %i: settings that the director reads', (_how, at, set) =>
    expectSettings(rendered(set), at),
  );

  test.each(sets)('%s, at port %i: selectors, names and ports fit each other (NX20)', (_how, at, set) =>
    expectToFit(rendered(set), at),
  );

  test.each(sets)(
    '%s, at port %i: nothing may be done that need not be, and there is time to end (NX20)',
    (_how, _at, set) => expectConfined(rendered(set)),
  );

  test('two replicas, probes, a budget, a scaler and a policy; a monitor only when it is asked for (NX20)', () => {
    const kinds = (set: Chosen): string[] =>
      rendered(set)
        .map(({ kind }) => kind)
        .toSorted();
    const usual = [
      ...[
        'ConfigMap',
        'Deployment',
        'HorizontalPodAutoscaler',
        'NetworkPolicy',
        'PodDisruptionBudget',
        'Service',
      ],
      'ServiceAccount',
    ];
    expect(kinds(NEEDED)).toEqual(usual);
    expect(kinds({ ...NEEDED, 'serviceMonitor.enabled': true })).toEqual([...usual, 'ServiceMonitor']);
    const none = {
      'autoscaling.enabled': false,
      'networkPolicy.enabled': false,
      'podDisruptionBudget.enabled': false,
    };
    expect(kinds({ ...NEEDED, ...none })).toEqual(['ConfigMap', 'Deployment', 'Service', 'ServiceAccount']);
    expect(the('Deployment', rendered({ ...NEEDED, ...none })).spec.replicas).toBe(2);
    expect(containerOf(rendered(NEEDED))).toMatchObject({
      image: 'service-director:0.1.0',
      livenessProbe: { httpGet: { path: '/health' }, initialDelaySeconds: 30 },
      readinessProbe: { httpGet: { path: '/ready' }, initialDelaySeconds: 5 },
    });
    expect(the('Deployment', rendered(NEEDED)).spec.template.spec.terminationGracePeriodSeconds).toBe(30);
  });

  test('other settings are a new rollout', () => {
    const sumOf = (set: Chosen): string =>
      the('Deployment', rendered({ ...NEEDED, ...set })).spec.template.metadata.annotations[
        'checksum/settings'
      ];
    expect(sumOf({})).toMatch(/^[0-9a-f]{64}$/);
    expect(sumOf({})).not.toBe(sumOf({ 'config.region': 'europe-west4' }));
  });
});

test('a collector is told the metrics at the address of the pod, by the door beside the director (NX20)', async () => {
  const manifests = rendered({ ...NEEDED, 'serviceMonitor.enabled': true });
  const { containers } = the('Deployment', manifests).spec.template.spec;
  const door = containers.find(({ name }: Anything) => name === 'metrics');
  const [endpoint] = the('ServiceMonitor', manifests).spec.endpoints;
  const world = await openWorld();
  onTestFinished(() => world.stop());
  const app = mkdtempSync(join(tmpdir(), 'app-'));
  onTestFinished(() => rmSync(app, { recursive: true }));
  const last = stages().at(-1);
  if (last) unpack(last, app);
  const port = String(await freePort());
  const { DIRECTOR_METRICS_PORT } = environmentOf(manifests);
  const director = await startDirector(world, { env: { DIRECTOR_METRICS_PORT: port } });
  await director.ready();
  // The address of the pod is another one of this machine; its port is a free one.
  const words = door.args.map((word: string) =>
    word === '$(POD_IP)' ? '127.0.0.3' : word === DIRECTOR_METRICS_PORT ? port : word,
  );
  expect(words).toEqual(['node', 'door.mjs', '127.0.0.3', port]);
  const child = spawn(process.execPath, words.slice(1), { cwd: app });
  onTestFinished(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const told = await eventually(async () => (await fetch(`http://127.0.0.3:${port}${endpoint.path}`)).text());
  expect(told).toContain('director_store_up 1');
  await expect(fetch(`${director.url.replace('127.0.0.1', '127.0.0.3')}/health`)).rejects.toThrow();
});

const cannot = noPod();
test.skipIf(cannot !== '')(
  `its container runs as that user on a root that is read only${cannot && ` (skipped: ${cannot})`}`,
  async () => {
    const world = await openWorld();
    onTestFinished(() => world.stop());
    const manifests = rendered({ ...NEEDED, port: 3004 });
    const pod = startPod(manifests, dirname(world.program), { FIRESTORE_EMULATOR_HOST: '127.0.0.1:1' });
    onTestFinished(() => pod.stop());
    await eventually(async () => expect(await pod.get('/health', 3004)).toMatchObject({ status: 200 }));
  },
);

test('nothing formats the templates', () => {
  expect(
    globSync('deployments/helm/templates/*', { cwd: root }).filter((path) => !/\.(yaml|tpl|txt)$/.test(path)),
  ).toEqual([]);
  const { files } = JSON.parse(read('biome.json'));
  expect(files.includes).toContain('!**/*.yaml');
});

/** The paths of all values; what is empty counts as one. */
function leaves(value: Anything, path: readonly string[] = []): string[] {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = isMap ? Object.entries(value) : [];
  if (entries.length === 0) return [path.join('.')];
  return entries.flatMap(([name, inner]) => leaves(inner, [...path, name]));
}

/** `environmentOf` knows ConfigMaps only. */
function withoutSecrets(manifest: Anything): Anything {
  if (manifest.kind !== 'Deployment') return manifest;
  const copy = structuredClone(manifest);
  for (const container of copy.spec.template.spec.containers)
    container.envFrom = container.envFrom?.filter(({ configMapRef }: Anything) => configMapRef);
  return copy;
}
