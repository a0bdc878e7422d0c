/** Several dataflows at a time: side by side, and one after the other where one needs what the other makes. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startDirector } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { openWorld, PROJECT, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;

beforeAll(async () => {
  // New accounts and grants take a while, as they do at Google.
  world = await openWorld({ propagationMs: 2_000 });
  await (await startDirector(world)).ready();
});
afterAll(() => world.stop());

/** One service that publishes to a topic of its own. */
function publisher(prefix: string): object {
  return ephemeral({
    services: { [`${prefix}-api`]: serviceOf(`${prefix}-account`, world.images.serves) },
    resources: { topics: [{ name: `${prefix}-topic`, producer_service: `${prefix}-api` }] },
  });
}

test('G14: dataflows are set up side by side, and one that fails does not stop the others', async () => {
  await world.call('PUT', `/v1/projects/${PROJECT}/topics/side-c-topic`, {});
  const document = documentOf('side', {
    a: publisher('side-a'),
    b: publisher('side-b'),
    c: publisher('side-c'),
  });
  await world.send('dataflow-setup', 'side.setup', { architecture: { document } });
  const answer = await world.recorder.answerTo('side.setup');
  expect(answer).toMatchObject({
    type: 'failed',
    error: 'topic/side-c-topic: topic/side-c-topic exists already and does not bear our mark',
    deployments: [
      { stack: 'side/a', status: 'succeeded' },
      { stack: 'side/b', status: 'succeeded' },
      { stack: 'side/c', status: 'failed' },
    ],
  });
  // Each was at work before any of them had ended, and waited at the same time as the others.
  const told = world.recorder.about('side.setup').flatMap((event) => {
    if (event.type === 'unit-waiting') return [`${event.stack} waiting`];
    return event.type === 'status' ? [`${event.stack} ${event.status}`] : [];
  });
  const firstEnd = Math.min(
    ...['a', 'b', 'c'].map((name) =>
      told.findIndex((line) => new RegExp(`side/${name} (succeeded|failed)`).test(line)),
    ),
  );
  for (const name of ['a', 'b', 'c']) {
    expect(told.indexOf(`side/${name} applying`)).toBeGreaterThan(-1);
    expect(told.indexOf(`side/${name} applying`)).toBeLessThan(firstEnd);
  }
  for (const name of ['a', 'b']) expect(told.indexOf(`side/${name} waiting`)).toBeLessThan(firstEnd);
});

test('grants are awaited until they are in effect, and the events say so (G12)', async () => {
  const document = documentOf('grants', { flow: publisher('grants') });
  await world.send('dataflow-setup', 'grants.setup', { architecture: { document } });
  expect(await world.recorder.answerTo('grants.setup')).toMatchObject({ type: 'completed' });
  const email = `grants-account@${PROJECT}.iam.gserviceaccount.com`;
  const { cloud } = world.running;
  const topic = `projects/${PROJECT}/topics/grants-topic`;
  // At the moment at which the command was done the account could publish.
  expect(cloud.iam.test({ type: 'serviceAccount', email }, ['pubsub.topics.publish'], topic)).toEqual([
    'pubsub.topics.publish',
  ]);
  const waits = world.recorder
    .about('grants.setup')
    .flatMap((event) => (event.type === 'unit-waiting' ? [event.because] : []));
  expect(waits).toContainEqual(
    expect.stringMatching(/roles\/pubsub\.publisher.* of grants-account on .*grants-topic to take effect/),
  );
});

