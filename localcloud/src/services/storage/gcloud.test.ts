import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEVELOPER } from '../../identity.ts';
import { startTestCloud, type TestCloud } from '../../testing.ts';

const dir = mkdtempSync(join(tmpdir(), 'gcloud-storage-'));
let cloud: TestCloud;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop', propagationMs: 0 });
});
afterAll(async () => {
  await cloud.end();
  rmSync(dir, { recursive: true });
});

async function start(...args: string[]): Promise<Ran> {
  return run('gcloud', ['storage', ...args], {
    env: {
      PATH: process.env.PATH ?? '',
      HOME: dir,
      CLOUDSDK_CONFIG: join(dir, 'config'),
      CLOUDSDK_CORE_PROJECT: 'shop',
      CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
      CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
      CLOUDSDK_AUTH_ACCESS_TOKEN: cloud.running().cloud.tokens.access(DEVELOPER, 3_600),
      CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${cloud.origin()}/storage/v1/`,
    },
  });
}

async function gcloud(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await start(...args);
  expect([args, code], stderr).toEqual([args, 0]);
  return stdout;
}

test('gcloud makes, shows, fills, empties and deletes a bucket', async (context) => {
  try {
    await gcloud('buckets', 'create', 'gs://from-gcloud', '--location', 'europe-west1');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    process.stdout.write('gcloud is not on PATH: what it would do with buckets is not tested.\n');
    context.skip('gcloud is not installed on this machine');
  }
  const rules = join(dir, 'rules.json');
  writeFileSync(rules, '{"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}');
  const settings = ['--versioning', '--update-labels', 'team=red', '--lifecycle-file', rules];
  await gcloud('buckets', 'update', 'gs://from-gcloud', ...settings);
  const [shown, listed] = await Promise.all([
    gcloud('buckets', 'describe', 'gs://from-gcloud', '--format', 'json'),
    gcloud('buckets', 'list', '--format', 'value(name)'),
  ]);
  expect(JSON.parse(shown)).toMatchObject({
    location: 'EUROPE-WEST1',
    labels: { team: 'red' },
    versioning_enabled: true,
    lifecycle_config: { rule: [{ action: { type: 'Delete' }, condition: { age: 30 } }] },
  });
  expect(listed).toBe('from-gcloud\n');

  // Large enough for gcloud to upload it resumably.
  const data = randomBytes(9_000_000);
  writeFileSync(join(dir, 'large.bin'), data);
  writeFileSync(join(dir, 'note.txt'), 'hello from gcloud\n');
  await gcloud('cp', join(dir, 'large.bin'), join(dir, 'note.txt'), 'gs://from-gcloud/in/');
  const [names, text] = await Promise.all([
    gcloud('ls', 'gs://from-gcloud/**'),
    gcloud('cat', 'gs://from-gcloud/in/note.txt'),
    gcloud('cp', 'gs://from-gcloud/in/large.bin', join(dir, 'back.bin')),
  ]);
  expect(names).toBe('gs://from-gcloud/in/large.bin\ngs://from-gcloud/in/note.txt\n');
  expect(text).toBe('hello from gcloud\n');
  expect(readFileSync(join(dir, 'back.bin')).equals(data)).toBe(true);

  await gcloud('rm', 'gs://from-gcloud/in/note.txt');
  const full = await start('buckets', 'delete', 'gs://from-gcloud');
  expect([full.code, full.stderr]).toEqual([1, expect.stringContaining('not empty')]);
  await gcloud('rm', '--recursive', 'gs://from-gcloud');
  expect((await cloud.call('GET', '/storage/v1/b/from-gcloud')).status).toBe(404);
}, 120_000);
