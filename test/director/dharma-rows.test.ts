/**
 * The dialect at `/api`, row by row of what its clients were promised: what a request may be, statuses, lists, states,
 * locks, and who may do what. Its engine is on paper; `dharma-terraform.test.ts` has what takes the tool.
 */
import { readConfig } from '@service-director/director/config.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Client } from './support/dharma.ts';
import { openPaperDharma, type PaperDharma } from './support/dharma-paper.ts';
import type { Answered } from './support/dialects.ts';
import type { PaperEngine } from './support/paper-engine.ts';
import { PROJECT } from './support/world.ts';

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

describe('what a request may be', () => {
  const wrong: [string, object, RegExp][] = [
    ['no blueprint', { blueprintId: undefined }, /^blueprintId and generationJobId are required$/],
    ['no job', { generationJobId: undefined }, /^blueprintId and generationJobId are required$/],
    ['a blueprint with a shell in it', { blueprintId: '$(id)' }, /./],
    ['another environment', { environment: 'prod' }, /^Invalid environment\. Must be: /],
    ['another cloud', { targetCloud: 'mars' }, /^Invalid targetCloud\. Must be: azure, aws, or gcp$/],
    [
      'another format',
      { format: 'cobol' },
      /^Invalid format\. Must be: terraform, bicep, or cloudformation$/,
    ],
    ['code of one’s own', { code: 'resource "a" "b" {}' }, /code/],
    ['an option that there is not', { options: { force: true } }, /force/],
    ['too much at once', { options: { parallelism: 0 } }, /parallelism/],
  ];
  test.each(wrong)('%s is refused before any work (D2, D22 to D26, D147)', async (_what, change, error) => {
    const { status, body } = await client.curl('/api/deployments', {
      ...at.wish('wrong', 'wrong'),
      ...change,
    });
    expect([status, Object.keys(body)]).toEqual([400, ['error']]);
    expect(body.error).toMatch(error);
    expect((await client.curl('/api/deployments?blueprintId=wrong')).body).toEqual({
      deployments: [],
      count: 0,
    });
  });

  test.each(['azure', 'aws', 'gcp'])('%s takes Terraform (D4, D25)', async (targetCloud) => {
    expect(await at.deployed('everywhere', { targetCloud })).toMatchObject({
      targetCloud,
      format: 'terraform',
    });
  });
});

describe('what is told of a deployment', () => {
  test('its head from the beginning, its state and end when it has them (D38, D39, D42, D97)', async () => {
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('told', at.newJob()));
    const begun = await client.curl(`/api/deployments/${id}`);
    expect(begun.body).toMatchObject({
      ...{ id, ...at.wish('told', begun.body.generationJobId) },
      createdAt: expect.stringMatching(/Z$/),
    });
    for (const key of ['state', 'completedAt', 'error']) expect(begun.body[key]).toBeUndefined();
    goOn();
    const ended = await client.ended(id);
    expect(ended.state).toMatchObject({
      stateId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      version: 1,
      resources: [],
      lastModified: expect.stringMatching(/Z$/),
      locked: false,
    });
    expect(Date.parse(ended.completedAt)).toBeGreaterThanOrEqual(Date.parse(ended.createdAt));
    expect((await at.deployed('told')).state).toMatchObject({ stateId: ended.state.stateId, version: 2 });
  });

  test('each of the six words, and what they mean (D3, D132, D134 to D139)', async () => {
    const before = await at.deployed('words');
    const lock = { operation: 'apply', who: 'user@example.com' };
    const { body: held } = await client.curl(`/api/deployments/${before.id}/state/lock`, lock);
    const id = await client.start(at.wish('words', at.newJob()));
    expect((await client.curl(`/api/deployments/${id}`)).body.status).toBe('pending');
    const goOn = paper.hold('main');
    await client.curl(`/api/deployments/${before.id}/state/unlock`, { lockId: held.lockId });
    await client.seen(id, ({ status }) => status === 'applying');
    goOn();
    expect(await client.ended(id)).toMatchObject({ status: 'completed' });

    paper.fail('main', 'insufficient permissions');
    const bad = await client.ended(await client.start(at.wish('words', at.newJob())));
    paper.fail('main', undefined);
    expect(bad).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('insufficient permissions'),
    });

    const { body: back } = await client.curl(`/api/deployments/${id}/rollback`, { reason: 'it was wrong' });
    await client.ended(back.rollbackDeploymentId);
    expect((await client.curl(`/api/deployments/${id}`)).body.status).toBe('rolled_back');

    const gated = await client.start(at.wish('words', at.newJob(), { environment: 'production' }));
    const waiting = await client.seen(gated, ({ approval }) => approval !== undefined);
    expect(waiting.status).toBe('planning');
    await client.curl(`/api/deployments/${gated}/cancel`, {});
    await client.ended(gated);
  });

  test('why it failed, and only where it did (D43)', async () => {
    const bad = await client.ended(await client.start(at.wish('why', 'nobody-knows-it')));
    expect(bad).toMatchObject({ status: 'failed', error: 'Failed to fetch generated code: Job not found' });
    expect((await at.deployed('why')).error).toBeUndefined();
  });

  test('of one that is not there, nothing (D44)', async () => {
    for (const id of ['unknown', '00000000-0000-7000-8000-000000000000'])
      expect(await client.curl(`/api/deployments/${id}`)).toMatchObject(NOT_FOUND);
  });

  test('a cancel stops what runs, once, and nothing takes it back (D55)', async () => {
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('cancelled', at.newJob()));
    await client.seen(id, ({ resources }) => resources !== undefined);
    const { status, body } = await client.curl(`/api/deployments/${id}/cancel`, {});
    expect([status, body]).toEqual([200, { deploymentId: id, status: 'cancelled' }]);
    expect(await client.ended(id)).toMatchObject({ status: 'failed', error: 'Cancelled by user' });
    goOn();
    const again = await client.curl(`/api/deployments/${id}/cancel`, {});
    expect(again).toMatchObject({
      status: 404,
      body: { error: 'Deployment not found or cannot be cancelled' },
    });
    // The lock went with it: the next goes through.
    expect(await at.deployed('cancelled')).toMatchObject({ state: { locked: false } });
    expect((await client.curl(`/api/deployments/${id}`)).body).toMatchObject({ status: 'failed' });
  });
});

