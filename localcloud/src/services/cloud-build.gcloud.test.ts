import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningCloud, startLocalCloud } from '../index.ts';

const missing = spawnSync('gcloud', ['--version']).status !== 0;
const why = missing ? ' (skipped: there is no gcloud on PATH)' : '';
const dir = mkdtempSync(join(tmpdir(), 'gcloud-'));
const IMAGES = 'us-central1-docker.pkg.dev/p/images';

let running: RunningCloud;

beforeAll(async () => {
  running = await startLocalCloud({
    dir: join(dir, 'cloud'),
    project: 'p',
    propagationMs: 0,
    environment: env,
  });
});

afterAll(async () => {
  await running.stop();
  rmSync(dir, { recursive: true });
});

/** What the command prints, as JSON. */
async function gcloud(...args: string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)('gcloud', [...args, '--format=json'], {
    env: {
      ...env,
      CLOUDSDK_CONFIG: join(dir, 'config'),
      CLOUDSDK_CORE_PROJECT: 'p',
      CLOUDSDK_CORE_DISABLE_PROMPTS: 'true',
      CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
      CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY: `${running.origin}/`,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD: `${running.origin}/`,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: `${running.origin}/storage/v1/`,
    },
  });
  return JSON.parse(stdout || 'null');
}

test.skipIf(missing)(
  `gcloud makes a repository, builds into it, and looks at both${why}`,
  { timeout: 60_000 },
  async () => {
    const where = '--location=us-central1';
    await gcloud('artifacts', 'repositories', 'create', 'images', '--repository-format=docker', where);
    const app = join(dir, 'app');
    mkdirSync(app);
    writeFileSync(join(app, 'package.json'), '{"scripts":{"start":"node a.js"}}');
    writeFileSync(join(app, 'a.js'), '');
    const [described, listed, built] = await Promise.all([
      gcloud('artifacts', 'repositories', 'describe', 'images', where),
      gcloud('artifacts', 'repositories', 'list', where),
      gcloud('builds', 'submit', app, '--pack', `image=${IMAGES}/app`, '--polling-interval=1'),
    ]);
    expect(described).toMatchObject({ format: 'DOCKER', registryUri: IMAGES });
    expect(listed).toMatchObject([{ name: 'projects/p/locations/us-central1/repositories/images' }]);
    expect(built).toMatchObject({ status: 'SUCCESS', results: { images: [{ name: `${IMAGES}/app` }] } });
    const { id } = built as { id: string };
    const [builds, build, images] = await Promise.all([
      gcloud('builds', 'list'),
      gcloud('builds', 'describe', id),
      gcloud('artifacts', 'docker', 'images', 'list', IMAGES, '--include-tags'),
    ]);
    expect([builds, build]).toMatchObject([[{ id }], { id, status: 'SUCCESS' }]);
    expect(images).toMatchObject([{ package: `${IMAGES}/app`, tags: ['latest'] }]);
    await gcloud('artifacts', 'repositories', 'delete', 'images', where, '--quiet');
    const gone = await fetch(`${running.origin}/v1/projects/p/locations/us-central1/repositories/images`);
    expect(gone.status).toBe(404);
  },
);
