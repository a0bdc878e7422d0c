/** A disk that is full when state is written: nothing is lost, nothing happens twice, and the log says why. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** Blocks of 512 bytes: the director can start with that, and soon cannot write any more. */
const ROOM = 600;

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const documentFor = (run: string): object =>
  documentOf(run, {
    flow: ephemeral({
      resources: { topics: ['a', 'b', 'c'].map((name) => ({ name: `${run}-${name}` })) },
    }),
  });

const setUp = (run: string): Promise<void> =>
  world.send('dataflow-setup', `${run}.setup`, { architecture: { document: documentFor(run) } });

const isFull = (): boolean => /cannot be written/.test(director.output());

/** Lets the running director write again, or starts it anew where this machine cannot do that. */
async function makeRoom(): Promise<void> {
  const raised = spawnSync('prlimit', ['--pid', String(director.pid), '--fsize=unlimited:']);
  if (raised.status === 0) return;
  process.stdout.write('prlimit is not here: the director is started again to give it room.\n');
  await director.kill();
  director = await startDirector(world);
}

test('commands wait out a full disk, those under way and those that come', async () => {
  director = await startDirector(world, { fileLimit: ROOM });
  await director.ready();
  const runs: string[] = [];
  while (!isFull()) {
    const run = `disk${String.fromCharCode(97 + runs.length)}`;
    runs.push(run);
    await setUp(run);
    await until(() => expect(isFull() || world.recorder.lastWordsOn(`${run}.setup`).length > 0).toBe(true));
  }
  // The smallest of commands may still fit; in the end none does.
  const small: string[] = [];
  for (let status = 202; status === 202; ) {
    const id = `disk.small-${small.length}`;
    const answer = await director.post('deploy', '{"scope":"nowhere"}', { 'idempotency-key': id });
    status = answer.status;
    if (status === 202) small.push(id);
    else
      expect(answer).toMatchObject({
        status: 503,
        type: expect.stringContaining('application/problem+json'),
      });
  }
  // What cannot be written down is not acknowledged.
  await setUp('late');
  runs.push('late');
  await until(() =>
    expect(director.output()).toMatch(/a command could not be written down .*cannot be written/),
  );
  expect(world.recorder.lastWordsOn('late.setup')).toEqual([]);
  expect((await director.get('/health')).status).toBe(200);

  await makeRoom();
  for (const run of runs) {
    expect(await world.recorder.answerTo(`${run}.setup`)).toMatchObject({
      type: 'completed',
      deployments: [{ version: 1 }],
    });
    const ids = world.recorder.lastWordsOn(`${run}.setup`).map(({ attributes }) => attributes['ce-id']);
    expect(new Set(ids)).toEqual(new Set([`${run}.setup.completed`]));
    expect(Object.keys(await inventoryOf(world, `${run}-`))).toEqual(['topic/a', 'topic/b', 'topic/c']);
    expect((await director.get(`/commands/${run}.setup`)).body).toMatchObject({
      status: 'succeeded',
      deployments: [{ status: 'succeeded' }],
    });
  }
  for (const id of small) {
    expect(await world.recorder.answerTo(id)).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('"nowhere"'),
    });
    expect(new Set(world.recorder.lastWordsOn(id).map(({ attributes }) => attributes['ce-id'])).size).toBe(1);
  }
  const before = world.now();
  await setUp('late');
  await world.send('dataflow-setup', 'again', { scope: 'late' });
  expect(await world.recorder.answerTo('again')).toMatchObject({
    type: 'completed',
    deployments: [{ units: [] }],
  });
  expect(world.changes(before)).toEqual([]);
});
