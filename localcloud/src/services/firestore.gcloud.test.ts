import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCloud, startLocalCloud } from '../index.ts';

const missing = spawnSync('gcloud', ['--version']).status !== 0;
const why = missing ? ' (skipped: there is no gcloud on PATH)' : '';
const dir = mkdtempSync(join(tmpdir(), 'gcloud-'));

let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({ dir: join(dir, 'cloud'), project: 'shop-one', propagationMs: 0 });
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

/** What the command prints, as JSON. Rejects with its errors. */
async function gcloud(command: string): Promise<unknown> {
  const args = ['firestore', 'databases', ...command.split(' '), '--format=json'];
  const { stdout } = await promisify(execFile)('gcloud', args, {
    env: {
      ...env,
      CLOUDSDK_CONFIG: join(dir, 'config'),
      CLOUDSDK_CORE_PROJECT: 'shop-one',
      CLOUDSDK_CORE_DISABLE_PROMPTS: 'true',
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
      CLOUDSDK_API_ENDPOINT_OVERRIDES_FIRESTORE: `${running.origin}/`,
    },
  });
  return JSON.parse(stdout || 'null');
}

test.skipIf(missing)(
  `gcloud makes a database, changes it and deletes it${why}`,
  { timeout: 120_000 },
  async () => {
    const name = 'projects/shop-one/databases/orders';
    await gcloud('create --database=orders --location=eur3 --delete-protection');
    const [described, listed, refused] = await Promise.all([
      gcloud('describe --database=orders'),
      gcloud('list'),
      gcloud('delete --database=orders').catch((error) => String(error)),
    ]);
    const database = { name, type: 'FIRESTORE_NATIVE', locationId: 'eur3' };
    expect(described).toMatchObject({ ...database, deleteProtectionState: 'DELETE_PROTECTION_ENABLED' });
    expect(listed).toEqual([described]);
    expect(refused).toContain('is protected from deletion');
    await gcloud('update --database=orders --no-delete-protection');
    await gcloud('delete --database=orders');
    expect(await gcloud('list')).toEqual([]);
  },
);
