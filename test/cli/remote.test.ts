/** The conductor with nothing but the URL of a director: an empty folder, and each command with what it prints. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type CliAnswer, callCli } from '@service-director/conductor/cli/testing.ts';
import { start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from '../director/support/director.ts';
import { documentOf, ephemeral } from '../director/support/documents.ts';
import { openWorld, until, type World } from '../director/support/world.ts';
import { CONDUCTOR } from '../local-cli.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasTerraform)
  process.stdout.write('Terraform is not on PATH: what conductor deploy has it do is not tested here.\n');
/** Runs a program in a terminal of its own. */
const TERMINAL = 'script';
const hasScript = spawnSync(TERMINAL, ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasScript) process.stdout.write('There is no script(1): Ctrl-C is tested without a terminal only.\n');

let world: World;
let director: DirectorProcess;
let empty = '';

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world, { env: { TERRAFORM_WORK_DIR: join(world.dir, 'terraform') } });
  await director.ready();
  empty = join(world.dir, 'empty');
  mkdirSync(empty);
  // Nobody's credentials are found, and none are looked for on the network.
  for (const [name, value] of Object.entries(nobody())) vi.stubEnv(name, value);
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', undefined);
  await setUp('c1', 'shop', 'flow', 'shop-a');
  await setUp('c2', 'shop', 'flow', 'shop-b');
  await setUp('c3', 'mail', 'flow', 'mail-a');
  await setUp('c4', 'mail', 'letters', 'mail-b');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world.stop();
});

const nobody = (): Record<string, string> => ({
  HOME: empty,
  CLOUDSDK_CONFIG: empty,
  METADATA_SERVER_DETECTION: 'none',
});

async function send(id: string, name: string, dataflow: string, topic: string, more = {}): Promise<void> {
  const flow = ephemeral({ resources: { topics: [{ name: topic }] } });
  const document = documentOf(name, { [dataflow]: flow }, more);
  await world.send('dataflow-setup', id, { architecture: { document }, dataflow, reason: `made by ${id}` });
}

async function setUp(...[id, ...what]: Parameters<typeof send>): Promise<void> {
  await send(id, ...what);
  expect(await world.recorder.answerTo(id)).toMatchObject({ type: 'completed' });
}

/** In the empty folder, at that director. */
const call = (...argv: string[]): Promise<CliAnswer> =>
  callCli([...argv, '--director-url', director.url], { cwd: empty });

