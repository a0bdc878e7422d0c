/**
 * The dialect at `/api/v1`, row by row of what its clients were promised, as far as `nestor.test.ts` does not show it:
 * what a request may be, order and time, ways back, what is told. Its engine is on paper; `nestor-program.test.ts` has
 * what takes the program.
 */
import type { Sources } from '@service-director/director/bundles/sources.ts';
import { readConfig } from '@service-director/director/config.ts';
import type { EngineEntries } from '@service-director/director/dialects/nestor/engines.ts';
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import { commandRoutes } from '@service-director/director/http/commands.ts';
import { readsOf } from '@service-director/director/http/reads.ts';
import { stackRoutes } from '@service-director/director/http/stacks.ts';
import { type DeploymentRecord, keys } from '@service-director/director/store/records.ts';
import { StoreFailure } from '@service-director/director/store/store.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answered, type Door, type Ground, openDoor, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { PROJECT, REGION, until } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const DIGEST = 'a'.repeat(64);
/** What lies in the bucket now: its digest. */
let inBucket = 'b'.repeat(64);
const kept: Sources = {
  resolve: async (source) => ({ digest: 'digest' in source ? source.digest : inBucket }),
};

const paper = paperEngine();
let ground: Ground;
let door: Door;

async function mount(engines: EngineEntries): Promise<Door> {
  const { intake, store, scopes } = ground;
  const onTrouble = (error: unknown): void => void ground.troubles.push(String(error));
  const reads = readsOf({ store, clock: systemClock, random: systemRandom, onTrouble });
  return openDoor(
    ground.log,
    nestorRoutes({
      ...ground,
      clock: systemClock,
      project: PROJECT,
      region: REGION,
      timeoutSeconds: 600,
      engines,
      readiness: () => ({ ready: true, problems: {} }),
    }),
    commandRoutes({ intake, store, scopes, clock: systemClock }),
    stackRoutes({ store, scopes, reads }),
  );
}

const well = { health: async () => ({ status: 'healthy' }) as const, capabilities: [] };
const ill = { health: async () => ({ status: 'unhealthy' }) as const, capabilities: [] };

beforeAll(async () => {
  ground = await openGround({ engine: () => paper, sources: () => kept });
  door = await mount({ terraform: well });
});
afterAll(async () => {
  await door.close();
  await ground.stop();
});

const module = (name: string, variables: object = {}, more: object = {}): object => ({
  name,
  engine: 'terraform',
  config: { source: { digest: DIGEST }, variables },
  ...more,
});

function wish(id: string, resources: readonly object[], more: object = {}): object {
  return { id, composer: 'team-rows', environment: 'dev', resources, ...more };
}

const post = (body: unknown, by = door): Promise<Answered> => by.ask('POST', '/api/v1/deployments', body);
const get = (id: string, rest = ''): Promise<Answered> => door.ask('GET', `/api/v1/deployments/${id}${rest}`);

/** The deployment, once that holds of it. */
function seen(id: string, holds: (body: Answered['body']) => boolean): Promise<Answered['body']> {
  return until(async () => {
    const { body } = await get(id);
    if (!holds(body)) throw new Error(`Not yet: ${JSON.stringify(body)}`);
    return body;
  });
}

const reached = (id: string, status: string): Promise<Answered['body']> =>
  seen(id, (body) => body.status === status);

async function deployed(
  id: string,
  resources: readonly object[],
  more: object = {},
): Promise<Answered['body']> {
  expect(await post(wish(id, resources, more))).toMatchObject({ status: 202 });
  return reached(id, 'ready');
}

/** What the engine did since. */
function did(): () => string[] {
  const before = paper.done.length;
  return () => paper.done.slice(before);
}

async function recordOf(id: string): Promise<DeploymentRecord> {
  const found = await ground.store.get<DeploymentRecord>(keys.deployment(`nestor:${id}.main`));
  if (!found) throw new Error(`There is no deployment ${id}`);
  return found.value;
}

interface Took {
  readonly seconds: number;
}

const problemsOf = ({ body }: Answered): string[] =>
  body.error.details.problems.map(({ field }: { field: string }) => field);

