/**
 * The life of deployments from the command line: watched, approved, cancelled, locked and rolled back, on a local cloud
 * as its user has it, while the director is killed and started again.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ran, start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { pidsOf } from '../e2e/support.ts';
import { CONDUCTOR, type LocalCli, startLocalCli } from '../local-cli.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const PROJECT = 'life-local';

let local: LocalCli;
/** How every command knows the local cloud. */
let where: string[] = [];
/** What runs in the background, to be ended with the test. */
const background: ReturnType<typeof start>[] = [];

beforeAll(async () => {
  local = await startLocalCli();
  where = ['--local-dir', local.cloudDir];
  const first = architecture('life', { topics: [{ name: 'life-a' }] });
  await succeeds('up', first);
});
afterAll(async () => {
  for (const child of background) if (child.exitCode === null) child.kill('SIGKILL');
  await local.end();
});

/** Writes an architecture of one dataflow, `flow`; returns its file. */
function architecture(name: string, resources: object, more: object = {}): string {
  const file = join(local.dir, `${name}.yaml`);
  const document = {
    name,
    project_id: PROJECT,
    region: 'us-central1',
    dataflows: { flow: { lifecycle: { strategy: 'ephemeral' }, resources } },
    ...more,
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(document));
  return file;
}

const call = (...argv: string[]): Promise<Ran> => local.conductor(...argv, ...where);

async function succeeds(...argv: string[]): Promise<Ran> {
  const ran = await call(...argv);
  expect([ran.code, argv.join(' '), ran.code === 0 ? '' : ran.stdout + ran.stderr]).toEqual([
    0,
    argv.join(' '),
    '',
  ]);
  return ran;
}

// biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
async function asJson(...argv: string[]): Promise<any> {
  return JSON.parse((await succeeds(...argv, '--json')).stdout);
}

/** Only what the director does: the director itself is there. */
const ONLY_SETUP = ['--only', 'setup'];

/** A command that takes its time, as a process that is watched. */
function begin(...argv: string[]) {
  const child = start(process.execPath, [CONDUCTOR, ...argv, ...where], { env: local.bare });
  background.push(child);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return {
    output: () => output,
    ended,
    shows: (pattern: RegExp): Promise<RegExpExecArray> =>
      until(() => {
        const found = pattern.exec(output);
        if (found) return found;
        throw new Error(`${pattern} does not show in:\n${output}`);
      }),
  };
}

/** Asks again until the condition throws no more. */
function until<T>(condition: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(condition, { timeout: 120_000, interval: 50 });
}

async function faults(rules: readonly object[]): Promise<void> {
  const answer = await fetch(`${local.ready.origin}/_local/faults`, {
    method: 'PUT',
    body: JSON.stringify(rules),
  });
  expect(answer.status).toBe(200);
}

/** With SIGKILL; resolves when it is gone. The local cloud starts another one when it is asked for. */
async function killDirector(): Promise<void> {
  const pids = await until(() => {
    const found = pidsOf('service-director', local);
    expect(found.length).toBeGreaterThan(0);
    return found;
  });
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until(() => {
    for (const pid of pids) expect(pidsOf('service-director', local)).not.toContain(pid);
  });
}

async function topics(): Promise<string[]> {
  const answer = await fetch(`${local.ready.origin}/v1/projects/${PROJECT}/topics`);
  const body = (await answer.json()) as { topics: { name: string }[] };
  return body.topics.map(({ name }) => name.split('/').at(-1) ?? '').sort();
}

/** The newest of a stack. */
async function newest(stack: string): Promise<{ id: string; status: string; [more: string]: unknown }> {
  const file = join(local.dir, `${stack.split('/')[0]}.yaml`);
  const { deployments } = await asJson('deployments', file, '--stack', stack, '--limit', '1');
  return deployments[0];
}

