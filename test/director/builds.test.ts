/** The dialect at `/api/builds`: records, statuses, names, and what carries them out. */
import { join } from 'node:path';
import { pack } from '@service-director/director/bundles/bundle.ts';
import { type Builds, buildsIn } from '@service-director/director/dialects/builds/builds.ts';
import { ksuid, secondsOf } from '@service-director/director/dialects/builds/ksuid.ts';
import { newBuild } from '@service-director/director/dialects/builds/making.ts';
import { executionNamesOf } from '@service-director/director/dialects/builds/names.ts';
import { type Executions, orchestrator } from '@service-director/director/dialects/builds/orchestrator.ts';
import {
  type BuildId,
  type BuildRecord,
  inputOf,
} from '@service-director/director/dialects/builds/records.ts';
import { buildWorker } from '@service-director/director/dialects/builds/worker.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import { type Store, StoreFailure } from '@service-director/director/store/store.ts';
import { startLocalCloud } from '@service-director/localcloud';
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
import { codeKeptAs, NO_TERRAFORM, openTerraformGround, seenAs } from './support/rest.ts';
import { PROJECT, REGION, until } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe('ids and names', () => {
  test('a KSUID has 27 characters of base62, tells its second, and sorts in the order of time (A10, BA29)', () => {
    const moments = Array.from({ length: 400 }, (_, index) => 1_790_000_000_000 + index * 7);
    const ids = moments.map(ksuid);
    for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z]{27}$/);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(Array.from({ length: 2_000 }, () => ksuid(1_790_000_000_000))).size).toBe(2_000);
    expect(secondsOf(ids[0] ?? '')).toBe(1_790_000_000);
    // Of the first second and of the last.
    expect(secondsOf(ksuid(1_400_000_000_000))).toBe(1_400_000_000);
    expect(secondsOf(ksuid((1_400_000_000 + 2 ** 32 - 1) * 1_000))).toBe(1_400_000_000 + 2 ** 32 - 1);
    expect(secondsOf('z'.repeat(27))).toBeUndefined();
    expect(secondsOf('not one')).toBeUndefined();
  });

  test('the name of an execution is the documented one wherever that is legal (A18, A40, BA5, BA29)', () => {
    expect(executionNamesOf(INPUT)[0]).toBe('myapp-prd-2HFj3kLmNoPqRsTuVwXy');
    const sk = ksuid(systemClock.now());
    for (const repo of ['acme/app', 'a.b', 'x'.repeat(100), `${'long-'.repeat(19)}name`])
      for (const name of executionNamesOf({ repo, env: 'dev', sk })) {
        expect(name).toMatch(/^[0-9A-Za-z_-]{1,80}$/);
        expect(name.endsWith(sk)).toBe(true);
      }
    expect(executionNamesOf({ repo: 'a/b', env: 'dev', sk })).not.toEqual(
      executionNamesOf({ repo: 'a.b', env: 'dev', sk }),
    );
  });
});

