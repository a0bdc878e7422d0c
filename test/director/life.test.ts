/** The life of a deployment: planned, approved, cancelled, locked, failed in part, rolled back; and what is kept of it. */
import type { CommandType } from '@service-director/shared/contract/command.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answer, type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world, { env: { DIRECTOR_APPROVAL_SECONDS: '600' } });
  await director.ready();
});
afterEach(() => world.running.cloud.faults.replace([]));
afterAll(() => world.stop());

const ENVIRONMENTS = { dev: {}, staging: {}, production: {} };

/** An architecture with one dataflow, `flow`, of these topics. */
function topics(name: string, ...ids: string[]): object {
  return documentOf(
    name,
    {
      flow: ephemeral({ resources: { topics: ids.map((id) => ({ name: `${name}-${id}` })) } }),
    },
    { deployment_environments: ENVIRONMENTS },
  );
}

function labelled(name: string, label: string): object {
  const topic = { name: `${name}-a`, labels: { label } };
  return documentOf(name, { flow: ephemeral({ resources: { topics: [topic] } }) });
}

const ask = (type: CommandType, id: string, data: object): Promise<Answer> =>
  director.post(type, JSON.stringify(data), { 'idempotency-key': id });

// biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
async function answerTo(id: string): Promise<any> {
  return until(async () => {
    const { body } = await director.get(`/commands/${id}`);
    expect(body.answer).toBeDefined();
    return body.answer;
  });
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function done(type: CommandType, id: string, data: object): Promise<any> {
  await ask(type, id, data);
  return answerTo(id);
}

const setUp = (id: string, document: object, more: object = {}) =>
  done('dataflow-setup', id, { architecture: { document }, ...more });

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function deployment(id: string): Promise<any> {
  return (await director.get(`/deployments/${id}`)).body;
}

async function atStatus(id: string, status: string) {
  return until(async () => {
    const found = await deployment(id);
    expect(found.status).toBe(status);
    return found;
  });
}

const made = async (prefix: string): Promise<string[]> => Object.keys(await inventoryOf(world, `${prefix}-`));

/** Keeps topics from being made until `letGo`. */
function holdTopics(): { letGo(): void } {
  world.running.cloud.faults.replace([{ method: 'CreateTopic', error: 'UNAVAILABLE', message: 'not yet' }]);
  return { letGo: () => world.running.cloud.faults.replace([]) };
}

test('an answer comes before anything is done, and what is done can be followed (D15, D19)', async () => {
  const held = holdTopics();
  const document = topics('watched', 'a');
  const { status, body, headers } = await ask('dataflow-setup', 'watched.1', { architecture: { document } });
  expect({ status, location: headers.get('location') }).toEqual({
    status: 202,
    location: '/commands/watched.1',
  });
  expect(body).toMatchObject({ status: 'running' });
  await until(async () => {
    const { events, status: now } = await deployment('watched.1.flow');
    expect(now).toBe('applying');
    expect(events).toContainEqual(expect.objectContaining({ type: 'intend', unit: 'topic/watched-a' }));
    expect(events).toContainEqual(expect.objectContaining({ type: 'waiting', unit: 'topic/watched-a' }));
  });
  held.letGo();
  expect(await answerTo('watched.1')).toMatchObject({ type: 'completed' });
});

describe('approval', () => {
  test.each(['dev', 'staging'])('%s asks nobody (D16)', async (environment) => {
    const document = topics('unasked', 'a');
    const id = `unasked.${environment}`;
    const answer = await done('dataflow-setup', id, {
      architecture: { document, environment },
      auto_approve: false,
    });
    expect(answer).toMatchObject({ type: 'completed' });
    expect((await deployment(`${id}.flow`)).approval).toBeUndefined();
    await done('teardown', `${id}.down`, { dataflow: 'flow', scope: `unasked-${environment}` });
  });

  test('production is planned and then waits; what is applied is the plan that was approved (D7, D8, D17)', async () => {
    const document = topics('gated', 'a', 'b');
    await ask('dataflow-setup', 'gated.1', { architecture: { document, environment: 'production' } });
    const waiting = await atStatus('gated.1.flow', 'awaiting_approval');
    expect(waiting.report.plan.changes.map(({ unit }: { unit: string }) => unit)).toEqual([
      'topic/gated-a',
      'topic/gated-b',
    ]);
    expect(await made('gated')).toEqual([]);

    const wrong = await done('approve', 'gated.wrong', { deployment: 'gated.1.flow', plan_hash: 'other' });
    expect(wrong).toMatchObject({ type: 'failed', error: expect.stringContaining('another one') });
    const { plan_hash } = waiting.approval;
    const right = { deployment: 'gated.1.flow', plan_hash, reason: 'read it' };
    expect(await done('approve', 'gated.right', right)).toMatchObject({ type: 'completed' });
    expect(await answerTo('gated.1')).toMatchObject({
      type: 'completed',
      deployments: [{ plan: { hash: plan_hash } }],
    });
    expect(await made('gated')).toEqual(['topic/a', 'topic/b']);
    expect((await deployment('gated.1.flow')).approval).toMatchObject({
      state: 'approved',
      reason: 'read it',
    });
    const { body } = await director.get('/stacks/gated-production/flow/audit');
    expect(body).toMatchObject({ intact: true });
    expect(body.entries.map(({ what }: { what: string }) => what).sort()).toEqual([
      'approved',
      'asked',
      'changed',
    ]);
  });

  test('a plan that no longer fits is refused when it is approved, and nothing is done', async () => {
    const document = topics('stale', 'a');
    await ask('dataflow-setup', 'stale.1', { architecture: { document, environment: 'production' } });
    await atStatus('stale.1.flow', 'awaiting_approval');
    await world.call('PUT', `/v1/projects/${PROJECT}/topics/stale-a`, {
      labels: {
        'managed-by': 'service-director',
        'sd-scope': 'stale-production',
        'sd-dataflow': 'flow',
        by: 'hand',
      },
    });
    await done('approve', 'stale.yes', { deployment: 'stale.1.flow' });
    expect(await answerTo('stale.1')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('is stale'),
      fix: expect.stringContaining('run it again'),
    });
  });

  test('auto_approve stands for it and is recorded; a rejection ends it, and says who and why (D17)', async () => {
    const document = topics('asked', 'a');
    const architecture = { document, environment: 'production' };
    await ask('dataflow-setup', 'asked.1', { architecture });
    await atStatus('asked.1.flow', 'awaiting_approval');
    await done('approve', 'asked.no', { deployment: 'asked.1.flow', decision: 'reject', reason: 'too late' });
    expect(await answerTo('asked.1')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('too late'),
      deployments: [{ status: 'cancelled' }],
    });
    expect(await made('asked')).toEqual([]);
    expect(await done('dataflow-setup', 'asked.2', { architecture, auto_approve: true })).toMatchObject({
      type: 'completed',
    });
    expect((await deployment('asked.2.flow')).approval).toMatchObject({ state: 'approved' });
  });

  test('nobody who comes in time is a no', async () => {
    const other = await startDirector(world, {
      name: 'hasty',
      env: { DIRECTOR_APPROVAL_SECONDS: '1', DIRECTOR_TOPIC_PREFIX: 'hasty' },
    });
    const document = topics('hasty', 'a');
    await other.post(
      'dataflow-setup',
      JSON.stringify({ architecture: { document, environment: 'production' } }),
      { 'idempotency-key': 'hasty.1' },
    );
    const answer = await until(async () => {
      const { body } = await other.get('/commands/hasty.1');
      expect(body.answer).toBeDefined();
      return body.answer;
    });
    expect(answer).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('nobody approved it in time'),
    });
    expect(await made('hasty')).toEqual([]);
    await other.stop();
  });
});

