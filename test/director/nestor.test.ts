/** The dialect at `/api/v1`: graphs of resources, as composers send them. */
import { bundleKey, digestOf, pack } from '@service-director/director/bundles/bundle.ts';
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answered, type Door, type Ground, openDoor, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { codeKeptAs, NO_TERRAFORM, openTerraformGround, seenAs } from './support/rest.ts';
import { PROJECT, REGION, until } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const DIGEST = 'a'.repeat(64);

let health: () => Promise<{ status: 'healthy' | 'unhealthy'; version?: string; message?: string }>;
let isReady = true;

async function mount(ground: Ground): Promise<Door> {
  return openDoor(
    ground.log,
    nestorRoutes({
      ...ground,
      clock: systemClock,
      project: PROJECT,
      region: REGION,
      timeoutSeconds: 600,
      engines: { terraform: { health: () => health(), capabilities: ['plan', 'apply', 'destroy'] } },
      readiness: () => ({ ready: isReady, problems: isReady ? {} : { pull: 'no subscription' } }),
    }),
  );
}

const paper = paperEngine();
let ground: Ground;
let door: Door;

beforeAll(async () => {
  health = async () => ({ status: 'healthy', version: '1.11.4' });
  ground = await openGround({ engine: () => paper, sources: () => codeKeptAs(DIGEST) });
  door = await mount(ground);
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

/** What a user writes into a variable. */
const outputOf = (resource: string, name: string): string => `\${module.${resource}.${name}}`;

function wish(id: string, resources: readonly object[], more: object = {}): object {
  return { id, composer: 'team-alpha', environment: 'dev', resources, ...more };
}

const post = (body: unknown): Promise<Answered> => door.ask('POST', '/api/v1/deployments', body);
const get = (id: string, rest = ''): Promise<Answered> => door.ask('GET', `/api/v1/deployments/${id}${rest}`);

/** The deployment, once it has that status. */
const reached = (id: string, status: string, by = door): Promise<Answered['body']> =>
  seenAs(by, `/api/v1/deployments/${id}`, status);

async function deployed(
  id: string,
  resources: readonly object[],
  more: object = {},
): Promise<Answered['body']> {
  expect(await post(wish(id, resources, more))).toMatchObject({ status: 202 });
  return reached(id, 'ready');
}

const refusal = (status: number, code: string, message: RegExp, details: object = {}): object => ({
  status,
  body: {
    error: {
      code,
      message: expect.stringMatching(message),
      service: 'orchestrator',
      details: expect.objectContaining(details),
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
    },
  },
});

describe('a deployment that is asked for', () => {
  test('is taken at once, and told with the keys that clients know (N3, N8, N11, N32, N35, N100, N101, N134)', async () => {
    const answer = await post(
      wish('take-v1', [module('database', { endpoint: 'db.local' }), module('deployment')], {
        dependencies: [{ from: 'database', to: 'deployment' }],
      }),
    );
    expect(answer.status).toBe(202);
    expect(answer.headers.get('location')).toBe('/api/v1/deployments/take-v1');
    expect(answer.body).toMatchObject({
      id: 'take-v1',
      status: expect.stringMatching(/^(pending|in_progress)$/),
      resources: [
        { name: 'database', engine: 'terraform' },
        { name: 'deployment', engine: 'terraform' },
      ],
    });
    const body = await reached('take-v1', 'ready');
    expect(body).toMatchObject({
      phase: 'done',
      composer: 'team-alpha',
      environment: 'dev',
      version: 1,
      resources: [
        { name: 'database', status: 'ready', outputs: { endpoint: 'db.local' } },
        { name: 'deployment', status: 'ready', outputs: {} },
      ],
    });
    expect(body.resources.some((one: object) => 'progress' in one)).toBe(false);
    expect((await get('take-v1', '/status')).body).toEqual({
      id: 'take-v1',
      status: 'ready',
      phase: 'done',
      resources: [
        { name: 'database', status: 'ready' },
        { name: 'deployment', status: 'ready' },
      ],
    });
  });

  test('while it is made: in progress, with per cent, and outputs only of what is ready (N16, N38, N39, N102, N103)', async () => {
    const release = paper.hold('web');
    await post(
      wish('progress-v1', [
        module('base', { endpoint: 'here', list: [1, 2] }),
        module('web', { base: outputOf('base', 'endpoint') }),
      ]),
    );
    const body = await until(async () => {
      const { body } = await get('progress-v1');
      expect(body.resources[1]).toMatchObject({ status: 'in_progress', progress: '50%' });
      return body;
    });
    expect(body).toMatchObject({ status: 'in_progress', phase: 'deploying', progress: '75%' });
    expect(body.resources[0]).toMatchObject({ status: 'ready', outputs: { endpoint: 'here', list: [1, 2] } });
    expect(body.resources[1].outputs).toBeUndefined();
    release();
    // What flows along the edge arrived.
    expect((await reached('progress-v1', 'ready')).resources[1].outputs).toEqual({ base: 'here' });
  });

  test('its id is the key by which it is known again, however it is spelt (N92, N93, N95, NX7, NX21)', async () => {
    const first = wish('again-v1', [
      module('a', {}, { catalogRef: 'aws-rds-mysql:1.0.0' }),
      module('b', {}, { dependsOn: ['a'] }),
    ]);
    expect((await post(first)).status).toBe(202);
    await reached('again-v1', 'ready');
    const spelt = {
      id: 'again-v1',
      team: 'team-alpha',
      environment: 'dev',
      resources: [
        module('a', {}, { catalog_ref: 'aws-rds-mysql:1.0.0' }),
        module('b', {}, { depends_on: ['a'] }),
      ],
    };
    const begun = paper.done.length;
    for (const body of [first, spelt]) {
      const answer = await post(body);
      expect(answer).toMatchObject({ status: 200, body: { id: 'again-v1', status: 'ready' } });
      expect(answer.body.resources[0].catalogRef).toBe('aws-rds-mysql:1.0.0');
    }
    expect(await post(wish('again-v1', [module('a')]))).toMatchObject(
      refusal(409, 'VERSION_CONFLICT', /again-v1 was used before/),
    );
    expect(paper.done.length).toBe(begun);
  });

  test('asked for many times at once it is one (N92)', async () => {
    const body = wish('once-v1', [module('only-once')]);
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(19).fill(200), 202]);
    await reached('once-v1', 'ready');
    expect(paper.done.filter((line) => line.endsWith('only-once'))).toEqual(['create only-once']);
  });

  test('in production waits for somebody, unless it says that it need not (N99)', async () => {
    await post(wish('gate-v1', [module('gated')], { environment: 'prd' }));
    const body = await until(async () => {
      const answer = await get('gate-v1');
      expect(answer.body.phase).toBe('awaiting_approval');
      return answer.body;
    });
    expect(body).toMatchObject({
      status: 'in_progress',
      environment: 'prd',
      waitingFor: 'an approval',
      approval: { state: 'pending', deployment: 'nestor:gate-v1.main', planHash: expect.any(String) },
    });
    expect(await door.ask('DELETE', '/api/v1/deployments/gate-v1')).toMatchObject({
      status: 202,
      body: { status: 'cancelled', phase: 'done', operation: { mode: 'cancel' } },
    });
    const open = { environment: 'production', config: { autoApprove: true } };
    expect(await deployed('gate-v2', [module('gated')], open)).toMatchObject({ version: 1 });
  });

  test('a dry run changes nothing', async () => {
    await deployed('dry-v1', [module('dry-one')], { config: { dryRun: true } });
    expect((await get('dry-v1')).body).toMatchObject({ dryRun: true, resources: [{ status: 'pending' }] });
    expect(paper.done.join()).not.toContain('dry-one');
  });

  test('goes before those that matter less, and may refuse to wait (N15, N36, N45)', async () => {
    const release = paper.hold('slow');
    await post(wish('busy-v1', [module('slow')]));
    await until(async () => expect((await get('busy-v1')).body.phase).toBe('deploying'));
    await post(wish('busy-v2', [module('slow', { n: 2 })], { priority: 'low' }));
    await post(wish('busy-v3', [module('slow', { n: 3 })], { priority: 'high' }));
    expect(await post(wish('busy-v4', [module('slow')], { config: { onConflict: 'refuse' } }))).toMatchObject(
      refusal(409, 'NOT_POSSIBLE_NOW', /has not ended/),
    );
    expect((await get('busy-v4')).status).toBe(404);
    await until(async () =>
      expect((await get('busy-v2')).body).toMatchObject({
        waitingFor: expect.stringContaining('busy-v'),
        position: 2,
      }),
    );
    release();
    const [second, third] = [await reached('busy-v2', 'ready'), await reached('busy-v3', 'ready')];
    expect(third.completedAt <= second.startedAt).toBe(true);
    expect([third.version, second.version]).toEqual([2, 3]);
  });

  test('what fails names resource, engine, step, reason and hint, and what depends on it is skipped (N141, N142, N148, N159)', async () => {
    paper.fail('weak', 'the quota is used up');
    const resources = [
      module('strong'),
      module('weak', { a: '1' }),
      module('after', {}, { dependsOn: ['weak'] }),
    ];
    await post(wish('fail-v1', resources));
    expect(await reached('fail-v1', 'failed')).toMatchObject({
      phase: 'done',
      error: {
        code: 'DEPLOYMENT_FAILED',
        message: expect.stringContaining('weak (terraform) failed: the quota is used up'),
        resource: 'weak',
        engine: 'terraform',
        step: 'deploying',
        reason: 'the quota is used up',
        hint: 'mend it',
      },
      resources: [
        { name: 'strong', status: 'ready' },
        { name: 'weak', status: 'failed', reason: 'the quota is used up' },
        { name: 'after', status: 'skipped', reason: expect.stringContaining('weak') },
      ],
    });
    paper.fail('weak', undefined);
    const before = paper.done.length;
    await deployed('fail-v2', resources);
    // What was finished is not done again.
    expect(paper.done.slice(before)).toEqual(['create weak', 'create after']);
  });
});

