import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { run as execute } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench } from './testing.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.end());

test('the v1 API needs the region in the host, and refuses what it does not know', async () => {
  const path = '/apis/serving.knative.dev/v1/namespaces/p/services';
  expect((await bench.api('GET', path)).json.error).toMatchObject({
    code: 400,
    message: expect.stringContaining('needs the region in front of the host'),
  });
  const throughProxy = (body: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const asking = request({
        port: bench.running().port,
        method: 'POST',
        path: `http://us-central1-run.sim${path}`,
      });
      asking.once('error', reject);
      asking.once('response', (response) => resolve(text(response)));
      asking.end(JSON.stringify(body));
    });
  expect(await throughProxy({ metadata: { name: 'a' }, spec: { templat: {} } })).toContain(
    'Unknown name \\"templat\\" at \'spec\'',
  );
  const annotations = { 'run.googleapis.com/cloudsql-instances': 'p:r:i' };
  expect(await throughProxy({ metadata: { name: 'a', annotations } })).toContain('cloudsql-instances');
});

test('gcloud deploys, lists, describes, updates, reads logs and deletes', async (context) => {
  const gcloud = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await execute('gcloud', ['run', ...args], {
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin:/snap/bin:/opt/homebrew/bin',
        HOME: bench.dir,
        CLOUDSDK_CONFIG: join(bench.dir, 'gcloud'),
        CLOUDSDK_CORE_PROJECT: 'p',
        CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
        CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
        CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
        CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
        CLOUDSDK_RUN_REGION: 'us-central1',
        CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://run.sim/',
        CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING: `${bench.running().origin}/`,
        CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE: `${bench.running().origin}/`,
        CLOUDSDK_PROXY_TYPE: 'http_no_tunnel',
        CLOUDSDK_PROXY_ADDRESS: '127.0.0.1',
        CLOUDSDK_PROXY_PORT: String(bench.running().port),
      },
    });
    expect(code, stderr).toBe(0);
    return stdout;
  };
  try {
    await gcloud(
      'deploy',
      'web',
      '--image',
      bench.image,
      '--allow-unauthenticated',
      '--set-env-vars',
      'MODE=red',
    );
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    process.stdout.write('gcloud is not installed: what it would do is not tested.\n');
    context.skip('gcloud is not installed');
  }
  const { uri } = await bench.get('web');
  expect((await bench.ask(uri, {})).env.MODE).toBe('red');
  await gcloud('services', 'update', 'web', '--update-env-vars', 'MODE=blue,MORE=1', '--max-instances', '3');
  expect((await bench.ask(uri, {})).env).toMatchObject({ MODE: 'blue', MORE: '1' });
  const [listed, json, read] = await Promise.all([
    gcloud('services', 'list', '--format', 'value(metadata.name,status.url)'),
    gcloud('services', 'describe', 'web', '--format', 'json'),
    gcloud('services', 'logs', 'read', 'web'),
  ]);
  expect(listed).toContain(`web\t${uri}`);
  const described = JSON.parse(json);
  expect(described.spec.template.metadata.annotations).toMatchObject({
    'autoscaling.knative.dev/maxScale': '3',
  });
  expect(described.status.conditions[0]).toMatchObject({ type: 'Ready', status: 'True' });
  expect(read).toContain('mode blue');
  await gcloud('services', 'delete', 'web');
  await expect(bench.get('web')).rejects.toMatchObject({ status: 404 });
}, 120_000);
