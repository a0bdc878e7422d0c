/** The client that we publish for `/api/v1`, at a director as it is shipped, on the local cloud; also as the handbook has it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  clientOf,
  type Deployment,
  DeploymentRefused,
  type DeploymentStatus,
  type DeploymentsClient,
  type Engine,
  type StatusChange,
} from '@service-director/conductor';
import { run } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { bring } from './support/code.ts';
import { documented } from './support/dialects.ts';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { NO_TERRAFORM } from './support/rest.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const ROOT = resolve(import.meta.dirname, '../..');
let world: World;
let director: DirectorProcess;
let client: DeploymentsClient;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world, { env: { TERRAFORM_WORK_DIR: join(world.dir, 'terraform') } });
  await director.ready();
  client = clientOf({ url: director.url });
});
afterAll(() => world.stop());

const request = (id: string, digest: string) => ({
  ...{ id, composer: 'team-client', environment: 'dev', name: 'thing' },
  resources: [{ name: 'database', config: { source: { digest } } }],
});

test('which APIs there are is told, and every one of them is in the document (NX12)', async () => {
  const { status, body } = await director.get('/api/versions');
  expect([status, body]).toMatchObject([200, { current: 'v1', versions: ['v1'] }]);
  const { body: document } = await director.get('/openapi.json');
  const paths = Object.keys(document.paths);
  for (const { path } of body.apis)
    expect(
      paths.some((one) => one.startsWith(`${path}/`) || one === path),
      path,
    ).toBe(true);
  expect((await director.get('/api/versions/none')).status).toBe(404);
});

test('what is refused is an error with the code of the director, whatever is asked (N29)', async () => {
  const engines: Engine[] = await client.engines();
  expect(engines).toMatchObject([{ name: 'terraform', enabled: true }]);
  expect(await client.list({ composer: 'nobody', limit: 3 })).toEqual({ deployments: [], count: 0 });
  const refused = async (asked: Promise<unknown>) => {
    const error: unknown = await asked.catch((thrown) => thrown);
    if (!(error instanceof DeploymentRefused))
      throw new Error(`It was not refused: ${JSON.stringify(error)}`);
    return [error.status, error.code];
  };
  expect(await refused(client.get('no/body'))).toEqual([404, 'RESOURCE_NOT_FOUND']);
  expect(await refused(client.create({ ...request('x-v1', 'y'), environment: 'No' }))).toEqual([
    400,
    'VALIDATION_FAILED',
  ]);
  for (const asked of [client.status('x'), client.logs('x'), client.cancel('x'), client.rollback('x')])
    expect(await refused(asked)).toEqual([404, 'RESOURCE_NOT_FOUND']);
});

test('without a version a request is refused in the same words, before its route is reached too (N91)', async () => {
  const ask = (method: string) =>
    fetch(`${director.url}/deployments`, { method, headers: { origin: 'https://elsewhere.example' } });
  const [posted, got] = await Promise.all([ask('POST'), ask('GET')]);
  const answer = documented('POST', '/deployments', posted, await posted.json());
  expect(answer).toMatchObject({
    status: 403,
    body: { error: { code: 'FORBIDDEN', service: 'orchestrator' } },
  });
  expect(documented('GET', '/deployments', got, await got.json())).toMatchObject({
    status: 403,
    body: { type: 'about:blank', status: 403 },
  });
});

describe.skipIf(NO_TERRAFORM !== '')(`with Terraform${NO_TERRAFORM}`, () => {
  const codeFor = (word: string): string =>
    `resource "terraform_data" "it" {\n  input = "${word}"\n}\noutput "word" {\n  value = terraform_data.it.output\n}\n`;

  async function ended(id: string): Promise<DeploymentStatus['status'] | undefined> {
    let last: DeploymentStatus['status'] | undefined;
    for await (const change of client.watch(id)) if (change.type === 'end') last = change.status;
    return last;
  }

  test('deploys, watches, reads, lists and rolls back (N29, N30, NX3)', async () => {
    const first = await client.create(request('typed-v1', await bring(director, codeFor('one'))));
    expect(['pending', 'in_progress']).toContain(first.status);
    expect(await ended(first.id)).toBe('ready');
    const one: Deployment = await client.get(first.id);
    expect(one.resources).toMatchObject([{ name: 'database', status: 'ready', outputs: { word: 'one' } }]);
    expect(await client.status(first.id)).toMatchObject({ id: 'typed-v1', status: 'ready', phase: 'done' });
    expect((await client.logs(first.id)).map(({ message }) => message)).toContainEqual(
      expect.stringContaining('Creation complete'),
    );

    const second = await client.create(request('typed-v2', await bring(director, codeFor('two'))));
    expect(await ended(second.id)).toBe('ready');
    const back = await client.rollback(second.id, { reason: 'the word was better' });
    expect(await ended(back)).toBe('ready');
    expect((await client.get(second.id)).status).toBe('rolled_back');

    const page = await client.list({ composer: 'team-client', limit: 2 });
    expect(page.deployments.map(({ id }) => id)).toEqual([back, 'typed-v2']);
    const next = await client.list({ composer: 'team-client', pageToken: page.nextPageToken ?? '' });
    expect(next.deployments.map(({ id }) => id)).toEqual(['typed-v1']);
  });

  test('of what cannot be planned a watch ends with the words of the tool, as the status has them (NX3)', async () => {
    const { id } = await client.create(
      request('broken-v1', await bring(director, 'resource "terraform_data" "it" {')),
    );
    const changes: StatusChange[] = [];
    for await (const change of client.watch(id)) changes.push(change);
    const status = await client.status(id);
    expect(status.error).toMatchObject({ resource: 'database', step: 'planning' });
    expect(changes.at(-1)).toEqual({ type: 'end', ...status });
    const again: StatusChange[] = [];
    for await (const change of client.watch(id)) again.push(change);
    expect(again).toEqual(changes);
  });

  test('what waits for an approval is stopped (N29, N34)', async () => {
    const { id } = await client.create({
      ...request('gated-v1', await bring(director, codeFor('three'))),
      environment: 'production',
    });
    for await (const change of client.watch(id)) {
      if (change.type === 'status' && change.phase === 'awaiting_approval') await client.cancel(id);
      if (change.type === 'end') expect(change.status).toBe('cancelled');
    }
  });

  test('the program in the handbook compiles, and does what it says, word by word (N29)', async () => {
    const [, program = ''] =
      /### Its client[\s\S]*?```ts\n([\s\S]*?)```/.exec(
        readFileSync(join(ROOT, 'docs/dialects.md'), 'utf8'),
      ) ?? [];
    expect(program).toContain('clientOf(');
    const dir = mkdtempSync(join(tmpdir(), 'client-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    mkdirSync(join(dir, 'node_modules/@service-director'), { recursive: true });
    symlinkSync(join(ROOT, 'conductor'), join(dir, 'node_modules/@service-director/conductor'), 'dir');
    symlinkSync(join(ROOT, 'node_modules/@types'), join(dir, 'node_modules/@types'), 'dir');
    writeFileSync(join(dir, 'package.json'), '{"type": "module"}');
    writeFileSync(join(dir, 'program.ts'), program);
    const config = { extends: join(ROOT, 'tsconfig.json'), include: ['program.ts'] };
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(config));
    const tsc = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', dir, '--noEmit'], { encoding: 'utf8' });
    expect([tsc.status, tsc.stdout]).toEqual([0, '']);
    const env = {
      PATH: process.env.PATH ?? '',
      DIRECTOR: director.url,
      BUNDLE: await bring(director, codeFor('four')),
    };
    const signal = AbortSignal.timeout(120_000);
    const { code, stdout, stderr } = await run(process.execPath, ['program.ts'], { cwd: dir, env, signal });
    expect(code, stderr).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(lines).toEqual(
      expect.arrayContaining(['database in_progress', 'database ready', 'team-alpha-web-app-v1 in_progress']),
    );
    expect(lines.at(-1)).toBe('team-alpha-web-app-v1 ready');
  });
});
