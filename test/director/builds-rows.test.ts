/** Rows of the acceptance table of `/api/builds` that say what holds whatever happens. */
import { type Builds, buildsIn } from '@service-director/director/dialects/builds/builds.ts';
import { directorExecutions } from '@service-director/director/dialects/builds/executions.ts';
import { ksuid } from '@service-director/director/dialects/builds/ksuid.ts';
import { newestIds, type Page, pageOfAll } from '@service-director/director/dialects/builds/listing.ts';
import { newBuild } from '@service-director/director/dialects/builds/making.ts';
import {
  type Execution,
  type Executions,
  orchestrator,
} from '@service-director/director/dialects/builds/orchestrator.ts';
import {
  BUILD_STATUSES,
  type BuildId,
  type BuildRecord,
  buildKeys,
  idText,
} from '@service-director/director/dialects/builds/records.ts';
import type { BuildsDialect } from '@service-director/director/dialects/builds/routes.ts';
import { settingsOf } from '@service-director/director/dialects/builds/settings.ts';
import { type BuildWorker, buildWorker } from '@service-director/director/dialects/builds/worker.ts';
import { type DeploymentStatus, keys } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { type Store, StoreFailure } from '@service-director/director/store/store.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type BuildsDoor,
  INPUT,
  MACHINE,
  openBuilds,
  pathOf,
  START,
  silent,
  type Workflow,
  workflow,
} from './support/builds.ts';
import { type Answered, type Door, type Ground, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { codeKeptAs, seenAs } from './support/rest.ts';
import { PROJECT, REGION, until } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let store: Store;
beforeEach(() => {
  store = sqliteStore({ path: ':memory:' });
});
afterEach(() => store.close());

const build = (more: object = {}): BuildRecord =>
  newBuild({ ...INPUT, auto_approve: false, ...more }, 'ada', systemClock);

const workerOn = (on: Store, flow: Executions): BuildWorker => {
  const builds = buildsIn(on, systemClock);
  return buildWorker({
    ...{ store: on, builds, clock: systemClock, log: silent },
    ...{ executions: flow, orchestrator: orchestrator(flow, MACHINE, builds) },
  });
};

const NAME = 'myapp-prd-2HFj3kLmNoPqRsTuVwXy';
const ARN = `arn:aws:states:us-east-1:123456789:execution:deployment:${NAME}`;

describe('a change of status', () => {
  /** What may be done to a build, whoever does it. */
  const deeds: Readonly<Record<string, (builds: Builds) => Promise<unknown>>> = {
    reserve: (builds) => builds.reserve(INPUT),
    release: (builds) => builds.release(INPUT, NAME),
    started: (builds) => builds.started(INPUT, NAME, ARN),
    succeeded: (builds) => builds.finish(INPUT, NAME, { status: 'SUCCESS' }),
    failed: (builds) => builds.finish(INPUT, NAME, { status: 'FAILED', error_msg: 'it broke' }),
    'failed to start': (builds) => builds.failToStart(INPUT, 'it cannot'),
  };
  /** How a build comes to where it is, and what each deed then makes of it; the rest change nothing. */
  const table: readonly (readonly [string, readonly string[], Readonly<Record<string, string>>])[] = [
    ['PENDING', [], { reserve: 'IN_PROGRESS', 'failed to start': 'FAILED' }],
    [
      'IN_PROGRESS, its name reserved',
      ['reserve'],
      { release: 'PENDING', started: 'IN_PROGRESS', succeeded: 'SUCCESS', failed: 'FAILED' },
    ],
    ['IN_PROGRESS, with an ARN', ['reserve', 'started'], { succeeded: 'SUCCESS', failed: 'FAILED' }],
    ['SUCCESS', ['reserve', 'started', 'succeeded'], {}],
    ['SUCCESS, before its start was written down', ['reserve', 'succeeded'], {}],
    ['FAILED', ['reserve', 'started', 'failed'], {}],
    ['FAILED, never started', ['failed to start'], {}],
  ];

  test.each(table)(
    '%s becomes what the table says, and nothing else (A3, A29)',
    async (_what, way, becomes) => {
      for (const [name, deed] of Object.entries(deeds)) {
        const own = sqliteStore({ path: ':memory:' });
        const builds = buildsIn(own, systemClock);
        await builds.create([build()]);
        for (const step of way) await deeds[step]?.(builds);
        const before = await builds.get(INPUT);
        await deed(builds).catch(() => {});
        const after = await builds.get(INPUT);
        if (becomes[name] === undefined) expect(after, name).toEqual(before);
        else expect(after, name).toMatchObject({ status: becomes[name] });
        if (after?.status !== before?.status || name === 'started') {
          const { value } = (await own.get<object>(buildKeys.latest(INPUT))) ?? {};
          expect(value, name).toMatchObject({ status: after?.status });
        }
        await own.close();
      }
    },
  );
});

describe('whoever starts builds', () => {
  let flow: Workflow;
  beforeEach(() => {
    flow = workflow();
  });

  interface Life {
    readonly store: Store;
    readonly flow: Executions;
    /** Whether it came to its end before the work did. */
    isOver(): boolean;
  }

  /** One that can do so many things, and then dies: before the last of them happens, or before it hears of it. */
  function lifeOf(steps: number, dies: 'before' | 'after'): Life {
    let left = steps;
    const step = async <T>(work: () => Promise<T>): Promise<T> => {
      left -= 1;
      if (left < 0 || (left === 0 && dies === 'before')) throw new Error('there is nobody any more');
      const result = await work();
      if (left === 0) throw new Error('there is nobody any more');
      return result;
    };
    return {
      store: {
        get: (key) => step(() => store.get(key)),
        list: (query) => step(() => store.list(query)),
        commit: (writes, durability) => step(() => store.commit(writes, durability)),
        close: async () => {},
      },
      flow: {
        startExecution: (request) => step(() => flow.startExecution(request)),
        describeExecution: (name) => step(() => flow.describeExecution(name)),
      },
      isOver: () => left <= 0,
    };
  }

  test.each(['before', 'after'] as const)(
    'may die anywhere, %s each thing that it does: there is one execution, and the record tells it (A35)',
    async (dies) => {
      let steps = 1;
      for (let isOver = true; isOver; steps += 1) {
        await store.close();
        store = sqliteStore({ path: ':memory:' });
        flow = workflow();
        const builds = buildsIn(store, systemClock);
        await builds.create([build()]);
        const life = lifeOf(steps, dies);
        await workerOn(life.store, life.flow)
          .sweep()
          .catch(() => {});
        isOver = life.isOver();
        const { status } = (await builds.get(INPUT)) ?? {};
        // What has an execution says so, at every moment.
        expect(flow.started.length === 0 || status === 'IN_PROGRESS', `step ${steps}`).toBe(true);
        await workerOn(store, flow).sweep();
        expect(flow.started.length, `step ${steps}`).toBe(1);
        expect(await builds.get(INPUT), `step ${steps}`).toMatchObject({
          ...{ status: 'IN_PROGRESS', execution_name: NAME, execution_arn: ARN },
        });
      }
      // Less would mean that nobody died.
      expect(steps).toBeGreaterThan(8);
    },
  );

  test('starts what is PENDING, whoever wrote it, and nothing that ended elsewhere and is only brought (A5, A30, BA26)', async () => {
    const builds = buildsIn(store, systemClock);
    const brought = (['SUCCESS', 'FAILED'] as const).map((status) => ({
      ...build({ repo: status.toLowerCase() }),
      status,
    }));
    await builds.create([build(), ...brought]);
    const worker = workerOn(store, flow);
    await worker.sweep();
    await worker.sweep();
    expect(flow.started.map(({ name }) => name)).toEqual([NAME]);
    for (const one of brought) expect(await builds.get(one)).toEqual(one);
    const open = await store.list({ collection: 'builds', prefix: 'open//' });
    expect(open.map(({ id }) => id)).toEqual([buildKeys.open(INPUT).id]);
  });
});

test('each word for a deployment is RUNNING, or an end; none is waited for that has ended (BA7)', async () => {
  const expected: Readonly<Record<DeploymentStatus, Execution['status']>> = {
    queued: 'RUNNING',
    planning: 'RUNNING',
    waiting_for_lock: 'RUNNING',
    awaiting_approval: 'RUNNING',
    applying: 'RUNNING',
    cancelling: 'RUNNING',
    succeeded: 'SUCCEEDED',
    failed: 'FAILED',
    cancelled: 'FAILED',
  };
  const executions = directorExecutions({
    ...{ store, clock: systemClock, project: PROJECT, region: REGION, timeoutSeconds: 60 },
    intake: { receive: () => Promise.reject(new Error('nothing is asked for here')) },
  });
  expect(await executions.describeExecution('nobody')).toBeUndefined();
  for (const [status, told] of Object.entries(expected)) {
    await store.commit([
      { type: 'put', key: keys.command(`build:${status}`), value: { deployments: ['d'] }, if: 'any' },
      { type: 'put', key: keys.deployment('d'), value: { status }, if: 'any' },
    ]);
    const found = await executions.describeExecution(status);
    expect(found, status).toMatchObject({ status: told, arn: expect.stringMatching(`:${status}$`) });
    expect(found?.error !== undefined, status).toBe(told === 'FAILED');
  }
});

test('settings that cannot be read are not those of nobody (BA22)', async () => {
  const blind: Store = { ...store, get: () => Promise.reject(new StoreFailure('no network', undefined)) };
  await expect(settingsOf('shop', blind)).rejects.toThrow('no network');
});

describe('lists', () => {
  const LINES = ['a', 'b', 'owner/c', 'latest'].flatMap((repo) =>
    ['dev', 'prd'].map((env) => ({ repo, env })),
  );
  const everywhere = (): true => true;
  const walked = async (limit: number, status?: BuildRecord['status']): Promise<BuildRecord[]> => {
    const found: BuildRecord[] = [];
    const newest = await newestIds(undefined, everywhere, store);
    for (let before: BuildId | undefined; ; before = found.at(-1)) {
      const page: Page = await pageOfAll(newest, { status, before, limit }, store);
      expect(page.builds.length).toBeLessThanOrEqual(limit);
      found.push(...page.builds);
      const last = found.at(-1);
      expect(page.next).toBe(page.next && last && idText(last));
      if (page.next === undefined) return found;
    }
  };
  const inOrder = (some: readonly BuildRecord[]): string[] =>
    some
      .toSorted((a, b) => (`${b.sk} ${b.env}/${b.repo}` < `${a.sk} ${a.env}/${a.repo}` ? -1 : 1))
      .map(idText);

  test('are in the order of time over all repositories, page by page, none twice and none left out (AX21, BA27)', async () => {
    const builds = buildsIn(store, systemClock);
    const all: BuildRecord[] = [];
    for (let at = 0; at < 120; at += 1) {
      // Of some repositories far more than of others, and now and then one id in all of them.
      const lines = at % 20 === 0 ? LINES : [LINES[(at * at) % 5] ?? INPUT];
      const sk = ksuid(1_790_000_000_000 + at * 1_000);
      const status = BUILD_STATUSES[at % BUILD_STATUSES.length] ?? 'PENDING';
      const made = lines.map((line) => ({ ...build({ ...line, sk }), status }));
      await builds.create(made);
      all.push(...made);
    }
    for (const limit of [1, 7, 500]) expect((await walked(limit)).map(idText)).toEqual(inOrder(all));
    const failed = all.filter(({ status }) => status === 'FAILED');
    expect((await walked(7, 'FAILED')).map(idText)).toEqual(inOrder(failed));
  });

  test('of the newest read no more than a part of what there is (AX21, BA27)', async () => {
    const builds = buildsIn(store, systemClock);
    for (const line of LINES) {
      const many = Array.from({ length: 100 }, (_, at) =>
        build({ ...line, sk: ksuid(1_790_000_000_000 + at * 1_000) }),
      );
      await builds.create(many);
    }
    let rows = 0;
    const counting: Store = {
      ...store,
      async list<T>(query: Parameters<Store['list']>[0]) {
        const found = await store.list<T>(query);
        rows += found.length;
        return found;
      },
    };
    const newest = await newestIds(undefined, everywhere, counting);
    const { builds: found } = await pageOfAll(
      newest,
      { status: undefined, before: undefined, limit: 5 },
      counting,
    );
    expect(found.length).toBe(5);
    expect(rows).toBeLessThan(200);
  });
});

describe('over HTTP', () => {
  const paper = paperEngine();
  let ground: Ground;
  let opened: BuildsDoor;
  let dialect: BuildsDialect;
  let door: Door;

  beforeAll(async () => {
    ground = await openGround({ engine: () => paper, sources: () => codeKeptAs('b'.repeat(64)) });
    opened = await openBuilds(ground);
    ({ dialect, door } = opened);
  });
  afterAll(() => opened.stop());

  async function begin(more: object = {}): Promise<Answered['body']> {
    const { status, body } = await door.ask('POST', '/api/builds', { ...START, ...more });
    expect([status, body.status]).toEqual([202, 'PENDING']);
    return body;
  }
  const reached = (id: BuildId, status: string): Promise<Answered['body']> =>
    seenAs(door, pathOf(id), status);

  test('two builds of one repository in one environment are carried out one after the other (AX11, BA10, BA24)', async () => {
    const release = paper.hold('main');
    const first = await begin();
    await reached(first, 'IN_PROGRESS');
    await until(() => expect(paper.done.length).toBe(1));
    const second = await begin({ version: '13.abd' });
    await until(async () => {
      const id = `build:shop-dev-${second.sk}.main`;
      const found = await ground.store.get<{ status: string }>(keys.deployment(id));
      expect(found?.value.status).toBe('queued');
    });
    expect((await door.ask('GET', pathOf(second))).body.status).toBe('IN_PROGRESS');
    expect(paper.done.length).toBe(1);
    release();
    await reached(first, 'SUCCESS');
    await reached(second, 'SUCCESS');
  });

  test('what changes nothing is a success (AX17)', async () => {
    const first = await reached(await begin({ repo: 'same' }), 'SUCCESS');
    const done = paper.done.length;
    const { body: again } = await door.ask('POST', `${pathOf(first)}/redeploy`);
    expect(await reached(again, 'SUCCESS')).not.toHaveProperty('error_msg');
    expect(paper.done.length).toBe(done);
  });

  test('what the director refuses ends as FAILED, with its reason, though nobody checked it (A25, BA6, BA8, BA9)', async () => {
    const unfit = build({ ...INPUT, repo: 'unfit', s3_bucket: 'NO BUCKET' });
    await dialect.builds.create([unfit]);
    dialect.worker.wake();
    const { error_msg, finished_at, execution_name } = await reached(unfit, 'FAILED');
    expect(error_msg).toMatch(/^Failed to start step function: .{10}/s);
    expect(finished_at).toEqual(expect.any(Number));
    expect(execution_name).toBeUndefined();
    // And its repository goes on.
    await reached(await begin({ repo: 'unfit', env: 'dev' }), 'SUCCESS');
  });

  test('a list leads to the next, of one repository and of all (AX21)', async () => {
    for (const repo of ['pager', 'pager', 'other-pager', 'pager'])
      await reached(await begin({ repo, env: 'pages' }), 'SUCCESS');
    for (const path of ['/api/builds/pager/pages?', '/api/builds?env=pages&', '/api/builds?latest=true&']) {
      const { body: whole } = await door.ask('GET', `${path}limit=500`);
      expect(whole.count).toBeGreaterThan(1);
      expect(whole).not.toHaveProperty('next');
      const found: string[] = [];
      for (let query = ''; ; ) {
        const { status, body } = await door.ask('GET', `${path}limit=1${query}`);
        expect([status, body.count]).toEqual([200, 1]);
        found.push(body.builds[0].id);
        if (body.next === undefined) break;
        query = `&before=${encodeURIComponent(body.next)}`;
      }
      expect(found, path).toEqual(whole.builds.map(({ id }: { id: string }) => id));
    }
    for (const before of ['x', 'a/b', '/:', '..%2f%00'])
      expect((await door.ask('GET', `/api/builds?before=${before}`)).status, before).toBe(400);
    expect(ground.troubles).toEqual([]);
  });
});
