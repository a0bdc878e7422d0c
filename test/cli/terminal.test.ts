/** The conductor in a terminal, on a local cloud whose director nothing leads to but that it is there: no FILE, no URL. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type CliAnswer, callCli } from '@service-director/conductor/cli/testing.ts';
import { start } from '@service-director/shared/kit/process.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { until } from '../director/support/world.ts';
import { CONDUCTOR, type LocalCli, startLocalCli } from '../local-cli.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 300_000 });

/** Runs a program in a terminal of its own. */
const TERMINAL = 'script';
const hasScript = spawnSync(TERMINAL, ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasScript) process.stdout.write('There is no script(1): the live picture is not tried in a terminal.\n');

const ARCHITECTURE = {
  name: 'shown',
  project_id: 'shown-local',
  region: 'europe-west1',
  dataflows: { flow: { lifecycle: { strategy: 'ephemeral' }, resources: { topics: [{ name: 'shown-a' }] } } },
};

let local: LocalCli;
let empty = '';
let where: string[] = [];
const ends: (() => void)[] = [];

beforeAll(async () => {
  local = await startLocalCli();
  empty = join(local.dir, 'empty');
  mkdirSync(empty);
  where = ['--local', '--local-dir', local.cloudDir];
  const nobody = await call('deployments');
  expect(nobody).toMatchObject({ code: 69, stderr: expect.stringContaining('There is no director on the') });
  // JSON is YAML.
  writeFileSync(join(local.dir, 'architecture.yaml'), JSON.stringify(ARCHITECTURE));
  const up = await callCli(['up', '.', ...where], { cwd: local.dir, env: local.bare });
  expect(up).toMatchObject({ code: 0 });
});
afterAll(async () => {
  for (const end of ends) end();
  await local.end();
});

/** In an empty folder. */
function call(...argv: string[]): Promise<CliAnswer> {
  return callCli([...argv, ...where], { cwd: empty, env: local.bare });
}

async function succeeds(...argv: string[]): Promise<string> {
  const answer = await call(...argv);
  expect({ ...answer, argv }).toMatchObject({ code: 0, argv });
  return answer.stdout;
}

test('without a FILE and a URL all find the director of the local cloud', async () => {
  const url = (await succeeds('director', 'url')).trim();
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(await succeeds('director', 'status')).toContain(`director service-director  ready  ${url}`);
  expect(await succeeds('director', 'logs', '--limit', '1')).toMatch(/^\S+Z /);
  expect(await succeeds('status')).toContain('\n  shown/flow  version 1  ');
  expect(await succeeds('events')).toContain(' shown/flow topic/shown-a created');
  expect(await succeeds('deployments')).toMatch(/Z shown\/flow .* succeeded/);
  expect(await succeeds('history', 'flow')).toMatch(/^version 1 {2}current/);
  expect(await succeeds('state', 'flow')).toContain('topic/shown-a');
  const { stdout } = await call('doctor');
  expect(stdout).toContain(`\ndirector  ${url}  `);
  // Nothing of what a machine without a network lacks keeps deployments of this kind back.
  expect(stdout).not.toMatch(/^✗ network/m);
});

interface Shown {
  output(): string;
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  press(keys: string): void;
  readonly ended: Promise<number | null>;
}

function inTerminal(argv: readonly string[], columns: number, env: Record<string, string> = {}): Shown {
  const words = [process.execPath, CONDUCTOR, ...argv, ...where].map((word) => `'${word}'`).join(' ');
  const line = `stty cols ${columns} rows 24; exec ${words}`;
  const child = start(TERMINAL, ['--quiet', '--flush', '--return', '--command', line, '/dev/null'], {
    cwd: empty,
    env: { ...local.bare, TERM: 'xterm', ...env },
    stdio: 'pipe',
  });
  ends.push(() => child.kill('SIGKILL'));
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    output: () => output,
    shows: (pattern) =>
      until(() => {
        const found = pattern.exec(stripVTControlCharacters(output));
        if (found) return found;
        throw new Error(`${pattern} does not show in:\n${output}`);
      }),
    press: (keys) => void child.stdin?.write(keys),
    ended: once(child, 'close').then(([code]) => code as number | null),
  };
}

const COLOUR = new RegExp(`${'\u001b'}\\[\\d+m`);
const UP = new RegExp(`${'\u001b'}\\[(\\d+)A$`);

/** The lines of live pictures: they stand before what takes them away again. */
function pictures(output: string): string[] {
  return output
    .split('\u001b[0J')
    .slice(0, -1)
    .flatMap((part) => {
      const rows = Number(UP.exec(part)?.[1] ?? 0);
      return stripVTControlCharacters(part)
        .split('\n')
        .slice(-rows - 1, -1);
    })
    .map((line) => line.replace(/\r$/, ''));
}

describe.skipIf(!hasScript)('a rollback that waits for a lock, in a terminal', () => {
  test.each([
    [80, {}],
    [40, {}],
    [80, { NO_COLOR: '1' }],
  ])(
    'of %i columns with %j: for whom it waits, Ctrl-C leaves it there, and what to type',
    async (columns, env) => {
      const lock = (await succeeds('lock', 'flow', '--reason', 'to see')).trim();
      const shown = inTerminal(['rollback', 'flow', '--reason', 'to see'], columns, env);
      const told = new RegExp(
        `^shown/flow waits for the lock ${lock} of local \\(manual\\), place 1 in its queue\\r?$`,
        'm',
      );
      await shown.shows(told);
      await shown.shows(/^ {2}… shown\/flow .* waiting: the /m);
      shown.press('\u0003');
      expect(await shown.ended).toBe(130);
      const said = stripVTControlCharacters(shown.output()).replaceAll('\r', '');
      expect(said).toMatch(
        /\nerror: Interrupted here; what the director was told goes on\n {2}fix: watch it with /,
      );
      for (const line of pictures(shown.output())) expect(line.length, line).toBeLessThan(columns);
      if ('NO_COLOR' in env) expect(shown.output()).not.toMatch(COLOUR);
      // What goes on remotely is what was told to be stopped with.
      const [, cancel = ''] = /or stop it with conductor (cancel .*)\n/.exec(said) ?? [];
      const id = cancel.split(' ')[1] ?? '';
      expect(await succeeds('deployments', '--status', 'waiting_for_lock')).toContain(`(${id})`);
      expect((await callCli(cancel.split(' '), { cwd: empty, env: local.bare })).code).toBe(0);
      await succeeds('unlock', 'flow', '--lock-id', lock);
    },
  );
});

describe.skipIf(!hasScript)('a word to a director that is not there to hear it', () => {
  test.each([
    [['approve', 'somebody'], /error: Interrupted before the director was told anything\n/],
    [
      ['lock', 'shown/flow'],
      /error: Interrupted; the director may have heard it, and goes on then\n {2}fix: see conductor state shown\/flow /,
    ],
  ])('Ctrl-C of %j ends with 130, and says what became of it', async (argv, says) => {
    const shown = inTerminal([...argv, '--director-url', 'http://127.0.0.1:9'], 200);
    await shown.shows(/it is asked again/);
    shown.press('\u0003');
    expect(await shown.ended).toBe(130);
    expect(stripVTControlCharacters(shown.output()).replaceAll('\r', '')).toMatch(says);
  });
});