test('a cancel stops what runs, tells exactly what was done, and is not overwritten (D18)', async () => {
  const document = documentOf('stopped', {
    flow: ephemeral({
      resources: {
        topics: [{ name: 'stopped-a' }],
        gcs_buckets: [{ name: 'stopped-b' }],
      },
    }),
  });
  const held = holdTopics();
  await ask('dataflow-setup', 'stopped.1', { architecture: { document } });
  await until(async () =>
    expect((await deployment('stopped.1.flow')).events).toContainEqual(
      expect.objectContaining({ type: 'finish', unit: 'bucket/stopped-b', result: 'created' }),
    ),
  );
  const told = await done('cancel', 'stopped.no', { command: 'stopped.1', reason: 'never mind' });
  expect(told).toMatchObject({ type: 'completed', note: expect.stringContaining('stops') });
  expect(await answerTo('stopped.1')).toMatchObject({
    type: 'failed',
    error: expect.stringContaining('never mind'),
    deployments: [
      {
        status: 'cancelled',
        version: 1,
        units: expect.arrayContaining([
          expect.objectContaining({ unit: 'bucket/stopped-b', result: 'created' }),
          expect.objectContaining({ unit: 'topic/stopped-a', result: 'cancelled' }),
        ]),
      },
    ],
  });
  held.letGo();
  expect(await done('cancel', 'stopped.late', { deployment: 'stopped.1.flow' })).toMatchObject({
    type: 'failed',
    error: expect.stringContaining('cancelled'),
  });
  // What is missing is finished by running it again.
  expect(await setUp('stopped.2', document)).toMatchObject({
    deployments: [{ units: [{ unit: 'topic/stopped-a', result: 'created' }] }],
  });
  expect((await deployment('stopped.1.flow')).status).toBe('cancelled');
});