describe('deployments, history and state', () => {
  test('tell what was done, in words and as JSON', async () => {
    const file = architecture('told', { topics: [{ name: 'told-a' }] });
    await succeeds('up', file, ...ONLY_SETUP, '--reason', 'the beginning');
    architecture('told', { topics: [{ name: 'told-b' }] });
    await succeeds('up', file, ...ONLY_SETUP);

    const { stdout } = await succeeds('deployments', file, '--stack', 'flow', '--limit', '1');
    expect(stdout).toMatch(/^\S+Z told\/flow dataflow-setup succeeded, version 2 \(up-\S+\.flow\)\n$/);
    const { deployments, next } = await asJson('deployments', file, '--stack', 'told/flow', '--limit', '1');
    expect(deployments).toMatchObject([{ stack: 'told/flow', status: 'succeeded', version: 2 }]);
    expect(next).toEqual(expect.any(String));

    const [{ id }] = deployments;
    const one = await succeeds('deployments', 'get', id, file);
    expect(one.stdout).toMatch(/^plan [0-9a-f]+: 2 to change, 0 unchanged\n {2}\+ topic\/told-b$/m);
    expect(one.stdout).toMatch(/^ {2}topic\/told-a deleted$/m);
    const logs = await succeeds('deployments', 'logs', id, file, '--follow');
    expect(logs.stdout.split('\n').at(-2)).toMatch(/Z succeeded$/);
    expect(logs.stdout).toMatch(/topic\/told-b created \([\d.]+ s\)/);

    const history = await succeeds('history', 'flow', file);
    expect(history.stdout).toMatch(/^version 2 {2}current {2}dataflow-setup by \S+ at /);
    expect(history.stdout).toContain('\n  + topic/told-b\n  - topic/told-a\n');
    expect(history.stdout).toMatch(/^version 1 {2}can be restored .*: the beginning /m);
    const state = await succeeds('state', 'flow', file);
    expect(state.stdout).toMatch(
      /^told\/flow {2}version 2 {2}serial \d+ {2}lineage .*\nnot locked\n {2}topic\/told-b /,
    );
    const audit = await succeeds('state', 'flow', file, '--audit');
    expect(audit.stdout).toMatch(/^1 \S+Z asked by \S+: dataflow-setup; the beginning \(/);
    expect(audit.stdout).toMatch(/\nintact: .*\n$/);
  });

  test('of what is not there say what is', async () => {
    const file = join(local.dir, 'life.yaml');
    const state = await call('state', 'flaw', file);
    expect([state.code, state.stdout]).toEqual([1, '']);
    expect(state.stderr).toMatch(/^error: There is no stack life\/flaw\n {2}fix: known are: .*life\/flow/);
    expect(await call('deployments', 'get', 'nobody', file)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('error: There is no deployment nobody\n'),
    });
    expect(await call('deployments', file, '--status', 'done')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('it can be queued, '),
    });
  });
});

describe('rollback', () => {
  test('shows the plan, brings the version before back, and marks what it undid', async () => {
    const file = architecture('back', { topics: [{ name: 'back-a' }] });
    await succeeds('up', file, ...ONLY_SETUP);
    architecture('back', { topics: [{ name: 'back-b' }] });
    await succeeds('up', file, ...ONLY_SETUP);
    const undone = await newest('back/flow');

    const dry = await succeeds('rollback', 'flow', file, '--reason', 'only to see', '--dry-run');
    expect(dry.stderr).toContain('back/flow: 2 to change, 0 unchanged\n  + topic/back-a\n  - topic/back-b\n');
    expect(dry.stderr).toMatch(/planned in .*: nothing was changed\n/);
    expect(await topics()).toContain('back-b');

    const real = await succeeds(
      'rollback',
      '--deployment',
      undone.id,
      file,
      '--reason',
      'it was better before',
    );
    expect(real.stderr).toMatch(/topic\/back-a: created/);
    expect(real.stderr).toMatch(/done in .*: 1 created, 1 deleted\n/);
    expect(await topics()).toContain('back-a');
    expect(await topics()).not.toContain('back-b');

    const { versions } = await asJson('history', 'flow', file);
    expect(versions[0]).toMatchObject({
      version: 3,
      operation: 'rollback',
      reason: 'it was better before',
      added: ['topic/back-a'],
      removed: ['topic/back-b'],
    });
    const after = await asJson('deployments', 'get', undone.id, file);
    expect(after).toMatchObject({ status: 'succeeded', rolled_back_by: versions[0].deployment });
  });

  test('to a version that there is not fails, and says which there are', async () => {
    const file = join(local.dir, 'life.yaml');
    const { code, stderr } = await call('rollback', 'flow', file, '--reason', 'x', '--to-version', '99');
    expect(code).toBe(1);
    expect(stderr).toMatch(/error: life\/flow: .*no version 99/);
  });
});

