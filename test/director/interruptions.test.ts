/** Directors that are interrupted at a chosen point, by force or politely, and go on from there. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral, pair, serviceOf } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { type Ledger, openLedger } from './support/ledger.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;
let ledger: Ledger;

beforeAll(async () => {
  world = await openWorld();
  await restart();
  ledger = openLedger(world);
});
afterAll(async () => {
  ledger.close();
  await world.stop();
});

async function restart(): Promise<void> {
  director = await startDirector(world);
  await director.ready();
}

/** Makes the next such call wait before or after its effect for longer than anybody waits. */
function hold(method: string, effect: 'before' | 'after'): void {
  world.running.cloud.faults.replace([{ method, effect, delay: 600_000, count: 1 }]);
}

async function killAndRestart(): Promise<void> {
  await director.kill();
  world.running.cloud.faults.replace([]);
  await restart();
}

/** Whether that call has come. */
const isHeld = (): boolean => world.running.cloud.faults.rules().some(({ hits }) => hits > 0);

describe('killed between a call and its answer (G46)', () => {
  const alone = (run: string): object =>
    documentOf(run, {
      flow: ephemeral({
        services: { [`${run}-api`]: serviceOf(`${run}-account`, world.images.serves) },
        resources: {
          topics: [{ name: `${run}-topic`, producer_service: `${run}-api` }],
          // Takes the URL of the service: it is made after that, by a deploy.
          subscriptions: [{ name: `${run}-pushed`, topic: `${run}-topic`, push: { service: `${run}-api` } }],
          gcs_buckets: [{ name: `${run}-bucket` }],
        },
      }),
    });

  test.each([
    ['CreateServiceAccount', 'dataflow-setup', 'account/account'],
    ['CreateTopic', 'dataflow-setup', 'topic/topic'],
    ['buckets.insert', 'dataflow-setup', 'bucket/bucket'],
    ['CreateService', 'deploy', 'service/api'],
    ['CreateSubscription', 'deploy', 'subscription/pushed'],
  ] as const)('%s has its effect, and nobody hears of it', async (method, type, made) => {
    const run = `lost-${method
      .toLowerCase()
      .replace(/[^a-z]/g, '')
      .slice(-8)}`;
    const document = alone(run);
    if (type === 'deploy') {
      await world.send('dataflow-setup', `${run}.before`, { architecture: { document } });
      await world.recorder.answerTo(`${run}.before`);
    }
    hold(method, 'after');
    await world.send(type, `${run}.it`, { architecture: { document } });
    const isMade = async (): Promise<boolean> =>
      isHeld() && Object.keys(await inventoryOf(world, `${run}-`)).some((id) => id.startsWith(made));
    await until(async () => expect(await isMade()).toBe(true));
    await killAndRestart();
    expect(await world.recorder.answerTo(`${run}.it`)).toMatchObject({
      type: 'completed',
      deployments: [{ status: 'succeeded' }],
    });
    const before = world.now();
    await world.send('dataflow-setup', `${run}.again`, { architecture: { document } });
    expect(await world.recorder.answerTo(`${run}.again`)).toMatchObject({
      type: 'completed',
      deployments: [{ units: [] }],
    });
    expect(world.changes(before)).toEqual([]);
    await world.send('teardown', `${run}.teardown`, { architecture: { document }, dataflow: 'all' });
    expect(await world.recorder.answerTo(`${run}.teardown`)).toMatchObject({ type: 'completed' });
    expect(await inventoryOf(world, `${run}-`)).toEqual({});
  });

  test('an account that was let go of, and is described no more, goes all the same', async () => {
    const services = {
      'leaver-stays': serviceOf('leaver-stays', world.images.serves),
      'leaver-goes': serviceOf('leaver-goes', world.images.serves),
    };
    const before = documentOf('leaver', { flow: ephemeral({ services }) });
    for (const type of ['dataflow-setup', 'deploy'] as const) {
      await world.send(type, `leaver.${type}`, { architecture: { document: before } });
      await world.recorder.answerTo(`leaver.${type}`);
    }
    const after = documentOf('leaver', {
      flow: ephemeral({ services: { 'leaver-stays': services['leaver-stays'] } }),
    });
    hold('DeleteServiceAccount', 'before');
    await world.send('deploy', 'leaver.less', { architecture: { document: after } });
    await until(() => expect(isHeld()).toBe(true));
    await killAndRestart();
    expect(await world.recorder.answerTo('leaver.less')).toMatchObject({ type: 'completed' });
    expect(Object.keys(await inventoryOf(world, 'leaver-'))).toEqual([
      expect.stringMatching(/^account\/stays@/),
      'service/stays',
    ]);
  });
});

describe('told to stop', () => {
  test('in the middle of a deployment: it hears out what is under way, ends well, and goes on after its restart', async () => {
    const document = documentOf('drained', { flow: pair('drained-', world.images.serves) });
    world.running.cloud.faults.replace([{ method: 'CreateTopic', effect: 'after', delay: 1_000 }]);
    await world.send('dataflow-setup', 'drained.setup', { architecture: { document } });
    await until(() => expect(isHeld()).toBe(true));
    expect(await director.stop()).toBe(0);
    expect(world.recorder.lastWordsOn('drained.setup')).toEqual([]);
    expect(ledger.read('stacks', 'drained/flow')).toMatchObject({ 'drained/flow': { version: 0 } });
    expect(ledger.read('stacks', 'drained/flow')).not.toHaveProperty(['drained/flow', 'lease']);
    world.running.cloud.faults.replace([]);
    await restart();
    expect(await world.recorder.answerTo('drained.setup')).toMatchObject({ type: 'completed' });
  });

  test('while Google does not answer: it does not wait for ever', async () => {
    const document = documentOf('hung', {
      flow: ephemeral({ resources: { topics: [{ name: 'hung-topic' }] } }),
    });
    hold('CreateTopic', 'before');
    await world.send('dataflow-setup', 'hung.setup', { architecture: { document } });
    await until(() => expect(isHeld()).toBe(true));
    expect(await director.stop()).toBe(0);
    world.running.cloud.faults.replace([]);
    await restart();
    expect(await world.recorder.answerTo('hung.setup')).toMatchObject({ type: 'completed' });
  });
});

test('what was told once is not told again by the next process', async () => {
  await world.send('dataflow-setup', 'once.first', { dataflow: 'nothing' });
  await world.recorder.answerTo('once.first');
  await until(() => expect(ledger.read('outbox', '')).toEqual({}));
  await killAndRestart();
  await world.send('dataflow-setup', 'once.second', { dataflow: 'nothing' });
  await world.recorder.answerTo('once.second');
  expect(world.recorder.lastWordsOn('once.first')).toHaveLength(1);
});