async function succeeds(...argv: string[]): Promise<CliAnswer> {
  const answer = await call(...argv);
  expect({ ...answer, argv }).toMatchObject({ code: 0, argv });
  return answer;
}

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`;

describe('what it has done', () => {
  test('a list in columns, page by page', async () => {
    const { stdout, stderr } = await succeeds('deployments', '--limit', '3');
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.replace(new RegExp(`^${TIME} `), ''))).toEqual([
      'mail/letters dataflow-setup succeeded, version 1 (c4.letters)',
      'mail/flow    dataflow-setup succeeded, version 1 (c3.flow)',
      'shop/flow    dataflow-setup succeeded, version 2 (c2.flow)',
    ]);
    const [, more = ''] = /^older ones: conductor (.*)\n$/.exec(stderr) ?? [];
    // As it was printed, it gets the next page.
    const next = await callCli(more.split(' '), { cwd: empty });
    expect(next).toMatchObject({ code: 0, stderr: '' });
    expect(next.stdout).toMatch(
      new RegExp(`^${TIME} shop/flow dataflow-setup succeeded, version 1 \\(c1.flow\\)\n$`),
    );
    const { deployments } = JSON.parse((await succeeds('deployments', '--json')).stdout);
    expect(deployments.map(({ id }: { id: string }) => id)).toEqual([
      'c4.letters',
      'c3.flow',
      'c2.flow',
      'c1.flow',
    ]);
  });

  test('of one stack, by its whole name or by its dataflow where there is one of it', async () => {
    const whole = await succeeds('deployments', '--stack', 'shop/flow', '--json');
    expect(JSON.parse(whole.stdout).deployments).toHaveLength(2);
    const letters = await succeeds('deployments', '--stack', 'letters', '--json');
    expect(JSON.parse(letters.stdout).deployments).toMatchObject([{ stack: 'mail/letters' }]);
    expect(await call('deployments', '--stack', 'flow')).toMatchObject({
      code: 64,
      stderr:
        'error: The director has several stacks of a dataflow "flow"\n  fix: name one of them as a whole: mail/flow, shop/flow\n',
    });
    const none = await succeeds('deployments', '--stack', 'mail/letters', '--status', 'failed');
    expect(none).toMatchObject({ stdout: '', stderr: 'there is no deployment of mail/letters in failed\n' });
  });

  test('one deployment, and its journal', async () => {
    const { stdout } = await succeeds('deployments', 'get', 'c2.flow');
    expect(stdout).toMatch(/^shop\/flow dataflow-setup succeeded, version 2 \(c2\.flow\)\n {2}asked by /);
    expect(stdout).toContain(': made by c2\n');
    expect(stdout).toMatch(/^plan [0-9a-f]+: 2 to change, 0 unchanged\n {2}\+ topic\/shop-b$/m);
    expect(stdout).toMatch(/^ {2}topic\/shop-a deleted$/m);
    const logs = await succeeds('deployments', 'logs', 'c2.flow', '--follow');
    expect(logs.stdout).toMatch(/Z topic\/shop-b created \([\d.]+ s\)\n/);
    expect(logs.stdout).toMatch(/Z succeeded\n$/);
    expect(await call('deployments', 'get', 'nobody')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: There is no deployment nobody\n/),
    });
  });

  test('the history and the state of a stack', async () => {
    const history = await succeeds('history', 'shop/flow');
    expect(history.stdout).toMatch(/^version 2 {2}current {2}dataflow-setup by \S+ at \S+Z: made by c2 \(c2/);
    expect(history.stdout).toContain('\n  + topic/shop-b\n  - topic/shop-a\n');
    expect((await succeeds('history', 'letters')).stdout).toMatch(/^version 1 /);
    const state = await succeeds('state', 'shop/flow');
    expect(state.stdout).toMatch(
      /^shop\/flow {2}version 2 {2}serial \d+ {2}lineage \S+\nnot locked\n {2}topic\/shop-b /,
    );
    const audit = await succeeds('state', 'letters', '--audit');
    expect(audit.stdout).toMatch(/^1 \S+Z asked by \S+: dataflow-setup; made by c4 \(c4\.letters\)\n/);
    expect(await call('state', 'leters')).toMatchObject({
      code: 1,
      stderr:
        'error: The director has no stack of a dataflow "leters"; did you mean "letters"?\n  fix: known are: mail/flow, mail/letters, shop/flow\n',
    });
    expect(await call('state', 'a/b/c')).toMatchObject({
      code: 64,
      stderr: 'error: a/b/c is no name of a stack\n  fix: write it like SCOPE/DATAFLOW\n',
    });
    expect((await call('state', 'nobody/flow')).stderr).toContain(
      'There is no stack nobody/flow\n  fix: known',
    );
  });
});

describe('what it is told', () => {
  test('a lock, which is given back as it was printed', async () => {
    const lock = await succeeds('lock', 'letters', '--reason', 'the stamps');
    expect(lock.stdout).toMatch(/^\S+\n$/);
    const [, unlock = ''] = /give it back: conductor (.*)\n$/.exec(lock.stderr) ?? [];
    expect((await succeeds('state', 'letters')).stdout).toMatch(
      /^locked by .* for manual: the stamps, lock /m,
    );
    expect((await callCli(unlock.split(' '), { cwd: empty })).code).toBe(0);
    expect((await succeeds('state', 'letters')).stdout).toContain('\nnot locked\n');
  });

  test('to approve, to reject and to cancel a deployment, in either spelling', async () => {
    const gated = async (id: string): Promise<string> => {
      await send(id, 'gated', 'flow', `gated-${id}`, { approval: 'manual' });
      await until(async () => {
        const { body } = await director.get(`/deployments/${id}.flow`);
        expect(body.status).toBe('awaiting_approval');
      });
      return `${id}.flow`;
    };
    const shown = await succeeds('deployments', 'get', await gated('g1'));
    expect(shown.stdout).toMatch(/^ {2}awaits approval of plan [0-9a-f]+ until \S+Z$/m);
    const approved = await succeeds('approve', 'g1.flow', '--reason', 'read it');
    expect(approved.stderr).toContain('+ topic/gated-g1');
    await world.recorder.answerTo('g1');
    const rejected = await succeeds('deployments', 'reject', await gated('g2'), '--reason', 'not today');
    expect(rejected.stdout).toContain('rejected');
    const again = await call('deployments', 'approve', 'g2.flow');
    expect(again.stderr).toBe(
      `error: The deployment g2.flow waits for no approval: it is cancelled\n  fix: see conductor deployments get g2.flow --director-url ${director.url}\n`,
    );
    await succeeds('deployments', 'cancel', await gated('g3'));
    expect((await director.get('/deployments/g3.flow')).body.status).toBe('cancelled');
    expect((await call('cancel', 'g3.flow')).code).toBe(1);
    await succeeds('deployments', 'approve', await gated('g4'));
    await world.recorder.answerTo('g4');
  });

  test('to go back, of a stack or of a deployment', async () => {
    const dry = await succeeds('rollback', 'shop/flow', '--reason', 'only to see', '--dry-run');
    expect(dry.stderr).toContain(`rollback at ${director.url}\n`);
    expect(dry.stderr).toContain('shop/flow: 2 to change, 0 unchanged\n  + topic/shop-a\n  - topic/shop-b\n');
    expect(dry.stderr).toMatch(/planned in .*: nothing was changed\n/);
    const real = await succeeds('deployments', 'rollback', 'c2.flow', '--reason', 'it was better');
    expect(real.stderr).toMatch(/topic\/shop-a: created/);
    expect(real.stderr).toMatch(/done in .*: 1 created, 1 deleted\n/);
    const json = await succeeds('rollback', 'shop/flow', '--reason', 'there', '--json');
    const events = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events[0]).toMatchObject({ type: 'started-at', operation: 'rollback', director: director.url });
    expect(events.at(-1)).toMatchObject({ type: 'completed', operation: 'rollback' });
  });
});

describe('how it is', () => {
  test('status shows the director, its stacks and what is under way, without an architecture', async () => {
    const { stdout } = await succeeds('status');
    expect(stdout).toMatch(new RegExp(`^director {2}ready {2}${director.url} {2}version \\S+\n\nstacks\n`));
    expect(stdout).toMatch(
      /^ {2}mail\/letters {2}version 1 {2}1 unit {2}newest: dataflow-setup succeeded at \S+Z \(c4\)$/m,
    );
    const json = JSON.parse((await succeeds('status', '--json')).stdout);
    expect(json).toMatchObject({ type: 'status', isWell: true, running: [], hasMoreStacks: false });
    const few = JSON.parse((await succeeds('status', '--json', '--limit', '1')).stdout);
    expect(few).toMatchObject({ hasMoreStacks: true, stacks: [{ stack: json.stacks[0].stack }] });
    expect((await succeeds('status', '--limit', '1')).stdout).toContain('a larger --limit shows them\n');
    const nobody = await callCli(['status', '--director-url', 'http://127.0.0.1:9'], { cwd: empty });
    expect(nobody).toMatchObject({ code: 69, stdout: expect.stringMatching(/^director {2}unreachable /) });
  });

  test('what is under way shows, and what it waits for', async () => {
    await send('w1', 'waiting', 'flow', 'waiting-w1', { approval: 'manual' });
    await until(async () =>
      expect((await succeeds('status')).stdout).toMatch(
        /^running\n {2}waiting\/flow dataflow-setup awaiting_approval since \S+Z \(w1\)$/m,
      ),
    );
    await succeeds('cancel', 'w1.flow');
    expect((await succeeds('status')).stdout).not.toContain('running');
  });

  test('events are told oldest first, of no more commands than were asked for, and go on when followed', async () => {
    const { stdout, stderr } = await succeeds('events');
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^\S+Z shop\/flow dataflow-setup of flow accepted \(c1\)\n/);
    const times = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect(times).toEqual(times.toSorted());
    const newest = await succeeds('events', '--limit', '1');
    expect(newest.stdout).not.toContain('(c1)');
    expect(newest.stderr).toBe('older commands are not shown: a larger --limit shows them\n');

    const child = conductor(['events', '--follow', '--limit', '1', '--director-url', director.url]);
    await child.shows(/Z /);
    await setUp('followed', 'followed', 'flow', 'followed-a');
    await child.shows(/followed\/flow dataflow-setup completed \(followed\)\n/);
    child.interrupt();
    expect(await child.ended).toBe(0);
    const lines = child.output().split('\n');
    expect(lines.filter((line) => line.includes('topic/followed-a created'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('accepted (followed)'))).toHaveLength(1);
  });

  test('where it is and whether it takes commands; its log takes more than its URL', async () => {
    expect((await succeeds('director', 'url')).stdout).toBe(`${director.url}\n`);
    expect((await succeeds('director', 'status')).stdout).toMatch(/^director {2}ready /);
    expect(await call('director', 'logs')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('fix: name the FILE of the architecture that it came with\n'),
    });
  });

  test('the doctor asks it, and prints its five answers; one that was named has to answer', async () => {
    const { code, stdout } = await call('doctor');
    for (const question of [
      'tool terraform',
      'credentials google',
      'network google',
      'deployments',
      'disk of tools',
    ])
      expect(stdout).toMatch(new RegExp(`^[✓!✗] ${question} +\\S`, 'm'));
    expect(stdout).toMatch(/^✓ node /);
    const { director: told, isWell } = JSON.parse((await call('doctor', '--json')).stdout);
    expect(told).toMatchObject({ asked: true, url: director.url });
    expect(code).toBe(isWell && told.status !== 'failed' ? 0 : 1);
    const nobody = await callCli(['doctor', '--director-url', 'http://127.0.0.1:9'], { cwd: empty });
    expect(nobody).toMatchObject({
      code: 69,
      stdout: expect.stringMatching(
        /\ndirector {2}not asked: The director is unreachable: .*\n {2}fix: .*\n {2}what stands above is this machine alone/,
      ),
    });
  });
});

describe('whoever has to wait is told for whom', () => {
  test('a rollback, once for each change', async () => {
    const lock = (await succeeds('lock', 'shop/flow', '--reason', 'migration')).stdout.trim();
    const child = conductor(['rollback', 'shop/flow', '--reason', 'wait', '--director-url', director.url]);
    await child.shows(/^shop\/flow waits for the lock \S+ of .* \(manual\), place 1 in its queue$/m);
    await child.shows(/^ {2}see who has it: conductor deployments get \S+ --director-url /m);
    await succeeds('unlock', 'shop/flow', '--lock-id', lock);
    expect(await child.ended).toBe(0);
    expect(child.output().match(/waits for/g)).toHaveLength(1);
  });

  test('a deploy of a folder, in the queue and before a lock', async () => {
    const folder = moduleNamed('queued', GREETING);
    await setUp('q1', 'queued', 'module', 'queued-a');
    const lock = (await succeeds('lock', 'queued/module', '--reason', 'migration')).stdout.trim();
    const begin = (): Running => conductor(['deploy', folder, '--director-url', director.url]);
    const first = begin();
    await first.shows(/^queued\/module waits for the lock \S+ of .* \(manual\), place 1 in its queue$/m);
    const second = begin();
    await second.shows(/^queued\/module waits for the lock \S+ of .* \(manual\), place 2 in its queue$/m);
    const [, id = ''] = await first.shows(/deployments get (\S+) /);
    await succeeds('cancel', id);
    expect(await first.ended).toBe(1);
    await second.shows(/^queued\/module waits for the lock \S+ of .* \(manual\), place 1 in its queue$/m);
    expect(second.output().match(/see who has it/g)).toHaveLength(1);
    const [, other = ''] = await second.shows(/deployments get (\S+) /);
    await succeeds('cancel', other);
    expect(await second.ended).toBe(1);
    await succeeds('unlock', 'queued/module', '--lock-id', lock);
  });
});

/** A module that takes as long as the test lets it. */
function moduleNamed(name: string, body: string): string {
  const folder = join(world.dir, 'modules', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'main.tf'), body);
  return folder;
}

const GREETING = `
resource "terraform_data" "line" {
  input = "hello"
}
output "greeting" {
  value = terraform_data.line.output
}
`;

describe.skipIf(!hasTerraform)('a folder of Terraform code', () => {
  test('is deployed, shown, and destroyed', async () => {
    const folder = moduleNamed('plain', GREETING);
    const done = await succeeds('deploy', '--engine', 'terraform', folder);
    expect(done.stdout).toBe('greeting = hello\n');
    expect(done.stderr).toMatch(/done in [\d.]+ s: module\/plain created\n$/);
    expect((await succeeds('state', 'plain/module')).stdout).toContain('\n  module/plain ');
    const gone = await succeeds('deploy', folder, '--destroy');
    expect(gone.stderr).toMatch(/done in [\d.]+ s: module\/plain deleted\n$/);
  });

  test('that waits for an approval says what to type, and it can be typed', async () => {
    const folder = moduleNamed('gated-module', GREETING);
    const argv = ['deploy', folder, '--environment', 'production', '--director-url', director.url];
    const child = conductor(argv);
    const [, approve = ''] = await child.shows(/^ {2}approve it: +conductor (approve .*)$/m);
    expect(approve).toContain(`--director-url ${director.url}`);
    expect(await callCli(approve.split(' '), { cwd: empty })).toMatchObject({ code: 0 });
    expect([await child.ended, child.output()]).toEqual([0, expect.stringContaining('greeting = hello')]);
  });

  test('Ctrl-C leaves it to the director, with 130, and says how to see how it goes on', async () => {
    const folder = moduleNamed('left', GREETING);
    const argv = ['deploy', folder, '--environment', 'production', '--director-url', director.url];
    const child = conductor(argv);
    await child.shows(/left-production\/module awaits approval/);
    child.interrupt();
    expect([await child.ended, child.output()]).toEqual([130, expect.stringContaining('Interrupted here')]);
    await wasLeft(child.output());
  });

  test.skipIf(!hasScript)('so does the key itself, in a terminal', async () => {
    const folder = moduleNamed('keyed', GREETING);
    const argv = ['deploy', folder, '--environment', 'production', '--director-url', director.url];
    const child = inTerminal(argv);
    await child.shows(/keyed-production\/module awaits approval/);
    child.type('\u0003');
    expect([await child.ended, child.output()]).toEqual([130, expect.stringContaining('Interrupted here')]);
    await wasLeft(stripVTControlCharacters(child.output()).replaceAll('\r', ''));
  });
});

/** What was printed at the end can be typed, and the deployment still waits. */
async function wasLeft(output: string): Promise<void> {
  expect(output).toContain('Interrupted here; what the director was told goes on\n');
  const [, watch = '', id = ''] =
    /fix: watch it with conductor (deployments logs (\S+) .*), or stop it with conductor cancel/.exec(
      output,
    ) ?? [];
  expect(watch).toContain(`--director-url ${director.url}`);
  expect((await director.get(`/deployments/${id}`)).body.status).toBe('awaiting_approval');
  await succeeds('cancel', id);
  const followed = await callCli(watch.split(' '), { cwd: empty });
  expect(followed).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/Z awaiting_approval\n$/),
    stderr: expect.stringMatching(/^it is cancelled: /),
  });
}

interface Running {
  output(): string;
  readonly ended: Promise<number | null>;
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  interrupt(): void;
  /** Keys. */
  type(text: string): void;
}

/** The conductor as a process of its own. */
function conductor(argv: readonly string[]): Running {
  return running(process.execPath, [CONDUCTOR, ...argv]);
}

/** The same with a terminal that a key can be pressed in. */
function inTerminal(argv: readonly string[]): Running {
  const line = [process.execPath, CONDUCTOR, ...argv].map((word) => `'${word}'`).join(' ');
  return running(TERMINAL, ['--quiet', '--return', '--command', `exec ${line}`, '/dev/null'], {
    TERM: 'xterm',
  });
}

function running(program: string, argv: readonly string[], more: Record<string, string> = {}): Running {
  const env = { PATH: process.env.PATH ?? '', ...nobody(), ...more };
  const child = start(program, [...argv], { env, cwd: empty, stdio: 'pipe' });
  world.onStop(async () => void child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    output: () => output,
    ended: once(child, 'close').then(([code]) => code as number | null),
    shows: (pattern) =>
      until(() => {
        const found = pattern.exec(output);
        if (found) return found;
        throw new Error(`${pattern} does not show in:\n${output}`);
      }),
    interrupt: () => void child.kill('SIGINT'),
    type: (text) => void child.stdin?.write(text),
  };
}