describe('the list', () => {
  test('takes four filters, each and all (D45)', async () => {
    const { id: dev } = await at.deployed('listed');
    const { id: staging } = await at.deployed('listed', { environment: 'staging' });
    const bad = await client.start(at.wish('listed', 'nobody-knows-it'));
    await client.ended(bad);
    const ids = async (query: string): Promise<string[]> => {
      const { body } = await client.curl(`/api/deployments?${query}`);
      expect(body.count).toBe(body.deployments.length);
      return body.deployments.map(({ id }: { id: string }) => id);
    };
    expect(await ids('blueprintId=listed')).toEqual([bad, staging, dev]);
    expect(await ids('blueprintId=listed&environment=staging')).toEqual([staging]);
    expect(await ids('blueprintId=listed&status=failed')).toEqual([bad]);
    expect(await ids('blueprintId=listed&environment=dev&status=completed&limit=10')).toEqual([dev]);
    expect(await ids('blueprintId=listed&limit=1')).toEqual([bad]);
    expect(await ids('blueprintId=uuid&environment=production&status=completed&limit=10')).toEqual([]);
  });

  test('has ten, the newest first, unless another number is said (D46)', async () => {
    for (let number = 0; number < 11; number++)
      await client.start(at.wish(`many-${number}`, at.newJob(), { options: { dryRun: true } }));
    const { body } = await client.curl('/api/deployments');
    expect(body.count).toBe(10);
    const made = body.deployments.map(({ createdAt }: { createdAt: string }) => createdAt);
    expect(made).toEqual(made.toSorted().toReversed());
    expect(body.deployments[0].blueprintId).toBe('many-10');
    for (const limit of ['abc', '0', '-1', '1.5', '501'])
      expect((await client.curl(`/api/deployments?limit=${limit}`)).status, limit).toBe(400);
  });
});