describe('locks', () => {
  test('of two deployments of one stack one applies at a time, the more urgent first (D12)', async () => {
    const held = holdTopics();
    await ask('dataflow-setup', 'queued.1', { architecture: { document: topics('queued', 'a') } });
    await atStatus('queued.1.flow', 'applying');
    await ask('dataflow-setup', 'queued.2', { architecture: { document: topics('queued', 'a', 'b') } });
    await ask('dataflow-setup', 'queued.3', {
      architecture: { document: topics('queued', 'a', 'c') },
      priority: 'high',
    });
    await until(async () => {
      const { body } = await director.get('/stacks/queued/flow');
      expect(body).toMatchObject({
        locked: true,
        lock: { held_by: 'deployment', operation: 'dataflow-setup' },
      });
      expect(body.queue).toEqual(['queued.3.flow', 'queued.2.flow']);
    });
    held.letGo();
    const versions = [];
    for (const id of ['queued.1', 'queued.3', 'queued.2'])
      versions.push((await answerTo(id)).deployments[0].version);
    expect(versions).toEqual([1, 2, 3]);
    expect(await made('queued')).toEqual(['topic/a', 'topic/b']);
  });

  test('by hand: others wait, the holder goes on, and only its id gives it back (D61 to D66)', async () => {
    const document = topics('held', 'a');
    await setUp('held.1', document);
    const lock = {
      dataflow: 'flow',
      scope: 'held',
      operation: 'apply',
      who: 'user@example.com',
      reason: 'looking',
    };
    const { lock_id } = await done('lock', 'held.lock', lock);
    expect((await director.get('/stacks/held/flow')).body).toMatchObject({
      locked: true,
      lock: {
        id: lock_id,
        operation: 'apply',
        who: 'user@example.com',
        version: '1.0',
        created: expect.any(String),
      },
      units: [{ id: 'topic/held-a' }],
    });
    expect(await done('lock', 'held.again', lock)).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('locked by user@example.com'),
    });
    await ask('dataflow-setup', 'held.2', { architecture: { document: topics('held', 'a', 'b') } });
    await atStatus('held.2.flow', 'waiting_for_lock');
    const mine = { architecture: { document: topics('held', 'a', 'c') }, lock_id };
    expect(await done('dataflow-setup', 'held.3', mine)).toMatchObject({ type: 'completed' });
    expect(
      await done('unlock', 'held.wrong', { dataflow: 'flow', scope: 'held', lock_id: 'other' }),
    ).toMatchObject({
      type: 'failed',
    });
    expect((await deployment('held.2.flow')).status).toBe('waiting_for_lock');
    await done('unlock', 'held.unlock', { dataflow: 'flow', scope: 'held', lock_id });
    expect(await answerTo('held.2')).toMatchObject({ type: 'completed', deployments: [{ version: 3 }] });

    await done('lock', 'held.more', { dataflow: 'flow', scope: 'held' });
    const bare = await ask('unlock', 'held.bare', { dataflow: 'flow', scope: 'held', force: true });
    expect(bare).toMatchObject({ status: 400, body: { detail: expect.stringContaining('reason') } });
    const forced = { dataflow: 'flow', scope: 'held', force: true, reason: 'they left' };
    expect(await done('unlock', 'held.forced', forced)).toMatchObject({ type: 'completed' });
    const { body } = await director.get('/stacks/held/flow/audit');
    expect(body.entries).toContainEqual(expect.objectContaining({ what: 'forced', reason: 'they left' }));
  });
});

