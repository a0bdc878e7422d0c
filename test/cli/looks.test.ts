/** The commands that only look, at a real director on a local cloud: what they say, and that they change nothing. */
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { callCli } from '@service-director/conductor/cli/testing.ts';
import { start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from '../director/support/director.ts';
import { documentOf, pair } from '../director/support/documents.ts';
import { OLDER, openWorld, PROJECT, REGION, until, type World } from '../director/support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;
let folder = '';
let document: object;
/** Where the cloud and the director are. */
let where: string[] = [];
/** Of the director. */
let version = '';

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
  folder = join(world.dir, 'architecture');
  mkdirSync(folder);
  document = documentOf(
    'look',
    { flow: pair('look-', world.images.serves) },
    { director: { command_topic: OLDER.commands, completion_topic: OLDER.completions } },
  );
  // JSON is YAML.
  writeFileSync(join(folder, 'architecture.yaml'), JSON.stringify(document));
  version = (await director.get('/version')).body.version;
  where = ['--endpoint', world.running.origin, '--director-url', director.url];
});
afterAll(() => world.stop());

const call = (...argv: string[]) => callCli(argv, { cwd: folder });

/** What `status --json` says. */
// biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
async function status(): Promise<any> {
  return JSON.parse((await call('status', '--json', ...where)).stdout);
}

async function command(type: 'dataflow-setup' | 'deploy' | 'teardown', id: string, more: object = {}) {
  await world.send(type, id, { architecture: { document }, dataflow: 'all', ...more });
  return world.recorder.answerTo(id);
}

/** The conductor as a process of its own, which is read line by line and ended by Ctrl-C. */
function follow(...argv: string[]) {
  const program = join(import.meta.dirname, '../../conductor/src/main.ts');
  const child = start(process.execPath, [program, ...argv, '--follow'], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '' },
  });
  let output = '';
  let errors = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  world.onStop(async () => void child.kill('SIGKILL'));
  return {
    output: () => output,
    lines: () => output.split('\n').slice(0, -1),
    shows: (text: string) =>
      until(() => {
        if (!output.includes(text)) throw new Error(`"${text}" does not show in:\n${output}${errors}`);
      }),
    async interrupt(): Promise<number | null> {
      child.kill('SIGINT');
      const [code] = await once(child, 'exit');
      return code;
    },
  };
}