describe('the state', () => {
  test('of fifty who lock it at once, one does (D103, D150)', async () => {
    const { id } = await at.deployed('raced');
    const lock = { operation: 'apply', who: 'user@example.com' };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => client.curl(`/api/deployments/${id}/state/lock`, lock)),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    for (const { status, body } of answers.filter((answer) => !won.includes(answer)))
      expect([status, body]).toEqual([409, { error: 'State is already locked' }]);
    const { body: state } = await client.curl(`/api/deployments/${id}/state`);
    expect(state.lockInfo.id).toBe(won[0]?.body.lockId);
  });

  test('is locked by whoever deploys, and says by which deployment (D77, D150, D177)', async () => {
    const before = await at.deployed('busy');
    const goOn = paper.hold('main');
    const id = await client.start(at.wish('busy', at.newJob()));
    await client.seen(id, ({ resources }) => resources !== undefined);
    const { body: state } = await client.curl(`/api/deployments/${before.id}/state`);
    expect(state).toMatchObject({
      locked: true,
      lockInfo: { operation: 'apply', who: `deployment ${id}`, version: '1.0', created: expect.any(String) },
    });
    const lock = { operation: 'apply', who: 'user@example.com' };
    expect(await client.curl(`/api/deployments/${before.id}/state/lock`, lock)).toMatchObject({
      status: 409,
      body: { error: 'State is already locked' },
    });
    goOn();
    await client.ended(id);
    expect((await client.curl(`/api/deployments/${id}/state`)).body.locked).toBe(false);
  });

  test('has a version for each deployment that changed it, with who, when and why (D99, D102)', async () => {
    const first = await at.deployed('versions');
    const second = await at.deployed('versions');
    expect([first.state.version, second.state.version]).toEqual([1, 2]);
    const path = `/api/deployments/${first.id}`;
    await client.curl(`${path}/state/history`);
    const reason = 'Critical bug in new version';
    const { body } = await client.curl(`/api/deployments/${second.id}/rollback`, {
      targetVersion: 1,
      reason,
    });
    await client.ended(body.rollbackDeploymentId);
    const { body: past } = await client.curl(`${path}/state/history?limit=2`);
    expect(past).toMatchObject({
      deploymentId: first.id,
      count: 2,
      history: [
        { version: 3, current: true, operation: 'rollback', who: 'local', reason },
        { version: 2, deploymentId: second.id, operation: 'dataflow-setup', state: { version: 2 } },
      ],
    });
  });

  test('goes to no version that there is not, and says so at once (D101)', async () => {
    const { id } = await at.deployed('nowhere');
    const back = (targetVersion: number): Promise<Answered> =>
      client.curl(`/api/deployments/${id}/rollback`, { targetVersion, reason: 'to nowhere' });
    const { status, body } = await back(99);
    expect(status).toBe(400);
    expect(body.error).toMatch(/has no version 99 yet; it is at 1/);
    // The version that it has is one that it can go to: there is nothing to do.
    const same = await back(1);
    expect(same.status).toBe(200);
    expect(await client.ended(same.body.rollbackDeploymentId)).toMatchObject({ status: 'completed' });
    const bad = await client.start(at.wish('nothing-there', 'nobody-knows-it'));
    await client.ended(bad);
    const none = await client.curl(`/api/deployments/${bad}/rollback`, { reason: 'there is nothing' });
    expect(none.status).toBeGreaterThanOrEqual(400);
    expect(none.status).toBeLessThan(500);
    expect((await client.curl(`/api/deployments/${bad}`)).body.status).toBe('failed');
  });
});

test('its settings, where nobody says otherwise (D104, D107, D108, D111, D112)', () => {
  const config = readConfig({ PROJECT_ID: PROJECT, DIRECTOR_ACCESS: 'loopback' });
  expect(config).toMatchObject({
    generatorUrl: 'http://iac-generator:3002',
    terraform: { workRoot: '/tmp/terraform' },
    deploymentSeconds: 1_800,
    retention: 10,
  });
  expect(readConfig({ PROJECT_ID: PROJECT, DIRECTOR_ACCESS: 'loopback', PORT: '3004' }).port).toBe(3004);
});

describe('whoever has too small a role', () => {
  const caller = (role: 'viewer' | 'deployer'): Caller => ({
    name: `${role}@example.com`,
    grants: [{ role, environments: ['dev'], mayApproveOwn: false }],
  });

  test('sees no state, takes no lock and no other’s lock away, and deploys nowhere else (D156)', async () => {
    const { id } = await at.deployed('guarded');
    const path = `/api/deployments/${id}`;
    const lock = { operation: 'apply', who: 'user@example.com' };
    try {
      at.as(caller('viewer'));
      const shown = await client.curl(path);
      expect([shown.status, shown.body.state, shown.body.outputs]).toEqual([200, undefined, undefined]);
      expect((await client.curl(`${path}/state`)).status).toBe(403);
      expect((await client.curl(`${path}/state/history`)).status).toBe(403);
      expect((await client.curl(`${path}/state/lock`, lock)).status).toBe(403);
      expect((await client.curl(`${path}/cancel`, {})).status).toBe(403);
      expect((await client.curl('/api/deployments', at.wish('guarded', at.newJob()))).status).toBe(403);
      at.as(caller('deployer'));
      expect((await client.curl(path)).body).toMatchObject({ state: expect.anything() });
      expect((await client.curl(`${path}/state`)).status).toBe(200);
      const { body: held } = await client.curl(`${path}/state/lock`, lock);
      const force = { force: true, reason: 'in a hurry' };
      expect((await client.curl(`${path}/state/unlock`, force)).status).toBe(403);
      expect((await client.curl(`${path}/state/unlock`, { lockId: held.lockId })).status).toBe(200);
      const elsewhere = at.wish('guarded', at.newJob(), { environment: 'production' });
      const { status, body } = await client.curl('/api/deployments', elsewhere);
      expect([status, Object.keys(body)]).toEqual([403, ['error']]);
    } finally {
      at.as(undefined);
    }
    await client.curl(`${path}/state/lock`, lock);
    expect((await client.curl(`${path}/state/unlock`, { force: true })).status).toBe(400);
    const forced = await client.curl(`${path}/state/unlock`, {
      force: true,
      reason: 'its owner is on leave',
    });
    expect([forced.status, forced.body]).toEqual([200, { deploymentId: id, locked: false }]);
  });
});
