import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PRIORITIES } from '@service-director/shared/contract/command.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PHASES } from '../event.ts';
import { commands } from './commands.ts';
import { bashCompletion } from './shells/bash.ts';
import { completables } from './shells/completable.ts';
import { fishCompletion } from './shells/fish.ts';
import { zshCompletion } from './shells/zsh.ts';

const COMMANDS = Object.keys(commands);
let dir = '';

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'completion-'));
  writeFileSync(join(dir, 'architecture.yaml'), '');
  mkdirSync(join(dir, 'an other folder'));
  writeFileSync(join(dir, 'complete.bash'), bashCompletion(completables(commands)));
  writeFileSync(join(dir, 'complete.zsh'), zshCompletion(completables(commands)));
  writeFileSync(join(dir, 'complete.fish'), fishCompletion(completables(commands)));
});
afterAll(() => rmSync(dir, { recursive: true }));

/** What bash would offer for the last of the words, which are split as readline splits them. */
function inBash(...words: string[]): string[] {
  const script = `
    set -u
    source ./complete.bash
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _conductor
    printf '%s\\n' "\${COMPREPLY[@]+"\${COMPREPLY[@]}"}"
  `;
  const out = execFileSync('bash', ['--norc', '-c', script, 'bash', 'conductor', ...words], {
    cwd: dir,
    encoding: 'utf8',
  });
  return out.split('\n').filter((line) => line !== '');
}

test('the script of bash registers itself, and says nothing', () => {
  const out = execFileSync('bash', ['--norc', '-c', 'source ./complete.bash; complete -p conductor'], {
    cwd: dir,
    encoding: 'utf8',
  });
  expect(out).toBe('complete -F _conductor conductor\n');
});

test('bash completes commands', () => {
  expect(inBash('')).toEqual([...COMMANDS, 'help', '--help', '--version']);
  expect(inBash('d')).toEqual(['deploy', 'down', 'deployments', 'drift', 'director', 'doctor']);
  expect(inBash('help', 'e')).toEqual(['events']);
});

test('bash completes every option of every command', () => {
  for (const [name, { options }] of Object.entries(commands)) {
    const flags = Object.keys(options).map((option) => `--${option}`);
    expect(inBash(name, '--')).toEqual([...flags, '--help']);
  }
});

test('bash completes words where words are', () => {
  expect(inBash('local', 'st')).toEqual(['start', 'stop', 'status']);
  expect(inBash('director', '--limit', '3', '')).toEqual(['url', 'status', 'logs']);
  expect(inBash('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  expect(inBash('schema', '')).toEqual([]);
  expect(inBash('deployments', '')).toEqual(['get', 'logs', 'approve', 'reject', 'cancel', 'rollback']);
  expect(inBash('deployments', 'get', '')).toEqual([]);
});

test('bash completes phases, and other values of which there are few', () => {
  expect(inBash('up', '--only', '')).toEqual([...PHASES]);
  expect(inBash('up', '--local', '--skip', 'verify-')).toEqual(['verify-grants', 'verify-services']);
  expect(inBash('up', '--builder', '')).toEqual(['cloud-build', 'docker']);
  expect(inBash('local', 'env', '--format', 'd')).toEqual(['dotenv']);
  expect(inBash('up', '--timeout', '')).toEqual([]);
  expect(inBash('up', '--priority', '')).toEqual([...PRIORITIES]);
  expect(inBash('deployments', '--status', 'c')).toEqual(['cancelling', 'cancelled']);
});

test('bash completes --option=value, which comes as three words', () => {
  expect(inBash('up', '--only', '=', 'boot')).toEqual(['bootstrap']);
  expect(inBash('up', '--only', '=')).toEqual([...PHASES]);
  expect(inBash('up', '--only', '=', 'build', 'arch')).toEqual(['architecture.yaml']);
});

test('bash completes files and folders, spaces in them and all', () => {
  expect(inBash('plan', 'arch')).toEqual(['architecture.yaml']);
  expect(inBash('logs', 'api', 'a').sort()).toEqual(['an other folder', 'architecture.yaml']);
  expect(inBash('director', 'logs', 'arch')).toEqual(['architecture.yaml']);
  expect(inBash('deployments', 'get', 'id', 'arch')).toEqual(['architecture.yaml']);
  expect(inBash('rollback', '--reason', 'why', 'flow', 'arch')).toEqual(['architecture.yaml']);
  expect(inBash('up', '--local-dir', 'a')).toEqual(['an other folder']);
  expect(inBash('logs', 'a')).toEqual([]);
  expect(inBash('plan', 'architecture.yaml', 'a')).toEqual([]);
});

/** Prints the reason when there is no such shell here. */
function isInstalled(shell: string): boolean {
  const isThere = spawnSync(shell, ['-c', 'true']).status === 0;
  if (!isThere) process.stderr.write(`${shell} is not installed: its completions are not tried here\n`);
  return isThere;
}

test.runIf(isInstalled('fish'))('fish completes commands, options, words, values and files', () => {
  const inFish = (line: string): string[] =>
    execFileSync('fish', ['--no-config', '-c', `source complete.fish; complete -C '${line}'`], {
      cwd: dir,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: dir },
    })
      .split('\n')
      .flatMap((found) => found.split('\t')[0] || []);
  expect(inFish('conductor ')).toEqual([...COMMANDS, 'help'].sort());
  expect(inFish('conductor local st')).toEqual(['start', 'status', 'stop']);
  expect(inFish('conductor director --limit 3 u')).toEqual(['url']);
  expect(inFish('conductor up --only b')).toEqual(['bootstrap', 'build']);
  expect(inFish('conductor down --dr')).toEqual(['--dry-run']);
  expect(inFish('conductor director logs arch')).toEqual(['architecture.yaml']);
  expect(inFish('conductor schema ')).toEqual([]);
});

/** Types each line into an interactive zsh, presses tab, and reads until what is expected shows. */
const IN_ZSH = `
  zmodload zsh/zpty
  zpty shell zsh -f -i
  zpty -w shell 'PS1=""; autoload -U compinit; compinit -D; source ./complete.zsh; echo SO''URCED'
  zpty -r shell seen '*SOURCED*'
  while (( $# )); do
    zpty -w -n shell "$1"$'\\t'
    zpty -r shell seen "*$2*"
    zpty -w -n shell $'\\x15'
    shift 2
  done
  print done
`;

test.runIf(isInstalled('zsh'))('zsh completes commands, options, words, values and files', () => {
  const typed = [
    ['conductor direc', 'director'],
    ['conductor local --for', '--format'],
    ['conductor local --format dot', 'dotenv'],
    ['conductor director sta', 'status'],
    ['conductor up --skip ident', 'identities'],
    ['conductor logs api archi', 'architecture.yaml'],
  ];
  const out = execFileSync('zsh', ['-f', '-c', IN_ZSH, 'zsh', ...typed.flat()], {
    cwd: dir,
    encoding: 'utf8',
    timeout: 20_000,
    env: { PATH: process.env.PATH, HOME: dir, TERM: 'dumb' },
  });
  expect(out).toBe('done\n');
});