describe('a request', () => {
  test('its configuration is read before anything is begun, each key of it (N96, N146)', async () => {
    const answer = await post(
      wish('config-v1', [
        module('a', { '1st': 'x' }),
        { name: 'b', engine: 'terraform', config: {} },
        { name: 'c', engine: 'terraform', config: { source: { digest: DIGEST }, size: 'large' } },
        { name: 'd', engine: 'terraform', config: { source: { digest: DIGEST }, parallelism: 0 } },
      ]),
    );
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'VALIDATION_FAILED' } } });
    const fields = problemsOf(answer);
    expect(fields).toContain('resources.0.config.variables.1st');
    expect(fields).toContain('resources.1.config.source');
    expect(fields).toContain('resources.3.config.parallelism');
    expect(answer.body.error.message).toContain('size');
    expect((await get('config-v1')).status).toBe(404);
  });

  test('without an engine it gets the first that is well, and is known again by either spelling (N51, N92)', async () => {
    const bare = { name: 'bare', config: { source: { digest: DIGEST } } };
    const body = wish('bare-v1', [bare]);
    const many = await mount({ elsewhere: ill, terraform: well });
    try {
      expect(await post(body, many)).toMatchObject({
        status: 202,
        body: { resources: [{ name: 'bare', engine: 'terraform' }] },
      });
      await reached('bare-v1', 'ready');
      expect((await post(body)).status).toBe(200);
      expect((await post(wish('bare-v1', [{ ...bare, engine: 'terraform' }]))).status).toBe(200);
    } finally {
      await many.close();
    }
    // Where none is well the first is taken all the same: it may be well when its turn comes.
    const sick = await mount({ terraform: ill, elsewhere: ill });
    try {
      expect((await post(wish('bare-v2', [bare]), sick)).body.resources[0].engine).toBe('terraform');
      await reached('bare-v2', 'ready');
    } finally {
      await sick.close();
    }
    const none = await mount({});
    try {
      const answer = await post(wish('bare-v3', [bare]), none);
      expect(answer).toMatchObject({ status: 422, body: { error: { code: 'ENGINE_NOT_AVAILABLE' } } });
    } finally {
      await none.close();
    }
  });

  test('says how long it may take, in seconds or in words; what takes longer fails and lets go (N106)', async () => {
    const release = paper.hold('endless');
    await post(wish('slow-v1', [module('endless')], { config: { timeout: '1s' } }));
    const body = await reached('slow-v1', 'failed');
    expect(body.error.message).toContain('it was not done within 1 s');
    release();
    const next = await deployed('slow-v2', [module('endless', { n: 2 })], { config: { timeout: '5m' } });
    expect(next.version).toBeGreaterThan(0);
    for (const config of [
      { timeout: 'soon' },
      { timeout: '0s' },
      { timeout: '25h' },
      { timeout: '5m', timeoutSeconds: 300 },
    ]) {
      const answer = await post(wish('slow-v3', [module('endless')], { config }));
      expect([answer.status, problemsOf(answer)], JSON.stringify(config)).toEqual([400, ['config.timeout']]);
    }
    const seconds = wish('slow-v2', [module('endless', { n: 2 })], { config: { timeoutSeconds: 300 } });
    expect((await post(seconds)).status).toBe(200);
  });
});