describe('what another dataflow makes', () => {
  const consumerOf = (topic: string, name: string, more: object = {}): object =>
    ephemeral({ resources: { topics: [], subscriptions: [{ name, topic }], ...more } });

  test('is waited for while its deployment has not ended, whichever comes first', async () => {
    const document = documentOf('cross', {
      stock: ephemeral({ resources: { topics: [{ name: 'cross-stock' }] } }),
      sales: consumerOf('cross-stock', 'cross-sales'),
    });
    await world.send('dataflow-setup', 'cross.sales', { dataflow: 'sales', architecture: { document } });
    const waiting = await world.recorder.first(
      ({ event }) => (event?.type === 'unit-waiting' && event.command === 'cross.sales' ? event : undefined),
      'the wait',
    );
    expect(waiting).toMatchObject({
      unit: 'topic/cross-stock',
      because: 'topic/cross-stock of stock is made by another deployment',
    });
    await world.send('dataflow-setup', 'cross.stock', { dataflow: 'stock', architecture: { document } });
    expect(await world.recorder.answerTo('cross.stock')).toMatchObject({ type: 'completed' });
    expect(await world.recorder.answerTo('cross.sales')).toMatchObject({
      type: 'completed',
      deployments: [{ units: [{ unit: 'subscription/cross-sales', result: 'created' }] }],
    });
  });

  test('is waited for both ways at once', async () => {
    const document = documentOf('mutual', {
      one: consumerOf('mutual-two', 'mutual-of-two', { topics: [{ name: 'mutual-one' }] }),
      two: consumerOf('mutual-one', 'mutual-of-one', { topics: [{ name: 'mutual-two' }] }),
    });
    await world.send('dataflow-setup', 'mutual.setup', { architecture: { document } });
    expect(await world.recorder.answerTo('mutual.setup')).toMatchObject({ type: 'completed' });
    expect(Object.keys(await inventoryOf(world, 'mutual-'))).toHaveLength(4);
  });

  // Each of these waits for a while before it gives up, so they wait together.
  describe.concurrent('and nobody does', () => {
    test('fails what needs it, and says what to do', async () => {
      const document = documentOf('nobody', {
        stock: ephemeral({ resources: { topics: [{ name: 'nobody-stock' }] } }),
        sales: consumerOf('nobody-stock', 'nobody-sales', { topics: [{ name: 'nobody-own' }] }),
      });
      await world.send('dataflow-setup', 'nobody.sales', { dataflow: 'sales', architecture: { document } });
      const answer = await world.recorder.answerTo('nobody.sales');
      expect(answer).toMatchObject({
        type: 'failed',
        error: expect.stringContaining('topic/nobody-stock of stock is not there'),
        fix: 'set stock up first, or together with this',
      });
      expect(answer).toMatchObject({
        deployments: [
          {
            units: expect.arrayContaining([
              { unit: 'topic/nobody-own', result: 'created' },
              { unit: 'subscription/nobody-sales', result: 'skipped', because: 'topic/nobody-stock failed' },
            ]),
          },
        ],
      });
    });

    test('a deploy before its set-up fails and says so; then set-up, deploy and teardown do what they should', async () => {
      const document = documentOf('order', { flow: publisher('order') });
      // Sent in the wrong order, without waiting for an answer.
      for (const type of ['deploy', 'dataflow-setup'] as const)
        await world.send(type, `order.${type}.1`, { architecture: { document } });
      expect(await world.recorder.answerTo('order.deploy.1')).toMatchObject({
        type: 'failed',
        error: expect.stringContaining('of flow is not there'),
        fix: expect.stringContaining('set flow up first, or together with this'),
      });
      expect(await world.recorder.answerTo('order.dataflow-setup.1')).toMatchObject({ type: 'completed' });
      for (const type of ['deploy', 'teardown'] as const) {
        await world.send(type, `order.${type}.2`, { architecture: { document }, dataflow: 'flow' });
        expect(await world.recorder.answerTo(`order.${type}.2`)).toMatchObject({ type: 'completed' });
      }
      expect(await inventoryOf(world, 'order-')).toEqual({});
    });

    test('a deploy whose set-up stands in the queue behind it does not wait for that, whatever else it needs', async () => {
      const document = documentOf('queue', {
        back: ephemeral({ resources: { topics: [{ name: 'queue-back', producer_service: 'queue-api' }] } }),
        front: publisher('queue'),
      });
      await world.send('dataflow-setup', 'queue.back', { dataflow: 'back', architecture: { document } });
      for (const type of ['deploy', 'dataflow-setup'] as const)
        await world.send(type, `queue.${type}`, { dataflow: 'front', architecture: { document } });
      expect(await world.recorder.answerTo('queue.deploy')).toMatchObject({
        type: 'failed',
        fix: expect.stringContaining('set front up first'),
      });
      expect(await world.recorder.answerTo('queue.dataflow-setup')).toMatchObject({ type: 'completed' });
      expect(await world.recorder.answerTo('queue.back')).toMatchObject({ type: 'completed' });
    });
  });

  test('commands for one dataflow are done in the order in which they came', async () => {
    const document = documentOf('turns', {
      flow: ephemeral({ resources: { topics: [{ name: 'turns-topic' }] } }),
    });
    const types = ['dataflow-setup', 'teardown', 'dataflow-setup', 'teardown', 'dataflow-setup'] as const;
    for (const [at, type] of types.entries())
      await world.send(type, `turns.${at}`, { architecture: { document }, dataflow: 'flow' });
    for (const at of types.keys())
      expect(await world.recorder.answerTo(`turns.${at}`)).toMatchObject({
        type: 'completed',
        deployments: [{ version: at + 1, units: [{ unit: 'topic/turns-topic' }] }],
      });
    expect(Object.keys(await inventoryOf(world, 'turns-'))).toEqual(['topic/topic']);
  });
});