describe('all that is wrong with a request is told at once, and nothing is begun (N42, N94, N98, N146, N147)', () => {
  test('shape, names, doubles, strangers and circles together', async () => {
    const answer = await post({
      id: '-bad',
      environment: 'Not Legal',
      surprise: 1,
      resources: [
        module('a', {}, { dependsOn: ['b'] }),
        module('a'),
        module('b', { x: outputOf('c', 'y'), z: outputOf('nobody', 'y') }),
        module('c', {}, { depends_on: ['a'] }),
        { name: 'Upper', engine: 'terraform', config: { source: 'a/folder' } },
      ],
      dependencies: [{ from: 'ghost', to: 'b' }],
    });
    expect(answer).toMatchObject(refusal(400, 'VALIDATION_FAILED', /./));
    const { problems, cycle } = answer.body.error.details;
    const fields = problems.map(({ field }: { field: string }) => field);
    for (const field of [
      'id',
      'composer',
      'environment',
      'resources.1.name',
      'resources.4.name',
      'resources.2.config.variables',
      'dependencies.0.from',
      'dependencies',
    ])
      expect(fields).toContain(field);
    expect(answer.body.error.message).toContain('surprise');
    expect(cycle.at(-1)).toBe(cycle[0]);
    expect(cycle.slice(1).sort()).toEqual(['a', 'b', 'c']);
    expect((await door.ask('GET', '/api/v1/deployments/-bad')).status).toBe(404);
  });

  test('a circle is named with every member, in order', async () => {
    const resources = ['a', 'b', 'c', 'd'].map((name) => module(name));
    const dependencies = [
      { from: 'a', to: 'b' },
      { from: 'b', to: 'c' },
      { from: 'c', to: 'a' },
      { from: 'c', to: 'd' },
    ];
    expect(await post(wish('circle', resources, { dependencies }))).toMatchObject(
      refusal(400, 'CIRCULAR_DEPENDENCY', /^circular dependency: a → b → c → a$/, {
        cycle: ['a', 'b', 'c', 'a'],
      }),
    );
  });

  test('an edge told in both directions is a circle of two (N98)', async () => {
    const body = wish('both', [module('a', {}, { dependsOn: ['b'] }), module('b')], {
      dependencies: [{ from: 'a', to: 'b' }],
    });
    expect(await post(body)).toMatchObject(
      refusal(400, 'CIRCULAR_DEPENDENCY', /a → b → a/, { cycle: ['a', 'b', 'a'] }),
    );
  });

  test('a stranger among the dependencies, a double, a conflict', async () => {
    expect(
      await post(wish('stranger', [module('a')], { dependencies: [{ from: 'nobody', to: 'a' }] })),
    ).toMatchObject(refusal(400, 'DEPENDENCY_ERROR', /unknown resource in dependencies: nobody/));
    expect(await post(wish('double', [module('a'), module('a')]))).toMatchObject(
      refusal(400, 'VALIDATION_FAILED', /a is the name of two resources/),
    );
    expect(
      await post(wish('conflict', [module('a', {}, { conflicts_with: ['b'] }), module('b')])),
    ).toMatchObject(refusal(400, 'VALIDATION_FAILED', /a cannot be deployed beside b/));
  });

  test('what is no JSON, too deep, or nothing', async () => {
    expect(await post('{"id":')).toMatchObject(refusal(400, 'VALIDATION_FAILED', /not JSON/));
    expect(await post('['.repeat(200_000))).toMatchObject(refusal(400, 'VALIDATION_FAILED', /nested/));
    expect(await post('')).toMatchObject(refusal(400, 'VALIDATION_FAILED', /composer is required/));
    for (const body of ['null', '[]', '"x"', '{"resources": [null, 7]}'])
      expect((await post(body)).status, body).toBe(400);
  });

  test('engines that are not here: all of them by name, for the request as the documentation prints it (N97)', async () => {
    const printed = `{
      "id": "team-alpha-web-app-v1",
      "composer": "team-alpha",
      "resources": [
        {"name": "database", "catalogRef": "aws-rds-mysql:1.0.0", "config": {}, "engine": "crossplane"},
        {"name": "deployment", "catalogRef": "k8s-deployment:2.1.0", "config": {}, "engine": "helm"}
      ],
      "dependencies": [{"from": "database", "to": "deployment"}],
      "environment": "production"
    }`;
    expect(await post(printed)).toMatchObject(
      refusal(422, 'ENGINE_NOT_AVAILABLE', /database \(crossplane\), deployment \(helm\)/, {
        resources: [
          { name: 'database', engine: 'crossplane' },
          { name: 'deployment', engine: 'helm' },
        ],
        available: ['terraform'],
      }),
    );
    expect((await get('team-alpha-web-app-v1')).status).toBe(404);
  });

  test('the same request on the engine that is here is deployed, database first (N98)', async () => {
    const before = paper.done.length;
    await deployed('team-alpha-web-app-v1', [module('deployment'), module('database')], {
      dependencies: [{ from: 'database', to: 'deployment' }],
      environment: 'production',
      config: { autoApprove: true },
    });
    expect(paper.done.slice(before)).toEqual(['create database', 'create deployment']);
  });
});

