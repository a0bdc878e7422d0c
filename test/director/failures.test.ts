/** What fails stops only what depends on it, says why, and is finished by running the same again. */
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { startDirector } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { type CommandTopic, openWorld, PROJECT, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;

beforeAll(async () => {
  world = await openWorld();
  await (await startDirector(world)).ready();
});
afterEach(() => world.running.cloud.faults.replace([]));
afterAll(() => world.stop());

async function run(
  type: CommandTopic,
  id: string,
  document: object,
  more: object = {},
): Promise<TerminalEvent> {
  await world.send(type, id, { architecture: { document }, ...more });
  return world.recorder.answerTo(id);
}

/** What became of each unit of the only deployment that was not unchanged. */
function resultsOf(answer: TerminalEvent): Record<string, string> {
  const [deployment] = 'deployments' in answer ? answer.deployments : [];
  const units = deployment?.units ?? [];
  return Object.fromEntries(
    units.map(({ unit, result, because }) => [
      unit,
      because === undefined ? result : `${result}: ${because}`,
    ]),
  );
}

test('one resource that Google refuses fails its dependants, and them alone; run again, only the missing is made', async () => {
  const document = documentOf('part', {
    flow: ephemeral({
      services: { 'part-api': serviceOf('part-account', world.images.serves) },
      resources: {
        topics: [{ name: 'part-topic', producer_service: 'part-api' }],
        subscriptions: [{ name: 'part-sub', topic: 'part-topic', consumer_service: 'part-api' }],
        gcs_buckets: [{ name: 'part-bucket', producers: ['part-api'] }],
      },
    }),
  });
  const message = 'The topic is not to our liking.';
  world.running.cloud.faults.replace([{ method: 'CreateTopic', error: 'INVALID_ARGUMENT', message }]);
  const answer = await run('dataflow-setup', 'part.1', document);
  expect(answer).toMatchObject({
    type: 'failed',
    error: `topic/part-topic: ${message}`,
    fix: expect.stringContaining('correct what the message names'),
    deployments: [{ status: 'failed', version: 1 }],
  });
  expect(resultsOf(answer)).toEqual({
    'service-account/part-account': 'created',
    'grants/service-account/part-account': 'updated',
    'topic/part-topic': `failed: ${message}`,
    'subscription/part-sub': 'skipped: topic/part-topic failed',
    'grants/topic/part-topic': 'skipped: topic/part-topic failed',
    'grants/subscription/part-sub': 'skipped: topic/part-topic failed',
    'bucket/part-bucket': 'created',
    'grants/bucket/part-bucket': 'updated',
  });
  expect(Object.keys(await inventoryOf(world, 'part-'))).toEqual([
    expect.stringMatching(/^account\/account@/),
    'bucket/bucket',
  ]);

  world.running.cloud.faults.replace([]);
  const before = world.now();
  const again = await run('dataflow-setup', 'part.2', document);
  expect(again.type).toBe('completed');
  expect(resultsOf(again)).toEqual({
    'topic/part-topic': 'created',
    'subscription/part-sub': 'created',
    'grants/topic/part-topic': 'updated',
    'grants/subscription/part-sub': 'updated',
  });
  expect(
    world
      .changes(before)
      .map(({ method }) => method)
      .sort(),
  ).toEqual(['CreateSubscription', 'CreateTopic', 'SetIamPolicy', 'SetIamPolicy']);
});

test('what somebody else made is left alone and named; handed over as the fix says, it is taken', async () => {
  const path = `projects/${PROJECT}/topics/foreign-topic`;
  await world.call('PUT', `/v1/${path}`, { labels: { team: 'another' } });
  const document = documentOf('foreign', {
    flow: ephemeral({ resources: { topics: [{ name: 'foreign-topic' }, { name: 'foreign-other' }] } }),
  });
  const refused = await run('dataflow-setup', 'foreign.1', document);
  expect(refused).toMatchObject({
    type: 'failed',
    error: 'topic/foreign-topic: topic/foreign-topic exists already and does not bear our mark',
    fix: expect.stringContaining('managed-by=service-director, sd-scope and sd-dataflow'),
  });
  expect(resultsOf(refused)).toMatchObject({ 'topic/foreign-other': 'created' });
  expect(await inventoryOf(world, 'foreign-')).toMatchObject({
    'topic/topic': { labels: { team: 'another' } },
  });

  const labels = { 'managed-by': 'service-director', 'sd-scope': 'foreign', 'sd-dataflow': 'flow' };
  await world.call('PATCH', `/v1/${path}`, { topic: { name: path, labels }, updateMask: 'labels' });
  expect(await run('dataflow-setup', 'foreign.2', document)).toMatchObject({ type: 'completed' });
});

test('a service that does not start fails with a hint where to look, and what calls it waits for a better image', async () => {
  const document = (image: string): object =>
    documentOf('start', {
      flow: ephemeral({
        services: {
          'start-api': serviceOf('start-account', image),
          'start-web': serviceOf('start-account', world.images.serves, { dependencies: ['start-api'] }),
          'start-own': serviceOf('start-account', world.images.serves),
        },
      }),
    });
  const { crashes, serves } = world.images;
  expect(await run('dataflow-setup', 'start.setup', document(crashes))).toMatchObject({ type: 'completed' });
  const answer = await run('deploy', 'start.1', document(crashes));
  expect(answer).toMatchObject({
    type: 'failed',
    error: expect.stringMatching(/^service\/start-api: .*failed to start and listen/s),
  });
  expect(answer).toMatchObject({ fix: 'see conductor logs start-api' });
  expect(resultsOf(answer)).toMatchObject({
    'service/start-web': 'skipped: service/start-api failed',
    'grants/service/start-api': 'skipped: service/start-api failed',
    'service/start-own': 'created',
  });
  const again = await run('deploy', 'start.2', document(serves));
  expect(again).toMatchObject({
    type: 'completed',
    deployments: [{ urls: { 'start-api': expect.any(String) } }],
  });
  expect(resultsOf(again)).toMatchObject({ 'service/start-api': 'updated', 'service/start-web': 'created' });
  expect(resultsOf(again)).not.toHaveProperty('service/start-own');
});

test('a service stays in its region: another one beside it would not be looked after', async () => {
  const inRegion = (region: string): object =>
    documentOf('moves', {
      flow: ephemeral({
        services: {
          'moves-api': {
            service_account: 'moves-account',
            deployment: { image: world.images.serves, region },
          },
        },
      }),
    });
  for (const type of ['dataflow-setup', 'deploy'] as const)
    expect(await run(type, `moves.${type}`, inRegion('us-central1'))).toMatchObject({ type: 'completed' });
  const before = await inventoryOf(world, 'moves-');
  expect(await run('deploy', 'moves.away', inRegion('europe-west1'))).toMatchObject({
    type: 'failed',
    error: expect.stringContaining('service/moves-api runs in us-central1 and cannot move to europe-west1'),
    fix: expect.stringContaining('deployment.region'),
  });
  expect(await inventoryOf(world, 'moves-')).toEqual(before);
});

test('passing troubles are waited out: refusals for haste, lost answers, and failures on Google’s side', async () => {
  const document = documentOf('rough', {
    flow: ephemeral({
      resources: {
        topics: [{ name: 'rough-topic' }],
        subscriptions: [{ name: 'rough-sub', topic: 'rough-topic' }],
        gcs_buckets: [{ name: 'rough-bucket' }],
      },
    }),
  });
  world.running.cloud.faults.replace([
    { method: 'GetTopic', error: 'UNAVAILABLE', count: 2 },
    { method: 'CreateTopic', error: 'UNAVAILABLE', effect: 'after', count: 1 },
    { method: 'CreateSubscription', error: 'RESOURCE_EXHAUSTED', retryAfter: 1, count: 1 },
    { method: 'buckets.insert', error: 'INTERNAL', effect: 'before', count: 1 },
  ]);
  expect(await run('dataflow-setup', 'rough.setup', document)).toMatchObject({ type: 'completed' });
  expect(world.running.cloud.faults.rules().map(({ hits }) => hits)).toEqual([2, 1, 1, 1]);
  world.running.cloud.faults.replace([]);
  expect(Object.keys(await inventoryOf(world, 'rough-'))).toEqual([
    'bucket/bucket',
    'subscription/sub',
    'topic/topic',
  ]);
});

test('a command that takes longer than it may ends, and keeps what it did', async () => {
  const document = documentOf('slow', {
    flow: ephemeral({
      resources: { topics: [{ name: 'slow-topic' }], gcs_buckets: [{ name: 'slow-bucket' }] },
    }),
  });
  world.running.cloud.faults.replace([{ method: 'CreateTopic', error: 'UNAVAILABLE' }]);
  expect(await run('dataflow-setup', 'slow.1', document, { timeout_seconds: 1 })).toMatchObject({
    type: 'failed',
    error: 'slow/flow: it was not done within 1 s',
    fix: 'run it again; what was done is kept',
  });
  world.running.cloud.faults.replace([]);
  expect(resultsOf(await run('dataflow-setup', 'slow.2', document))).toEqual({
    'topic/slow-topic': 'created',
  });
});