describe('drift', () => {
  test('what somebody else changed is told, put back, and then there is none (D183)', async () => {
    const file = architecture('drifts', { topics: [{ name: 'drifts-a' }, { name: 'drifts-b' }] });
    await succeeds('up', file);
    expect((await succeeds('drift', 'flow', file, '--detailed-exitcode')).stdout).toContain(
      'Nothing differs from how it was applied.',
    );
    const topic = `${await origin()}/v1/projects/${PROJECT}/topics/drifts-b`;
    expect((await fetch(topic, { method: 'DELETE' })).status).toBe(200);

    const told = await call('drift', 'flow', file, '--detailed-exitcode');
    expect(told.code).toBe(2);
    expect(told.stdout + told.stderr).toContain('+ topic/drifts-b  changed since it was applied');
    expect(told.stdout).toMatch(/conductor.* drift flow .*--repair puts it back/);
    expect((await fetch(topic)).status).toBe(404);

    await succeeds('drift', 'flow', file, '--repair');
    expect((await fetch(topic)).status).toBe(200);
    await succeeds('drift', 'flow', file, '--detailed-exitcode');
  });
});

/** Of the local cloud. */
async function origin(): Promise<string> {
  const { stdout } = await local.conductor('local', 'env', '--dir', local.cloudDir);
  return /SERVICE_DIRECTOR_CLOUD_ENDPOINT='([^']+)'/.exec(stdout)?.[1] ?? '';
}

describe('locks', () => {
  test('keep others waiting, but not whoever holds them, and are given back by their id', async () => {
    const file = architecture('locked', { topics: [{ name: 'locked-a' }] });
    await succeeds('up', file, ...ONLY_SETUP);
    const who = ['--operation', 'maintenance', '--who', 'ann', '--reason', 'the disks'];
    const lock = await succeeds('lock', 'flow', file, ...who);
    // For scripts: nothing but the id.
    expect(lock.stdout).toMatch(/^\S+\n$/);
    const id = lock.stdout.trim();
    expect(lock.stderr).toContain(
      `conductor unlock flow ${file} --local-dir ${local.cloudDir} --lock-id ${id}\n`,
    );
    expect((await succeeds('state', 'flow', file)).stdout).toMatch(
      new RegExp(`^locked by ann since \\S+Z for maintenance: the disks, lock ${id}$`, 'm'),
    );
    const second = await call('lock', 'flow', file);
    expect([second.code, second.stdout]).toEqual([1, '']);
    expect(second.stderr).toContain('locked by ann for maintenance');

    architecture('locked', { topics: [{ name: 'locked-b' }] });
    const waiting = begin('up', file, ...ONLY_SETUP);
    const queue = await until(async () => {
      const found = (await asJson('state', 'flow', file)).queue;
      expect(found).toHaveLength(1);
      return found;
    });
    expect((await asJson('deployments', 'get', queue[0], file)).waiting_for).toContain(
      `the lock ${id} of ann`,
    );
    await waiting.shows(/locked\/flow is taken, by a lock or another deployment/);
    architecture('locked', { topics: [{ name: 'locked-c' }] });
    await succeeds('up', file, ...ONLY_SETUP, '--lock-id', id);
    expect(await topics()).toContain('locked-c');
    expect(await topics()).not.toContain('locked-b');

    const wrong = await call('unlock', 'flow', file, '--lock-id', 'another');
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('locked by ann');
    await succeeds('unlock', 'flow', file, '--lock-id', id);
    expect([await waiting.ended, waiting.output()]).toEqual([0, expect.stringContaining('done in')]);
  });

  test('are taken away by force with a reason, which stays in the audit trail', async () => {
    const file = join(local.dir, 'life.yaml');
    await succeeds('lock', 'flow', file);
    await succeeds('unlock', 'flow', file, '--force', '--reason', 'ann is on holiday');
    expect(await asJson('state', 'flow', file)).toMatchObject({ locked: false });
    const { entries, intact } = await asJson('state', 'flow', file, '--audit');
    expect(intact).toBe(true);
    expect(entries.at(-1)).toMatchObject({ what: 'forced', reason: 'ann is on holiday' });
  });
});

