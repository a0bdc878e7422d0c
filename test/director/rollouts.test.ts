/** Requests come to a new revision step by step, and back where it is not well; a director that is killed goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, PROJECT, REGION, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

/** Says which version it is, and answers as it is told to. */
const PROGRAM = `require('node:http').createServer((request, response) => {
  const { VERSION, HEALTH, USERS } = process.env;
  response.statusCode = Number((request.url === '/health' ? HEALTH : USERS) ?? 200);
  response.end(VERSION);
}).listen(process.env.PORT)`;

let world: World;
let director: DirectorProcess;
let image: string;

beforeAll(async () => {
  world = await openWorld();
  image = await world.push('versions', PROGRAM);
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

interface Version {
  readonly rollout?: object;
  readonly VERSION: string;
  readonly HEALTH?: string;
  readonly USERS?: string;
  readonly labels?: object;
}

const check = { path: '/health', interval: '1s', failures: 2 };

function deployment(name: string, { rollout, labels = {}, ...environment_vars }: Version): object {
  return documentOf(name, {
    flow: ephemeral({
      services: {
        [name]: {
          service_account: `${name}-account`,
          metadata: labels,
          deployment: { image, region: REGION, environment_vars, ...(rollout ? { rollout } : {}) },
        },
      },
    }),
  });
}

let sent = 0;
async function send(name: string, version: Version): Promise<string> {
  const id = `${name}-${++sent}`;
  const data = { architecture: { document: deployment(name, version) } };
  if (sent === 1 || version.VERSION === '1') {
    await world.send('dataflow-setup', `${id}-setup`, data);
    await world.recorder.answerTo(`${id}-setup`);
  }
  await world.send('deploy', id, data);
  return id;
}

async function deploy(name: string, version: Version): Promise<{ type: string; error?: string }> {
  return (await world.recorder.answerTo(await send(name, version))) as { type: string; error?: string };
}

/** What is asked for here of a service as Cloud Run shows it. */
interface Live {
  readonly uri: string;
  readonly latestReadyRevision?: string;
  readonly traffic?: readonly { type?: string; revision?: string; percent?: number; tag?: string }[];
}

async function live(name: string): Promise<Live> {
  const path = `/v2/projects/${PROJECT}/locations/${REGION}/services/${name}`;
  return (await world.call('GET', path)) as Live;
}

/** What its users are answered, so many times. */
async function ask(name: string, times: number): Promise<string[]> {
  const { uri } = await live(name);
  const answers: string[] = [];
  for (let time = 0; time < times; time++) {
    const response = await fetch(`${uri}/`);
    answers.push(await response.text());
  }
  return answers;
}

/** Everybody may call it. */
async function invite(name: string): Promise<void> {
  const path = `/v2/projects/${PROJECT}/locations/${REGION}/services/${name}:setIamPolicy`;
  await world.call('POST', path, {
    policy: { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] },
  });
}

describe('a canary', () => {
  const rollout = { strategy: 'canary', steps: [20, 60], hold: '2s', check };

  test('the first revision is there at once', async () => {
    expect(await deploy('canary', { VERSION: '1', rollout })).toMatchObject({ type: 'completed' });
    expect((await live('canary')).traffic).toMatchObject([{ percent: 100 }]);
    await invite('canary');
  });

  test('some of the requests come to the new one, then more, then all (N81, D187)', async () => {
    const since = world.now();
    const id = await send('canary', { VERSION: '2', rollout });
    const seen = new Set<number>();
    const answers = new Set<string>();
    const answer = world.recorder.answerTo(id);
    for (let ended = false; !ended; ) {
      for (const { percent = 0, type } of (await live('canary')).traffic ?? [])
        if (type?.endsWith('LATEST')) seen.add(percent ?? 0);
      for (const one of await ask('canary', 3)) answers.add(one);
      ended = await Promise.race([answer.then(() => true), sleep(20).then(() => false)]);
    }
    expect(await answer).toMatchObject({ type: 'completed' });
    // The first step is over as soon as it has answered: nobody may see it from outside.
    expect([...seen].filter((percent) => percent > 0)).toEqual([100, 20, 60]);
    expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toHaveLength(4);
    expect(answers).toEqual(new Set(['1', '2']));
    expect((await live('canary')).traffic).toMatchObject([{ percent: 100 }]);
    expect(new Set(await ask('canary', 5))).toEqual(new Set(['2']));
  });

  test('what is not well gets no request at all, and the deployment fails with the reason (N81, D187)', async () => {
    const answer = await deploy('canary', { VERSION: '3', HEALTH: '500', rollout });
    expect(answer).toMatchObject({ type: 'failed' });
    expect(JSON.stringify(answer)).toContain('GET /health answered 500, 2 times in a row');
    expect(new Set(await ask('canary', 5))).toEqual(new Set(['2']));
    const { traffic = [] } = await live('canary');
    expect(traffic).toMatchObject([{ percent: 100 }, { tag: 'rejected' }]);
  });

  test('what answers its users with errors goes back after its first step (N81, D187)', async () => {
    const watched = { ...rollout, steps: [50], hold: '60s', check: { ...check, max_error_percent: 10 } };
    const id = await send('canary', { VERSION: '4', USERS: '503', rollout: watched });
    const answer = world.recorder.answerTo(id);
    for (let ended = false; !ended; ) {
      await ask('canary', 5);
      ended = await Promise.race([answer.then(() => true), sleep(50).then(() => false)]);
    }
    expect(await answer).toMatchObject({ type: 'failed' });
    expect(JSON.stringify(await answer)).toMatch(
      /with 50 % of the requests: it answered \d+ of \d+ requests with 5xx, which is more than 10 %/,
    );
    expect(new Set(await ask('canary', 5))).toEqual(new Set(['2']));
  });

  test('a director that is killed on the way goes on with the step at which it was (N81, D187)', async () => {
    const id = await send('canary', { VERSION: '5', rollout: { ...rollout, hold: '5s' } });
    await until(async () => {
      const { traffic = [] } = await live('canary');
      expect(traffic).toMatchObject([{ percent: 80 }, { percent: 20 }]);
    });
    await director.kill();
    director = await startDirector(world);
    const since = world.now();
    expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
    // From 20 to 60, and from there to all.
    const writes = world.changes(since).filter(({ method }) => method === 'UpdateService');
    expect(writes).toHaveLength(2);
    expect(new Set(await ask('canary', 5))).toEqual(new Set(['5']));
  });

  test('what makes no revision has no steps', async () => {
    const since = world.now();
    const answer = await deploy('canary', { VERSION: '5', rollout, labels: { team: 'blue' } });
    expect(answer).toMatchObject({ type: 'completed' });
    expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toHaveLength(1);
  });
});

test('more than the time that it has is refused when it is planned, and nothing is begun (N81)', async () => {
  const rollout = { strategy: 'canary', steps: [10, 50], hold: '1h', check };
  const since = world.now();
  const answer = await deploy('canary', { VERSION: '6', rollout });
  expect(answer).toMatchObject({ type: 'failed' });
  expect(JSON.stringify(answer)).toMatch(
    /The steps of service\/canary are watched for 7200 s, and the deployment may take \d+ s/,
  );
  expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toEqual([]);
});

describe('rolling', () => {
  const rollout = { strategy: 'rolling', batches: 3, hold: '1s', check };

  test('the requests come over in equal parts (N82)', async () => {
    await deploy('rolling', { VERSION: '1', rollout });
    await invite('rolling');
    const since = world.now();
    expect(await deploy('rolling', { VERSION: '2', rollout })).toMatchObject({ type: 'completed' });
    // The revision without requests, a third, two thirds, all.
    expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toHaveLength(4);
    expect(new Set(await ask('rolling', 5))).toEqual(new Set(['2']));
  });
});

describe('blue and green', () => {
  const rollout = { strategy: 'blue-green', hold: '1s', check };

  test('all requests come over at once, and the old one stays for a way back (N80)', async () => {
    await deploy('green', { VERSION: '1', rollout });
    await invite('green');
    const old = (await live('green')).latestReadyRevision?.split('/').at(-1);
    const since = world.now();
    expect(await deploy('green', { VERSION: '2', rollout })).toMatchObject({ type: 'completed' });
    expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toHaveLength(2);
    const { traffic = [] } = await live('green');
    expect(traffic).toMatchObject([{ percent: 100 }, { revision: old, tag: 'previous' }]);
    expect(new Set(await ask('green', 5))).toEqual(new Set(['2']));
  });

  test('what fails once all came over is left again (N80)', async () => {
    const before = (await live('green')).latestReadyRevision?.split('/').at(-1);
    const watched = { ...rollout, hold: '60s', check: { ...check, max_error_percent: 10 } };
    const id = await send('green', { VERSION: '3', USERS: '500', rollout: watched });
    const answer = world.recorder.answerTo(id);
    for (let ended = false; !ended; ) {
      await ask('green', 5);
      ended = await Promise.race([answer.then(() => true), sleep(50).then(() => false)]);
    }
    expect(await answer).toMatchObject({ type: 'failed' });
    const { traffic = [] } = await live('green');
    expect(traffic).toMatchObject([{ revision: before, percent: 100 }, { tag: 'rejected' }]);
    expect(new Set(await ask('green', 5))).toEqual(new Set(['2']));
  });

  test('without a rollout the old one is released, and the mended one is there at once (N80)', async () => {
    await deploy('green', { VERSION: '4', rollout });
    const since = world.now();
    expect(await deploy('green', { VERSION: '4' })).toMatchObject({ type: 'completed' });
    expect(world.changes(since).filter(({ method }) => method === 'UpdateService')).toHaveLength(1);
    const { traffic = [] } = await live('green');
    expect(traffic).toHaveLength(1);
    expect(traffic[0]?.percent).toBe(100);
  });
});
