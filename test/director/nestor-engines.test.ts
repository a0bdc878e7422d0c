/**
 * The engines of the dialect at `/api/v1`: turned off, kept from new work for a while, with a time limit of their own, and
 * with code that is described instead of brought. First with an engine on paper, then as the director is shipped.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineEntries, EngineEntry } from '@service-director/director/dialects/nestor/engines.ts';
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answered, type Door, type Ground, openDoor, openGround } from './support/dialects.ts';
import { type Answer, type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { paperEngine } from './support/paper-engine.ts';
import { openWorld, PROJECT, REGION, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write(
    'Terraform is not on PATH: what /api/v1 does with described code is not tested here.\n',
  );

const DIGEST = 'a'.repeat(64);

function wish(id: string, resource: object = {}, more: object = {}): object {
  const config = { source: { digest: DIGEST } };
  return {
    ...{ id, composer: 'team-engines', environment: 'dev' },
    resources: [{ name: 'a', config, ...resource }],
    ...more,
  };
}

describe('engines that take nothing new', () => {
  const paper = paperEngine();
  let ground: Ground;
  const doors: Door[] = [];

  beforeAll(async () => {
    ground = await openGround({
      engine: () => paper,
      sources: () => ({
        resolve: async (source) => ({ digest: 'digest' in source ? source.digest : DIGEST }),
      }),
    });
  });
  afterAll(async () => {
    for (const door of doors) await door.close();
    await ground.stop();
  });

  async function mount(engines: EngineEntries): Promise<Door> {
    const door = await openDoor(
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
    );
    doors.push(door);
    return door;
  }

  const entry = (status: 'healthy' | 'degraded', more: Partial<EngineEntry> = {}): EngineEntry => ({
    health: async () => ({ status }),
    capabilities: ['plan'],
    ...more,
  });
  const post = (door: Door, body: object): Promise<Answered> => door.ask('POST', '/api/v1/deployments', body);

  function reached(door: Door, id: string, status: string): Promise<Answered['body']> {
    return until(async () => {
      const { body } = await door.ask('GET', `/api/v1/deployments/${id}`);
      if (body.status !== status) throw new Error(`Not yet: ${JSON.stringify(body)}`);
      return body;
    });
  }

  test('one that is turned off is refused by name, is listed as such, and keeps nobody from being ready (N110, N97)', async () => {
    const door = await mount({ terraform: entry('healthy', { isEnabled: false }) });
    for (const engine of [{ engine: 'terraform' }, {}]) {
      const answer = await post(door, wish('off-v1', engine));
      expect(answer).toMatchObject({ status: 422, body: { error: { code: 'ENGINE_NOT_AVAILABLE' } } });
      expect(answer.body.error.message).toBe(
        'This director has no engine for a (terraform); it has none; of terraform: it is turned off on this director',
      );
    }
    expect((await door.ask('GET', '/api/v1/engines')).body.engines).toEqual([
      {
        ...{ name: 'terraform', enabled: false, capabilities: ['plan'] },
        ...{ status: 'disabled', message: 'it is turned off on this director' },
      },
    ]);
    expect(await door.ask('GET', '/api/v1/ready')).toMatchObject({
      status: 200,
      body: { dependencies: { terraform: 'disabled' } },
    });
    // Who names none gets another.
    const both = await mount({
      elsewhere: entry('healthy', { isEnabled: false }),
      terraform: entry('healthy'),
    });
    expect((await post(both, wish('off-v2'))).body.resources[0].engine).toBe('terraform');
    await reached(both, 'off-v2', 'ready');
  });

  test('one that is not asked for a while: who names none gets another, who names it hears when it is tried next (N51, N143)', async () => {
    const until = Date.UTC(2026, 10, 22, 12);
    let pause: { because: string; until: number } | undefined = { because: 'its tool is gone', until };
    const paused = entry('healthy', { pause: async () => pause });
    const alone = await mount({ terraform: paused });
    for (const engine of [{ engine: 'terraform' }, {}]) {
      const answer = await post(alone, wish('paused-v1', engine));
      expect(answer).toMatchObject({
        status: 503,
        body: {
          error: {
            code: 'ENGINE_NOT_AVAILABLE',
            message: expect.stringContaining('of terraform: its tool is gone'),
            details: { triedNext: '2026-11-22T12:00:00.000Z', hint: expect.any(String) },
          },
        },
      });
      expect(answer.headers.get('retry-after')).toBe('Sun, 22 Nov 2026 12:00:00 GMT');
    }
    // Of several that do not take it, one for good: then there is nothing to wait for.
    const two = wish('paused-v1', {}, { resources: [] });
    const answer = await post(alone, {
      ...two,
      resources: [
        { name: 'a', engine: 'terraform', config: {} },
        { name: 'b', engine: 'helm', config: {} },
      ],
    });
    expect(answer.status).toBe(422);
    const both = await mount({ elsewhere: paused, terraform: entry('healthy') });
    expect((await post(both, wish('paused-v2'))).body.resources[0].engine).toBe('terraform');
    // The id was not used up.
    pause = undefined;
    expect((await post(alone, wish('paused-v1'))).status).toBe(202);
    await reached(alone, 'paused-v1', 'ready');
  });

  test('one that is degraded comes after those that are well, and before those that are not (N51, NX6)', async () => {
    const ill = entry('healthy', { health: async () => ({ status: 'unhealthy' }) });
    const door = await mount({ first: ill, terraform: entry('degraded'), last: ill });
    expect((await post(door, wish('degraded-v1'))).body.resources[0].engine).toBe('terraform');
    const { body } = await door.ask('GET', '/api/v1/engines/terraform/health');
    expect(body).toEqual({ name: 'terraform', status: 'degraded' });
    expect((await door.ask('GET', '/api/v1/ready')).body.dependencies.terraform).toBe('degraded');
    await reached(door, 'degraded-v1', 'ready');
  });

  test('has a time limit of its own, where a request says none (N106)', async () => {
    const door = await mount({ terraform: entry('healthy', { timeoutSeconds: 1 }) });
    const release = paper.hold('limited');
    await post(door, wish('limited-v1', { name: 'limited' }));
    const { error } = await reached(door, 'limited-v1', 'failed');
    expect(error.message).toContain('it was not done within 1 s');
    const patient = wish('limited-v2', { name: 'limited' }, { config: { timeout: '300s' } });
    await post(door, patient);
    await until(() => expect(paper.done.filter((what) => what === 'create limited')).toHaveLength(2));
    await systemClock.sleep(1_500);
    release();
    await reached(door, 'limited-v2', 'ready');
  });
});

describe.skipIf(!hasTerraform)('as it is shipped, with Terraform', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  });
  afterAll(() => world.stop());

  async function start(name: string, env: Record<string, string> = {}): Promise<DirectorProcess> {
    const director = await startDirector(world, {
      name,
      env: { TERRAFORM_WORK_DIR: join(world.dir, 'terraform'), ...env },
    });
    await director.ready();
    return director;
  }

  async function send(director: DirectorProcess, method: string, path: string, body?: object) {
    const response = await fetch(director.url + path, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: JSON.parse(await response.text()) };
  }

  function seen(director: DirectorProcess, id: string, status: string): Promise<Answer['body']> {
    return until(async () => {
      const { body } = await director.get(`/api/v1/deployments/${id}`);
      if (body.status !== status) throw new Error(`Not yet: ${JSON.stringify(body)}\n${director.output()}`);
      return body;
    });
  }

  const VARIABLES = {
    variable: { greeting: {} },
    resource: { terraform_data: { line: { input: '$' + '{var.greeting}' } } },
    output: {
      line: { value: '$' + '{terraform_data.line.output}' },
      space: { value: '$' + '{terraform.workspace}' },
    },
  };
  const described = (id: string, config: object = {}): object =>
    wish(id, {
      config: { source: { configuration: VARIABLES }, variables: { greeting: 'hello' }, ...config },
    });

  test('code that is described is written, deployed, known again by its digest, and wrong where it is wrong (N59)', async () => {
    const director = await start('describing');
    const path = '/api/v1/deployments';
    expect((await send(director, 'POST', path, described('described-v1'))).status).toBe(202);
    const first = await seen(director, 'described-v1', 'ready');
    expect(first.resources[0]).toMatchObject({ outputs: { line: 'hello' }, digest: expect.any(String) });
    await send(director, 'POST', path, described('described-v2', { variables: { greeting: 'bye' } }));
    const second = await seen(director, 'described-v2', 'ready');
    expect(second.resources[0]).toMatchObject({
      outputs: { line: 'bye' },
      digest: first.resources[0].digest,
    });

    const wrong = wish('described-v3', {
      config: {
        source: { module: { source: '../net' }, outputs: ['a"b'] },
        variables: { version: '1' },
      },
    });
    const refused = await send(director, 'POST', path, wrong);
    expect(refused.status).toBe(400);
    expect(refused.body.error.message).toMatch(/no module that can be fetched|letters, digits/);
    const reserved = wish('described-v3', {
      config: { source: { module: { source: 'a/b/c' } }, variables: { version: '1' } },
    });
    expect((await send(director, 'POST', path, reserved)).body.error).toMatchObject({
      code: 'VALIDATION_FAILED',
      message: expect.stringContaining('"version" is no variable of a module'),
    });
    const running = {
      resource: { terraform_data: { a: { provisioner: { 'local-exec': { command: 'id' } } } } },
    };
    await send(
      director,
      'POST',
      path,
      described('described-v4', { source: { configuration: running }, variables: {} }),
    );
    expect((await seen(director, 'described-v4', 'failed')).error.message).toContain('local-exec');
    await director.stop();
  });

  test('turned off: refused at both doors, and what is deployed says what to do when it is to go (N110)', async () => {
    const path = '/api/v1/deployments';
    const before = await start('switched', { TERRAFORM_WORKSPACE_PREFIX: 'nestor-' });
    await send(before, 'POST', path, described('switched-v1', { workspace: 'blue' }));
    const { resources } = await seen(before, 'switched-v1', 'ready');
    expect(resources[0].outputs.space).toBe('nestor-blue');
    await before.stop();

    const off = await start('switched', { TERRAFORM_ENABLED: 'false' });
    expect(await send(off, 'POST', path, described('switched-v2'))).toMatchObject({
      status: 422,
      body: { error: { code: 'ENGINE_NOT_AVAILABLE' } },
    });
    expect((await off.get('/api/v1/engines/terraform')).body).toMatchObject({ enabled: false });
    const flow = {
      ...ephemeral({}),
      modules: { net: { source: { configuration: VARIABLES }, variables: { greeting: 'hello' } } },
    };
    await world.send('dataflow-setup', 'off-arch', {
      architecture: { document: documentOf('off-arch', { flow }) },
    });
    expect(await world.recorder.answerTo('off-arch', 60_000)).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('turned off on this director'),
      fix: expect.stringContaining('TERRAFORM_ENABLED=true'),
    });
    const { body } = await send(off, 'DELETE', `${path}/switched-v1?mode=destroy`);
    const { error } = await seen(off, body.operation.id, 'failed');
    expect(`${error.message} ${error.hint}`).toMatch(
      /turned off on this director.*take it down, and turn it off again/,
    );
    await off.stop();

    // With another prefix by then: it goes where it is.
    const after = await start('switched', { TERRAFORM_WORKSPACE_PREFIX: 'other-' });
    const again = await send(after, 'DELETE', `${path}/switched-v1?mode=destroy`);
    await seen(after, again.body.operation.id, 'deleted');
    await after.stop();
  });

  test('a tool that breaks is not asked for a while, and works when it is mended (N49, N143)', async () => {
    const binary = join(world.dir, 'mended-terraform');
    writeFileSync(binary, `#!/bin/sh\nPATH='${process.env.PATH}' exec terraform "$@"\n`);
    chmodSync(binary, 0o644);
    const director = await start('mending', { TERRAFORM_BINARY: binary });
    const path = '/api/v1/deployments';
    // Each fails in its plan, until there are enough of them.
    const refused = await until(async () => {
      const id = `mended-${systemClock.now()}`;
      const answer = await send(director, 'POST', path, described(id));
      if (answer.status === 503) return answer;
      await seen(director, id, 'failed');
      throw new Error('Not yet');
    });
    expect(refused.body.error).toMatchObject({
      code: 'ENGINE_NOT_AVAILABLE',
      message: expect.stringContaining('mended-terraform'),
      details: { triedNext: expect.any(String) },
    });
    expect((await director.get('/api/v1/engines/terraform/health')).status).toBe(503);
    chmodSync(binary, 0o755);
    await until(async () => {
      const { status } = await send(director, 'POST', path, described('mended-v1'));
      if (status !== 202) throw new Error(`Not yet: ${status}`);
    });
    await seen(director, 'mended-v1', 'ready');
    expect((await director.get('/api/v1/engines/terraform/health')).status).toBe(200);
    await director.stop();
  });
});