describe('starting an execution', () => {
  let store: Store;
  let builds: Builds;
  let flow: Workflow;

  beforeEach(() => {
    store = sqliteStore({ path: ':memory:' });
    builds = buildsIn(store, systemClock);
    flow = workflow();
  });
  afterEach(() => store.close());

  const build = (more: object = {}): BuildRecord =>
    newBuild({ ...INPUT, auto_approve: false, ...more }, 'ada', systemClock);
  const start = (input: object = INPUT): Promise<string> =>
    orchestrator(flow, MACHINE, builds).startExecution(inputOf({ ...INPUT, ...input }));
  const worker = (): ReturnType<typeof buildWorker> =>
    buildWorker({
      ...{ store, builds, clock: systemClock, log: silent },
      ...{ executions: flow, orchestrator: orchestrator(flow, MACHINE, builds) },
    });

  test('hands on the eight keys byte for byte under the documented name, and gives the ARN (A2, A4, A6 to A9, A11, A12, A14, A15, A17, A19 to A23, A27, A32 to A34, A37, A38)', async () => {
    await builds.create([build()]);
    const arn = await start();
    expect(arn).toBe(
      'arn:aws:states:us-east-1:123456789:execution:deployment:myapp-prd-2HFj3kLmNoPqRsTuVwXy',
    );
    expect(flow.started).toEqual([
      {
        stateMachineArn: MACHINE,
        name: 'myapp-prd-2HFj3kLmNoPqRsTuVwXy',
        input:
          '{"repo":"myapp","env":"prd","branch":"main","version":"1.2.3","sk":"2HFj3kLmNoPqRsTuVwXy","commit_hash":"abc123","s3_bucket":"my-artifacts-bucket","s3_key":"myapp/main/1.2.3"}',
      },
    ]);
    expect(await builds.get(INPUT)).toMatchObject({
      status: 'IN_PROGRESS',
      execution_arn: arn,
      execution_name: 'myapp-prd-2HFj3kLmNoPqRsTuVwXy',
      stack_name: 'prd-myapp',
      updated_at: expect.any(Number),
    });
    expect(await builds.ofExecution('myapp-prd-2HFj3kLmNoPqRsTuVwXy')).toEqual({
      repo: 'myapp',
      env: 'prd',
      sk: INPUT.sk,
    });
  });

  test('started many times at once it is one execution with one ARN (A19)', async () => {
    await builds.create([build()]);
    const arns = await Promise.all(Array.from({ length: 20 }, () => start()));
    expect(new Set(arns).size).toBe(1);
    expect(flow.started.length).toBe(1);
  });

  test('names that hyphens make alike stay apart, and each leads to its build (A39, A41, BA5)', async () => {
    const [one, two] = [
      { repo: 'a-b', env: 'c' },
      { repo: 'a', env: 'b-c' },
    ];
    await builds.create([build(one), build(two)]);
    await Promise.all([start(one), start(two)]);
    expect(flow.started.length).toBe(2);
    const owners = await Promise.all(flow.started.map(({ name }) => builds.ofExecution(name)));
    expect(owners.map((owner) => owner?.repo).sort()).toEqual(['a', 'a-b']);
  });

  test('what cannot be started stays as it was; whoever asked marks it (A24, A25)', async () => {
    await builds.create([build()]);
    const before = await builds.get(INPUT);
    flow.refuse = 'before';
    await expect(start()).rejects.toThrow('the state machine is gone');
    expect(await builds.get(INPUT)).toEqual({ ...before, updated_at: expect.any(Number) });
    await worker().sweep();
    expect(await builds.get(INPUT)).toMatchObject({
      status: 'FAILED',
      error_msg: 'Failed to start step function: the state machine is gone',
      finished_at: expect.any(Number),
    });
  });

  test('an answer that got lost is found by looking, and marks nothing failed (BA4)', async () => {
    await builds.create([build()]);
    flow.refuse = 'after';
    expect(await start()).toMatch(/:execution:deployment:myapp-prd-/);
    expect(await builds.get(INPUT)).toMatchObject({ status: 'IN_PROGRESS' });
  });

  test('what cannot be told is left, and told later, with one execution (BA4)', async () => {
    await builds.create([build()]);
    flow.refuse = 'blind';
    await expect(start()).rejects.toThrow('is not known');
    await worker().sweep();
    expect(await builds.get(INPUT)).toMatchObject({ status: 'IN_PROGRESS' });
    flow.refuse = 'no';
    await worker().sweep();
    expect(await builds.get(INPUT)).toMatchObject({ execution_arn: expect.any(String) });
    expect(flow.started.length).toBe(1);
  });

  test('whoever dies between the name and the start, or the start and the ARN, is followed (A35, BA3)', async () => {
    await builds.create([build()]);
    const { execution_name } = await builds.reserve(INPUT);
    await worker().sweep();
    expect(await builds.get(INPUT)).toMatchObject({ execution_name, execution_arn: expect.any(String) });
    expect(flow.started.length).toBe(1);
  });

  test('one that is faster than its start is written down never ends as IN_PROGRESS (A36, BA3)', async () => {
    await builds.create([build()]);
    const { execution_name } = await builds.reserve(INPUT);
    await builds.finish(INPUT, execution_name, { status: 'SUCCESS' });
    await builds.started(INPUT, execution_name, 'late').catch(() => {});
    expect(await builds.get(INPUT)).toMatchObject({ status: 'SUCCESS', finished_at: expect.any(Number) });
    expect(await builds.get(INPUT)).not.toHaveProperty('execution_arn');
  });

  test('terminal is for ever, and another execution ends nothing (A3, BA2)', async () => {
    await builds.create([build()]);
    await start();
    await builds.finish(INPUT, 'somebody-elses', { status: 'SUCCESS' });
    expect(await builds.get(INPUT)).toMatchObject({ status: 'IN_PROGRESS' });
    await builds.failToStart(INPUT, 'late');
    expect(await builds.get(INPUT)).toMatchObject({ status: 'IN_PROGRESS' });
    const name = 'myapp-prd-2HFj3kLmNoPqRsTuVwXy';
    await builds.finish(INPUT, name, { status: 'FAILED', error_msg: 'it broke' });
    const ended = await builds.get(INPUT);
    await builds.finish(INPUT, name, { status: 'SUCCESS' });
    await builds.failToStart(INPUT, 'late');
    await builds.release(INPUT, name);
    await expect(start()).rejects.toThrow('is FAILED');
    expect(await builds.get(INPUT)).toEqual(ended);
  });

  test('there are no ghosts: what is not there cannot be started or ended (BA2)', async () => {
    await expect(start()).rejects.toThrow('There is no build');
    await expect(builds.finish(INPUT, 'x', { status: 'SUCCESS' })).rejects.toThrow('There is no build');
    expect((await store.list({ collection: 'builds' })).length).toBe(0);
  });

  test('a late word on an older build does not make it the newest (AX2, BA27)', async () => {
    const [old, young] = [build({ sk: ksuid(1_790_000_000_000) }), build({ sk: ksuid(1_790_000_001_000) })];
    await builds.create([old]);
    await start(old);
    await builds.create([young]);
    await builds.finish(old, executionNamesOf(old)[0] ?? '', { status: 'SUCCESS' });
    const [latest] = await store.list<{ id: BuildId; status: string }>({
      collection: 'builds',
      prefix: 'latest//',
    });
    expect(latest?.value).toMatchObject({ id: { sk: young.sk }, status: 'PENDING' });
  });

  test('one that fails keeps no other from its turn, and a store that fails marks nothing (BA26)', async () => {
    const ids = [1, 2, 3].map((n) => ({ ...INPUT, repo: `r${n}` }));
    await builds.create(ids.map((id) => build(id)));
    const failing: Executions = {
      ...flow,
      describeExecution: async () => undefined,
      async startExecution(request) {
        if (request.name.startsWith('r1')) throw new Error('no');
        if (request.name.startsWith('r2')) throw new StoreFailure('the disk is full', undefined);
        return flow.startExecution(request);
      },
    };
    await buildWorker({
      ...{ store, builds, clock: systemClock, log: silent },
      ...{ executions: failing, orchestrator: orchestrator(failing, MACHINE, builds) },
    }).sweep();
    const statuses = await Promise.all(ids.map(async (id) => (await builds.get(id))?.status));
    expect(statuses).toEqual(['FAILED', 'PENDING', 'IN_PROGRESS']);
  });

  test('ends as its execution ended (A28, BA8)', async () => {
    await builds.create([build(), build({ repo: 'other' })]);
    await worker().sweep();
    flow.ends.set('myapp-prd-2HFj3kLmNoPqRsTuVwXy', { status: 'SUCCEEDED' });
    flow.ends.set('other-prd-2HFj3kLmNoPqRsTuVwXy', { status: 'FAILED', error: 'no such bucket' });
    await worker().sweep();
    expect(await builds.get(INPUT)).toMatchObject({ status: 'SUCCESS' });
    expect(await builds.get({ ...INPUT, repo: 'other' })).toMatchObject({
      status: 'FAILED',
      error_msg: 'no such bucket',
    });
    expect(await store.list({ collection: 'builds', prefix: 'open//' })).toEqual([]);
  });
});