describe('status', () => {
  test('before anything is set up says what is missing, and ends with 1', async () => {
    const since = world.now();
    const { code, stdout } = await call('status', ...where);
    expect(code).toBe(1);
    expect(stdout).toContain(`look in ${PROJECT}\n`);
    expect(stdout).toContain(`director service-director  ready  ${director.url}  version ${version}\n`);
    expect(stdout).toContain(
      '  subscription dataflow-setup-sub, deploy-sub, teardown-sub, rollback-sub, approve-sub, cancel-sub, sd-commands-sub',
    );
    expect(stdout).toContain(
      'flow  never set up\n  service look-api  missing\n  service look-web  missing\n',
    );
    expect(stdout).toContain('  topic missing: look-orders\n');
    expect(stdout).toContain('  bucket missing: look-receipts\n');
    const calls = world.running.cloud.calls.since(since);
    expect(calls.length).toBeGreaterThan(20);
    // The recorder of these tests takes its messages meanwhile.
    const mine = calls.filter(({ method }) => method !== 'Acknowledge' && method !== 'ModifyAckDeadline');
    expect(mine.filter(({ mutating }) => mutating)).toEqual([]);
  });

  test('after a deployment everything is there, with its version and the newest command', async () => {
    await command('dataflow-setup', 'look.setup');
    await command('deploy', 'look.deploy');
    // Neither a plan nor what another architecture does to a dataflow of the same name is the newest.
    await command('deploy', 'look.plan', { dry_run: true });
    const other = documentOf('other', { flow: { resources: { topics: [{ name: 'other-topic' }] } } });
    await world.send('dataflow-setup', 'other.setup', { architecture: { document: other } });
    await world.recorder.answerTo('other.setup');

    const { code, stdout } = await call('status', ...where);
    expect(stdout).not.toMatch(/missing|foreign|unknown|differs/);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^flow {2}version 2$/m);
    expect(stdout).toMatch(
      /^ {2}service look-api {2}ready {2}http:\/\/\S+ {2}look-api-00001-\w+ {2}[0-9a-f]{12}$/m,
    );
    expect(stdout).toMatch(/^ {2}topic look-orders$/m);
    expect(stdout).toMatch(/^ {2}newest: deploy succeeded at \S+Z \(look\.deploy\)$/m);
  });

  test('as JSON it is one object', async () => {
    expect(await status()).toMatchObject({
      type: 'status',
      architecture: 'look',
      project: PROJECT,
      isWell: true,
      notes: [],
      running: [],
      director: { name: 'service-director', state: 'ready', url: director.url, version },
      dataflows: [
        {
          name: 'flow',
          stack: 'look/flow',
          version: 2,
          services: [
            { name: 'look-api', state: 'ready', image: world.images.serves },
            { name: 'look-web', state: 'ready', image: world.images.serves },
          ],
          last: { id: 'look.deploy', type: 'deploy', status: 'succeeded' },
        },
      ],
    });
    const { dataflows } = await status();
    expect(dataflows[0].resources).toContainEqual({ unit: 'topic/look-orders', state: 'present' });
    expect(dataflows[0].resources).toContainEqual({ unit: 'grants/service/look-api', state: 'present' });
  });

  test('what is gone, changed, or not ours is told apart', async () => {
    await world.call('PATCH', `/v1/projects/${PROJECT}/subscriptions/look-orders-api`, {
      subscription: { ackDeadlineSeconds: 77 },
      updateMask: 'ackDeadlineSeconds',
    });
    await world.call('DELETE', '/storage/v1/b/look-receipts');
    await world.call('POST', `/storage/v1/b?project=${PROJECT}`, { name: 'look-receipts' });
    const { dataflows, isWell } = await status();
    const of = (unit: string): object =>
      dataflows[0].resources.find((one: { unit: string }) => one.unit === unit);
    expect(of('subscription/look-orders-api')).toEqual({
      unit: 'subscription/look-orders-api',
      state: 'present',
      differs: ['ackDeadlineSeconds'],
    });
    expect(of('bucket/look-receipts')).toEqual({
      unit: 'bucket/look-receipts',
      state: 'foreign',
      because: 'it does not bear our mark',
    });
    expect(of('grants/bucket/look-receipts')).toMatchObject({ state: 'missing' });
    expect(isWell).toBe(false);
    const { code, stdout } = await call('status', ...where);
    expect(code).toBe(1);
    expect(stdout).toContain('  subscription/look-orders-api differs: ackDeadlineSeconds\n');
    expect(stdout).toContain('  bucket/look-receipts foreign: it does not bear our mark\n');
    await world.call('DELETE', '/storage/v1/b/look-receipts');
    await command('dataflow-setup', 'look.repair');
    expect(await status()).toMatchObject({ isWell: true });
  });

  test('what the director is at, since when, and what it waits for', async () => {
    const topics = [{ name: 'slow-topic' }];
    const slow = documentOf('slow', { flow: { resources: { topics } } });
    world.running.cloud.faults.replace([
      { method: 'CreateTopic', error: 'UNAVAILABLE', message: 'try later' },
    ]);
    await world.send('dataflow-setup', 'slow.setup', { architecture: { document: slow } });
    const running = await until(async () => {
      const [one] = (await status()).running;
      expect(one?.units[0]?.waiting).toBe('try later');
      return one;
    });
    expect(running).toMatchObject({
      command: 'slow.setup',
      type: 'dataflow-setup',
      stack: 'slow/flow',
      status: 'applying',
      since: expect.stringMatching(/^\d{4}-.*Z$/),
      units: [{ unit: 'topic/slow-topic', waiting: 'try later' }],
    });
    const { stdout, code } = await call('status', ...where);
    expect(stdout).toMatch(
      /^running\n {2}slow\/flow dataflow-setup applying since \S+Z \(slow\.setup\)\n {4}topic\/slow-topic: waiting: try later$/m,
    );
    expect(code).toBe(0);
    world.running.cloud.faults.replace([]);
    await world.recorder.answerTo('slow.setup');
    expect(await status()).toMatchObject({ running: [] });
  });

  test('a service that does not start says why', async () => {
    await command('deploy', 'look.crash', { images: { 'look-web': world.images.crashes } });
    const { dataflows } = await status();
    expect(dataflows[0].services[1]).toMatchObject({
      name: 'look-web',
      state: 'not-ready',
      because: expect.stringContaining('failed to start and listen on the port'),
    });
    expect(dataflows[0].last).toMatchObject({ id: 'look.crash', status: 'failed' });
    expect((await call('status', ...where)).code).toBe(1);
    await command('deploy', 'look.mend', { images: { 'look-web': world.images.serves } });
    expect((await call('status', ...where)).code).toBe(0);
  });

  test('without a director it shows what can be seen, and ends with 69', async () => {
    const { code, stdout } = await call('status', '--endpoint', world.running.origin);
    expect(code).toBe(69);
    expect(stdout).toContain(
      `director service-director  missing  there is no director service-director in ${PROJECT}\n`,
    );
    expect(stdout).toContain('flow  version unknown\n  service look-api  ready');
    const gone = await call(
      'status',
      '--endpoint',
      world.running.origin,
      '--director-url',
      'http://127.0.0.1:1',
    );
    expect(gone.code).toBe(69);
    expect(gone.stdout).toMatch(/director service-director {2}unreachable .* does not answer/);
  });

  test('without a cloud it ends with 69', async () => {
    const { code, stderr } = await call('status', '--endpoint', 'http://127.0.0.1:1');
    expect(code).toBe(69);
    expect(stderr).toContain(`error: the project ${PROJECT}: `);
  });
});