describe('what is told', () => {
  test('the keys of a resource in each of its states, and no others (N100 to N103)', async () => {
    const release = paper.hold('second');
    const answer = await post(
      wish('keys-v1', [
        module('first', { endpoint: 'here' }),
        module('second', {}, { dependsOn: ['first'] }),
        module('third', {}, { dependsOn: ['second'], catalogRef: 'k8s-deployment:2.1.0' }),
      ]),
    );
    expect(Object.keys(answer.body)).toEqual(expect.arrayContaining(['id', 'status', 'phase', 'resources']));
    const body = await seen('keys-v1', ({ resources }) => resources[1].status === 'in_progress');
    expect(body).toMatchObject({ id: 'keys-v1', status: 'in_progress', phase: 'deploying' });
    const digest = DIGEST;
    expect(body.resources).toEqual([
      {
        ...{ name: 'first', status: 'ready', engine: 'terraform', digest },
        ...{ outputs: { endpoint: 'here' }, seconds: expect.any(Number) },
      },
      {
        name: 'second',
        status: 'in_progress',
        engine: 'terraform',
        digest,
        progress: expect.stringMatching(/^\d\d?%$/),
      },
      { name: 'third', status: 'pending', engine: 'terraform', digest, catalogRef: 'k8s-deployment:2.1.0' },
    ]);
    release();
    const { resources } = await reached('keys-v1', 'ready');
    for (const one of resources) expect(Object.keys(one)).not.toContain('progress');
  });

  test('its phases, in the order of the handbook’s flow (N7, N90)', async () => {
    await deployed('phases-v1', [module('phased')]);
    const { body } = await get('phases-v1', '/events');
    const phases = body.events.map(({ data }: { data: { phase: string } }) => data.phase);
    expect(phases).toEqual(['planning', 'deploying', 'done']);
    const times = body.events.map(({ timestamp }: { timestamp: string }) => timestamp);
    expect(times).toEqual(times.toSorted());
  });

  test('who is affected, before and after; and when one fails it is they who are skipped (N46, N148)', async () => {
    const resources = [
      module('net'),
      module('db', {}, { dependsOn: ['net'] }),
      module('web', {}, { dependsOn: ['db'] }),
      module('log'),
    ];
    const affects = ({ body }: Answered): unknown =>
      Object.fromEntries(
        body.resources.map((one: { name: string; affects: string[] }) => [one.name, one.affects]),
      );
    const before = await door.ask(
      'POST',
      '/api/v1/validate-dependencies',
      wish('impact-v1', [...resources].reverse()),
    );
    expect(affects(before)).toEqual({ net: ['db', 'web'], db: ['web'], web: [], log: [] });
    paper.fail('db', 'the disk is too small');
    await post(wish('impact-v1', resources));
    const body = await reached('impact-v1', 'failed');
    paper.fail('db', undefined);
    expect(body.resources).toMatchObject([
      { name: 'net', status: 'ready' },
      { name: 'db', status: 'failed', reason: 'the disk is too small' },
      { name: 'web', status: 'skipped', reason: expect.stringContaining('db') },
      { name: 'log', status: 'ready' },
    ]);
    expect(affects(await get('impact-v1', '/graph'))).toEqual(affects(before));
  });

  test('what will take the longest, before it is over, and what did, after it (N89, N156)', async () => {
    const release = paper.hold('leaf');
    await post(
      wish('path-v1', [module('root'), module('leaf', {}, { dependsOn: ['root'] }), module('alone')]),
    );
    const body = await seen('path-v1', ({ estimate }) => estimate !== undefined);
    expect(body.estimate).toEqual({ seconds: 2, criticalPath: ['root', 'leaf'] });
    const working = await seen(
      'path-v1',
      ({ resources: [, leaf, alone] }) => leaf.status === 'in_progress' && alone.status === 'ready',
    );
    const [root, , alone] = working.resources;
    // It is held for longer than the others took, however long that was.
    const since = Date.now();
    const longest = 1_000 * Math.max(root.seconds, alone.seconds);
    await until(() => expect(Date.now() - since).toBeGreaterThan(longest + 50));
    release();
    const { resources } = await reached('path-v1', 'ready');
    const slowest = resources.toSorted((a: Took, b: Took) => b.seconds - a.seconds)[0];
    expect(slowest.name).toBe('leaf');
  });

  test('who asked, and what came of it: the audit trail has it (N154)', async () => {
    await deployed('audit-v1', [module('audited')], { config: { reason: 'the quarter begins' } });
    const { stack } = await recordOf('audit-v1');
    const { body } = await door.ask('GET', `/stacks/${stack}/audit`);
    expect(body.entries).toMatchObject([
      { what: 'asked', who: 'local', command: 'nestor:audit-v1', reason: 'the quarter begins' },
      { what: 'changed', deployment: 'nestor:audit-v1.main' },
    ]);
  });

  test('the code that was planned is the code that is applied, whatever lies in the bucket by then (N139)', async () => {
    const source = { storage: 'gs://bucket/code.tar.gz' };
    const body = (id: string): object =>
      wish(id, [{ name: 'pinned', engine: 'terraform', config: { source } }], { environment: 'production' });
    await post(body('pin-v1'));
    const planned = await seen('pin-v1', ({ approval }) => approval !== undefined);
    const old = inBucket;
    expect(planned.resources[0].digest).toBe(old);
    inBucket = 'c'.repeat(64);
    const { deployment, planHash } = planned.approval;
    const word = { deployment, plan_hash: planHash };
    const approved = await door.ask('POST', '/commands/approve', word, {
      'content-type': 'application/json',
    });
    expect(approved.status).toBeLessThan(300);
    expect((await reached('pin-v1', 'ready')).resources[0].digest).toBe(old);
    await post(body('pin-v2'));
    const next = await seen('pin-v2', ({ approval }) => approval !== undefined);
    expect(next.resources[0].digest).toBe(inBucket);
    await door.ask('DELETE', '/api/v1/deployments/pin-v2');
  });

  test('lists filter first and page afterwards: no page is short but the last (NX17)', async () => {
    for (let number = 0; number < 5; number++)
      for (const composer of ['team-odd', 'team-even'])
        await post(wish(`${composer}-${number}`, [module('listed')], { composer, config: { dryRun: true } }));
    const pages: string[][] = [];
    let token: string | undefined;
    do {
      const query = `composer=team-odd&limit=2${token === undefined ? '' : `&pageToken=${token}`}`;
      const { body } = await door.ask('GET', `/api/v1/deployments?${query}`);
      expect(body.count).toBe(body.deployments.length);
      pages.push(body.deployments.map(({ id }: { id: string }) => id));
      token = body.nextPageToken;
    } while (token !== undefined);
    expect(pages).toEqual([['team-odd-4', 'team-odd-3'], ['team-odd-2', 'team-odd-1'], ['team-odd-0']]);
  });
});

