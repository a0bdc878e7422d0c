/** The dialect at `/api`, as its clients speak it: JSON without saying so, and their own words for everything. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Client, clientOf, curlTo } from './support/dharma.ts';
import type { Answered } from './support/dialects.ts';
import type { DirectorProcess } from './support/director.ts';
import { NO_TERRAFORM, openDirector } from './support/rest.ts';
import { until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const GENERATOR = join(import.meta.dirname, '../../examples/generator/main.js');

let world: World;
let director: DirectorProcess;
let client: Client;
let generator: ChildProcess;
let generatorUrl: string;

beforeAll(async () => {
  generator = spawn(process.execPath, [GENERATOR], { env: { PORT: '0', STEP_MS: '50' } });
  const [line] = await once(createInterface({ input: generator.stdout ?? process.stdin }), 'line');
  generatorUrl = String(line).replace('Listening on ', '');
  ({ world, director } = await openDirector(({ dir }) => ({
    env: { IAC_GENERATOR_URL: generatorUrl, TERRAFORM_WORK_DIR: join(dir, 'terraform') },
  })));
  client = clientOf(curlTo(director.url));
});
afterAll(async () => {
  generator.kill();
  await world.stop();
});

/** As `curl -d` sends it. */
async function post(path: string, data: unknown): Promise<Pick<Answered, 'status' | 'body'>> {
  const { status, body } = await client.curl(path, data);
  return { status, body };
}

async function generate(blueprintId: string, options: object = {}): Promise<string> {
  const response = await fetch(`${generatorUrl}/api/generate`, {
    method: 'POST',
    body: JSON.stringify({ blueprintId, targetFormat: 'terraform', options }),
  });
  return ((await response.json()) as { jobId: string }).jobId;
}

const EXAMPLE = {
  blueprintId: 'web-app-blueprint',
  generationJobId: 'gen-job-456',
  environment: 'dev',
  targetCloud: 'azure',
  format: 'terraform',
};

const start = (more: object): Promise<string> => client.start({ ...EXAMPLE, ...more });
const ended = (id: string): Promise<Answered['body']> => client.ended(id);

describe('mistakes, in the words that its clients know', () => {
  const mistakes: [string, object, string][] = [
    ['no blueprint', { blueprintId: undefined }, 'blueprintId and generationJobId are required'],
    ['no job', { generationJobId: undefined }, 'blueprintId and generationJobId are required'],
    [
      'another environment',
      { environment: 'qa' },
      'Invalid environment. Must be: dev, staging, or production',
    ],
    ['another cloud', { targetCloud: 'moon' }, 'Invalid targetCloud. Must be: azure, aws, or gcp'],
    ['another format', { format: 'cobol' }, 'Invalid format. Must be: terraform, bicep, or cloudformation'],
  ];
  test.each(mistakes)('%s', async (_what, change, error) => {
    expect(await post('/api/deployments', { ...EXAMPLE, ...change })).toEqual({
      status: 400,
      body: { error },
    });
  });

  test('what is no JSON, and what holds unknown fields', async () => {
    expect(await post('/api/deployments', '{')).toEqual({
      status: 400,
      body: { error: 'The body is not JSON' },
    });
    const unknown = await post('/api/deployments', { ...EXAMPLE, surprise: 1 });
    expect(unknown.status).toBe(400);
    expect(unknown.body.error).toContain('surprise');
  });

  test('a format without an engine is refused before any work', async () => {
    const { status, body } = await post('/api/deployments', { ...EXAMPLE, format: 'bicep' });
    expect(status).toBe(501);
    expect(body.error).toContain('bicep');
  });

  test.each(['unknown', '..%2f..%2fetc', '%00', 'a'.repeat(500)])('there is no deployment %s', async (id) => {
    const { status, body } = await director.get(`/api/deployments/${id}`);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    if (status === 404) expect(body).toEqual({ error: 'Deployment not found' });
  });

  test('a limit that is no number', async () => {
    expect((await director.get('/api/deployments?limit=many')).status).toBe(400);
  });
});

test('a job that the generator does not know', async () => {
  const id = await start({ generationJobId: 'gen-job-456' });
  expect(await ended(id)).toMatchObject({
    status: 'failed',
    error: 'Failed to fetch generated code: Job not found',
  });
});

