import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callCli } from './cli/testing.ts';
import { type Check, examine } from './doctor.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'doctor-'));
  mkdirSync(join(home, 'bin'));
});
afterEach(() => rmSync(home, { recursive: true }));

/** A program on the path. */
function install(name: string, script: string): void {
  writeFileSync(join(home, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

async function examined(
  more: { env?: Record<string, string>; nodeVersion?: string } = {},
): Promise<Record<string, Check>> {
  const env = { PATH: join(home, 'bin'), HOME: home, ...more.env };
  const checks = await examine({
    env,
    toolEnv: env,
    cwd: home,
    nodeVersion: more.nodeVersion ?? 'v24.1.0',
    localDir: '.localcloud',
  });
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}

test('a machine that has nothing but Node is good enough, and each thing says what it is for', async () => {
  const { node, ...others } = await examined();
  expect(node).toMatchObject({ state: 'good', isRequired: true, found: 'v24.1.0' });
  expect(Object.keys(others)).toEqual([
    'pnpm',
    'docker',
    'gcloud',
    'terraform',
    'java',
    'chromium',
    'credentials',
    'local cloud',
  ]);
  for (const check of Object.values(others)) {
    expect(check).toMatchObject({ state: 'missing', isRequired: false });
    expect(check.purpose).not.toBe('');
  }
});

test.each([
  ['v22.12.0', 'broken'],
  ['v20.19.4', 'broken'],
  ['v22.13.0', 'good'],
  ['v23.0.0', 'good'],
])('Node %s is %s', async (nodeVersion, state) => {
  expect((await examined({ nodeVersion })).node).toMatchObject({ state, found: nodeVersion });
});

test('tools tell their versions, wherever they print them and whatever they are called', async () => {
  install('gcloud', 'echo "Google Cloud SDK 500.0.0"; echo "bq 2"');
  install('java', 'echo "openjdk version 21" >&2');
  install('google-chrome', 'echo "Google Chrome 140"');
  expect(await examined()).toMatchObject({
    gcloud: { state: 'good', found: 'Google Cloud SDK 500.0.0' },
    java: { state: 'good', found: 'openjdk version 21' },
    chromium: { state: 'good', found: 'Google Chrome 140' },
  });
});

test('a tool that does not work is told from one that is not there', async () => {
  install('terraform', 'echo "cannot load library" >&2; exit 127');
  install('pnpm', 'exit 3');
  expect(await examined()).toMatchObject({
    terraform: { state: 'broken', because: 'cannot load library' },
    pnpm: { state: 'broken', because: 'it ends with 3' },
  });
});

test('docker is good when its engine answers', async () => {
  install('docker', '[ "$1" = info ] && { echo "Cannot connect" >&2; exit 1; }; echo "Docker version 28"');
  expect((await examined()).docker).toMatchObject({
    state: 'broken',
    found: 'Docker version 28',
    because: 'its engine does not answer: Cannot connect',
  });
  install('docker', 'echo "Docker version 28"');
  expect((await examined()).docker).toMatchObject({ state: 'good', found: 'Docker version 28' });
});

test('credentials are looked for where the clients of Google look', async () => {
  const gone = { GOOGLE_APPLICATION_CREDENTIALS: 'key.json' };
  expect((await examined({ env: gone })).credentials).toMatchObject({
    state: 'broken',
    because: 'GOOGLE_APPLICATION_CREDENTIALS names key.json, which is not there',
  });
  writeFileSync(join(home, 'key.json'), '{}');
  expect((await examined({ env: gone })).credentials).toMatchObject({ state: 'good', found: 'key.json' });

  const file = join(home, '.config', 'gcloud', 'application_default_credentials.json');
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, '{}');
  expect((await examined()).credentials).toMatchObject({ state: 'good', found: file });
  const elsewhere = await examined({ env: { CLOUDSDK_CONFIG: join(home, 'elsewhere') } });
  expect(elsewhere.credentials).toMatchObject({ state: 'missing' });
});

test('a local cloud that runs is told, one that is gone is not', async () => {
  mkdirSync(join(home, '.localcloud'));
  const file = (pid: number): void =>
    writeFileSync(
      join(home, '.localcloud', 'cloud.json'),
      JSON.stringify({ pid, origin: 'http://127.0.0.1:1234', port: 1234 }),
    );
  file(process.pid);
  expect((await examined())['local cloud']).toMatchObject({
    state: 'good',
    found: 'runs in .localcloud at http://127.0.0.1:1234',
  });
  // No process has it: it is above all that Linux and macOS give.
  file(2 ** 22 + 1);
  expect((await examined())['local cloud']).toMatchObject({ state: 'missing' });
});

test('the command prints a line for each, and ends with 0 when nothing that is required is missing', async () => {
  install('terraform', 'exit 1');
  const env = { PATH: join(home, 'bin'), HOME: home };
  const { code, stdout, stderr } = await callCli(['doctor'], { cwd: home, env });
  expect(code).toBe(0);
  expect(stderr).toBe('');
  const lines = stdout.split('\n').slice(0, -1);
  expect(lines.slice(9)).toEqual([
    '',
    'director  not asked: nothing says where one is: there is no architecture here',
    '  fix: name its FILE, its --director-url, or --local',
    expect.stringMatching(/^ {2}what stands above is this machine alone; /),
  ]);
  expect(lines[0]).toBe(`✓ node         ${process.version}  (required: everything)`);
  expect(lines[4]).toMatch(/^✗ terraform {4}it ends with 1 {2}\(optional: /);
  expect(lines[5]).toMatch(/^– java {9}missing {2}\(optional: /);

  const json = await callCli(['doctor', '--json'], { cwd: home, env });
  expect(JSON.parse(json.stdout)).toMatchObject({
    type: 'doctor',
    isWell: true,
    director: { asked: false, because: expect.stringContaining('no architecture here') },
  });
});
