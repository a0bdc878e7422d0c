/** All that a director answers over HTTP, in one process as it is shipped: each dialect, and what one started seen in another. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: what deploys with it is not tested here.\n');

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world, { env: { TERRAFORM_WORK_DIR: join(world.dir, 'terraform') } });
  await director.ready();
});
afterAll(() => world.stop());

async function send(method: string, path: string, body: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(director.url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

test.each([
  ['/health', 200],
  ['/ready', 200],
  ['/version', 200],
  ['/openapi.json', 200],
  ['/docs', 200],
  ['/v1/deployments', 200],
  ['/v1/commands', 200],
  ['/v1/stacks', 200],
  ['/v1/webhooks', 200],
  ['/api/health', 200],
  ['/api/deployments', 200],
  ['/api/v1/deployments', 200],
  ['/api/v1/engines', 200],
  ['/api/builds', 200],
  ['/v1/nothing', 404],
  ['/api/nothing', 404],
  ['/api/v1/nothing', 404],
  ['/nothing', 404],
])('%s is answered with %i', async (path, status) => {
  expect((await director.get(path)).status).toBe(status);
});

test.skipIf(!hasTerraform)('what one dialect began, another tells of', async () => {
  const code =
    'resource "terraform_data" "a" {\n  input = "x"\n}\noutput "said" {\n  value = terraform_data.a.output\n}\n';
  const digest = await bring(director, code);
  const begun = await send('POST', '/api/v1/deployments', {
    id: 'team-web-v1',
    composer: 'team',
    environment: 'dev',
    resources: [
      { name: 'first', engine: 'terraform', config: { source: { digest } } },
      { name: 'second', engine: 'terraform', config: { source: { digest } } },
    ],
    dependencies: [{ from: 'first', to: 'second' }],
  });
  expect([begun.status, begun.body]).toEqual([202, expect.objectContaining({ id: 'team-web-v1' })]);
  await until(async () => {
    const { body } = await director.get('/api/v1/deployments/team-web-v1');
    expect(body.status).toBe('ready');
  });
  const { body } = await director.get('/v1/deployments');
  expect(body.deployments).toHaveLength(1);
  expect(body.deployments[0].status).toBe('succeeded');
  const { body: logs } = await director.get(
    `/v1/deployments/${encodeURIComponent(body.deployments[0].id)}/logs`,
  );
  expect(JSON.stringify(logs)).toContain('terraform_data.a');
});