describe('over HTTP', () => {
  const paper = paperEngine();
  let ground: Ground;
  let opened: BuildsDoor;
  let door: Door;

  beforeAll(async () => {
    ground = await openGround({ engine: () => paper, sources: () => codeKeptAs('b'.repeat(64)) });
    opened = await openBuilds(ground);
    ({ door } = opened);
  });
  afterAll(() => opened.stop());

  const post = (body: unknown, headers: Record<string, string> = {}): Promise<Answered> =>
    door.ask('POST', '/api/builds', body, headers);
  const reached = (id: BuildId, status: string): Promise<Answered['body']> =>
    seenAs(door, pathOf(id), status);

  test('a record is written, answered and carried out (A13, A26, A31, AX1)', async () => {
    const { status, body, headers } = await post(START);
    expect(status).toBe(202);
    expect(body).toEqual({
      pk: 'shop/dev',
      sk: expect.stringMatching(/^[0-9A-Za-z]{27}$/),
      id: `shop/dev:${body.sk}`,
      repo: 'shop',
      env: 'dev',
      build_number: '12',
      branch: 'main',
      version: '12.abc',
      commit_hash: 'abc',
      s3_bucket: 'artifacts',
      s3_key: 'shop/main/12.abc',
      status: 'PENDING',
      stack_name: 'dev-shop',
      created_at: expect.any(Number),
      updated_at: expect.any(Number),
      requested_by: 'local',
    });
    expect(headers.get('location')).toBe(`/api/builds/shop/dev/${body.sk}`);
    expect(await reached(body, 'SUCCESS')).toMatchObject({
      execution_name: `shop-dev-${body.sk}`,
      execution_arn: expect.stringMatching(new RegExp(`:shop-dev-${body.sk}$`)),
      finished_at: expect.any(Number),
      downstream_envs: [],
    });
    expect((await door.ask('GET', `/api/builds?execution=shop-dev-${body.sk}`)).body.builds[0].id).toBe(
      body.id,
    );
  });

  test('the documented input starts a build, and again is the same build (A10, A16)', async () => {
    const first = await post({ ...INPUT, auto_approve: true });
    expect([first.status, first.body.id]).toEqual([202, 'myapp/prd:2HFj3kLmNoPqRsTuVwXy']);
    await reached(INPUT, 'SUCCESS');
    expect(await post({ ...INPUT, auto_approve: true })).toMatchObject({
      status: 200,
      body: { status: 'SUCCESS' },
    });
    expect(await post({ ...INPUT, commit_hash: 'def456' })).toMatchObject({
      status: 409,
      body: { error: expect.stringContaining('is another one') },
    });
  });

  test('the same Idempotency-Key is the same build, once, whoever is first', async () => {
    const headers = { 'idempotency-key': 'k-1' };
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(START, headers)));
    expect(new Set(answers.map(({ body }) => body.sk)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 202).length).toBe(1);
    expect(await post({ ...START, version: '13.abd' }, headers)).toMatchObject({ status: 409 });
    expect((await post(START, { 'idempotency-key': 'x'.repeat(300) })).status).toBe(400);
  });

  test('a production build waits for somebody, as IN_PROGRESS', async () => {
    const { body } = await post({ ...START, repo: 'gated', env: 'prd' });
    await reached(body, 'IN_PROGRESS');
    const command = `build:gated-prd-${body.sk}`;
    await until(async () => {
      const found = await ground.store.get<{ status: string }>({
        collection: 'deployments',
        id: `${command}.main`,
      });
      expect(found?.value.status).toBe('awaiting_approval');
    });
    const cancel = {
      type: 'cancel',
      requester: 'ada',
      fallbackId: 'c1',
      receivedAt: '2026-01-01T00:00:00Z',
    } as const;
    await ground.intake.receive({ ...cancel, envelope: {}, body: JSON.stringify({ command }) });
    expect(await reached(body, 'FAILED')).toMatchObject({ error_msg: expect.stringContaining('cancelled') });
  });

  test('what fails tells why (AX23, AX26, BA1, BA6, BA28)', async () => {
    paper.fail('main', 'the quota is used up');
    const { body } = await post({ ...START, repo: 'unlucky' });
    expect(await reached(body, 'FAILED')).toMatchObject({ error_msg: 'the quota is used up' });
    paper.fail('main', undefined);
    // Deployed again: an id of its own, all else the same, exactly one execution (AX23, BA1).
    const again = await door.ask('POST', `${pathOf(body)}/redeploy`);
    expect(again).toMatchObject({
      status: 202,
      body: { repo: 'unlucky', branch: 'main', version: '12.abc', redeployed_from: body.sk },
    });
    expect(again.body.sk > body.sk).toBe(true);
    await reached(again.body, 'SUCCESS');
    expect((await door.ask('GET', pathOf(body))).body.status).toBe('FAILED');
    const commands = await ground.store.list({ collection: 'commands', prefix: 'build:unlucky' });
    expect(commands.length).toBe(2);
  });

  test('promotion: only what succeeded, only where that leads anywhere, once (AX22, BA25)', async () => {
    const settings = { initial_env: 'dev', downstream_env: { dev: ['stg', 'qa'] } };
    expect(await door.ask('PUT', '/api/builds/-/settings/shop', settings)).toMatchObject({ status: 200 });
    const { body } = await post({ ...START, version: '20.abe' });
    await reached(body, 'SUCCESS');
    const answers = await Promise.all([1, 2, 3].map(() => door.ask('POST', `${pathOf(body)}/promote`)));
    const made = answers.map((one) => one.body.builds.map(({ id }: { id: string }) => id).join());
    expect(new Set(made).size).toBe(1);
    expect(answers.filter(({ status }) => status === 202).length).toBeGreaterThan(0);
    const [stg, qa] = answers[0]?.body.builds ?? [];
    expect(stg).toMatchObject({
      env: 'stg',
      stack_name: 'stg-shop',
      promoted_from: body.id,
      auto_approve: true,
    });
    await reached(stg, 'SUCCESS');
    await reached(qa, 'SUCCESS');
    expect(await door.ask('POST', `${pathOf(stg)}/promote`)).toMatchObject({
      status: 409,
      body: { error: 'no downstream environments configured for shop/stg' },
    });
    const { body: failed } = await door.ask('GET', '/api/builds?repo=unlucky&status=FAILED');
    expect(await door.ask('POST', `${pathOf(failed.builds[0])}/promote`)).toMatchObject({
      status: 409,
      body: { error: 'cannot promote build with status FAILED - only SUCCESS builds can be promoted' },
    });
  });

  test('the first environment: of the repository, else of all, else dev (AX4)', async () => {
    const { env: _, ...start } = START;
    expect((await post({ ...start, repo: 'first' })).body.env).toBe('dev');
    expect((await door.ask('GET', '/api/builds/-/settings/first')).body).toEqual({
      ...{ repo: 'first', initial_env: 'dev', downstream_env: {} },
    });
    await door.ask('PUT', '/api/builds/-/settings/$', { initial_env: 'sandbox' });
    expect((await post({ ...start, repo: 'first' })).body.env).toBe('sandbox');
    expect((await door.ask('GET', '/api/builds/-/settings/first')).body.from).toBe('$');
    await door.ask('PUT', '/api/builds/-/settings/first', { initial_env: 'lab' });
    expect((await post({ ...start, repo: 'first' })).body.env).toBe('lab');
    const again = { initial_env: 'attic' };
    expect(await door.ask('PUT', '/api/builds/-/settings/first', again)).toMatchObject({
      status: 409,
      body: { error: expect.stringContaining('overwrite') },
    });
    expect((await door.ask('PUT', '/api/builds/-/settings/first?overwrite=true', again)).status).toBe(200);
  });

  test('a repository may be called latest, or have a slash in its name (BA27)', async () => {
    for (const repo of ['latest', 'acme/shop']) {
      const { status, body } = await post({ ...START, repo, env: 'dev' });
      expect(status, repo).toBe(202);
      await reached(body, 'SUCCESS');
      const { body: list } = await door.ask('GET', `/api/builds/${encodeURIComponent(repo)}/dev`);
      expect(list.builds.map(({ sk }: BuildId) => sk)).toEqual([body.sk]);
    }
  });

  test('lists: newest first, of a repository, in an environment, the latest of each (AX21, BA27)', async () => {
    const one = await post({ ...START, repo: 'lister', env: 'list-env' });
    const two = await post({ ...START, repo: 'lister', env: 'list-env' });
    const ids = async (query: string): Promise<string[]> => {
      const { body } = await door.ask('GET', `/api/builds?${query}`);
      return body.builds.map(({ sk }: BuildId) => sk);
    };
    expect(await ids('env=list-env')).toEqual([two.body.sk, one.body.sk]);
    expect(await ids('repo=lister&limit=1')).toEqual([two.body.sk]);
    expect(await ids('env=list-env&latest=true')).toEqual([two.body.sk]);
    expect(await ids('repo=nobody')).toEqual([]);
    await Promise.all([reached(one.body, 'SUCCESS'), reached(two.body, 'SUCCESS')]);
    expect(await ids('env=list-env&status=SUCCESS')).toEqual([two.body.sk, one.body.sk]);
    for (const query of ['limit=0', 'status=done', 'limit=x'])
      expect((await door.ask('GET', `/api/builds?${query}`)).status, query).toBe(400);
  });

  test('what is wrong is told in one text, and nothing is written (A6)', async () => {
    const count = async (): Promise<number> =>
      (await ground.store.list({ collection: 'builds', prefix: 'of//' })).length;
    const before = await count();
    const cases: readonly (readonly [object | string, RegExp])[] = [
      [{}, /repo is required; .*branch is required.*commit_hash is required/],
      [{ ...START, repo: '../etc' }, /repo has letters/],
      [{ ...START, repo: '$(id)' }, /repo has letters/],
      [{ ...START, branch: '-rf' }, /branch has letters/],
      [{ ...START, version: '1\n2' }, /version has letters/],
      [{ ...START, s3_key: 'a/../../b' }, /s3_key has letters/],
      [{ ...START, s3_bucket: 'NO' }, /name no object of Cloud Storage/],
      [{ ...START, env: 'Production' }, /an environment has at most/],
      [{ ...START, surprise: 1 }, /surprise/],
      ['{"repo":', /not JSON/],
      ['['.repeat(1_000), /nested/],
    ];
    for (const [body, error] of cases)
      expect(await post(body), JSON.stringify(body)).toMatchObject({
        status: 400,
        body: { error: expect.stringMatching(error) },
      });
    expect(await count()).toBe(before);
    for (const path of [
      'nobody/dev/2HFj3kLmNoPqRsTuVwXy',
      '..%2F..%2Fx/dev/2HFj3kLmNoPqRsTuVwXy',
      'shop/dev/x',
    ])
      expect(await door.ask('GET', `/api/builds/${path}`), path).toMatchObject({
        status: 404,
        body: { error: 'Build not found' },
      });
  });

  test('a prefix may end with a slash (A13)', async () => {
    const { body } = await post({ ...START, s3_key: 'shop/main/12.abc/' });
    await reached(body, 'SUCCESS');
    const command = await ground.store.get<object>({
      collection: 'commands',
      id: `build:shop-dev-${body.sk}`,
    });
    expect(JSON.stringify(command?.value)).toContain('gs://artifacts/shop/main/12.abc/bundle.tar.gz');
  });

  test('roles are by environment; to promote is to approve (BA25)', async () => {
    const grant = { role: 'deployer', environments: ['dev', 'staging'], mayApproveOwn: false } as const;
    door.as({ name: 'ada@example.com', grants: [grant] });
    const refused = await post({ ...START, env: 'prd' });
    const { body: taken } = await post({ ...START, repo: 'shop', version: '30.abf' });
    await reached(taken, 'SUCCESS');
    const promoted = await door.ask('POST', `${pathOf(taken)}/promote`);
    const settings = await door.ask('PUT', '/api/builds/-/settings/ada', {});
    const { body: seen } = await door.ask('GET', '/api/builds?limit=500');
    door.as(undefined);
    for (const one of [refused, promoted, settings])
      expect(one).toMatchObject({ status: 403, body: { error: expect.stringContaining('may not') } });
    expect(seen.builds.some(({ env }: BuildId) => env === 'prd')).toBe(false);
    expect(seen.builds.length).toBeGreaterThan(0);
    expect(ground.troubles).toEqual([]);
  });
});

