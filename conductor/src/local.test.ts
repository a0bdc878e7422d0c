import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { end, run, start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callCli } from './cli/testing.ts';
import { EXIT } from './failure.ts';
import { joinLocalCloud, type LocalCloudFile, readLocalCloud } from './local.ts';

const PROGRAM = join(import.meta.dirname, 'main.ts');
const ENV = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' };

/** A space and a hash, as folders of users have them. */
const base = join(mkdtempSync(join(tmpdir(), 'local-')), 'my cloud #1');
const dir = join(base, '.localcloud');
mkdirSync(base);
afterAll(() => rmSync(join(base, '..'), { recursive: true }));

/** `conductor local …` about the folder. */
function local(word: string, ...options: string[]) {
  return callCli(['local', word, '--dir', dir, ...options]);
}

interface Started {
  readonly child: ChildProcess;
  /** What it printed when it was ready. */
  readonly line: string;
}

async function occupy(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** In the default folder of a process of its own. */
async function startCloud(...args: string[]): Promise<Started> {
  const child = start(process.execPath, [PROGRAM, 'local', 'start', ...args], { cwd: base, env: ENV });
  const lines = createInterface({ input: child.stdout ?? process.stdin });
  const [line] = await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}`))),
  ]);
  return { child, line: String(line) };
}

describe('where none runs', () => {
  test.each([
    [
      'status',
      [],
      EXIT.unreachable,
      `not running in ${dir}; start it with conductor local start --dir '${dir}'\n`,
      '',
    ],
    [
      'env',
      [],
      EXIT.unreachable,
      '',
      `error: No local cloud runs in ${dir}\n  fix: conductor local start --dir '${dir}', or conductor up --local-dir '${dir}' --local\n`,
    ],
    ['stop', [], EXIT.done, '', `No local cloud runs in ${dir}.\n`],
    ['status', ['--json'], EXIT.unreachable, '{"type":"not-running"}\n', ''],
  ])('%s %j', async (word, options, code, stdout, stderr) => {
    expect(await local(word, ...options)).toEqual({ code, stdout, stderr });
    expect(existsSync(dir)).toBe(false);
  });

  test('a port that is in use', async () => {
    const server = await occupy(0);
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await local('start', '--port', String(port));
    expect(code).toBe(EXIT.unreachable);
    expect(stderr).toContain(`error: The port ${port} is in use\n  fix: leave out --port`);
    server.close();
    expect(readLocalCloud(dir)).toBeUndefined();
  });

  test.each([
    [['--port', 'many'], '--port many is no number from 1 to 65535'],
    [['--propagation', 'soon'], '--propagation soon is no duration'],
    [['--seed', '-1'], '--seed wants a value; one that begins with a dash is written --seed=VALUE'],
    [['--faults', '/gone.json'], '/gone.json cannot be read'],
  ])('%j is refused', async (options, message) => {
    const { code, stderr } = await local('start', ...options);
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain(message);
  });
});

describe('where one runs', () => {
  let cloud: Started;
  let ready: LocalCloudFile & { type: string };

  beforeAll(async () => {
    // A lock whose holder is gone does not count.
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'lock'), String(spawnSync('true').pid));
    cloud = await startCloud('--propagation', '0s', '--project', 'a-project');
    ready = JSON.parse(cloud.line);
  });
  afterAll(() => end(cloud.child, 5_000));

  test('start says in one line of JSON where it is', async () => {
    expect(ready).toMatchObject({
      type: 'ready',
      pid: cloud.child.pid,
      project: 'a-project',
      propagationMs: 0,
    });
    expect(ready.origin).toBe(`http://127.0.0.1:${ready.port}`);
    expect((await fetch(`${ready.origin}/v3/projects/a-project`)).status).toBe(200);
  });

  test('a second start in the same folder is refused', async () => {
    const { code, stdout, stderr } = await local('start');
    expect(code).toBe(EXIT.failed);
    expect(stdout).toBe('');
    expect(stderr).toContain(`A local cloud runs in ${dir} already (pid ${cloud.child.pid})`);
    expect(stderr).toContain('stop it with conductor local stop');
    expect(readLocalCloud(dir)?.pid).toBe(cloud.child.pid);
  });

  test('a run joins it', async () => {
    expect(await joinLocalCloud({ dir }, '/no/program')).toMatchObject({ origin: ready.origin });
  });

  test('status tells where it is', async () => {
    const { code, stdout } = await local('status');
    expect(code).toBe(EXIT.done);
    expect(stdout).toBe(
      `running at ${ready.origin} (pid ${ready.pid}) since ${ready.startedAt}, project a-project\n`,
    );
    const { type: _type, ...file } = ready;
    expect(JSON.parse((await local('status', '--json')).stdout)).toEqual({
      type: 'running',
      ...file,
    });
  });

  describe('env', () => {
    let variables: Record<string, string>;
    beforeAll(async () => {
      variables = JSON.parse((await local('env', '--format', 'json')).stdout);
    });

    /** Without the token, which is a new one each time. */
    const { CLOUDSDK_AUTH_ACCESS_TOKEN: token, ...fixed } = {
      CLOUDSDK_AUTH_ACCESS_TOKEN: expect.any(String),
    };

    test('as JSON', () => {
      expect(variables).toMatchObject({
        SERVICE_DIRECTOR_CLOUD_ENDPOINT: ready.origin,
        GOOGLE_CLOUD_PROJECT: 'a-project',
        PUBSUB_EMULATOR_HOST: `127.0.0.1:${ready.port}`,
        STORAGE_EMULATOR_HOST: ready.origin,
        CLOUDSDK_CONFIG: join(dir, 'gcloud'),
      });
    });

    test('for a shell', async () => {
      const { stdout } = await local('env');
      const print = `${stdout}\n"$0" -p 'JSON.stringify(process.env)'`;
      const shell = await run('sh', ['-c', print, process.execPath], { cwd: base, env: {} });
      expect(JSON.parse(shell.stdout)).toMatchObject({
        ...variables,
        ...fixed,
        CLOUDSDK_AUTH_ACCESS_TOKEN: token,
      });
    });

    test('as a dotenv file', async () => {
      writeFileSync(join(base, 'cloud.env'), (await local('env', '--format', 'dotenv')).stdout);
      const node = await run(
        process.execPath,
        ['--env-file=cloud.env', '-p', 'JSON.stringify(process.env)'],
        { cwd: base, env: {} },
      );
      expect(JSON.parse(node.stdout)).toMatchObject({ ...variables, CLOUDSDK_AUTH_ACCESS_TOKEN: token });
    });

    test('of another project, or another format', async () => {
      const { stdout } = await local('env', '--json', '--project', 'other-project');
      expect(JSON.parse(stdout)).toMatchObject({
        GOOGLE_CLOUD_PROJECT: 'other-project',
        CLOUDSDK_CORE_PROJECT: 'other-project',
      });
      const refused = await local('env', '--format', 'xml');
      expect(refused.code).toBe(EXIT.usage);
      expect(refused.stderr).toContain(
        '--format xml: there is no such format\n  fix: it can be shell, json, dotenv',
      );
    });

    test('of the project of an architecture: that in the present folder, or the one that is named', async () => {
      const folder = join(base, 'orders');
      mkdirSync(folder);
      const text = `
name: orders
project_id: orders-project
region: europe-west1
deployment_environments:
  production: { project_id: orders-production }
`;
      writeFileSync(join(folder, 'architecture.yaml'), text);
      const projectOf = async (cwd: string, ...words: string[]) =>
        JSON.parse((await callCli(['local', 'env', ...words, '--json', '--dir', dir], { cwd })).stdout)
          .GOOGLE_CLOUD_PROJECT;
      expect(await projectOf(folder)).toBe('orders-project');
      expect(await projectOf(base, 'orders')).toBe('orders-project');
      expect(await projectOf(base, 'orders', '--environment', 'production')).toBe('orders-production');
      expect(await projectOf(folder, '--project', 'other-project')).toBe('other-project');
      expect(await projectOf(base)).toBe('a-project');
      expect(await callCli(['local', 'env', 'nowhere', '--dir', dir], { cwd: base })).toMatchObject({
        code: EXIT.invalidArchitecture,
        stdout: '',
        stderr: expect.stringContaining('There is no nowhere'),
      });
      expect(await callCli(['local', 'stop', 'orders', '--dir', dir], { cwd: base })).toMatchObject({
        code: EXIT.usage,
        stderr: expect.stringContaining('There is a word too many: orders'),
      });
    });

    test("Google's own clients create and list with nothing else", async () => {
      const script = `
        import { PubSub } from '@google-cloud/pubsub';
        import { Storage } from '@google-cloud/storage';
        const [pubsub, storage] = [new PubSub(), new Storage()];
        const [topic] = await pubsub.createTopic('orders');
        const [subscription] = await topic.createSubscription('orders-sub');
        const heard = new Promise((resolve) => subscription.once('message', (message) => {
          message.ack();
          resolve(message.data.toString());
        }));
        await topic.publishMessage({ data: Buffer.from('hello') });
        const message = await heard;
        const [topics] = await pubsub.getTopics();
        const [bucket] = await storage.createBucket('a-bucket-of-a-project');
        await bucket.file('greeting.txt').save('hello');
        const [buckets] = await storage.getBuckets();
        const [files] = await bucket.getFiles();
        const [content] = await bucket.file('greeting.txt').download();
        console.log(JSON.stringify({
          message,
          topics: topics.map(({ name }) => name),
          buckets: buckets.map(({ name }) => name),
          files: files.map(({ name }) => name),
          content: content.toString(),
        }));
        await subscription.close();
        await pubsub.close();
      `;
      const node = await run(process.execPath, ['--input-type=module', '-e', script], {
        cwd: import.meta.dirname,
        env: variables,
      });
      expect(node.stderr).toBe('');
      expect(JSON.parse(node.stdout)).toEqual({
        message: 'hello',
        topics: ['projects/a-project/topics/orders'],
        buckets: ['a-bucket-of-a-project'],
        files: ['greeting.txt'],
        content: 'hello',
      });
    });
  });

  test('stop stops it, a start finds everything again, a reset forgets it', async () => {
    await fetch(`${ready.origin}/v1/projects/a-project/topics/kept`, { method: 'PUT' });
    expect(await local('stop', '--json')).toEqual({
      code: EXIT.done,
      stdout: '{"type":"stopped","wasRunning":true}\n',
      stderr: `The local cloud in ${dir} has stopped; what it holds is kept.\n`,
    });
    expect(cloud.child.exitCode ?? (await once(cloud.child, 'exit'))[0]).toBe(EXIT.done);
    expect(readLocalCloud(dir)).toBeUndefined();

    cloud = await startCloud('--project', 'a-project');
    const again: LocalCloudFile = JSON.parse(cloud.line);
    expect(again.port).toBe(ready.port);
    expect((await fetch(`${again.origin}/v1/projects/a-project/topics/kept`)).status).toBe(200);

    const refused = await local('reset');
    expect(refused).toMatchObject({ code: EXIT.usage, stdout: '' });
    expect(refused.stderr).toContain("would be gone: projects, data, images, the director's state");
    expect(refused.stderr).toContain(`fix: conductor local reset --dir '${dir}' --yes\n`);
    expect(readLocalCloud(dir)).toMatchObject({ port: ready.port });

    const reset = await local('reset', '--yes');
    expect(reset.code).toBe(EXIT.done);
    expect(existsSync(dir)).toBe(false);
    expect(cloud.child.exitCode ?? (await once(cloud.child, 'exit'))[0]).toBe(EXIT.done);
  });

  test('where the port of before is taken, it finds another; Ctrl-C ends it in order', async () => {
    const first = JSON.parse((await startCloud()).line);
    await local('stop');
    const server = await occupy(first.port);
    cloud = await startCloud();
    expect(JSON.parse(cloud.line).port).not.toBe(first.port);
    server.close();
    expect(JSON.parse(readFileSync(join(dir, 'cloud.json'), 'utf8')).pid).toBe(cloud.child.pid);
    cloud.child.kill('SIGINT');
    const [code] = await once(cloud.child, 'exit');
    expect(code).toBe(EXIT.done);
    expect(existsSync(join(dir, 'cloud.json'))).toBe(false);
    expect(existsSync(join(dir, 'lock'))).toBe(false);
  });
});