describe('rollback', () => {
  test('brings the stack back, as a deployment of its own, and only then shows what it undid (G69, D9, D56 to D60)', async () => {
    await setUp('back.1', topics('back', 'a'));
    await setUp('back.2', topics('back', 'b', 'c'));
    expect(await made('back')).toEqual(['topic/b', 'topic/c']);
    const nameless = await ask('rollback', 'back.nameless', { dataflow: 'flow', scope: 'back' });
    expect(nameless).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('reason is required') },
    });

    const held = holdTopics();
    await ask('rollback', 'back.3', { deployment: 'back.2.flow', reason: 'Critical bug in new version' });
    await atStatus('back.3.flow', 'applying');
    expect((await deployment('back.2.flow')).rolled_back_by).toBeUndefined();
    held.letGo();
    expect(await answerTo('back.3')).toMatchObject({
      type: 'completed',
      deployments: [{ operation: 'rollback', to_version: 1, version: 3 }],
    });
    expect(await made('back')).toEqual(['topic/a']);
    expect(await deployment('back.2.flow')).toMatchObject({
      status: 'succeeded',
      rolled_back_by: 'back.3.flow',
    });
    const { body } = await director.get('/stacks/back/flow/history');
    expect(body.versions[0]).toMatchObject({
      version: 3,
      operation: 'rollback',
      reason: 'Critical bug in new version',
      added: ['topic/back-a'],
      removed: ['topic/back-b', 'topic/back-c'],
    });
    // And forward again: the version that was undone is a version like any other.
    await done('rollback', 'back.4', {
      dataflow: 'flow',
      scope: 'back',
      to_version: 2,
      reason: 'it was not that',
    });
    expect(await made('back')).toEqual(['topic/b', 'topic/c']);
  });

  test('ten earlier versions are kept, the newest, each of which comes back; who, when and why of each (D11, D13, D14, D67)', async () => {
    for (let version = 1; version <= 25; version++)
      await setUp(`long.${version}`, labelled('long', `v${version}`), { reason: `step ${version}` });
    const { body } = await director.get('/stacks/long/flow/history?limit=100');
    const restorable = body.versions.filter((one: { restorable: boolean }) => one.restorable);
    expect(body.versions[0]).toMatchObject({ version: 25, current: true });
    expect(restorable.map(({ version }: { version: number }) => version)).toEqual(
      Array.from({ length: 10 }, (_, at) => 24 - at),
    );
    for (const one of body.versions)
      expect(one).toMatchObject({
        deployment: `long.${one.version}.flow`,
        operation: 'dataflow-setup',
        reason: `step ${one.version}`,
        who: expect.any(String),
        at: expect.stringMatching(/Z$/),
      });
    expect((await director.get('/stacks/long/flow/history')).body.versions).toHaveLength(10);
    const to = (id: string, to_version: number) =>
      done('rollback', id, { dataflow: 'flow', scope: 'long', to_version, reason: 'a look back' });
    expect(await to('long.old', 14)).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('not kept any more'),
      fix: expect.stringContaining('15'),
    });
    expect(await to('long.back', 15)).toMatchObject({ type: 'completed', deployments: [{ version: 26 }] });
    expect(await inventoryOf(world, 'long-')).toMatchObject({ 'topic/a': { labels: { label: 'v15' } } });
  });

  test('by itself where it was asked for: a deployment that fails half-way leaves what was before it', async () => {
    const good = (image: string, topic: string): object =>
      documentOf('halfway', {
        flow: ephemeral({
          services: { 'halfway-api': serviceOf('halfway-api', image) },
          resources: { topics: [{ name: `halfway-${topic}` }] },
        }),
      });
    const { serves, crashes } = world.images;
    await setUp('halfway.1', good(serves, 'a'));
    expect(
      await done('deploy', 'halfway.2', { architecture: { document: good(serves, 'a') } }),
    ).toMatchObject({
      type: 'completed',
    });
    const image = async (): Promise<string | undefined> =>
      /"image":"([^"]+)"/.exec(JSON.stringify((await inventoryOf(world, 'halfway-'))['service/api']))?.[1];
    expect(await image()).toBe(serves);
    const answer = await done('deploy', 'halfway.3', {
      architecture: { document: good(crashes, 'a') },
      on_failure: 'rollback',
    });
    expect(answer).toMatchObject({
      type: 'failed',
      deployments: [
        { id: 'halfway.3.flow', status: 'failed', rolled_back_by: 'halfway.3.flow.rollback' },
        { id: 'halfway.3.flow.rollback', operation: 'rollback', status: 'succeeded' },
      ],
    });
    expect(await image()).toBe(serves);
  });

  test('removing everything is a version too, an empty one, and can be undone (D10)', async () => {
    await setUp('gone.1', topics('gone', 'a'));
    await done('teardown', 'gone.2', { dataflow: 'flow', scope: 'gone' });
    expect((await director.get('/stacks/gone/flow')).body).toMatchObject({ version: 2, units: [] });
    expect(await made('gone')).toEqual([]);
    await done('rollback', 'gone.3', { deployment: 'gone.2.flow', reason: 'by mistake' });
    expect(await made('gone')).toEqual(['topic/a']);
  });
});

test('the state is with the director, told by its lineage and serial, and locked while it is worked on (G68)', async () => {
  await setUp('kept.1', topics('kept', 'a', 'b'));
  const first = (await director.get('/stacks/kept/flow')).body;
  expect(first).toMatchObject({
    version: 1,
    serial: 2,
    locked: false,
    units: [
      { id: 'topic/kept-a', fingerprint: expect.stringMatching(/^[\da-f]{16}$/) },
      { id: 'topic/kept-b' },
    ],
  });
  await director.kill();
  director = await startDirector(world, { env: { DIRECTOR_APPROVAL_SECONDS: '600' } });
  await director.ready();
  expect((await director.get('/stacks/kept/flow')).body).toEqual(first);
  await setUp('kept.2', topics('kept', 'a'));
  const second = (await director.get('/stacks/kept/flow')).body;
  expect(second).toMatchObject({ version: 2, serial: 3, lineage: first.lineage });
});