describe('events', () => {
  test('tells what the director did, oldest first', async () => {
    const { code, stdout } = await call('events', ...where);
    expect(code).toBe(0);
    const lines = stdout.split('\n').slice(0, -1);
    const times = lines.map((line) => line.split(' ')[0] ?? '');
    expect(times).toEqual(times.toSorted());
    const mine = lines
      .map((line) => line.slice(line.indexOf(' ') + 1).replace(/ \([\d.]+ s\)/, ''))
      .filter((line) => line.startsWith('look/flow '));
    expect(mine[0]).toBe('look/flow dataflow-setup of flow accepted (look.setup)');
    expect(mine.slice(1, 3)).toEqual(['look/flow planning', 'look/flow applying']);
    expect(mine).toContain('look/flow topic/look-orders create');
    expect(mine).toContain('look/flow topic/look-orders created');
    expect(mine).toContain('look/flow deploy completed (look.deploy)');
    expect(mine.find((line) => line.includes('(look.crash)') && line.includes('failed'))).toContain(
      'service/look-web: ',
    );
    expect(stdout).toContain('topic/slow-topic waiting: try later');
  });

  test('as JSON each is an object on its own line', async () => {
    const { stdout } = await call('events', '--json', ...where);
    const events = stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    expect(events).toContainEqual({
      time: expect.stringMatching(/Z$/),
      stack: 'look/flow',
      type: 'unit-finished',
      command: 'look.setup',
      unit: 'topic/look-orders',
      result: 'created',
      seconds: expect.any(Number),
    });
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'completed', command: 'look.deploy', stack: 'look/flow' }),
    );
  });

  test('--limit takes the newest commands, and says that there are more', async () => {
    const { stdout, stderr } = await call('events', '--limit', '1', ...where);
    expect(stdout).toContain('(look.mend)');
    expect(stdout).not.toContain('(look.crash)');
    expect(stderr).toBe('older commands are not shown: a larger --limit shows them\n');
  });

  test('a command that nobody can read is told', async () => {
    await world.publish('deploy', 'not json', { 'ce-id': 'unreadable' });
    await world.recorder.answerTo('unreadable');
    const { stdout } = await call('events', ...where);
    expect(stdout).toMatch(/Z - rejected \(unreadable\): The command is not JSON/);
  });

  test('--follow goes on as it happens, each thing once, and leaves nothing behind', async () => {
    const [text, json] = [follow('events', ...where), follow('events', '--json', ...where)];
    await Promise.all([text.shows('(unreadable)'), json.shows('"unreadable"')]);
    const subscriptions = async (): Promise<string[]> => {
      const found = (await world.call('GET', `/v1/projects/${PROJECT}/subscriptions`)) as {
        subscriptions: { name: string }[];
      };
      return found.subscriptions.map(({ name }) => name).filter((name) => name.includes('conductor-look'));
    };
    await until(async () => expect(await subscriptions()).toHaveLength(2));
    // Once this is heard, whatever comes after it will be.
    await command('teardown', 'look.down', { dry_run: true });
    await Promise.all([text.shows('(look.down)'), json.shows('"look.down"')]);
    await command('dataflow-setup', 'look.again');
    const said = 'dataflow-setup completed (look.again)';
    await Promise.all([text.shows(said), json.shows('"type":"completed","command":"look.again"')]);

    expect(text.lines().filter((line) => line.endsWith('accepted (look.again)'))).toHaveLength(1);
    expect(text.lines().filter((line) => line.includes(said))).toHaveLength(1);
    expect(text.output()).toContain('look/flow planned: 0 to change');
    expect(text.lines().filter((line) => line.endsWith('accepted (look.setup)'))).toHaveLength(1);
    for (const line of json.lines()) expect(JSON.parse(line)).toHaveProperty('time');
    expect(await Promise.all([text.interrupt(), json.interrupt()])).toEqual([0, 0]);
    expect(await subscriptions()).toEqual([]);
  });
});