describe.skipIf(NO_TERRAFORM !== '')(`with Terraform${NO_TERRAFORM}`, () => {
  let first: string;

  test('a deployment goes through, and tells of itself', async () => {
    first = await start({ generationJobId: await generate('web-app-blueprint') });
    const body = await ended(first);
    expect(body).toMatchObject({
      id: first,
      blueprintId: 'web-app-blueprint',
      status: 'completed',
      environment: 'dev',
      targetCloud: 'azure',
      format: 'terraform',
      state: { stateId: expect.any(String), version: 1, locked: false },
    });
    expect(body.error).toBeUndefined();
    expect(body.state.resources.map(({ id }: { id: string }) => id).sort()).toEqual([
      'terraform_data.database',
      'terraform_data.network',
      'terraform_data.web',
    ]);
    expect(Object.keys(body.outputs).length).toBeGreaterThan(0);
    const { body: told } = await director.get(`/api/deployments/${first}/logs`);
    const messages = told.logs.map(({ message }: { message: string }) => message);
    expect(messages).toContain('Starting deployment planning');
    expect(told.logs.some(({ resource }: { resource: string | null }) => resource !== null)).toBe(true);
    for (const line of told.logs)
      expect(Object.keys(line).sort()).toEqual(['level', 'message', 'resource', 'timestamp']);
  });

  test('a second one is another version; the way back to the first is a third', async () => {
    const job = await generate('web-app-blueprint', { instances: 5 });
    const second = await start({ generationJobId: job });
    expect(await ended(second)).toMatchObject({ status: 'completed', state: { version: 2 } });
    const { body: history } = await director.get(`/api/deployments/${first}/state/history`);
    expect(history.history.map(({ version }: { version: number }) => version)).toEqual([2, 1]);

    expect(await post(`/api/deployments/${second}/rollback`, { targetVersion: 1 })).toEqual({
      status: 400,
      body: { error: 'reason is required' },
    });
    const back = await post(`/api/deployments/${second}/rollback`, {
      targetVersion: 1,
      reason: 'Critical bug in new version',
    });
    expect(back).toMatchObject({ status: 200, body: { deploymentId: second, status: 'applying' } });
    expect(await ended(back.body.rollbackDeploymentId)).toMatchObject({ status: 'completed' });
    expect((await director.get(`/api/deployments/${second}`)).body.status).toBe('rolled_back');
    const { body: state } = await director.get(`/api/deployments/${first}/state`);
    expect(state.version).toBe(3);
    const web = state.resources.find(({ id }: { id: string }) => id === 'terraform_data.web');
    expect(JSON.stringify(web.attributes)).toContain('2');
    expect(JSON.stringify(web.attributes.input)).not.toContain('5');
  });

  test('a lock keeps others out, and lets its holder in', async () => {
    const lock = { operation: 'apply', who: 'user@example.com' };
    expect(await post(`/api/deployments/${first}/state/lock`, {})).toEqual({
      status: 400,
      body: { error: 'operation and who are required' },
    });
    const { body: taken } = await post(`/api/deployments/${first}/state/lock`, lock);
    expect(taken).toEqual({ deploymentId: first, lockId: expect.any(String), locked: true });
    expect(await post(`/api/deployments/${first}/state/lock`, lock)).toEqual({
      status: 409,
      body: { error: 'State is already locked' },
    });
    const { body: state } = await director.get(`/api/deployments/${first}/state`);
    expect(state).toMatchObject({
      locked: true,
      lockInfo: { id: taken.lockId, operation: 'apply', who: 'user@example.com', version: '1.0' },
    });
    const job = await generate('web-app-blueprint');
    const held = await start({ generationJobId: job, options: { lockId: taken.lockId } });
    expect(await ended(held)).toMatchObject({ status: 'completed' });
    const kept = await start({ generationJobId: job });
    expect(await post(`/api/deployments/${first}/state/unlock`, { lockId: 'another' })).toEqual({
      status: 400,
      body: { error: 'Invalid lock ID' },
    });
    expect((await director.get(`/api/deployments/${kept}`)).body.status).toBe('pending');
    expect(await post(`/api/deployments/${first}/state/unlock`, { lockId: taken.lockId })).toEqual({
      status: 200,
      body: { deploymentId: first, locked: false },
    });
    expect(await ended(kept)).toMatchObject({ status: 'completed' });
    expect((await post(`/api/deployments/${first}/state/unlock`, { lockId: taken.lockId })).body).toEqual({
      error: 'State is not locked',
    });
  });

  test('production waits for somebody, and to its clients that is planning', async () => {
    const job = await generate('static-site');
    const id = await start({ blueprintId: 'abc-123', generationJobId: job, environment: 'production' });
    const waiting = await until(async () => {
      const { body } = await director.get(`/api/deployments/${id}`);
      expect(body.approval).toEqual({ state: 'pending', planHash: expect.any(String) });
      return body;
    });
    expect(waiting.status).toBe('planning');
    expect(waiting.plan).toMatchObject({ toCreate: 2, toUpdate: 0, toDelete: 0 });
    const { body: cancelled } = await post(`/api/deployments/${id}/cancel`, {});
    expect(cancelled).toEqual({ deploymentId: id, status: 'cancelled' });
    expect(await ended(id)).toMatchObject({ status: 'failed', error: 'Cancelled by user' });
    expect(await post(`/api/deployments/${id}/cancel`, {})).toEqual({
      status: 404,
      body: { error: 'Deployment not found or cannot be cancelled' },
    });
    const straight = await start({
      blueprintId: 'abc-123',
      generationJobId: job,
      environment: 'production',
      options: { autoApprove: true },
    });
    expect(await ended(straight)).toMatchObject({ status: 'completed' });
    const { body: list } = await director.get('/api/deployments?blueprintId=abc-123&environment=production');
    expect(list.deployments.map((one: { id: string }) => one.id)).toEqual([straight, id]);
    expect(list.count).toBe(2);
  });

  test('a dry run makes a plan, and no version', async () => {
    const id = await start({
      blueprintId: 'dry',
      generationJobId: await generate('event-pipeline'),
      options: { dryRun: true },
    });
    const body = await ended(id);
    expect(body).toMatchObject({ status: 'completed', plan: { toCreate: 3 } });
    expect(body.state).toBeUndefined();
  });
});
