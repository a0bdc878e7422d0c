/** What somebody meets who tries it for the first time: nothing there yet, an up that breaks off, a program that crashes. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { end, start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { callCli } from './cli/testing.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const PROGRAM = join(import.meta.dirname, 'main.ts');
const PROJECT = 'steps-project';
const folder = mkdtempSync(join(tmpdir(), 'first-steps-'));
const env = { PATH: process.env.PATH ?? '', HOME: folder };
afterAll(() => rmSync(folder, { recursive: true }));

const ARCHITECTURE = `
name: steps
project_id: ${PROJECT}
region: europe-west1
dataflows:
  orders:
    lifecycle: { strategy: ephemeral }
    services:
      api:
        service_account: steps-api
        deployment: { source_path: ./api }
`;

const CRASHING = `
console.log('reading my settings');
throw new Error('no DATABASE_URL');
`;
const SERVING = `
require('node:http').createServer((_, response) => response.end('ok')).listen(process.env.PORT);
`;

beforeAll(() => {
  mkdirSync(join(folder, 'api'));
  writeFileSync(join(folder, 'architecture.yaml'), ARCHITECTURE);
  writeFileSync(join(folder, 'api', 'package.json'), '{"name": "api", "scripts": {"start": "node main.js"}}');
  writeFileSync(join(folder, 'api', 'main.js'), CRASHING);
});

interface Cloud {
  readonly child: ChildProcess;
  readonly origin: string;
  /** A command of the conductor on it. */
  call(...argv: string[]): ReturnType<typeof callCli>;
  /** The same as a process of its own, once it has written that to stderr. */
  begin(shows: string, ...argv: string[]): Promise<{ child: ChildProcess; errors(): string }>;
}