describe('logs', () => {
  const resource = {
    type: 'cloud_run_revision',
    labels: { service_name: 'look-api', location: REGION, revision_name: 'look-api-00009-abc' },
  };
  const write = (...entries: object[]): Promise<unknown> =>
    world.call('POST', '/v2/entries:write', {
      logName: `projects/${PROJECT}/logs/run.googleapis.com%2Fstdout`,
      resource,
      entries,
    });
  const time = (second: number): string => `2031-01-01T00:00:${String(second).padStart(2, '0')}Z`;

  beforeAll(async () => {
    await write(
      {
        timestamp: time(3),
        severity: 'WARNING',
        jsonPayload: { message: 'low stock', item: 'a b', left: 3 },
      },
      { timestamp: time(1), textPayload: 'plain words' },
      {
        timestamp: time(2),
        severity: 'INFO',
        httpRequest: { requestMethod: 'GET', status: 200, requestUrl: 'http://x/y', latency: '0.010s' },
      },
      { timestamp: time(4), severity: 'ERROR', jsonPayload: { order: { id: 7 } } },
      {
        timestamp: time(4),
        textPayload: 'of another',
        resource: { ...resource, labels: { service_name: 'other' } },
      },
    );
  });

  test('the newest lines of a service, oldest first', async () => {
    const { code, stdout } = await call(
      'logs',
      'look-api',
      '--limit',
      '4',
      '--endpoint',
      world.running.origin,
    );
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        `${time(1)} DEFAULT plain words`,
        `${time(2)} INFO    GET 200 http://x/y 0.010s`,
        `${time(3)} WARNING low stock item="a b" left=3`,
        `${time(4)} ERROR   order={"id":7}`,
        '',
      ].join('\n'),
    );
    const two = await call('logs', 'look-api', '--limit', '2', '--endpoint', world.running.origin);
    expect(two.stdout.split('\n').slice(0, -1)).toHaveLength(2);
    expect(two.stdout).toContain('low stock');
  });

  test('as JSON, with the fields apart', async () => {
    const { stdout } = await call(
      'logs',
      'look-api',
      '--limit',
      '2',
      '--json',
      '--endpoint',
      world.running.origin,
    );
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toEqual({
      time: time(3),
      severity: 'WARNING',
      message: 'low stock',
      fields: { item: 'a b', left: 3 },
      revision: 'look-api-00009-abc',
    });
  });

  test('what the service really prints is among them', async () => {
    const { stdout } = await call('logs', 'look-web', '--endpoint', world.running.origin);
    expect(stdout).toMatch(/WARNING Container called exit\(3\)\./);
  });

  test('--follow shows what comes, once, and not what the limit left out', async () => {
    const log = follow('logs', 'look-api', '--limit', '1', '--endpoint', world.running.origin);
    await log.shows('order=');
    await write({ timestamp: time(5), textPayload: 'fresh' });
    await log.shows('fresh');
    await write({ timestamp: time(6), textPayload: 'fresher' });
    await log.shows('fresher');
    expect(await log.interrupt()).toBe(0);
    expect(log.lines()).toEqual([
      `${time(4)} ERROR   order={"id":7}`,
      `${time(5)} DEFAULT fresh`,
      `${time(6)} DEFAULT fresher`,
    ]);
  });

  test.each([
    [['logs', 'look-ipa'], 'There is no service "look-ipa"; did you mean "look-api"?'],
    [['logs'], 'Which service? Known are: look-api, look-web'],
    [['logs', 'look-api', '--limit', '0'], '--limit 0 is no number from 1 to 1000'],
    [['logs', 'look-api', '--limit', '1e4'], '--limit 1e4 is no number from 1 to 1000'],
  ])('%j is refused as usage', async (argv, message) => {
    const { code, stderr } = await call(...argv, '--endpoint', world.running.origin);
    expect(code).toBe(64);
    expect(stderr).toContain(`error: ${message}\n`);
  });
});

