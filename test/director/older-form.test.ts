/** The form of the system before this one: `{"instruction","payload"}` on its topic, answered in kind on the other. */
import type { LegacyAnswer } from '@service-director/shared/contract/legacy.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { OLDER, openWorld, PROJECT, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

/** What the older topic says under a value; each value is used once. */
async function answerTo(value: string): Promise<LegacyAnswer> {
  return world.recorder.first((heard) => {
    if (heard.topic !== OLDER.completions) return undefined;
    const answer: LegacyAnswer = JSON.parse(heard.body);
    return answer.value === value && answer.status !== 'setup_complete' ? answer : undefined;
  }, `an answer of the older form with the value "${value}"`);
}

/** Sends it as older conductors do, without attributes; resolves with the id that it gets. */
async function send(instruction: string, payload: unknown): Promise<string> {
  return `pubsub-${await world.publish(OLDER.commands, JSON.stringify({ instruction, payload }))}`;
}

const member = (account: string): string => `serviceAccount:${account}@${PROJECT}.iam.gserviceaccount.com`;

test('G45: a director that is up says so on the older topic', async () => {
  const first = await world.recorder.first(
    ({ topic, body }) => (topic === OLDER.completions ? JSON.parse(body) : undefined),
    'the first word',
  );
  expect(first).toEqual({ status: 'setup_complete', value: 'service-director' });
});

describe('G44, G45, G46: a dataflow in the older form, from set-up to teardown', () => {
  beforeAll(async () => {
    // Older commands carry no architecture: the director goes by what it was told.
    const { serves } = world.images;
    const document = documentOf('older', {
      orders: ephemeral({
        services: { 'older-api': serviceOf('older-api-account', serves) },
        resources: {
          topics: [{ name: 'older-orders', producer_service: 'older-api' }],
          subscriptions: [
            { name: 'older-pushed', topic: 'older-orders', push: { service: 'older-api', path: '/orders' } },
          ],
          gcs_buckets: [{ name: 'older-receipts', producers: ['older-api'] }],
        },
      }),
      other: ephemeral({ resources: { topics: [{ name: 'older-other' }] } }),
    });
    await world.send('dataflow-setup', 'older.told', { dataflow: 'other', architecture: { document } });
    expect(await world.recorder.answerTo('older.told')).toMatchObject({ type: 'completed' });
  });

  test('dataflow-setup', async () => {
    const id = await send('dataflow-setup', { dataflow_name: 'orders' });
    const answer = await answerTo('orders');
    expect(answer).toMatchObject({ status: 'dataflow_complete', value: 'orders' });
    expect(answer.applied_iam).toMatchObject({
      'topic:older-orders': {
        ResourceType: 'pubsub_topic',
        ResourceID: 'older-orders',
        ResourceLocation: '',
        MemberRoles: { [member('older-api-account')]: ['roles/pubsub.publisher', 'roles/pubsub.viewer'] },
      },
      'bucket:older-receipts': {
        ResourceType: 'gcs_bucket',
        ResourceID: 'older-receipts',
        MemberRoles: { [member('older-api-account')]: ['roles/storage.objectAdmin'] },
      },
    });
    // Told in both forms, for whoever listens to either.
    expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed', dataflow: 'orders' });
    expect(Object.keys(await inventoryOf(world, 'older-'))).not.toContain('subscription/pushed');
  });

  test('dependent-resource-setup brings what takes the services: part of a deploy', async () => {
    const payload = { dataflow_name: 'orders', service_urls: { 'older-api': 'https://elsewhere.example' } };
    const id = await send('dependent-resource-setup', payload);
    const answer = await answerTo('orders-dependent');
    expect(answer).toMatchObject({ status: 'dataflow_complete' });
    expect(answer.applied_iam).toMatchObject({
      'service:older-api': {
        ResourceType: 'cloudrun_service',
        ResourceLocation: 'us-central1',
        MemberRoles: { [member('older-pushed-push')]: ['roles/run.invoker'] },
      },
    });
    const told = await world.recorder.answerTo(id);
    expect(told).toMatchObject({ type: 'completed', command_type: 'deploy' });
    const [deployment] = 'deployments' in told ? told.deployments : [];
    const uri = deployment?.urls['older-api'];
    expect(await inventoryOf(world, 'older-')).toMatchObject({
      'subscription/pushed': { pushConfig: { pushEndpoint: `${uri}/orders`, oidcToken: { audience: uri } } },
    });
  });

  test('teardown of nothing in particular removes all that is ephemeral', async () => {
    await send('teardown', { dataflow_name: '' });
    expect(await answerTo('')).toMatchObject({ status: 'dataflow_complete', applied_iam: {} });
    expect(await inventoryOf(world, 'older-')).toEqual({});
  });
});

describe('G45: what cannot be done is a failure, with the value that it was asked under', () => {
  test('an unknown dataflow', async () => {
    await send('dataflow-setup', { dataflow_name: 'unheard-of' });
    expect(await answerTo('unheard-of')).toEqual({
      status: 'failure',
      value: 'unheard-of',
      error_message: expect.stringMatching(/dataflow "unheard-of"/),
    });
  });

  test('an unknown dataflow, for what depends on its services', async () => {
    await send('dependent-resource-setup', { dataflow_name: 'unseen' });
    expect(await answerTo('unseen-dependent')).toMatchObject({ status: 'failure' });
  });

  test('an unknown instruction', async () => {
    const id = await send('deploy-everything', { dataflow_name: 'mine' });
    expect(await answerTo('mine')).toEqual({
      status: 'failure',
      value: 'mine',
      error_message: 'The instruction "deploy-everything" is unknown',
    });
    expect(await world.recorder.answerTo(id)).toMatchObject({
      type: 'rejected',
      fix: 'send dataflow-setup, dependent-resource-setup or teardown',
    });
  });

  test('a bad payload, with a name and without', async () => {
    await send('dataflow-setup', { dataflow_name: 'named', service_urls: 5 });
    expect(await answerTo('named')).toMatchObject({
      status: 'failure',
      error_message: expect.stringContaining('The payload of dataflow-setup is wrong'),
    });
    for (const payload of [{ dataflow_name: 5 }, {}, 'text', []]) {
      const id = await send('dataflow-setup', payload);
      const { error } = { error: '', ...(await world.recorder.answerTo(id)) };
      const answer = await world.recorder.first(
        ({ topic, body }) =>
          topic === OLDER.completions && body.includes(JSON.stringify(error)) ? JSON.parse(body) : undefined,
        error,
      );
      expect(answer).toEqual({ status: 'failure', value: '', error_message: error });
    }
  });

  test('no JSON at all', async () => {
    const id = `pubsub-${await world.publish(OLDER.commands, 'dataflow-setup please')}`;
    expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'rejected' });
    const answer = await world.recorder.first(
      ({ topic, body }) =>
        topic === OLDER.completions && body.includes('is not JSON') ? JSON.parse(body) : undefined,
      'the failure',
    );
    expect(answer).toMatchObject({ status: 'failure', value: '' });
  });
});

test('the newer form is not answered in the older one', async () => {
  const before = world.recorder.all(OLDER.completions).length;
  await world.send('teardown', 'newer.teardown', { dataflow: 'other', scope: 'older' });
  await world.recorder.answerTo('newer.teardown');
  const last = await send('teardown', { dataflow_name: 'other' });
  await answerTo('other');
  await world.recorder.answerTo(last);
  expect(world.recorder.all(OLDER.completions)).toHaveLength(before + 1);
});
