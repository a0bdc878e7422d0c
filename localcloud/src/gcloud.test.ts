import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { DEVELOPER } from './identity.ts';
import { startTestCloud, type TestCloud } from './testing.ts';

const run = promisify(execFile);
const PROPAGATION = 60_000;
const EMAIL = 'orders@shop-one.iam.gserviceaccount.com';

let cloud: TestCloud;
let config: string;
let installed: boolean;

beforeAll(async () => {
  installed = await run('sh', ['-c', 'command -v gcloud']).then(
    () => true,
    () => false,
  );
  config = mkdtempSync(join(tmpdir(), 'gcloud-'));
  cloud = await startTestCloud({ project: 'shop-one', propagationMs: PROPAGATION, apis: 'default' });
  for (const host of ['iam.googleapis.com', 'iamcredentials.googleapis.com']) {
    cloud.running().cloud.projects.enable('shop-one', host, 0);
  }
});
afterAll(async () => {
  await cloud.end();
  rmSync(config, { recursive: true });
});
beforeEach(({ skip }) => {
  if (installed) return;
  process.stdout.write('gcloud is not on PATH: what it would do is not tested.\n');
  skip('gcloud is not on PATH');
});

/** All that gcloud must be told to talk to us. */
function environment(): Record<string, string> {
  const endpoints = ['IAM', 'IAMCREDENTIALS', 'CLOUDRESOURCEMANAGER', 'SERVICEUSAGE'].map((api) => [
    `CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`,
    `${cloud.origin()}/`,
  ]);
  return {
    ...Object.fromEntries(endpoints),
    CLOUDSDK_AUTH_ACCESS_TOKEN: cloud.running().cloud.tokens.access(DEVELOPER, 3_600),
    CLOUDSDK_CORE_PROJECT: 'shop-one',
    CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
    CLOUDSDK_CONFIG: config,
  };
}

/** What gcloud prints: JSON when the command prints resources, else nothing. Rejects with its errors. */
async function gcloud(command: string): Promise<unknown> {
  const variables = Object.entries(environment()).map(([name, value]) => `${name}=${value}`);
  const { stdout } = await run('env', [...variables, 'gcloud', ...command.split(' '), '--format=json']);
  return stdout.trim() === '' ? undefined : JSON.parse(stdout);
}

test('gcloud works with service accounts, projects, policies and services', async () => {
  const bind = `projects add-iam-policy-binding shop-one --member=serviceAccount:${EMAIL} --role=roles/browser`;
  await gcloud('iam service-accounts create orders --display-name=Orders');
  await Promise.all([
    expect(gcloud('iam service-accounts create orders')).rejects.toThrow(
      'Service account orders already exists within project projects/shop-one.',
    ),
    expect(gcloud('iam service-accounts list')).resolves.toEqual([
      expect.objectContaining({ email: EMAIL, displayName: 'Orders' }),
    ]),
    expect(gcloud(`iam service-accounts describe ${EMAIL}`)).resolves.toMatchObject({
      projectId: 'shop-one',
    }),
    expect(gcloud('projects describe shop-one')).resolves.toMatchObject({ lifecycleState: 'ACTIVE' }),
    expect(gcloud(bind)).rejects.toThrow(`Service account ${EMAIL} does not exist.`),
  ]);
  cloud.pass(PROPAGATION);
  await gcloud(bind);
  await gcloud('services enable pubsub.googleapis.com run.googleapis.com');
  await Promise.all([
    expect(gcloud('projects get-iam-policy shop-one')).resolves.toMatchObject({
      bindings: expect.arrayContaining([{ role: 'roles/browser', members: [`serviceAccount:${EMAIL}`] }]),
    }),
    expect(gcloud('services list --enabled')).resolves.toEqual(
      expect.arrayContaining(
        ['pubsub.googleapis.com', 'run.googleapis.com'].map((name) =>
          expect.objectContaining({ config: expect.objectContaining({ name }) }),
        ),
      ),
    ),
  ]);
  await gcloud(`iam service-accounts delete ${EMAIL}`);
  await expect(gcloud(`iam service-accounts describe ${EMAIL}`)).rejects.toThrow('PERMISSION_DENIED');
}, 120_000);

test('gcloud acts as a service account', async () => {
  const { cloud: inner } = cloud.running();
  await cloud.call('POST', '/v1/projects/shop-one/serviceAccounts', { accountId: 'acting' });
  cloud.pass(PROPAGATION);
  const email = 'acting@shop-one.iam.gserviceaccount.com';
  const members = [`user:${DEVELOPER.email}`];
  inner.iam.setPolicy(
    `projects/shop-one/serviceAccounts/${email}`,
    { bindings: [{ role: 'roles/iam.serviceAccountTokenCreator', members }] },
    0,
  );
  const describe = `projects describe shop-one --impersonate-service-account=${email}`;
  await expect(gcloud(describe)).rejects.toThrow('PERMISSION_DENIED');
  const { bindings } = inner.iam.policy('projects/shop-one');
  const added = { role: 'roles/browser', members: [`serviceAccount:${email}`] };
  inner.iam.setPolicy('projects/shop-one', { bindings: [...bindings, added] }, 0);
  expect(await gcloud(describe)).toMatchObject({ projectId: 'shop-one' });
}, 60_000);
