/** The contract by which services of the system before this one gate their own start (G48). */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

async function post(path: string, body: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(director.url + path, { method: 'POST', body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

test('a service waits until its dataflow is set up, which is asked for in the same contract', async () => {
  const flow = ephemeral({ resources: { topics: [{ name: 'gated-orders' }] } });
  const document = documentOf('gated', { gated: flow });
  await world.send('dataflow-setup', 'gated-dry', { architecture: { document } });
  expect(await world.recorder.answerTo('gated-dry')).toMatchObject({ type: 'completed' });
  expect(await post('/orchestrate/teardown', { dataflow_name: 'gated' })).toMatchObject({ status: 200 });

  const verified = post('/dataflow/verify', { dataflow_name: 'gated', service_name: 'worker' });
  const setUp = await post('/dataflow/setup', { dataflow_name: 'gated' });
  expect(setUp).toMatchObject({ status: 200, body: { status: 'completed' } });
  expect(await verified).toEqual({
    status: 200,
    body: { status: 'verified', dataflow_name: 'gated', service_name: 'worker' },
  });
});

test('what cannot be meant is said', async () => {
  expect((await post('/dataflow/verify', { dataflow_name: 'gated' })).status).toBe(400);
  expect((await post('/orchestrate/teardown', {})).status).toBe(400);
  const { status, body } = await post('/dataflow/setup', { dataflow_name: 'nowhere' });
  expect([status, JSON.stringify(body)]).toEqual([500, expect.stringContaining('nowhere')]);
});