describe('the graph (N4, N14, N41, N43, N46, NX5, NX19)', () => {
  const resources = [
    module('net'),
    module('web', { db: outputOf('db', 'url') }),
    module('db'),
    module('log'),
  ];
  const dependencies = [
    { from: 'net', to: 'db' },
    { from: 'net', to: 'web' },
  ];
  const expected = {
    levels: [['log', 'net'], ['db'], ['web']],
    order: ['log', 'net', 'db', 'web'],
    resources: [
      { name: 'log', level: 0, dependsOn: [], affects: [] },
      { name: 'net', level: 0, dependsOn: [], affects: ['db', 'web'] },
      { name: 'db', level: 1, dependsOn: ['net'], affects: ['web'] },
      { name: 'web', level: 2, dependsOn: ['db', 'net'], affects: [] },
    ],
  };

  test('is told before anything is deployed, the same whatever the order of the request', async () => {
    for (const shuffled of [resources, resources.toReversed()]) {
      const answer = await door.ask(
        'POST',
        '/api/v1/validate-dependencies',
        wish('graph-v1', shuffled, { dependencies }),
      );
      expect(answer).toMatchObject({ status: 200, body: { valid: true, ...expected } });
    }
    expect((await get('graph-v1')).status).toBe(404);
  });

  test('and of what was deployed', async () => {
    await deployed('graph-v1', resources, { dependencies });
    expect((await get('graph-v1', '/graph')).body).toMatchObject({ id: 'graph-v1', ...expected });
  });
});