describe('approval', () => {
  /** Runs the command line that was printed, as a user would. */
  const runPrinted = (line: string, ...more: string[]): Promise<Ran> => {
    const [program, ...words] = line.trim().split(/\s+/);
    expect(program).toBe('conductor');
    return local.conductor(...words, ...more);
  };
  const gated = (name: string, topic: string): string =>
    architecture(name, { topics: [{ name: topic }] }, { approval: 'manual' });

  test('up says what to type, waits, and goes on when it was typed', async () => {
    const run = begin('up', gated('gated', 'gated-a'), ...ONLY_SETUP);
    const [, read = ''] = await run.shows(/^ {2}read its plan: (conductor deployments get .*)$/m);
    const [, approve = ''] = await run.shows(/^ {2}approve it: +(conductor approve .*)$/m);
    const detail = await runPrinted(read);
    expect(detail.stdout).toMatch(/^ {2}awaits approval of plan [0-9a-f]+ until \S+Z$/m);
    expect(detail.stdout).toContain('  + topic/gated-a\n');
    expect(await topics()).not.toContain('gated-a');

    const other = await runPrinted(approve, '--plan-hash', 'another');
    expect(other.code).toBe(1);
    const approved = await runPrinted(approve, '--reason', 'read it');
    expect([approved.code, approved.stderr]).toEqual([0, expect.stringContaining('+ topic/gated-a')]);
    expect([await run.ended, run.output()]).toEqual([0, expect.stringContaining('topic/gated-a: created')]);
    const { id } = await newest('gated/flow');
    const { stdout } = await succeeds('deployments', 'get', id, join(local.dir, 'gated.yaml'));
    expect(stdout).toMatch(/plan [0-9a-f]+ approved by \S+ at \S+Z: read it$/m);
  });

  test('what is rejected changes nothing, and the run that waits for it fails with the reason', async () => {
    const run = begin('up', gated('refused', 'refused-a'), ...ONLY_SETUP);
    const [, approve = ''] = await run.shows(/^ {2}approve it: +(conductor approve .*)$/m);
    expect((await runPrinted(approve, '--reject', '--reason', 'not on a Friday')).code).toBe(0);
    expect([await run.ended, run.output()]).toEqual([1, expect.stringContaining('not on a Friday')]);
    expect(await topics()).not.toContain('refused-a');
    const again = await runPrinted(approve);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('waits for no approval: it is cancelled');
  });

  test('--auto-approve stands for it, and is noted', async () => {
    const file = gated('waved', 'waved-a');
    const { stderr } = await succeeds('up', file, ...ONLY_SETUP, '--auto-approve');
    expect(stderr).not.toContain('awaits approval');
    const { id } = await newest('waved/flow');
    expect(await asJson('deployments', 'get', id, file)).toMatchObject({ approval: { state: 'approved' } });
  });
});

describe('cancel', () => {
  test('stops a deployment that is at work; the run that waits for it fails and says who did it', async () => {
    await faults([{ method: 'CreateTopic', error: 'UNAVAILABLE', message: 'not today' }]);
    const file = architecture('stopped', { topics: [{ name: 'stopped-a' }] });
    const run = begin('up', file, ...ONLY_SETUP);
    await run.shows(/topic\/stopped-a: waiting: not today/);
    const { id } = await newest('stopped/flow');
    await succeeds('cancel', id, file, '--reason', 'never mind');
    expect([await run.ended, run.output()]).toEqual([1, expect.stringContaining('never mind')]);
    await faults([]);
    expect(await newest('stopped/flow')).toMatchObject({ id, status: 'cancelled' });
    const late = await call('cancel', id, file);
    expect(late.code).toBe(1);
    expect(late.stderr).toContain('cancelled');
  });

  test('of a command stops what waits too', async () => {
    const file = join(local.dir, 'life.yaml');
    const { stdout } = await succeeds('lock', 'flow', file);
    const run = begin('up', file, ...ONLY_SETUP);
    const command = await until(async () => {
      const { deployments } = await asJson(
        'deployments',
        file,
        '--stack',
        'flow',
        '--status',
        'waiting_for_lock',
      );
      expect(deployments).toHaveLength(1);
      return deployments[0].command;
    });
    await succeeds('cancel', '--command', command, file);
    expect(await run.ended).toBe(1);
    await succeeds('unlock', 'flow', file, '--lock-id', stdout.trim());
  });
});

