/** What somebody else changed is told, as what it is, and put back when that is asked for. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, PROJECT, REGION, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
  await setUp('first', 'blue');
});
afterAll(() => world.stop());

const topics = (team: string): object =>
  documentOf('drifting', {
    flow: ephemeral({
      resources: {
        topics: [
          { name: 'drifting-orders', labels: { team } },
          { name: 'drifting-bills', labels: { team } },
          { name: 'drifting-notes' },
        ],
      },
    }),
  });

async function setUp(id: string, team: string): Promise<void> {
  await world.send('dataflow-setup', id, { architecture: { document: topics(team) } });
  expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
}

const path = (topic: string): string => `/v1/projects/${PROJECT}/topics/${topic}`;
const relabel = (topic: string, labels: object): Promise<unknown> =>
  world.call('PATCH', path(topic), {
    topic: { name: path(topic).slice(4), labels },
    updateMask: 'labels',
  });

const ask = (stack: string, body: object): Promise<Response> =>
  fetch(`${director.url}/v1/stacks/${stack}/drift`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** Asks for a look, or a repair; returns the deployment once it has ended. */
async function look(body: object = {}, stack = 'drifting/flow') {
  const sent = await ask(stack, body);
  expect(sent.status).toBe(202);
  const { deployments } = (await sent.json()) as { deployments: string[] };
  return until(async () => {
    const { body: deployment } = await director.get(`/v1/deployments/${deployments[0]}`);
    expect(deployment.report.status).toBe('succeeded');
    return deployment;
  });
}

describe('drift', () => {
  test('where nobody changed anything there is none (D183)', async () => {
    expect((await look()).report.plan).toMatchObject({ changes: [], unchanged: 3 });
  });

  test('what was changed and what was removed behind our back is told, and nothing is touched (D183)', async () => {
    const { labels } = (await world.call('GET', path('drifting-orders'))) as { labels: object };
    await relabel('drifting-orders', { ...labels, team: 'red' });
    await world.call('DELETE', path('drifting-notes'));
    const since = world.now();
    const { report, dry_run } = await look({ reason: 'the nightly look' });
    expect(dry_run).toBe(true);
    expect(report.plan.changes).toEqual([
      { unit: 'topic/drifting-notes', action: 'create', drifted: true },
      { unit: 'topic/drifting-orders', action: 'update', fields: ['labels'], drifted: true },
    ]);
    expect(world.changes(since)).toEqual([]);
  });

  test('a plan tells what was asked for from what was changed by others (D183)', async () => {
    const data = { architecture: { document: topics('green') }, dry_run: true };
    await world.send('dataflow-setup', 'planned', data);
    await world.recorder.answerTo('planned');
    const { body } = await director.get('/v1/deployments/planned.flow');
    expect(body.report.plan.changes).toEqual([
      { unit: 'topic/drifting-orders', action: 'update', fields: ['labels'] },
      { unit: 'topic/drifting-bills', action: 'update', fields: ['labels'] },
      { unit: 'topic/drifting-notes', action: 'create', drifted: true },
    ]);
  });

  test('it is put back, by whoever may deploy there (D183)', async () => {
    const { report } = await look({ repair: true, reason: 'the nightly repair' });
    expect(report.units).toMatchObject([
      { unit: expect.stringContaining('drifting-'), result: expect.stringMatching(/updated|created/) },
      { unit: expect.stringContaining('drifting-'), result: expect.stringMatching(/updated|created/) },
    ]);
    expect(await world.call('GET', path('drifting-orders'))).toMatchObject({ labels: { team: 'blue' } });
    expect((await look()).report.plan.changes).toEqual([]);
  });

  test('of what a deployment began and did not end nobody says that others changed it (D183)', async () => {
    const document = documentOf('halfway', {
      flow: ephemeral({
        services: {
          'halfway-web': {
            service_account: 'halfway-account',
            deployment: { image: world.images.crashes, region: REGION },
          },
        },
      }),
    });
    await world.send('dataflow-setup', 'halfway-setup', { architecture: { document } });
    await world.recorder.answerTo('halfway-setup');
    await world.send('deploy', 'halfway', { architecture: { document } });
    expect(await world.recorder.answerTo('halfway')).toMatchObject({ type: 'failed' });
    const sent = (await (await ask('halfway/flow', {})).json()) as { id: string };
    const answer = await world.recorder.answerTo(sent.id);
    expect(JSON.stringify(answer)).toContain(
      'halfway/flow has what a deployment began and did not end: service/halfway-web',
    );
  });

  test('of a stack that there is not nothing is told (D183)', async () => {
    expect((await ask('drifting/none', {})).status).toBe(404);
    expect((await ask('drifting/flow', { often: true })).status).toBe(400);
  });
});