describe.skipIf(NO_TERRAFORM !== '')(
  `on the real Terraform, its code in Cloud Storage${NO_TERRAFORM}`,
  () => {
    test('a build is carried out; one without artifacts fails and says so', async () => {
      const real = await openRealGround();
      try {
        const { door } = real;
        const code =
          'resource "terraform_data" "it" { input = "built" }\noutput "word" { value = terraform_data.it.output }\n';
        await real.upload(
          'built/main/1.0/bundle.tar.gz',
          await pack([{ path: 'main.tf', content: Buffer.from(code) }]),
        );
        const start = { env: 'dev', branch: 'main', version: '1.0', commit_hash: 'abc', s3_bucket: BUCKET };
        const ended = async (repo: string): Promise<Answered['body']> => {
          const { body } = await door.ask('POST', '/api/builds', { ...start, repo });
          return until(async () => {
            const { body: now } = await door.ask('GET', `/api/builds/${repo}/dev/${body.sk}`);
            if (now.finished_at === undefined) throw new Error(JSON.stringify(now));
            return now;
          });
        };
        expect(await ended('built')).toMatchObject({ status: 'SUCCESS' });
        const units = await real.ground.store.list<{ outputs: object }>({ collection: 'units' });
        expect(units.map(({ value }) => value.outputs)).toEqual([{ word: 'built' }]);
        expect(await ended('lost')).toMatchObject({
          status: 'FAILED',
          error_msg: expect.stringMatching(/bundle|not|404/i),
        });
      } finally {
        await real.stop();
      }
    });
  },
);

const BUCKET = 'build-artifacts';

interface Real {
  readonly ground: Ground;
  readonly door: Door;
  upload(name: string, bytes: Buffer): Promise<void>;
  stop(): Promise<void>;
}

async function openRealGround(): Promise<Real> {
  const early = await openGround({ engine: () => paperEngine() });
  const running = await startLocalCloud({
    dir: join(early.dir, 'cloud'),
    project: PROJECT,
    propagationMs: 0,
  });
  const ground = await openTerraformGround(running.origin);
  const { door, stop } = await openBuilds(ground);
  const demand = async (path: string, body: string | Buffer): Promise<void> => {
    const response = await fetch(`${running.origin}${path}`, { method: 'POST', body });
    if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
  };
  await demand(`/storage/v1/b?project=${PROJECT}`, JSON.stringify({ name: BUCKET, location: REGION }));
  return {
    ...{ ground, door },
    upload: (name, bytes) =>
      demand(`/upload/storage/v1/b/${BUCKET}/o?uploadType=media&name=${encodeURIComponent(name)}`, bytes),
    async stop() {
      await stop();
      await running.stop();
      await early.stop();
    },
  };
}
