/**
 * The dialect at `/api/v1` of directors as they are shipped, with the tool itself: what is left when one dies, who is
 * told of it, how it is watched, and what is said where the tool is missing.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openReceiver, signaturesBy } from '@service-director/director/webhooks/testing.ts';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { documented } from './support/dialects.ts';
import { type Answer, type DirectorProcess, startDirector } from './support/director.ts';
import { openWorld, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: what /api/v1 does with it is not tested here.\n');

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

async function start(name: string, env: Record<string, string> = {}): Promise<DirectorProcess> {
  const director = await startDirector(world, {
    name,
    env: {
      TERRAFORM_WORK_DIR: join(world.dir, 'terraform'),
      TERRAFORM_LOCAL_EXEC: 'allowed',
      DIRECTOR_PRIVATE_HOSTS: 'allowed',
      ...env,
    },
  });
  await director.ready();
  return director;
}

async function send({ url }: DirectorProcess, path: string, body: object): Promise<Answer['body']> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const answer = await response.json();
  documented('POST', path, response, answer);
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

test('who is refused before a route is reached hears it in the words of the dialect (NX9)', async () => {
  const director = await start('refusing');
  const asked = (path: string) =>
    fetch(director.url + path, { headers: { origin: 'https://elsewhere.example' } });
  const [own, theirs, builds, native] = await Promise.all(
    ['/api/v1/deployments', '/api/deployments', '/api/builds', '/v1/deployments'].map(asked),
  );
  expect([own, theirs, builds, native].map((answer) => answer?.status)).toEqual([403, 403, 403, 403]);
  const message = 'This director takes nothing from pages of others.';
  const trace_id = expect.stringMatching(/^[0-9a-f]{32}$/);
  for (const answer of [own, theirs, builds, native])
    if (answer) documented('GET', new URL(answer.url).pathname, answer, await answer.clone().json());
  expect(await own?.json()).toEqual({
    error: { code: 'FORBIDDEN', message, service: 'orchestrator', details: {}, trace_id },
  });
  for (const answer of [theirs, builds]) expect(await answer?.json()).toEqual({ error: message });
  expect(await native?.json()).toMatchObject({ title: 'Forbidden', detail: message });
  await director.stop();
});

const resource = (name: string, digest: string, more: object = {}): object => ({
  ...{ name, engine: 'terraform', config: { source: { digest } } },
  ...more,
});

const wish = (id: string, ...resources: object[]): object => ({
  ...{ id, composer: 'team-program', environment: 'dev', resources },
});

function seen(
  director: DirectorProcess,
  id: string,
  holds: (body: Answer['body']) => boolean,
): Promise<Answer['body']> {
  return until(async () => {
    const { body } = await director.get(`/api/v1/deployments/${id}`);
    if (!holds(body)) throw new Error(`Not yet: ${JSON.stringify(body)}\n${director.output()}`);
    return body;
  });
}

const QUICK = 'resource "terraform_data" "quick" {\n  input = "x"\n}\n';

/** Is made once that file is there, or after a minute. */
const waitsFor = (path: string): string => `
  resource "terraform_data" "slow" {
    input = "x"
    provisioner "local-exec" {
      command = "i=0; while [ ! -e '${path}' ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"
    }
  }
`;