describe('director', () => {
  test('url is the URL and nothing else', async () => {
    expect(await call('director', 'url', ...where)).toEqual({
      code: 0,
      stdout: `${director.url}\n`,
      stderr: '',
    });
  });

  test('where there is none, url ends with 69', async () => {
    const { code, stdout, stderr } = await call('director', 'url', '--endpoint', world.running.origin);
    expect(code).toBe(69);
    expect(stdout).toBe('');
    expect(stderr).toContain('fix: run conductor up');
  });

  test('status tells whether it takes commands', async () => {
    expect(await call('director', 'status', ...where)).toEqual({
      code: 0,
      stdout: `director service-director  ready  ${director.url}  version ${version}\n`,
      stderr: '',
    });
    await world.call('DELETE', `/v1/projects/${PROJECT}/subscriptions/deploy-sub`);
    await until(async () => expect((await director.get('/ready')).status).toBe(503));
    const { code, stdout } = await call('director', 'status', '--json', ...where);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      type: 'director',
      state: 'not-ready',
      because: expect.stringContaining('deploy-sub: '),
    });
  });

  test('logs are those of its service', async () => {
    const label = { service_name: 'service-director', location: REGION, revision_name: 'r' };
    await world.call('POST', '/v2/entries:write', {
      logName: `projects/${PROJECT}/logs/run.googleapis.com%2Fstdout`,
      resource: { type: 'cloud_run_revision', labels: label },
      entries: [{ jsonPayload: { message: 'the director is up', port: 8080 } }],
    });
    const { stdout } = await call('director', 'logs', '--endpoint', world.running.origin);
    expect(stdout).toMatch(/Z DEFAULT the director is up port=8080\n$/);
  });

  test('another program at that URL is no director', async () => {
    const url = world.running.origin;
    const { code, stdout } = await call('director', 'status', '--endpoint', url, '--director-url', url);
    expect(code).toBe(69);
    expect(stdout).toContain('unreachable');
  });
});

test('what is gone is missing, and what would have to be replaced is unfit', async () => {
  await world.call('DELETE', `/v1/projects/${PROJECT}/topics/look-orders`);
  const { code, stdout } = await call('status', ...where);
  expect(code).toBe(1);
  expect(stdout).toContain('  topic missing: look-orders\n');
  expect(stdout).toContain('  grants missing: topic/look-orders\n');
  expect(stdout).toContain('  subscription/look-orders-api unfit: its topic was deleted\n');
});

test.each([
  [['status']],
  [['events']],
  [['logs', 'look-api']],
  [['director', 'url']],
  [['director', 'logs']],
])('%j starts no local cloud where none runs', async (argv) => {
  const dir = join(folder, 'no-cloud');
  const { code, stdout, stderr } = await call(...argv, '--local', '--local-dir', dir);
  expect(code).toBe(69);
  expect(stdout).toBe('');
  expect(stderr).toBe(
    `error: No local cloud runs in ${dir}\n  fix: conductor local start --dir ${dir}, or conductor up --local-dir ${dir} --local\n`,
  );
  expect(existsSync(dir)).toBe(false);
});

test.each([[['status']], [['events']], [['logs', 'look-api']], [['director', 'status']]])(
  '%j shows what is wrong with an architecture, and ends with 65',
  async (argv) => {
    const bad = join(world.dir, 'bad');
    mkdirSync(bad, { recursive: true });
    writeFileSync(join(bad, 'architecture.yaml'), 'nmae: look\n');
    const { code, stderr } = await callCli([...argv, ...where.slice(0, 2)], { cwd: bad });
    expect(code).toBe(65);
    expect(stderr).toContain('architecture.yaml:1:1: error: ');
    expect(stderr).toContain('did you mean "name"?');
  },
);
