/** Code of a generator: of the one in the examples, as a process of its own, and of others that do not behave. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { run } from '@service-director/shared/kit/process.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { pack } from './bundle.ts';
import { fromGenerator, type GeneratorOptions } from './generator.ts';
import { unpack } from './unpack.ts';

const MAIN = join(resolve(import.meta.dirname, '../../..'), 'examples/generator/main.js');
const Begun = z.object({ jobId: z.string(), status: z.string(), message: z.string() });
const PATH = process.env.PATH ?? '';
const hasTerraform = PATH.split(delimiter).some((folder) => existsSync(join(folder, 'terraform')));
const never = new AbortController().signal;

/** Its waits are counted and short. */
function quickClock(waits: number[] = []): Clock {
  let passed = 0;
  return {
    ...systemClock,
    now: () => passed,
    async sleep(ms, signal) {
      waits.push(ms);
      passed += ms;
      await systemClock.sleep(1, signal);
    },
  };
}

const options = (url: string | undefined, clock: Clock = systemClock): GeneratorOptions => ({
  url,
  clock,
  random: () => 0,
});

describe('the generator of the examples', () => {
  let child: ChildProcess;
  let url = '';

  beforeAll(async () => {
    const env = { PATH, PORT: '0', STEP_MS: '50' };
    child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    if (!child.stdout) throw new Error('No output');
    for await (const line of createInterface({ input: child.stdout })) {
      url = /http:\S+/.exec(line)?.[0] ?? '';
      break;
    }
  });
  afterAll(async () => {
    const gone = new Promise((done) => child.once('exit', done));
    child.kill();
    await gone;
  });

  async function begin(body: object): Promise<string> {
    const response = await fetch(`${url}/api/generate`, { method: 'POST', body: JSON.stringify(body) });
    expect(response.status).toBe(202);
    const begun = Begun.parse(await response.json());
    expect(begun).toMatchObject({ status: 'pending', message: 'IaC generation started' });
    return begun.jobId;
  }

  const look = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}${path}`);
    return [response.status, await response.json()];
  };

  test('a job is waited for, and all its files are taken', async () => {
    const job = await begin({ blueprintId: 'web-app-blueprint', options: { instances: 3 } });
    const files = await fromGenerator(job, options(url), never);
    expect(files.map(({ path }) => path)).toEqual(['versions.tf', 'variables.tf', 'main.tf', 'outputs.tf']);
    expect(String(files[1]?.content)).toContain('default = 3');
    expect(await look(`/api/generate/${job}`)).toEqual([
      200,
      expect.objectContaining({
        id: job,
        blueprintId: 'web-app-blueprint',
        targetFormat: 'terraform',
        status: 'completed',
        output: expect.objectContaining({ metadata: { resourceCount: 3, estimatedCost: 0, warnings: [] } }),
        createdAt: expect.any(String),
        completedAt: expect.any(String),
      }),
    ]);
    const download = await fetch(`${url}/api/generate/${job}/download`);
    expect(download.headers.get('content-type')).toContain('text/plain');
    expect(await download.text()).toContain('resource "terraform_data" "web"');
  });

  test.skipIf(!hasTerraform)(
    `Terraform takes it${hasTerraform ? '' : ': it is not installed here'}`,
    async () => {
      const dir = mkdtempSync(join(tmpdir(), 'generated-'));
      try {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: Terraform must not fill it in
        const chosen = { name: 'a"${x}%{y}\n', tier: '$(id)' };
        const job = await begin({ blueprintId: 'web-app-blueprint', options: chosen });
        await unpack(await pack(await fromGenerator(job, options(url), never)), dir);
        const env = { PATH, HOME: dir, CHECKPOINT_DISABLE: '1' };
        for (const args of [['init', '-input=false'], ['validate'], ['fmt', '-check', '-recursive']])
          expect(await run('terraform', args, { cwd: dir, env })).toMatchObject({ code: 0 });
      } finally {
        rmSync(dir, { recursive: true });
      }
    },
  );

  test('a job that failed is told in its own words', async () => {
    const job = await begin({ blueprintId: 'no-such-blueprint' });
    await expect(fromGenerator(job, options(url), never)).rejects.toMatchObject({
      reason: 'precondition',
      message: 'Failed to fetch generated code: Blueprint not found',
    });
  });

  test('a job that is not there is told in its own words', async () => {
    await expect(fromGenerator('no-such-job', options(url), never)).rejects.toMatchObject({
      reason: 'not-found',
      message: 'Failed to fetch generated code: Job not found',
    });
  });

  test('it answers what was asked wrongly', async () => {
    const job = await begin({ blueprintId: 'static-site' });
    expect(await look(`/api/generate/${job}/download`)).toEqual([400, { error: 'Job not completed yet' }]);
    expect(await look('/api/generate/nobody/download')).toEqual([404, { error: 'Job not found' }]);
    expect(await look('/health')).toEqual([200, expect.objectContaining({ status: 'healthy' })]);
    for (const body of ['{}', 'no json', '{"blueprintId":"x","targetFormat":"cobol"}', 'null']) {
      const response = await fetch(`${url}/api/generate`, { method: 'POST', body });
      expect([response.status, await response.json()]).toEqual([400, { error: expect.any(String) }]);
    }
  });
});

describe('other generators', () => {
  let server: Server | undefined;
  const asked: string[] = [];
  afterEach(async () => {
    asked.length = 0;
    server?.closeAllConnections();
    await new Promise((closed) => server?.close(closed) ?? closed(undefined));
    server = undefined;
  });

  type Said = readonly [status: number, body: object | string, headers?: Record<string, string>];

  /** Resolves with the URL of one that gives these answers, the last of them as often as it is asked. */
  async function answering(...answers: readonly [Said, ...Said[]]): Promise<string> {
    let next = 0;
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const [status, body, headers] = answers[Math.min(next++, answers.length - 1)] ?? answers[0];
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    });
    const listening = server;
    await new Promise<void>((done) => listening.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
  }

  const take = (url: string | undefined, clock = quickClock(), signal = never) =>
    fromGenerator('job-1', options(url, clock), signal);

  test.each([
    ['terraform', 'main.tf'],
    ['bicep', 'main.bicep'],
    ['cloudformation', 'template.yaml'],
    [undefined, 'main.tf'],
  ])('code without files, as %s, becomes %s', async (targetFormat, path) => {
    const url = await answering([
      200,
      { status: 'completed', targetFormat, output: { code: 'x', files: [] } },
    ]);
    expect(await take(`${url}/`)).toEqual([{ path, content: Buffer.from('x') }]);
    expect(asked).toEqual(['GET /api/generate/job-1']);
  });

  test('code that the job does not carry is downloaded', async () => {
    const url = await answering([200, { status: 'completed' }], [200, 'terraform {}']);
    expect(await take(url)).toEqual([{ path: 'main.tf', content: Buffer.from('terraform {}') }]);
    expect(asked).toEqual(['GET /api/generate/job-1', 'GET /api/generate/job-1/download']);
  });

  test('pending and processing are waited for, longer each time', async () => {
    const waits: number[] = [];
    const url = await answering(
      [200, { status: 'pending' }],
      [200, { status: 'processing' }],
      [200, { status: 'completed', output: { code: 'x' } }],
    );
    await fromGenerator('job-1', { url, clock: quickClock(waits), random: () => 1 }, never);
    expect(waits).toEqual([750, 1_000]);
  });

  test('a job that never ends is given up after ten minutes', async () => {
    const url = await answering([200, { status: 'processing' }]);
    const clock = quickClock();
    const from = clock.now();
    await expect(fromGenerator('job-1', { url, clock, random: () => 1 }, never)).rejects.toThrow(
      'Failed to fetch generated code: the job is still processing',
    );
    expect(clock.now() - from).toBeGreaterThanOrEqual(600_000);
  });

  test('an answer that got lost is asked for again', async () => {
    const done: Said = [200, { status: 'completed', output: { code: 'x' } }];
    const url = await answering([503, 'down'], [500, { error: 'Internal server error' }], done);
    expect(await take(url)).toHaveLength(1);
  });

  test.each<[string, Said, string]>([
    ['its own error', [500, { error: 'Disk full' }], 'Disk full'],
    ['no words', [502, '<html>'], 'the generator answers with 502'],
    ['a refusal', [403, { error: 'Not yours' }], 'Not yours'],
    ['a redirect', [302, '', { location: 'http://169.254.169.254/' }], 'the generator answers with 302'],
    ['no job', [200, { hello: 'world' }], 'the generator answers with what is no job'],
    ['no JSON', [200, 'fine'], 'the generator answers with what is no job'],
    ['a failure without words', [200, { status: 'failed' }], 'Generation failed'],
    ['control characters', [404, { error: 'Job \u001b[31mnot found' }], 'Job [31mnot found'],
  ])('%s', async (_what, answer, words) => {
    const url = await answering(answer);
    await expect(take(url)).rejects.toMatchObject({ message: `Failed to fetch generated code: ${words}` });
  });

  test('a job without code, and one whose download is refused', async () => {
    const empty = await answering([200, { status: 'completed' }], [200, ' \n']);
    await expect(take(empty)).rejects.toThrow('Failed to fetch generated code: the job has no code');
  });

  test('a generator that is not there, and one that is not set up', async () => {
    const gone = await answering([200, {}]);
    await new Promise((closed) => server?.close(closed));
    await expect(take(gone)).rejects.toMatchObject({
      reason: 'unknown-outcome',
      message: expect.stringMatching(
        /^Failed to fetch generated code: the generator at IAC_GENERATOR_URL cannot be reached: .*ECONNREFUSED/,
      ),
    });
    await expect(take(undefined)).rejects.toThrow(
      'Failed to fetch generated code: IAC_GENERATOR_URL is not set',
    );
  });

  test('an abort ends the waiting, with its own reason', async () => {
    const url = await answering([200, { status: 'pending' }]);
    const abort = new AbortController();
    const taking = fromGenerator('job-1', options(url), abort.signal);
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    abort.abort(new Error('cancelled by ops'));
    await expect(taking).rejects.toThrow('cancelled by ops');
  });

  test('the id of a job cannot lead elsewhere', async () => {
    const url = await answering([404, { error: 'Job not found' }]);
    await expect(fromGenerator('../../admin?x', options(url), never)).rejects.toThrow('Job not found');
    expect(asked).toEqual(['GET /api/generate/..%2F..%2Fadmin%3Fx']);
  });
});
