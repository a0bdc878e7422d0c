/** Each request that the handbook of the dialect at `/api` prints, sent as it is printed; its engine is on paper. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Client, curlTo, UUID } from './support/dharma.ts';
import { openPaperDharma, type PaperDharma } from './support/dharma-paper.ts';
import type { PaperEngine } from './support/paper-engine.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let at: PaperDharma;
let client: Client;
let paper: PaperEngine;
beforeAll(async () => {
  at = await openPaperDharma();
  ({ client, paper } = at);
});
afterAll(() => at.close());

const NOT_FOUND = { status: 404, body: { error: 'Deployment not found' } };

describe('the examples of the handbook, word for word', () => {
  test('the request of the first endpoint; ids need be no UUIDs (D21 to D24, D26, D28, D30 to D36)', async () => {
    at.generator.write('uuid', { 'main.tf': '# of the handbook\n' });
    const id = await client.start(`{
  "blueprintId": "uuid",
  "generationJobId": "uuid",
  "environment": "production",
  "targetCloud": "azure",
  "format": "terraform",
  "options": {
    "autoApprove": false,
    "dryRun": false,
    "parallelism": 10
  }
}`);
    const body = await client.seen(id, ({ approval }) => approval !== undefined);
    expect(body).toMatchObject({ id, status: 'planning', blueprintId: 'uuid', generationJobId: 'uuid' });
    await client.curl(`/api/deployments/${id}/cancel`, {});
  });

  test('example 1: code is generated, awaited, deployed to production without a gate, and followed (D2, D76, D122 to D126)', async () => {
    const upstream = curlTo(at.generator.url);
    const begun = await upstream('/api/generate', '{"blueprintId":"abc-123","targetFormat":"terraform"}');
    const job: string = begun.body.jobId;
    const words: string[] = [];
    while (words.at(-1) !== 'completed') words.push((await upstream(`/api/generate/${job}`)).body.status);
    expect(words).toEqual(['pending', 'completed']);
    const id = await client.start(`{
    "blueprintId": "abc-123",
    "generationJobId": "${job}",
    "environment": "production",
    "targetCloud": "azure",
    "format": "terraform",
    "options": {"autoApprove": true}
  }`);
    const body = await client.ended(id);
    expect(body).toMatchObject({ status: 'completed', environment: 'production', state: { version: 1 } });
    expect(body.approval).toBeUndefined();
  });

  test('a job that the generator has not finished is waited for (D123)', async () => {
    const { body } = await curlTo(at.generator.url)('/api/generate', { blueprintId: 'slow-code' });
    expect(await client.ended(await client.start(at.wish('slow-code', body.jobId)))).toMatchObject({
      status: 'completed',
    });
  });

  const others: [string, string, string][] = [
    [
      'example 2',
      'bicep',
      `{
    "blueprintId": "web-app-blueprint",
    "generationJobId": "gen-job-456",
    "environment": "production",
    "targetCloud": "azure",
    "format": "bicep",
    "options": {
      "autoApprove": false
    }
  }`,
    ],
    [
      'example 3, without options',
      'cloudformation',
      `{
    "blueprintId": "lambda-api",
    "generationJobId": "gen-123",
    "environment": "staging",
    "targetCloud": "aws",
    "format": "cloudformation"
  }`,
    ],
  ];
  test.each(others)(
    '%s is understood, and refused: there is no engine for %s (D5, D6, D127, D128)',
    async (_which, format, data) => {
      expect(await client.curl('/api/deployments', data)).toMatchObject({
        status: 501,
        body: { error: `This director has no engine for ${format} yet; it deploys terraform` },
      });
    },
  );

  test('example 3 as terraform: no options, and nobody is asked (D27, D128)', async () => {
    at.generator.write('gen-123', { 'main.tf': '# lambda\n' });
    const id = await client.start(`{
    "blueprintId": "lambda-api",
    "generationJobId": "gen-123",
    "environment": "staging",
    "targetCloud": "aws",
    "format": "terraform"
  }`);
    expect(await client.ended(id)).toMatchObject({ status: 'completed', targetCloud: 'aws' });
  });

  test('example 4: the list, the history, and back to version 5 (D47, D59, D101, D129)', async () => {
    const missing = '{\n    "targetVersion": 5,\n    "reason": "Critical production bug"\n  }';
    expect(await client.curl('/api/deployments/deploy-789/state/history')).toMatchObject(NOT_FOUND);
    expect(await client.curl('/api/deployments/deploy-789/rollback', missing)).toMatchObject(NOT_FOUND);

    const ids: string[] = [];
    for (let version = 1; version <= 7; version++) ids.push((await at.deployed('back-to-five')).id);
    const newest = ids.at(-1);
    const { body: list } = await client.curl('/api/deployments?blueprintId=back-to-five');
    expect(list.deployments.map(({ id }: { id: string }) => id)).toEqual(ids.toReversed());
    const { body: past } = await client.curl(`/api/deployments/${newest}/state/history`);
    expect(past.history.map(({ version }: { version: number }) => version)).toEqual([7, 6, 5, 4, 3, 2, 1]);

    const answer = await client.curl(`/api/deployments/${newest}/rollback`, missing);
    expect([answer.status, answer.body]).toEqual([
      200,
      { deploymentId: newest, rollbackDeploymentId: expect.stringMatching(UUID), status: 'applying' },
    ]);
    expect(await client.ended(answer.body.rollbackDeploymentId)).toMatchObject({
      status: 'completed',
      state: { version: 8 },
    });
    const { body: undone } = await client.curl(`/api/deployments/${newest}`);
    expect(undone.status).toBe('rolled_back');
  });

  test('example 5: logs, at once and again and again (D3, D48 to D52, D130)', async () => {
    expect(await client.curl('/api/deployments/deploy-789/logs')).toMatchObject(NOT_FOUND);
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('watched', at.newJob()));
    await client.seen(id, ({ resources }) => resources !== undefined);
    const { status, body } = await client.curl(`/api/deployments/${id}/logs`);
    expect([status, Object.keys(body)]).toEqual([200, ['deploymentId', 'logs']]);
    expect(body.deploymentId).toBe(id);
    expect(body.logs).toContainEqual({
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      level: 'info',
      message: 'Starting deployment planning',
      resource: null,
    });
    goOn();
    await client.ended(id);
    const { body: later } = await client.curl(`/api/deployments/${id}/logs`);
    expect(later.logs.slice(0, body.logs.length)).toEqual(body.logs);
    expect(later.logs.at(-1).message).toBe('Deployment completed successfully');
    for (const { level } of later.logs) expect(['info', 'warning', 'error']).toContain(level);
  });

  test('the lock of "State Locking": before, while, after', async () => {
    const lock = '{"operation": "apply", "who": "user@example.com"}';
    expect(await client.curl('/api/deployments/abc-123/state/lock', lock)).toMatchObject(NOT_FOUND);
    const { id } = await at.deployed('locked-by-hand');
    const { status, body } = await client.curl(`/api/deployments/${id}/state/lock`, lock);
    expect([status, body]).toEqual([200, { deploymentId: id, lockId: expect.any(String), locked: true }]);
    const wrong = await client.curl(`/api/deployments/${id}/state/unlock`, '{"lockId": "lock-xyz"}');
    expect([wrong.status, wrong.body]).toEqual([400, { error: 'Invalid lock ID' }]);
    const right = await client.curl(`/api/deployments/${id}/state/unlock`, { lockId: body.lockId });
    expect([right.status, right.body]).toEqual([200, { deploymentId: id, locked: false }]);
  });

  test('the health check, here and under /api (D167)', async () => {
    expect((await client.curl('/health')).status).toBe(200);
    expect((await client.curl('/api/health')).body).toEqual({
      status: 'healthy',
      service: 'orchestrator-service',
    });
  });

  test('"Testing Deployment": a dry run that says that it is JSON (D29, D37, D175)', async () => {
    at.generator.write('test-gen-job', { 'main.tf': '# test\n' });
    const { status, body } = await client.curl(
      '/api/deployments',
      `{
    "blueprintId": "test-blueprint",
    "generationJobId": "test-gen-job",
    "environment": "dev",
    "targetCloud": "azure",
    "format": "terraform",
    "options": {"dryRun": true}
  }`,
      { 'content-type': 'application/json' },
    );
    expect(status).toBe(202);
    const made = paper.done.length;
    const ended = await client.ended(body.deploymentId);
    expect(ended).toMatchObject({ status: 'completed', plan: { toCreate: 2, toUpdate: 0, toDelete: 0 } });
    expect(ended.state).toBeUndefined();
    expect(paper.done.length).toBe(made);
    const { status: none } = await client.curl(`/api/deployments/${body.deploymentId}/state`);
    expect(none).toBe(404);
  });

  /** The loop of "Integration with Automation Engine", with less sleep. */
  async function executeWorkflow(job: string, autoApproved: boolean): Promise<unknown> {
    const options = { autoApprove: autoApproved };
    const deployment = await client.curl('/api/deployments', at.wish('automated', job, { options }));
    let status = 'pending';
    let result = deployment;
    while (status === 'pending' || status === 'planning' || status === 'applying') {
      await sleep(20);
      result = await client.curl(`/api/deployments/${deployment.body.deploymentId}`);
      status = result.body.status;
    }
    if (status === 'completed') return result.body.outputs;
    throw new Error(`Deployment failed: ${result.body.error}`);
  }

  test('the automation engine gets its outputs, or the reason (D131 to D133, D148)', async () => {
    expect(await executeWorkflow(at.newJob(), true)).toEqual({});
    await expect(executeWorkflow('nobody-knows-it', false)).rejects.toThrow(
      'Deployment failed: Failed to fetch generated code: Job not found',
    );
  });
});