async function startCloud(name: string, propagation: string): Promise<Cloud> {
  const dir = join(folder, name);
  const args = [PROGRAM, 'local', 'start', '--dir', dir, '--propagation', propagation];
  const child = start(process.execPath, args, { env });
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout ?? process.stdin }), 'line'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}`))),
  ]);
  const here = ['--local', '--local-dir', dir];
  return {
    child,
    origin: JSON.parse(String(line)).origin,
    call: (...argv) => callCli([...argv, ...here], { cwd: folder, env }),
    async begin(shows, ...argv) {
      const run = start(process.execPath, [PROGRAM, ...argv, ...here], { cwd: folder, env });
      let text = '';
      run.stderr?.setEncoding('utf8');
      await new Promise<void>((done, fail) => {
        run.stderr?.on('data', (more: string) => {
          text += more;
          if (text.includes(shows)) done();
        });
        run.once('exit', () => fail(new Error(`it ended before it said "${shows}":\n${text}`)));
      });
      return { child: run, errors: () => text };
    },
  };
}

describe('in order', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = await startCloud('cloud', '0s');
  });
  afterAll(() => end(cloud.child, 10_000));

  async function accounts(): Promise<string[]> {
    const answer = await fetch(`${cloud.origin}/v1/projects/${PROJECT}/serviceAccounts`);
    const { accounts: all = [] } = (await answer.json()) as { accounts?: { email: string }[] };
    return all.flatMap(({ email }) =>
      email.endsWith('.iam.gserviceaccount.com') ? [email.split('@')[0] ?? ''] : [],
    );
  }

  test('status before anything: one line, and what to do', async () => {
    const { code, stdout, stderr } = await cloud.call('status');
    expect([code, stdout]).toEqual([69, '']);
    expect(stderr).toBe(
      `error: Nothing is up: the local cloud has no project ${PROJECT} yet\n  fix: run conductor up --local --local-dir ${join(folder, 'cloud')}\n`,
    );
  });

  test('plan says what would be built, and is not without changes', async () => {
    const { code, stdout } = await cloud.call('plan', '--detailed-exitcode');
    expect(code).toBe(2);
    expect(stdout).toMatch(/^build: the images of api$/m);
    expect(stdout).not.toContain('Nothing to change');
  });

  test('status where no API is enabled yet: one line', async () => {
    const { code, stdout } = await cloud.call('status');
    expect([code, stdout]).toEqual([
      69,
      `steps in ${PROJECT}: nothing is up; conductor up --local --local-dir ${join(folder, 'cloud')} stands it up\n`,
    ]);
  });

  test('status where not even projects can be read: one line, and what to type', async () => {
    const rule = {
      api: 'cloudresourcemanager',
      method: 'GetProject',
      error: 'PERMISSION_DENIED',
      message: `Cloud Resource Manager API has not been used in project ${PROJECT} before or it is disabled.`,
    };
    const setFaults = (...rules: object[]) =>
      fetch(`${cloud.origin}/_local/faults`, { method: 'PUT', body: JSON.stringify(rules) });
    expect((await setFaults(rule)).ok).toBe(true);
    const { code, stderr } = await cloud.call('status');
    await setFaults();
    expect(code).toBe(77);
    expect(stderr).toContain(
      `error: The APIs of the project ${PROJECT} are not enabled yet, and nothing is up\n`,
    );
    expect(stderr).toContain('gcloud services enable cloudresourcemanager.googleapis.com');
  });

  test('down takes away what an up made that broke off before there was a director', async () => {
    expect(await cloud.call('up', '--only', 'preflight,identities')).toMatchObject({ code: 0 });
    expect((await accounts()).sort()).toEqual(['service-director', 'service-director-build', 'steps-api']);
    const { stdout } = await cloud.call('status');
    expect(stdout).toContain('  service-account steps-api\n');
    const asked = await cloud.call('down', '--dry-run');
    expect(asked.code).toBe(0);
    expect(asked.stderr).toContain('service-account/steps-api would be removed\n');
    expect(asked.stderr).toContain('service-account/service-director would be removed\n');
    expect(asked.stderr).not.toContain('apis/service-director would');
    expect((await accounts()).length).toBe(3);
    const { code, stderr } = await cloud.call('down');
    expect(stderr).toContain('service-account/steps-api: deleted');
    expect(code).toBe(0);
    expect(await accounts()).toEqual([]);
  });

  test('a program that crashes: why, once, in its own words', async () => {
    const { code, stderr } = await cloud.call('up');
    expect(code).toBe(1);
    const [before, after = ''] = stderr.split('  the last lines of api:\n');
    expect(before).toMatch(/service\/api: failed \(.*\): Revision 'api-00001-\w+' is not ready/);
    expect(before).not.toContain('Logs URL');
    expect(after).toContain('    reading my settings\n');
    expect(after).toContain('    Error: no DATABASE_URL\n');
    expect(after.match(/is not ready and cannot serve/g)).toHaveLength(1);
    expect(after).toMatch(/\n {2}fix: see conductor logs api --local --local-dir \S+\n$/);
  });

  test('once it is mended, plan says that it would be built anew; after an up there is nothing to change', async () => {
    writeFileSync(join(folder, 'api', 'main.js'), SERVING);
    const planned = await cloud.call('plan', '--detailed-exitcode');
    expect(planned.code).toBe(2);
    expect(planned.stdout).toMatch(/^build: the images of api$/m);
    expect(planned.stdout).not.toContain('Nothing to change');
    expect(await cloud.call('up')).toMatchObject({ code: 0 });
    const again = await cloud.call('plan', '--detailed-exitcode');
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing to change.\n') });
    expect(again.stdout).not.toContain('build');
  });
});

describe('before there is a director', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    // Nothing takes effect: the run waits for as long as it is let.
    cloud = await startCloud('slow', '600s');
  });
  afterAll(() => end(cloud.child, 10_000));

  test('Ctrl-C, which comes twice under npm, says that what was made stays', async () => {
    const { child, errors } = await cloud.begin('waiting: ', 'up');
    child.kill('SIGINT');
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    expect(errors()).toContain(
      'error: Interrupted; what was made stays\n  fix: run the same again: it takes up where it is\n',
    );
    expect(code).toBe(130);
  });

  test('a run that is out of time says the same', async () => {
    const { code, stderr } = await cloud.call('up', '--timeout', '2s');
    expect(code).toBe(124);
    expect(stderr).toContain('error: It was not done within 2 s; what was made stays\n');
  });

  test('a local cloud that is stopped ends the run on it', async () => {
    const { child, errors } = await cloud.begin('waiting: ', 'up');
    await callCli(['local', 'stop', '--dir', join(folder, 'slow')]);
    const [code] = await once(child, 'exit');
    expect(errors()).toContain(
      `error: The local cloud in ${join(folder, 'slow')} has stopped, and with it this run\n`,
    );
    expect(code).toBe(69);
  });
});

test('a director that ends at its start is not waited for, and says itself why', async () => {
  const cloud = await startCloud('broken', '0s');
  try {
    const file = join(folder, 'broken.yaml');
    const settings = 'director:\n  deployment: { environment_vars: { LOG_LEVEL: shouting } }\n';
    writeFileSync(file, ARCHITECTURE + settings);
    const { code, stderr } = await cloud.call('up', file);
    expect(stderr).toContain('  the last lines of service-director:\n');
    expect(stderr).toContain('The environment is wrong:');
    // Cloud Run may have seen it listen for a moment, or not: then it was never deployed.
    const ends = 'fix: it seems to end at its start; see conductor director logs';
    const [expected, text] = code === 69 ? [69, ends] : [1, 'failed to start and listen'];
    expect(code).toBe(expected);
    expect(stderr).toContain(text);
  } finally {
    await end(cloud.child, 10_000);
  }
});