describe.skipIf(!hasTerraform)('with Terraform', () => {
  test('of two directors one does the work, either tells of it; when one dies the other goes on with what is left (N40, N128, N129, N136)', async () => {
    const [one, other] = [await start('shared'), await start('shared')];
    const flag = join(world.dir, 'go-on');
    const [quick, slow] = [await bring(one, QUICK), await bring(one, waitsFor(flag))];
    await send(
      one,
      '/api/v1/deployments',
      wish('shared-v1', resource('first', quick), resource('second', slow, { dependsOn: ['first'] })),
    );
    const before = await seen(other, 'shared-v1', ({ resources }) => resources[1].status === 'in_progress');
    expect(before.resources[0].status).toBe('ready');
    const worker = one.output().includes('unit-started') ? one : other;
    const witness = worker === one ? other : one;
    expect(witness.output()).not.toContain('unit-started');
    await worker.kill();
    writeFileSync(flag, '');
    const { resources } = await seen(witness, 'shared-v1', ({ status }) => status === 'ready');
    expect(resources.map(({ status }: { status: string }) => status)).toEqual(['ready', 'ready']);
    const { body } = await witness.get('/api/v1/deployments/shared-v1/logs');
    const begun = body.logs.flatMap(({ message, resource: name }: { message: string; resource: string }) =>
      message.startsWith('Begun') ? [name] : [],
    );
    // What was finished is not begun again.
    expect(begun.filter((name: string) => name === 'first')).toEqual(['first']);
    expect(begun).toContain('second');
    await witness.kill();
  });

  describe('one director', () => {
    let director: DirectorProcess;
    let quick: string;
    beforeAll(async () => {
      director = await start('alone');
      quick = await bring(director, QUICK);
    });

    test('calls whoever wants to hear of it, signed, again where that failed (N135)', async () => {
      let refusals = 1;
      const receiver = await openReceiver((_request, response) => {
        response.writeHead(refusals-- > 0 ? 500 : 200).end();
      });
      onTestFinished(() => receiver.close());
      const hook = { url: receiver.url, events: ['deployment.succeeded'] };
      const { secret } = await send(director, '/v1/webhooks', hook);
      await send(director, '/api/v1/deployments', wish('told-v1', resource('a', quick)));
      const { deployment } = await seen(director, 'told-v1', ({ status }) => status === 'ready');
      await until(() => expect(receiver.received).toHaveLength(2));
      const [first, second] = receiver.received;
      if (!first || !second) throw new Error('There were two a moment ago');
      expect(second.headers['webhook-id']).toBe(first.headers['webhook-id']);
      expect(signaturesBy(secret, second)).toHaveLength(1);
      expect(JSON.parse(second.body)).toMatchObject({
        type: 'deployment.succeeded',
        data: { command: 'nestor:told-v1', deployment, status: 'succeeded' },
      });
    });

    test('tells what the engine does while it does it, to whoever listens at /v1 (N38, N155)', async () => {
      const flag = join(world.dir, 'be-heard');
      const slow = await bring(director, waitsFor(flag));
      await send(director, '/api/v1/deployments', wish('heard-v1', resource('a', slow)));
      const { deployment } = await seen(
        director,
        'heard-v1',
        ({ resources }) => resources[0].status === 'in_progress',
      );
      const path = `/v1/deployments/${encodeURIComponent(deployment)}/logs`;
      const response = await fetch(director.url + path, { headers: { accept: 'text/event-stream' } });
      expect([response.status, response.headers.get('content-type')]).toEqual([
        200,
        expect.stringMatching(/^text\/event-stream/),
      ]);
      let text = '';
      for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += part;
        // It is heard before it is over.
        if (text.includes('terraform_data.slow: Creating...')) writeFileSync(flag, '');
      }
      expect(text).toMatch(/event: end\n/);
      expect(text).toContain('terraform_data.slow: Creation complete');
      const { body } = await director.get('/api/v1/deployments/heard-v1/logs');
      expect(body.logs).toContainEqual({
        timestamp: expect.stringMatching(/Z$/),
        level: 'info',
        message: expect.stringContaining('terraform_data.slow: Creation complete'),
        resource: 'a',
      });
    });

    test('what a module of the request outputs and what takes it do not fit: that is said before anything is made (N44, N142)', async () => {
      const gives = await bring(director, 'output "words" {\n  value = ["a", "b"]\n}\n');
      const takes = await bring(director, 'variable "number" {\n  type = number\n}\n');
      const variables = { number: '$' + '{module.gives.words}' };
      await send(
        director,
        '/api/v1/deployments',
        wish('fits-v1', resource('gives', gives), {
          ...{ name: 'takes', engine: 'terraform', config: { source: { digest: takes }, variables } },
        }),
      );
      const { error, resources } = await seen(director, 'fits-v1', ({ status }) => status === 'failed');
      expect(error).toMatchObject({
        ...{ code: 'DEPLOYMENT_FAILED', resource: 'takes', engine: 'terraform', step: 'planning' },
        message: expect.stringMatching(/^takes \(terraform\) failed: .*a number is required/),
        hint: expect.any(String),
      });
      for (const { status } of resources) expect(status).toBe('pending');
    });
  });
});

test('where the tool is missing its health says so, and a deployment fails with what to do (N142, N145)', async () => {
  const director = await start('bare', { TERRAFORM_BINARY: join(world.dir, 'no-such-tool') });
  const { body: engine } = await director.get('/api/v1/engines/terraform');
  expect(engine).toMatchObject({ name: 'terraform', status: 'unhealthy' });
  expect(engine.message).toMatch(/no-such-tool.*install Terraform/);
  expect((await director.get('/api/v1/engines/terraform/health')).status).toBe(503);
  const digest = await bring(director, QUICK);
  await send(director, '/api/v1/deployments', wish('toolless-v1', resource('a', digest)));
  const { error } = await seen(director, 'toolless-v1', ({ status }) => status === 'failed');
  expect(error).toMatchObject({ code: 'DEPLOYMENT_FAILED', step: 'planning', hint: expect.any(String) });
  expect(error.message).toContain('no-such-tool');
});