describe('a director that is killed and started again', () => {
  test('while a rollback is at work: it goes on, and is one deployment and one version', async () => {
    const file = architecture('killed', { topics: [{ name: 'killed-a' }] });
    await succeeds('up', file, ...ONLY_SETUP);
    architecture('killed', { topics: [{ name: 'killed-b' }] });
    await succeeds('up', file, ...ONLY_SETUP);

    await faults([{ method: 'CreateTopic', error: 'UNAVAILABLE', message: 'not now' }]);
    const run = begin('rollback', 'flow', file, '--reason', 'back');
    await run.shows(/topic\/killed-a: waiting: not now/);
    const { id } = await newest('killed/flow');
    const following = begin('deployments', 'logs', id, file, '--follow');
    await following.shows(/topic\/killed-a waiting: not now/);
    for (let times = 0; times < 3; times++) {
      await killDirector();
      // It is at work again before it is killed again.
      await until(async () => expect((await newest('killed/flow')).status).toBe('applying'));
    }
    await faults([]);
    expect([await run.ended, run.output()]).toEqual([0, expect.stringContaining('done in')]);
    expect([await following.ended, following.output()]).toEqual([0, expect.stringMatching(/Z succeeded\n$/)]);
    const { versions } = await asJson('history', 'flow', file);
    expect(versions).toHaveLength(3);
    expect(versions[0]).toMatchObject({
      operation: 'rollback',
      added: ['topic/killed-a'],
      removed: ['topic/killed-b'],
    });
    const { deployments } = await asJson('deployments', file, '--stack', 'flow', '--limit', '10');
    expect(
      deployments.filter(({ operation }: { operation: string }) => operation === 'rollback'),
    ).toHaveLength(1);
  });

  test('before each command: each has its effect, and has it once', async () => {
    const file = architecture('shaken', { topics: [{ name: 'shaken-a' }] }, { approval: 'manual' });
    const run = begin('up', file, ...ONLY_SETUP);
    await run.shows(/awaits approval/);
    const after = async (...argv: string[]): Promise<Ran> => {
      await killDirector();
      return succeeds(...argv);
    };
    const { deployments } = JSON.parse(
      (await after('deployments', file, '--status', 'awaiting_approval', '--json')).stdout,
    );
    await after('approve', deployments[0].id, file);
    expect([await run.ended, run.output()]).toEqual([0, expect.stringContaining('done in')]);
    const { stdout } = await after('lock', 'flow', file);
    const held = begin('up', file, ...ONLY_SETUP);
    const queued = await until(async () => {
      const { queue } = await asJson('state', 'flow', file);
      expect(queue).toHaveLength(1);
      return queue[0];
    });
    await after('cancel', queued, file);
    expect(await held.ended).toBe(1);
    await after('unlock', 'flow', file, '--lock-id', stdout.trim());
    await after('rollback', 'flow', file, '--reason', 'away with it', '--to-version', '0', '--auto-approve');
    expect(await topics()).not.toContain('shaken-a');
    expect((await after('history', 'flow', file)).stdout).toMatch(
      /^version 2 .*\n.*- topic\/shaken-a\nversion 1 /,
    );
    const { entries, intact } = JSON.parse((await after('state', 'flow', file, '--audit', '--json')).stdout);
    expect(intact).toBe(true);
    const facts = entries.map(({ what }: { what: string }) => what);
    for (const what of ['approved', 'locked', 'cancelled', 'unlocked'])
      expect(
        facts.filter((fact: string) => fact === what),
        what,
      ).toHaveLength(1);
    expect(facts.filter((fact: string) => fact === 'changed')).toHaveLength(2);
  });
});