describe('DELETE (N34)', () => {
  test('stops what has not ended; its end is never overwritten', async () => {
    const release = paper.hold('stopped');
    await post(wish('stop-v1', [module('stopped'), module('never', {}, { dependsOn: ['stopped'] })]));
    await until(async () => expect((await get('stop-v1')).body.phase).toBe('deploying'));
    expect(await door.ask('DELETE', '/api/v1/deployments/stop-v1')).toMatchObject({
      status: 202,
      body: { operation: { mode: 'cancel' } },
    });
    const body = await reached('stop-v1', 'cancelled');
    release();
    expect(body.resources[1].status).toBe('skipped');
    expect(paper.done.join()).not.toContain('never');
    expect(await door.ask('DELETE', '/api/v1/deployments/stop-v1?mode=cancel')).toMatchObject({
      status: 202,
      body: { ...body, operation: { mode: 'cancel' } },
    });
    expect((await get('stop-v1')).body).toEqual(body);
    await deployed('done-v1', [module('done')]);
    expect(await door.ask('DELETE', '/api/v1/deployments/done-v1?mode=cancel')).toMatchObject(
      refusal(409, 'NOT_POSSIBLE_NOW', /has ended/),
    );
  });

  test('takes the newest back to the version before; asked again it is the same way back', async () => {
    await deployed('back-v1', [module('app', { color: 'red' })]);
    await deployed('back-v2', [module('app', { color: 'blue' })]);
    expect(await door.ask('DELETE', '/api/v1/deployments/back-v1')).toMatchObject(
      refusal(409, 'NOT_POSSIBLE_NOW', /Others came after it/),
    );
    const answer = await door.ask('DELETE', '/api/v1/deployments/back-v2');
    expect(answer).toMatchObject({
      status: 202,
      body: { operation: { mode: 'rollback', id: 'back-v2.rollback-1' } },
    });
    expect(await reached('back-v2.rollback-1', 'ready')).toMatchObject({
      composer: 'team-alpha',
      version: 3,
      resources: [{ name: 'app', status: 'ready', outputs: { color: 'red' } }],
    });
    expect(await reached('back-v2', 'rolled_back')).toMatchObject({ phase: 'done' });
    expect(await door.ask('DELETE', '/api/v1/deployments/back-v2?mode=rollback')).toMatchObject({
      status: 202,
      body: { operation: { id: 'back-v2.rollback-1' } },
    });
  });

  test('goes back to any version that is kept, by POST …/rollback (NX1)', async () => {
    for (const n of [1, 2, 3]) await deployed(`any-v${n}`, [module('any', { n: String(n) })]);
    const answer = await door.ask('POST', '/api/v1/deployments/any-v3/rollback', {
      target_version: 1,
      reason: 'bad',
    });
    expect(answer).toMatchObject({ status: 202, body: { id: 'any-v3', rollback: 'any-v3.rollback-to-1-1' } });
    const body = await reached('any-v3.rollback-to-1-1', 'ready');
    expect(body).toMatchObject({ version: 4, resources: [{ outputs: { n: '1' } }] });
    const wrong = await door.ask('POST', '/api/v1/deployments/any-v3/rollback', {
      targetVersion: -1,
      extra: 1,
    });
    expect(wrong).toMatchObject(refusal(400, 'VALIDATION_FAILED', /extra/));
  });

  test('destroys all of the stack where that is said', async () => {
    await deployed('gone-v1', [module('first'), module('second', {}, { dependsOn: ['first'] })]);
    const before = paper.done.length;
    const answer = await door.ask('DELETE', '/api/v1/deployments/gone-v1?mode=destroy');
    expect(answer).toMatchObject({
      status: 202,
      body: { operation: { mode: 'destroy', id: 'gone-v1.destroy-1' } },
    });
    expect(answer.headers.get('location')).toBe('/api/v1/deployments/gone-v1.destroy-1');
    const body = await reached('gone-v1.destroy-1', 'deleted');
    expect(body.resources.map(({ status }: { status: string }) => status)).toEqual(['deleted', 'deleted']);
    expect(paper.done.slice(before)).toEqual(['delete second', 'delete first']);
  });

  test('knows no other mode, and nothing that is not there', async () => {
    expect(await door.ask('DELETE', '/api/v1/deployments/back-v1?mode=explode')).toMatchObject(
      refusal(400, 'VALIDATION_FAILED', /cancel, rollback, destroy/),
    );
    for (const path of ['nobody', '..%2F..%2Fetc', `${'x'.repeat(400)}`, '%24(id)'])
      expect(await door.ask('DELETE', `/api/v1/deployments/${path}`), path).toMatchObject(
        refusal(404, 'RESOURCE_NOT_FOUND', /There is no deployment/),
      );
  });
});

