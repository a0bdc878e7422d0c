import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
  [['up', '--concurrency', '0'], '--concurrency 0 is no number from 1 to 1000', 'correct it'],
  [['up', '--concurrency', '1.5'], '--concurrency 1.5 is no number from 1 to 1000', 'correct it'],
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
  [['up', '--builder', 'podman'], '--builder podman: there is no such builder', 'cloud-build or docker'],
  [
    ['up', '--only', 'build,bild'],
    '--only bild: there is no such phase',
    'phases are: preflight, identities, build, bootstrap, setup, verify-grants, deploy, verify-services',
  ],
  [['up', '--only', 'build', '--skip', 'setup'], '--only and --skip exclude each other', 'leave one out'],
  [['up', '--local', '--propagation', '-'], '--propagation - is no duration', 'write it like 30s, 10m or 2h'],
  [['events', '--limit', 'all'], '--limit all is no number from 1 to 10000', 'correct it'],
])('%j is refused as usage, and nothing is begun', async (argv, message, fix) => {
  const before = readdirSync(folder);
  expect(await call(...argv)).toEqual({
    code: 64,
    stdout: '',
    stderr: `error: ${message}\n  fix: ${fix}\n`,
  });
  expect(readdirSync(folder)).toEqual(before);
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
    fix: 'cloud-build or docker',
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
