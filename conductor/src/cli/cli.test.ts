import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conductor } from '../index.ts';
import { openLook } from '../open.ts';
import { callCli } from './testing.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'));
  writeFileSync(
    join(folder, 'architecture.yaml'),
    `
name: shop
project_id: shop-project
region: europe-west1
dataflows:
  orders:
    resources:
      topics:
        - name: orders
deployment_environments:
  production: { project_id: shop-production }
`,
  );
  writeFileSync(
    join(folder, 'bad.yaml'),
    'name: shop\nproject_id: shop-project\nregion: europe-west1\nlabls: {}\n',
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

const call = (...argv: string[]) => callCli(argv, { cwd: folder });

test.each([
  [['up', '--timeout', 'soon'], '--timeout soon is no duration', 'write it like 30s, 10m or 2h'],
  [['up', '--timeout', '0s'], '--timeout 0s is no duration', 'write it like 30s, 10m or 2h'],
  [
    ['up', '--concurrency', '0'],
    '--concurrency 0 is no number from 1 to 1000',
    'write a whole number, in digits',
  ],
  [
    ['up', '--concurrency', '1.5'],
    '--concurrency 1.5 is no number from 1 to 1000',
    'write a whole number, in digits',
  ],
  [
    ['plan', '--endpoint', 'localhost:80'],
    '--endpoint localhost:80 is no URL',
    'write it with http:// or https://',
  ],
  [
    ['down', '--director-url', 'director'],
    '--director-url director is no URL',
    'write it with http:// or https://',
  ],
  [
    ['up', '--builder', 'podman'],
    '--builder podman: there is no such builder',
    'it can be cloud-build, docker',
  ],
  [
    ['up', '--only', 'build,bild'],
    '--only bild: there is no such phase',
    'phases are: preflight, identities, build, bootstrap, setup, verify-grants, deploy, verify-services',
  ],
  [['up', '--only', 'build', '--skip', 'setup'], '--only and --skip exclude each other', 'leave one out'],
  [['up', '--local', '--propagation', '-'], '--propagation - is no duration', 'write it like 30s, 10m or 2h'],
  [
    ['events', '--limit', 'all'],
    '--limit all is no number from 1 to 10000',
    'write a whole number, in digits',
  ],
  [
    ['up', '--on-failure', 'forget'],
    '--on-failure forget: there is no such choice',
    'it can be keep, rollback',
  ],
  [
    ['down', '--priority', 'urgent'],
    '--priority urgent: there is no such choice',
    'it can be high, normal, low',
  ],
  [
    ['deployments', '--limit', '501'],
    '--limit 501 is no number from 1 to 500',
    'write a whole number, in digits',
  ],
  [['deployments', 'get'], 'The id of a deployment is missing', 'conductor deployments get ID [FILE]'],
  [['deployments', 'logs'], 'The id of a deployment is missing', 'conductor deployments logs ID [FILE]'],
  [['history'], 'The name of a dataflow is missing', 'conductor history DATAFLOW [FILE]'],
  [
    ['state', 'flow', '--audit', '--limit', '0'],
    '--limit 0 is no number from 1 to 10000',
    'write a whole number, in digits',
  ],
  [['lock'], 'The name of a dataflow is missing', 'conductor lock DATAFLOW [FILE]'],
  [
    ['unlock', 'flow'],
    'Which lock is not said',
    'conductor unlock DATAFLOW [FILE] --lock-id ID, or --force --reason TEXT',
  ],
  [
    ['unlock', 'flow', '--force'],
    '--force wants a --reason, for the history',
    'conductor unlock DATAFLOW [FILE] --lock-id ID, or --force --reason TEXT',
  ],
  [['approve'], 'The id of a deployment is missing', 'conductor approve DEPLOYMENT [FILE]'],
  [['cancel', '--command'], 'The id of a command is missing', 'conductor cancel --command ID [FILE]'],
  [
    ['rollback', 'flow'],
    '--reason is missing: why it goes back',
    'conductor rollback DATAFLOW [FILE] --reason TEXT',
  ],
  [
    ['rollback', 'flow', '--reason', 'x', '--to-version', '-1'],
    '--to-version wants a value; one that begins with a dash is written --to-version=VALUE',
    'see conductor rollback --help',
  ],
  [
    ['rollback', '--deployment', '--reason', 'x'],
    'The id of a deployment is missing',
    'conductor rollback --deployment ID [FILE] --reason TEXT',
  ],
])('%j is refused as usage, and nothing is begun', async (argv, message, fix) => {
  const before = readdirSync(folder);
  expect(await call(...argv)).toEqual({
    code: 64,
    stdout: '',
    stderr: `error: ${message}\n  fix: ${fix}\n`,
  });
  expect(readdirSync(folder)).toEqual(before);
});

test('a question to a director that does not answer is given up when its time is over, and ends with 69', async () => {
  const answers = createServer((_, response) => response.writeHead(200).end('{"access_token":"x"}'));
  await once(answers.listen(0, '127.0.0.1'), 'listening');
  const endpoint = `http://127.0.0.1:${(answers.address() as AddressInfo).port}`;
  const where = ['--endpoint', endpoint, '--director-url', 'http://127.0.0.1:1', '--timeout', '1s'];
  for (const command of [['deployments'], ['history', 'orders'], ['lock', 'orders'], ['cancel', 'id']]) {
    const { code, stdout, stderr } = await call(...command, ...where);
    expect([code, stdout]).toEqual([69, '']);
    expect(stderr).toMatch(
      /does not answer: .*; it is asked again\nerror: The director at .* does not answer/,
    );
  }
  answers.close();
});

test('a run always has a deadline, and never none at all (G7)', async () => {
  const options = { architecture: folder, endpoint: 'http://127.0.0.1:1' };
  expect(openLook(options, 'look').timeoutSeconds).toBe(1_800);
  for (const timeoutSeconds of [0, -1, Number.NaN])
    await expect(conductor({ ...options, timeoutSeconds }).run()).rejects.toMatchObject({
      message: `timeoutSeconds is ${timeoutSeconds}`,
      exitCode: 64,
    });
  expect(await call('up', '--timeout', '0s')).toMatchObject({ code: 64 });
});

test('with --json a refusal is an object on stdout too', async () => {
  const { code, stdout, stderr } = await call('up', '--json', '--builder', 'podman');
  expect(code).toBe(64);
  expect(JSON.parse(stdout)).toEqual({
    type: 'failed',
    error: '--builder podman: there is no such builder',
    fix: 'it can be cloud-build, docker',
    exitCode: 64,
  });
  expect(stderr).toContain('error: --builder podman');
});

test('validate says what an architecture holds', async () => {
  expect(await call('validate')).toEqual({
    code: 0,
    stdout: 'shop is valid: 1 dataflow, 0 services, 1 resource\n',
    stderr: '',
  });
  const { stdout } = await call('validate', '--hydrated', '--environment', 'production');
  expect(stdout).toContain('project_id: shop-production');
});

test('validate shows all that is wrong, and ends with 65', async () => {
  const { code, stdout, stderr } = await call('validate', 'bad.yaml');
  expect(code).toBe(65);
  expect(stdout).toBe('');
  expect(stderr).toContain('bad.yaml:4:1: error: ');
  expect(stderr).toContain('  4 | labls: {}\n    | ^^^^^\n');
  expect(stderr).toContain('did you mean "labels"?');
  expect(stderr).toMatch(/error: The architecture has 1 mistake\n$/);
  const json = await call('validate', 'bad.yaml', '--json');
  expect(JSON.parse(json.stdout.split('\n')[0] ?? '')).toMatchObject({
    type: 'diagnostic',
    diagnostic: { severity: 'error', at: { file: 'bad.yaml', line: 4 } },
  });
});

test('validate looks for sources beside the other mistakes', async () => {
  const text = `
name: shop
project_id: shop-project
region: europe-west1
labls: {}
dataflows:
  orders:
    services:
      api: { service_account: shop-api, deployment: { source_path: ./nowhere } }
`;
  writeFileSync(join(folder, 'two.yaml'), text);
  const { code, stderr } = await call('validate', 'two.yaml');
  expect(code).toBe(65);
  expect(stderr).toContain('did you mean "labels"?');
  expect(stderr).toContain('error: the source of api, ./nowhere, is no folder\n');
  expect(stderr).toMatch(/error: The architecture has 2 mistakes\n$/);
});

describe('where the sources are not there', () => {
  beforeAll(() => {
    const service = (name: string) =>
      `{ services: { ${name}: { service_account: shop-${name}, deployment: { source_path: ./${name} } } } }`;
    const head = 'name: shop\nproject_id: shop-project\nregion: europe-west1\ndataflows:\n';
    writeFileSync(
      join(folder, 'sourceless.yaml'),
      `${head}  orders: ${service('api')}\n  audit: ${service('auditor')}\n`,
    );
    mkdirSync(join(folder, 'api'));
  });
  const here = ['--endpoint', 'http://127.0.0.1:1'];

  test.each([['status'], ['down'], ['events'], ['deployments', '--timeout', '1s'], ['director', 'status']])(
    '%s does without them',
    async (...words) => {
      const { code, stderr } = await call(...words, 'sourceless.yaml', ...here);
      expect(stderr).not.toContain('is no folder');
      expect(code).toBe(69);
    },
  );

  test('a run that builds wants those of the dataflow that it is about', async () => {
    const all = await call('up', 'sourceless.yaml', ...here);
    expect(all.code).toBe(65);
    expect(all.stderr).toContain('the source of auditor, ./auditor, is no folder');
    expect(all.stderr).not.toContain('the source of api');
    expect(await call('up', 'sourceless.yaml', '--dataflow', 'audit', ...here)).toMatchObject({ code: 65 });
    expect(await call('up', 'sourceless.yaml', '--dataflow', 'orders', ...here)).toMatchObject({ code: 69 });
  });

  test('logs without a service says which there are', async () => {
    const known = 'error: Which service? Known are: api, auditor\n';
    expect(await call('logs', './sourceless.yaml')).toEqual({
      code: 64,
      stdout: '',
      stderr: `${known}  fix: conductor logs SERVICE ./sourceless.yaml\n`,
    });
    const elsewhere = await callCli(['logs'], { cwd: join(folder, 'api') });
    expect(elsewhere.stderr).toBe('error: Which service?\n  fix: conductor logs SERVICE [FILE]\n');
    writeFileSync(join(folder, 'api', 'architecture.yaml'), readFileSync(join(folder, 'sourceless.yaml')));
    expect((await callCli(['logs'], { cwd: join(folder, 'api') })).stderr).toBe(
      `${known}  fix: conductor logs SERVICE [FILE]\n`,
    );
    // A folder that is called as a service is.
    expect((await call('logs', 'api', ...here)).stderr).not.toContain('Which service');
  });
});

test('what to type next is typed as the conductor was started', async () => {
  const env = { npm_package_name: 'service-director', npm_lifecycle_event: 'conductor' };
  const nowhere = join(folder, 'no cloud');
  const options = ['--local-dir', nowhere, '--local', '--environment', 'production'];
  const asked = ['status', '.', ...options];
  expect((await callCli(asked, { cwd: folder, env })).stderr).toBe(
    `error: No local cloud runs in ${nowhere}\n  fix: npm run conductor -- local start --dir '${nowhere}', or npm run conductor -- up . --environment production --local-dir '${nowhere}' --local\n`,
  );
  const { stdout } = await callCli([...asked, '--json'], { cwd: folder, env });
  expect(JSON.parse(stdout)).toMatchObject({ fix: 'conductor local start, or conductor up --local' });
  expect((await callCli(['pln'], { env })).stderr).toContain('fix: npm run conductor -- plan\n');
});

test.each([['plan'], ['up'], ['down']])('%s of an architecture with mistakes ends with 65', async (name) => {
  const { code, stderr } = await call(name, 'bad.yaml', '--endpoint', 'http://127.0.0.1:1');
  expect(code).toBe(65);
  expect(stderr).toContain('bad.yaml:4:1: error: ');
});

test.each([
  [['up', '--environment', 'prod'], /The architecture has no environment "prod"; it has: production/],
  [['up', '--dataflow', 'ordres'], /There is no dataflow "ordres"\n {2}fix: the architecture has: orders/],
])('%j names what there is', async (argv, message) => {
  const { code, stderr } = await call(...argv, '--endpoint', 'http://127.0.0.1:1');
  expect(code).toBe(64);
  expect(stderr).toMatch(message);
});

test('down takes a dataflow that is described no more: only the director knows of it', async () => {
  const { code, stderr } = await call('down', '--dataflow', 'old', '--endpoint', 'http://127.0.0.1:1');
  expect(code).toBe(69);
  expect(stderr).not.toContain('There is no dataflow');
});

test('a cloud that cannot be reached ends with 69', async () => {
  const { code, stderr } = await call('plan', '--endpoint', 'http://127.0.0.1:1');
  expect(code).toBe(69);
  expect(stderr).toMatch(
    /error: the project shop-project: .*\n {2}fix: see whether the endpoint can be reached/s,
  );
});

test('schema prints a JSON Schema', async () => {
  const { code, stdout } = await call('schema');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ title: 'Service Director architecture', type: 'object' });
});

test('version', async () => {
  expect(await call('version')).toEqual({ code: 0, stdout: 'development\n', stderr: '' });
  expect(JSON.parse((await call('--version', '--json')).stdout)).toEqual({
    version: 'development',
    node: process.version,
  });
});

test('completion prints the script of the shell', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout, stderr } = await call('completion', shell);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Completions of conductor for ${shell}.`);
  }
});