describe('what can be read (N33, NX1)', () => {
  test('lists, newest first, page by page, filtered (NX17)', async () => {
    for (const n of [1, 2, 3])
      await deployed(`list-${n}`, [module(`list-${n}`)], {
        composer: 'team-list',
        environment: n === 3 ? 'stage' : 'dev',
        labels: { n: String(n) },
      });
    const ids = async (query: string): Promise<string[]> => {
      const { body } = await door.ask('GET', `/api/v1/deployments?composer=team-list${query}`);
      expect(body.count).toBe(body.deployments.length);
      return body.deployments.map(({ id }: { id: string }) => id);
    };
    expect(await ids('')).toEqual(['list-3', 'list-2', 'list-1']);
    expect(await ids('&environment=staging')).toEqual(['list-3']);
    expect(await ids('&status=failed')).toEqual([]);
    const first = await door.ask('GET', '/api/v1/deployments?team=team-list&limit=2');
    expect(first.body.deployments[0]).toMatchObject({
      id: 'list-3',
      labels: { n: '3' },
      environment: 'stage',
    });
    expect(await ids(`&limit=2&pageToken=${first.body.nextPageToken}`)).toEqual(['list-1']);
    for (const query of ['limit=0', 'limit=101', 'limit=ten', 'status=done'])
      expect((await door.ask('GET', `/api/v1/deployments?${query}`)).status, query).toBe(400);
  });

  test('logs and events of a deployment (N155, NX10)', async () => {
    const { body: logs } = await get('take-v1', '/logs');
    expect(logs.logs).toContainEqual({
      timestamp: expect.stringMatching(/Z$/),
      level: 'info',
      message: 'paper.one: Creation complete after 0s',
      resource: 'database',
    });
    const { body } = await get('take-v1', '/events');
    const types = body.events.map(({ type }: { type: string }) => type);
    expect([types[0], types.at(-1)]).toEqual(['deployment.started', 'deployment.completed']);
    expect(body.events[0]).toMatchObject({
      source: 'orchestrator',
      subject: 'take-v1',
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
  });

  test('the trace of whoever asks goes through, and a bad one is replaced (N12, N156, NX9)', async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${trace}-00f067aa0ba902b7-01`;
    const answer = await door.ask('GET', '/api/v1/deployments/nobody', undefined, { traceparent });
    expect(answer.headers.get('x-trace-id')).toBe(trace);
    expect(answer.body.error.trace_id).toBe(trace);
    const other = await door.ask('GET', '/api/v1/deployments/nobody', undefined, { traceparent: 'junk' });
    expect(other.headers.get('x-trace-id')).toBe(other.body.error.trace_id);
    expect(other).toMatchObject(refusal(404, 'RESOURCE_NOT_FOUND', /nobody/));
    await door.ask('POST', '/api/v1/deployments', wish('trace-v1', [module('t')]), { traceparent });
    await reached('trace-v1', 'ready');
    expect((await get('trace-v1', '/events')).body.events[0].trace_id).toBe(trace);
  });

  test('engines with their health (N9, N18, N48, N49, N145, NX2)', async () => {
    expect((await door.ask('GET', '/api/v1/engines')).body).toEqual({
      engines: [
        {
          name: 'terraform',
          enabled: true,
          capabilities: ['plan', 'apply', 'destroy'],
          status: 'healthy',
          version: '1.11.4',
        },
      ],
      count: 1,
    });
    expect(await door.ask('GET', '/api/v1/engines/terraform/health')).toMatchObject({ status: 200 });
    const well = health;
    health = async () => {
      throw new Error('there is no terraform here');
    };
    expect(await door.ask('GET', '/api/v1/engines/terraform/health')).toMatchObject({
      status: 503,
      body: { name: 'terraform', status: 'unhealthy', message: 'there is no terraform here' },
    });
    expect((await door.ask('GET', '/api/v1/ready')).body.dependencies.terraform).toBe('unhealthy');
    health = well;
    for (const name of ['helm', 'constructor', '__proto__'])
      expect(await door.ask('GET', `/api/v1/engines/${name}`)).toMatchObject(
        refusal(404, 'ENGINE_NOT_FOUND', /There is no engine/),
      );
  });

  test('health and readiness (N10, NX6)', async () => {
    expect((await door.ask('GET', '/api/v1/health')).body.status).toBe('healthy');
    expect((await door.ask('GET', '/api/v1/live')).status).toBe(200);
    expect((await door.ask('GET', '/api/v1/ready')).body).toEqual({
      status: 'ready',
      dependencies: { store: 'ok', terraform: 'ok' },
    });
    isReady = false;
    expect(await door.ask('GET', '/api/v1/ready')).toMatchObject({
      status: 503,
      body: { status: 'not_ready', dependencies: { pull: 'no subscription' } },
    });
    isReady = true;
  });

  test('whoever lacks the role is refused, and sees nothing of it in a list (N12)', async () => {
    const grant = { role: 'deployer', environments: ['staging'], mayApproveOwn: false } as const;
    door.as({ name: 'ada@example.com', grants: [grant] });
    const refused = await post(wish('role-v1', [module('r')], { environment: 'dev' }));
    const hidden = await get('take-v1');
    const list = await door.ask('GET', '/api/v1/deployments?composer=team-list');
    const open = await post(
      wish('role-v2', [module('r')], { environment: 'stg', config: { autoApprove: true } }),
    );
    door.as(undefined);
    expect(refused).toMatchObject(refusal(403, 'FORBIDDEN', /ada@example.com may not/));
    expect(hidden).toMatchObject(refusal(403, 'FORBIDDEN', /may not/));
    expect(list.body.deployments.map(({ id }: { id: string }) => id)).toEqual(['list-3']);
    // To say beforehand that nobody need approve is to approve.
    expect(open).toMatchObject(refusal(403, 'FORBIDDEN', /approve/));
    expect((await get('role-v1')).status).toBe(404);
  });

  test('what is not there is told in the same form; nothing went wrong inside', async () => {
    expect(await door.ask('GET', '/api/v1/surprise')).toMatchObject(
      refusal(404, 'RESOURCE_NOT_FOUND', /surprise/),
    );
    expect(ground.troubles).toEqual([]);
  });
});

describe.skipIf(NO_TERRAFORM !== '')(`on the real Terraform${NO_TERRAFORM}`, () => {
  const CODE = `
    variable "word" { type = string }
    resource "terraform_data" "thing" { input = var.word }
    output "word" { value = "\${terraform_data.thing.output}!" }
  `;

  test('two modules in order, an output along the edge, a change, the way back, the end (N13, N17, N21, N47, N131)', async () => {
    const real = await openTerraformGround();
    const own = await mount(real);
    try {
      const bundle = await pack([{ path: 'main.tf', content: Buffer.from(CODE) }]);
      const digest = digestOf(bundle);
      await real.artifacts.write(bundleKey(digest), bundle);
      const resource = (name: string, word: string): object => ({
        name,
        engine: 'terraform',
        config: { source: { digest }, variables: { word } },
      });
      const run = async (id: string, word: string): Promise<Answered['body']> => {
        const body = wish(id, [resource('second', outputOf('first', 'word')), resource('first', word)]);
        expect(await own.ask('POST', '/api/v1/deployments', body)).toMatchObject({ status: 202 });
        return reached(id, 'ready', own);
      };
      expect(await run('real-v1', 'one')).toMatchObject({
        resources: [
          { name: 'second', status: 'ready', outputs: { word: 'one!!' } },
          { name: 'first', status: 'ready', outputs: { word: 'one!' } },
        ],
      });
      expect((await run('real-v2', 'two')).resources[0].outputs).toEqual({ word: 'two!!' });
      await own.ask('DELETE', '/api/v1/deployments/real-v2');
      expect((await reached('real-v2.rollback-1', 'ready', own)).resources).toContainEqual(
        expect.objectContaining({ name: 'second', outputs: { word: 'one!!' } }),
      );
      await own.ask('DELETE', '/api/v1/deployments/real-v2?mode=destroy');
      expect(await reached('real-v2.destroy-1', 'deleted', own)).toMatchObject({ version: 4 });
    } finally {
      await own.close();
      await real.stop();
    }
  });
});
