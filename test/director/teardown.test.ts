/** What goes and what stays: at a teardown, and when something is described no more. */
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { startDirector } from './support/director.ts';
import { documentOf, ephemeral, pair, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { type CommandTopic, openWorld, PROJECT, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let asked = 0;

beforeAll(async () => {
  world = await openWorld();
  await (await startDirector(world)).ready();
});
afterEach(() => world.running.cloud.faults.replace([]));
afterAll(() => world.stop());

async function run(type: CommandTopic, document: object, more: object = {}): Promise<TerminalEvent> {
  const id = `${type}.${++asked}`;
  await world.send(type, id, { architecture: { document }, dataflow: 'all', ...more });
  return world.recorder.answerTo(id);
}

async function bringUp(document: object): Promise<void> {
  for (const type of ['dataflow-setup', 'deploy'] as const)
    expect(await run(type, document)).toMatchObject({ type: 'completed' });
}

/** `deleted`, `kept: the dataflow is permanent`, …, by unit, over all deployments. */
function resultsOf(answer: TerminalEvent): Record<string, string> {
  const deployments = 'deployments' in answer ? answer.deployments : [];
  return Object.fromEntries(
    deployments.flatMap(({ units }) =>
      units.map(({ unit, result, because }) => [
        unit,
        because === undefined ? result : `${result}: ${because}`,
      ]),
    ),
  );
}

const left = async (prefix: string): Promise<string[]> =>
  Object.keys(await inventoryOf(world, prefix)).map((id) => id.replace(/@.*/, ''));

describe('G15: a teardown', () => {
  test('removes everything of an ephemeral dataflow, what needs others before the others', async () => {
    const document = documentOf('reverse', { flow: pair('reverse-', world.images.serves) });
    await bringUp(document);
    const before = world.now();
    const answer = await run('teardown', document);
    expect(answer).toMatchObject({ type: 'completed' });
    expect(new Set(Object.values(resultsOf(answer)))).toEqual(new Set(['deleted']));
    expect(await left('reverse-')).toEqual([]);

    const removals = world
      .changes(before)
      .map(({ method, resource }) => `${method} ${resource.split('/').at(-1)?.replace(/@.*/, '')}`);
    const order = (first: string, second: string): void => {
      expect(removals).toContain(first);
      expect(removals.indexOf(first)).toBeLessThan(removals.indexOf(second));
    };
    order('DeleteService reverse-web', 'DeleteService reverse-api');
    order('DeleteService reverse-web', 'DeleteServiceAccount reverse-web-account');
    order('DeleteService reverse-api', 'DeleteServiceAccount reverse-api-account');
    order('DeleteService reverse-api', 'buckets.delete reverse-receipts');
    order('DeleteService reverse-api', 'DeleteSubscription reverse-orders-api');
    order('DeleteSubscription reverse-orders-api', 'DeleteTopic reverse-orders');

    const again = world.now();
    expect(await run('teardown', document)).toMatchObject({
      type: 'completed',
      deployments: [{ units: [] }],
    });
    expect(world.changes(again)).toEqual([]);
  });

  test('takes a bucket of an ephemeral dataflow with all that is in it', async () => {
    const document = documentOf('filled', {
      flow: ephemeral({ resources: { gcs_buckets: [{ name: 'filled-bucket' }] } }),
    });
    await bringUp(document);
    for (const name of ['a', 'b/c'])
      await world.call(
        'POST',
        `/upload/storage/v1/b/filled-bucket/o?uploadType=media&name=${encodeURIComponent(name)}`,
        { any: 'thing' },
      );
    const planned = await run('teardown', document, { dry_run: true });
    expect(planned).toMatchObject({
      deployments: [{ plan: { warnings: ['bucket/filled-bucket is deleted with everything in it.'] } }],
    });
    expect(resultsOf(await run('teardown', document))).toEqual({ 'bucket/filled-bucket': 'deleted' });
    expect(await left('filled-')).toEqual([]);
  });

  test('names what it could not remove, goes on with the rest, and finishes when run again', async () => {
    const document = documentOf('stuck', { flow: pair('stuck-', world.images.serves) });
    await bringUp(document);
    const message = 'Not now.';
    world.running.cloud.faults.replace([
      { method: 'DeleteSubscription', error: 'FAILED_PRECONDITION', message },
      { method: 'buckets.delete', error: 'INVALID_ARGUMENT', message },
    ]);
    const answer = await run('teardown', document);
    expect(answer).toMatchObject({ type: 'failed', fix: expect.stringMatching(/run it again/) });
    expect('error' in answer ? answer.error.split('\n').sort() : []).toEqual([
      `bucket/stuck-receipts: ${message}`,
      `subscription/stuck-orders-api: ${message}`,
    ]);
    expect(resultsOf(answer)).toMatchObject({
      'subscription/stuck-orders-api': `failed: ${message}`,
      'topic/stuck-orders': 'skipped: subscription/stuck-orders-api failed',
      'bucket/stuck-receipts': `failed: ${message}`,
      'service/stuck-api': 'deleted',
      'service-account/stuck-web-account': 'deleted',
    });
    expect(await left('stuck-')).toEqual(['bucket/receipts', 'subscription/orders-api', 'topic/orders']);
    world.running.cloud.faults.replace([]);
    expect(resultsOf(await run('teardown', document))).toEqual({
      'bucket/stuck-receipts': 'deleted',
      'grants/bucket/stuck-receipts': 'deleted',
      'grants/subscription/stuck-orders-api': 'deleted',
      'grants/topic/stuck-orders': 'deleted',
      'subscription/stuck-orders-api': 'deleted',
      'topic/stuck-orders': 'deleted',
    });
  });

  test('leaves alone what somebody else put in the place of ours', async () => {
    const document = documentOf('swapped', {
      flow: ephemeral({ resources: { topics: [{ name: 'swapped-topic' }] } }),
    });
    await bringUp(document);
    await world.call('DELETE', `/v1/projects/${PROJECT}/topics/swapped-topic`);
    await world.call('PUT', `/v1/projects/${PROJECT}/topics/swapped-topic`, { labels: { team: 'another' } });
    expect(resultsOf(await run('teardown', document))).toEqual({
      'topic/swapped-topic': 'kept: it does not bear our mark',
    });
    expect(await left('swapped-')).toEqual(['topic/topic']);
  });

  test('counts what is gone already as removed', async () => {
    const document = documentOf('early', {
      flow: ephemeral({ resources: { topics: [{ name: 'early-topic' }, { name: 'early-other' }] } }),
    });
    await bringUp(document);
    await world.call('DELETE', `/v1/projects/${PROJECT}/topics/early-topic`);
    expect(await run('teardown', document)).toMatchObject({ type: 'completed' });
    expect(await left('early-')).toEqual([]);
  });
});

describe('G27: what stays, with the reason', () => {
  test('a permanent dataflow, beside an ephemeral one that goes', async () => {
    const topics = (name: string): object => ({ resources: { topics: [{ name }] } });
    const document = documentOf('stays', {
      base: topics('stays-base'),
      flow: ephemeral(topics('stays-flow')),
    });
    await bringUp(document);
    const answer = await run('teardown', document);
    expect(answer).toMatchObject({
      type: 'completed',
      deployments: [
        { plan: { kept: [{ unit: 'topic/stays-base', because: 'the dataflow is permanent' }] } },
        {},
      ],
    });
    expect(resultsOf(answer)).toEqual({
      'topic/stays-base': 'kept: the dataflow is permanent',
      'topic/stays-flow': 'deleted',
    });
    expect(await left('stays-')).toEqual(['topic/base']);
  });

  test('what is protected, of each kind, and what that needs; described without protection it goes (G28)', async () => {
    const document = (protection: boolean): object =>
      documentOf('shield', {
        flow: ephemeral({
          resources: {
            topics: [
              { name: 'shield-needed' },
              { name: 'shield-free' },
              { name: 'shield-topic', teardown_protection: protection },
            ],
            subscriptions: [{ name: 'shield-sub', topic: 'shield-needed', teardown_protection: protection }],
            gcs_buckets: [{ name: 'shield-bucket', teardown_protection: protection }],
          },
        }),
      });
    await bringUp(document(true));
    expect(resultsOf(await run('teardown', document(true)))).toEqual({
      'bucket/shield-bucket': 'kept: it has teardown_protection',
      'subscription/shield-sub': 'kept: it has teardown_protection',
      'topic/shield-needed': 'kept: subscription/shield-sub needs it',
      'topic/shield-topic': 'kept: it has teardown_protection',
      'topic/shield-free': 'deleted',
    });
    expect(await left('shield-')).toEqual([
      'bucket/bucket',
      'subscription/sub',
      'topic/needed',
      'topic/topic',
    ]);
    await bringUp(document(false));
    expect(new Set(Object.values(resultsOf(await run('teardown', document(false)))))).toEqual(
      new Set(['deleted']),
    );
    expect(await left('shield-')).toEqual([]);
  });

  test('everything of a protected environment (G23)', async () => {
    const flow = pair('castle-', world.images.serves);
    const document = documentOf('castle', { flow }, { teardown_protection: true });
    await bringUp(document);
    const before = await left('castle-');
    const results = resultsOf(await run('teardown', document));
    expect(new Set(Object.keys(results).map((unit) => unit.split('/')[0]))).toEqual(
      new Set(['bucket', 'grants', 'service', 'service-account', 'subscription', 'topic']),
    );
    expect(new Set(Object.values(results))).toEqual(
      new Set(['kept: the environment has teardown_protection']),
    );
    expect(await left('castle-')).toEqual(before);
  });

  test('the resources of a dataflow with keep_resources_on_test, after a test run and only then', async () => {
    const parts = pair('kept-', world.images.serves);
    const document = documentOf('kept', {
      flow: { ...parts, lifecycle: { strategy: 'ephemeral', keep_resources_on_test: true } },
    });
    await bringUp(document);
    const results = resultsOf(await run('teardown', document, { test_run: true }));
    expect(results).toMatchObject({
      'service/kept-api': 'deleted',
      'service/kept-web': 'deleted',
      'topic/kept-orders': 'kept: resources are kept on a test run',
      'bucket/kept-receipts': 'kept: resources are kept on a test run',
    });
    expect((await left('kept-')).filter((id) => !id.startsWith('account/'))).toEqual([
      'bucket/receipts',
      'subscription/orders-api',
      'topic/orders',
    ]);
    expect(await run('teardown', document)).toMatchObject({ type: 'completed' });
    expect(await left('kept-')).toEqual([]);
  });

  test('an account, until its last user has gone', async () => {
    const user = (name: string): object =>
      ephemeral({ services: { [`shared-${name}`]: serviceOf('shared-account', world.images.serves) } });
    const document = documentOf('shared', { one: user('one'), two: user('two') });
    await bringUp(document);
    expect(resultsOf(await run('teardown', document, { dataflow: 'one' }))).toMatchObject({
      'service/shared-one': 'deleted',
      'service-account/shared-account': 'kept: shared/two uses it too',
    });
    expect(await left('shared-')).toEqual(['account/account', 'service/two']);
    expect(resultsOf(await run('teardown', document, { dataflow: 'two' }))).toMatchObject({
      'service-account/shared-account': 'deleted',
    });
    expect(await left('shared-')).toEqual([]);
  });

  test('an account whose last two users go at the same time stays with neither', async () => {
    const user = (name: string): object =>
      ephemeral({ services: { [`twins-${name}`]: serviceOf('twins-account', world.images.serves) } });
    const document = documentOf('twins', { one: user('one'), two: user('two') });
    await bringUp(document);
    const answers = await Promise.all(
      ['one', 'two'].map((dataflow) => run('teardown', document, { dataflow })),
    );
    expect(answers.map(({ type }) => type)).toEqual(['completed', 'completed']);
    expect(await left('twins-')).toEqual([]);
  });
});

describe('grants that several dataflows give', () => {
  const letters = (from: readonly string[]): object => ({
    topics: from.map((name) => ({ name })),
    subscriptions: [
      {
        name: `${from[0]}-sub`,
        topic: from[0],
        dead_letter_policy: { dead_letter_topic: 'letters-dead', max_delivery_attempts: 5 },
      },
    ],
  });
  const givers = async (): Promise<string[]> => {
    const inventory = await inventoryOf(world, 'letters-');
    const { bindings } = inventory['topic/dead'] as { bindings: { role: string; members: string[] }[] };
    return bindings.map(({ role, members }) => `${role} ${members.length}`);
  };

  test('go with the last of them', async () => {
    const owner = ephemeral({ resources: letters(['letters-own', 'letters-dead']) });
    const other = ephemeral({ resources: letters(['letters-other']) });
    const document = documentOf('letters', { owner, other });
    expect(await run('dataflow-setup', document)).toMatchObject({ type: 'completed' });
    const before = await givers();
    expect(before.length).toBeGreaterThan(0);
    const results = resultsOf(await run('teardown', document, { dataflow: 'other' }));
    expect(results).toMatchObject({ 'subscription/letters-other-sub': 'deleted' });
    expect(await givers()).toEqual(before);

    // The same when it is only described no more.
    expect(await run('dataflow-setup', document, { dataflow: 'other' })).toMatchObject({ type: 'completed' });
    const less = ephemeral({ resources: { topics: [{ name: 'letters-other' }] } });
    const after = documentOf('letters', { owner, other: less });
    expect(await run('dataflow-setup', after, { dataflow: 'other' })).toMatchObject({ type: 'completed' });
    expect(await givers()).toEqual(before);

    expect(await run('teardown', after)).toMatchObject({ type: 'completed' });
    expect(await left('letters-')).toEqual([]);
  });
});

describe('what is described no more', () => {
  test('a dataflow: torn down by its name if it was ephemeral, kept if it was permanent', async () => {
    const topics = (name: string): object => ({ resources: { topics: [{ name }] } });
    const before = documentOf('dropped', {
      gone: ephemeral(topics('dropped-gone')),
      base: topics('dropped-base'),
      rest: ephemeral(topics('dropped-rest')),
    });
    await bringUp(before);
    const after = documentOf('dropped', { rest: ephemeral(topics('dropped-rest')) });
    expect(resultsOf(await run('teardown', after, { dataflow: 'gone' }))).toEqual({
      'topic/dropped-gone': 'deleted',
    });
    expect(resultsOf(await run('teardown', after, { dataflow: 'base' }))).toEqual({
      'topic/dropped-base': 'kept: the dataflow is permanent',
    });
    expect(await run('deploy', after, { dataflow: 'gone' })).toMatchObject({
      type: 'failed',
      error: 'There is no dataflow "gone"',
    });
    expect(resultsOf(await run('teardown', after))).toEqual({
      'topic/dropped-base': 'kept: the dataflow is permanent',
      'topic/dropped-rest': 'deleted',
    });
    expect(await left('dropped-')).toEqual(['topic/base']);
  });

  test('a service goes at the next deploy, with its account and its grants', async () => {
    const services = {
      'fewer-api': serviceOf('fewer-api-account', world.images.serves),
      'fewer-web': serviceOf('fewer-web-account', world.images.serves, { dependencies: ['fewer-api'] }),
    };
    const resources = (producer_service: string): object => ({
      topics: [{ name: 'fewer-topic', producer_service }],
    });
    await bringUp(documentOf('fewer', { flow: ephemeral({ services, resources: resources('fewer-web') }) }));
    const after = documentOf('fewer', {
      flow: ephemeral({
        services: { 'fewer-api': services['fewer-api'] },
        resources: resources('fewer-api'),
      }),
    });
    // It runs until the deploy, and keeps what it stands on till then.
    expect(resultsOf(await run('dataflow-setup', after))).not.toHaveProperty('service/fewer-web');
    expect(await left('fewer-')).toContain('account/web-account');
    expect(resultsOf(await run('deploy', after))).toMatchObject({
      'service/fewer-web': 'deleted',
      'service-account/fewer-web-account': 'deleted',
      'grants/service/fewer-api': 'deleted',
    });
    expect(await left('fewer-')).toEqual(['account/api-account', 'service/api', 'topic/topic']);
    expect(JSON.stringify(await inventoryOf(world, 'fewer-'))).not.toContain('web-account');
    const again = world.now();
    await bringUp(after);
    expect(world.changes(again)).toEqual([]);
  });

  test('a topic goes at the next set-up', async () => {
    const topics = (...names: string[]): object =>
      documentOf('thin', { flow: ephemeral({ resources: { topics: names.map((name) => ({ name })) } }) });
    await bringUp(topics('thin-one', 'thin-two'));
    expect(resultsOf(await run('dataflow-setup', topics('thin-one')))).toEqual({
      'topic/thin-two': 'deleted',
    });
    expect(await left('thin-')).toEqual(['topic/one']);
  });

  test('a topic that a service still publishes to goes with the deploy that takes the service off it', async () => {
    const flow = (topics: object[]): object =>
      documentOf('held', {
        flow: ephemeral({
          services: { 'held-api': serviceOf('held-account', world.images.serves) },
          resources: { topics },
        }),
      });
    await bringUp(
      flow([{ name: 'held-topic', producer_service: { name: 'held-api', lookup: { method: 'env' } } }]),
    );
    expect(resultsOf(await run('dataflow-setup', flow([])))).toMatchObject({
      'grants/topic/held-topic': 'kept: service/held-api stands on it until the next deploy',
    });
    expect(await left('held-')).toContain('topic/topic');
    expect(resultsOf(await run('deploy', flow([])))).toMatchObject({
      'topic/held-topic': 'deleted',
      'service/held-api': 'updated',
    });
    expect(await left('held-')).toEqual(['account/account', 'service/api']);
  });
});

test('what was changed by hand is mended by the next set-up and deploy, and nothing else is touched', async () => {
  const document = documentOf('drift', { flow: pair('drift-', world.images.serves) });
  await bringUp(document);
  const before = await inventoryOf(world, 'drift-');
  const quiet = world.now();
  await bringUp(document);
  expect(world.changes(quiet)).toEqual([]);

  const topic = `projects/${PROJECT}/topics/drift-orders`;
  const subscription = `projects/${PROJECT}/subscriptions/drift-orders-api`;
  const service = `projects/${PROJECT}/locations/us-central1/services/drift-api`;
  await world.call('PATCH', `/v1/${topic}`, {
    topic: {
      name: topic,
      labels: { 'managed-by': 'service-director', 'sd-scope': 'drift', 'sd-dataflow': 'flow' },
      messageRetentionDuration: '600s',
    },
    updateMask: 'messageRetentionDuration',
  });
  await world.call('PATCH', `/v1/${subscription}`, {
    subscription: { name: subscription, ackDeadlineSeconds: 99 },
    updateMask: 'ackDeadlineSeconds',
  });
  await world.call('POST', `/v1/${topic}:setIamPolicy`, {
    policy: { bindings: [{ role: 'roles/pubsub.viewer', members: ['user:guest@example.com'] }] },
  });
  await world.call('DELETE', '/storage/v1/b/drift-receipts');
  await world.call('PATCH', `/v2/${service}?updateMask=description`, {
    name: service,
    description: 'by hand',
  });

  const since = world.now();
  const setUp = await run('dataflow-setup', document);
  expect(resultsOf(setUp)).toEqual({
    'topic/drift-orders': 'updated',
    'subscription/drift-orders-api': 'updated',
    'bucket/drift-receipts': 'created',
    'grants/topic/drift-orders': 'updated',
    'grants/bucket/drift-receipts': 'updated',
  });
  expect(resultsOf(await run('deploy', document))).toEqual({ 'service/drift-api': 'updated' });
  expect(
    world
      .changes(since)
      .map(({ method }) => method)
      .sort(),
  ).toEqual([
    'SetIamPolicy',
    'UpdateService',
    'UpdateSubscription',
    'UpdateTopic',
    'buckets.insert',
    'buckets.setIamPolicy',
  ]);
  const after = await inventoryOf(world, 'drift-');
  // Members that are not ours are none of our business.
  expect(after['topic/orders']).toMatchObject({
    bindings: expect.arrayContaining([
      { role: 'roles/pubsub.viewer', members: expect.arrayContaining(['user:guest@example.com']) },
    ]),
  });
  expect(after['subscription/orders-api']).toEqual(before['subscription/orders-api']);
  expect(after['service/api']).not.toHaveProperty('description');
});