describe('order', () => {
  test('what needs nothing of each other is made at the same time, the rest after it (N43)', async () => {
    const releases = ['left', 'right'].map((name) => paper.hold(name));
    await post(
      wish('level-v1', [
        module('left'),
        module('right'),
        module('top', {}, { dependsOn: ['left', 'right'] }),
      ]),
    );
    const statuses = (body: Answered['body']): string[] =>
      body.resources.map(({ status }: { status: string }) => status);
    await seen('level-v1', (body) => statuses(body).join() === 'in_progress,in_progress,pending');
    for (const release of releases) release();
    await reached('level-v1', 'ready');
  });

  test('one that fails half-way is taken back by itself where that was asked for, the last first (N83, N140)', async () => {
    const base = (color: string): object => module('base', { color });
    await deployed('undo-v1', [base('red')]);
    const since = did();
    paper.fail('top', 'it is too high');
    await post(
      wish(
        'undo-v2',
        [
          base('blue'),
          module('middle', {}, { dependsOn: ['base'] }),
          module('top', {}, { dependsOn: ['middle'] }),
        ],
        { config: { onFailure: 'rollback' } },
      ),
    );
    const body = await seen('undo-v2', ({ rolledBackBy }) => rolledBackBy !== undefined);
    paper.fail('top', undefined);
    expect(body).toMatchObject({ status: 'failed', error: { resource: 'top', reason: 'it is too high' } });
    const way = await until(async () => {
      const found = await ground.store.get<DeploymentRecord>(keys.deployment(body.rolledBackBy));
      expect(found?.value.status).toBe('succeeded');
      return found?.value;
    });
    expect(way?.operation).toBe('rollback');
    const order = since();
    expect(order).toContain('update base');
    expect(order.indexOf('delete middle')).toBeGreaterThan(order.indexOf('create top'));
    const { scope } = await recordOf('undo-v2');
    expect(paper.things.get(`${scope} base`)).toEqual({ color: 'red' });
    expect(paper.things.has(`${scope} middle`)).toBe(false);
  });

  test('a way back goes against the order of the way there (N83)', async () => {
    await deployed('back-v1', [module('one')]);
    await deployed('back-v2', [
      module('one'),
      module('two', {}, { dependsOn: ['one'] }),
      module('three', {}, { dependsOn: ['two'] }),
    ]);
    const since = did();
    await door.ask('DELETE', '/api/v1/deployments/back-v2');
    await reached('back-v2', 'rolled_back');
    expect(since()).toEqual(['delete three', 'delete two']);
  });
});

describe('mistakes of the first', () => {
  test('what could not be written down was not taken: that is said, and the same again is new', async () => {
    const { commit } = ground.store;
    Object.assign(ground.store, {
      commit: async () => {
        throw new StoreFailure('The disk is full', undefined);
      },
    });
    const body = wish('lost-v1', [module('lost')]);
    const answer = await post(body).finally(() => Object.assign(ground.store, { commit }));
    expect(answer).toMatchObject({ status: 503, body: { error: { code: 'STORAGE_FAILURE' } } });
    expect(answer.body.error.message).not.toContain('disk');
    expect((await get('lost-v1')).status).toBe(404);
    expect((await post(body)).status).toBe(202);
    await reached('lost-v1', 'ready');
  });

  test('versions are numbers: the tenth comes after the ninth', async () => {
    for (let n = 1; n <= 11; n++) await deployed(`ten-v${n}`, [module('ten', { n: String(n) })]);
    const { stack } = await recordOf('ten-v11');
    const { body } = await door.ask('GET', `/stacks/${stack}/history`);
    const versions = body.versions.map(({ version }: { version: number }) => version);
    expect(versions.slice(0, 3)).toEqual([11, 10, 9]);
    await door.ask('DELETE', '/api/v1/deployments/ten-v11');
    const back = await reached('ten-v11.rollback-1', 'ready');
    expect(back).toMatchObject({ version: 12, resources: [{ outputs: { n: '10' } }] });
  });
});

test('it listens at 8080 unless another port is set (N126)', () => {
  const environment = { PROJECT_ID: PROJECT, DIRECTOR_ACCESS: 'loopback' };
  expect(readConfig(environment).port).toBe(8080);
  expect(readConfig({ ...environment, PORT: '9090' }).port).toBe(9090);
});
