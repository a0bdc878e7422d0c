/** Code of Git repositories: exactly one commit, and nothing of theirs ever runs here. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromGit, type GitOptions, type Repository } from './git.ts';

const never = new AbortController().signal;
const PATH = process.env.PATH ?? '';
const hasGit = PATH.split(delimiter).some((folder) => existsSync(join(folder, 'git')));

let root = '';
let repository = '';
let workRoot = '';
let options: GitOptions;
const commits: Record<string, string> = {};

function git(...args: readonly string[]): string {
  const env = {
    PATH,
    HOME: root,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@example.com',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.com',
  };
  const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
  return execFileSync('git', ['-C', repository, ...args], { env, stdio, encoding: 'utf8' }).trim();
}

function commit(name: string, files: Readonly<Record<string, string>>): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(repository, path)), { recursive: true });
    writeFileSync(join(repository, path), text);
  }
  git('add', '--all');
  git('commit', '--quiet', '--allow-empty', '-m', name);
  commits[name] = git('rev-parse', 'HEAD');
  return commits[name];
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'bundles-git-'));
  repository = join(root, 'repository');
  workRoot = join(root, 'work');
  mkdirSync(repository);
  mkdirSync(workRoot);
  options = {
    allowPrivate: true,
    clock: systemClock,
    workRoot,
    environment: { PATH, SECRET_TOKEN: 'hunter2' },
  };
  if (!hasGit) return;
  git('init', '--quiet', '--initial-branch=main');
  commit('first', { 'main.tf': 'one', 'modules/net/main.tf': 'net' });
  git('tag', '-a', 'v1.0.0', '-m', 'first');
  commit('second', { 'main.tf': 'two', 'run.sh': '#!/bin/sh' });
  chmodSync(join(repository, 'run.sh'), 0o755);
  commit('third', {});
  git('checkout', '--quiet', '-b', 'feature/x');
  commit('feature', { 'main.tf': 'feature' });
  git('checkout', '--quiet', 'main');
});
afterAll(() => rmSync(root, { recursive: true }));
// Whatever became of the last one: nothing is left.
beforeEach(() => expect(readdirSync(workRoot)).toEqual([]));

const take = (more: Partial<Repository> = {}, other: Partial<GitOptions> = {}) =>
  fromGit({ git: `file://${repository}`, ...more }, { ...options, ...other }, never);

describe.skipIf(!hasGit)(`with git${hasGit ? '' : ', which is not installed here'}`, () => {
  test('the main branch is taken where nothing else is said, with its files and their modes', async () => {
    const { files, commit: taken } = await take();
    expect(taken).toBe(commits.third);
    expect(files.map(({ path, content, executable }) => [path, String(content), executable])).toEqual([
      ['main.tf', 'two', false],
      ['modules/net/main.tf', 'net', false],
      ['run.sh', '#!/bin/sh', true],
    ]);
  });

  test.each([
    ['a branch', 'feature/x', 'feature'],
    ['a tag', 'v1.0.0', 'first'],
  ])('%s is taken', async (_what, ref, name) => {
    expect((await take({ ref })).commit).toBe(commits[name]);
  });

  test('the folder to work in is made where it is missing', async () => {
    expect((await take({}, { workRoot: join(root, 'new', 'work') })).commit).toBe(commits.third);
    expect(readdirSync(join(root, 'new', 'work'))).toEqual([]);
  });

  test('a commit is taken, by its whole name', async () => {
    expect((await take({ ref: commits.second ?? '' })).commit).toBe(commits.second);
  });

  test('a ref that is not there is told in the words of git', async () => {
    await expect(take({ ref: 'nowhere' })).rejects.toMatchObject({
      reason: 'precondition',
      message: expect.stringMatching(/cannot be fetched: fatal: .*nowhere/),
    });
  });

  test('a repository that is not there is told', async () => {
    await expect(take({ git: `file://${root}/nothing` })).rejects.toThrow(/cannot be fetched: fatal:/);
  });

  test('what looks like an option is none', async () => {
    const proof = join(root, 'proof');
    await expect(take({ ref: `--upload-pack=touch ${proof};` })).rejects.toThrow('cannot be fetched');
    await expect(take({ ref: `$(touch ${proof})` })).rejects.toThrow('cannot be fetched');
    expect(existsSync(proof)).toBe(false);
  });

  test('a link in the tree is refused', async () => {
    git('checkout', '--quiet', '-b', 'linked');
    symlinkSync('/etc/passwd', join(repository, 'passwd.tf'));
    commit('linked', {});
    git('checkout', '--quiet', 'main');
    await expect(take({ ref: 'linked' })).rejects.toThrow('"passwd.tf" is a link');
  });

  test('a tree that unpacks to too much is refused before it is', async () => {
    git('checkout', '--quiet', '-b', 'bomb');
    commit('bomb', { zeros: '\0'.repeat(60 * 1024 ** 2) });
    git('checkout', '--quiet', 'main');
    await expect(take({ ref: 'bomb' })).rejects.toThrow('more than 50 MiB');
  });

  test('hooks, filters, submodules and settings of others do nothing', async () => {
    const proof = join(root, 'proof');
    git('checkout', '--quiet', '-b', 'tricks');
    commit('tricks', {
      '.gitattributes': '*.tf filter=evil\n',
      '.gitmodules': `[submodule "m"]\n\tpath = m\n\turl = file://${root}/nothing\n`,
      'main.tf': 'tricks',
    });
    git('update-index', '--add', '--cacheinfo', `160000,${commits.first},m`);
    git('commit', '--quiet', '-m', 'a submodule');
    git('checkout', '--quiet', '--force', 'main');
    const home = join(root, 'home');
    mkdirSync(home);
    writeFileSync(join(home, '.gitconfig'), `[filter "evil"]\n\tsmudge = touch ${proof}\n\tclean = cat\n`);
    const { files } = await take(
      { ref: 'tricks' },
      { environment: { PATH, HOME: home, GIT_DIR: '/nowhere' } },
    );
    expect(files.map(({ path }) => path)).toEqual([
      '.gitattributes',
      '.gitmodules',
      'main.tf',
      'modules/net/main.tf',
      'run.sh',
    ]);
    expect(existsSync(proof)).toBe(false);
  });

  test('only what is needed is passed on, and nothing secret on the command line', async () => {
    const record = join(root, 'record');
    const binary = join(root, 'watched-git');
    writeFileSync(binary, `#!/bin/sh\nenv >> ${record}\necho "$@" >> ${record}\nexec git "$@"\n`, {
      mode: 0o755,
    });
    await take({}, { gitBinary: binary });
    const recorded = readFileSync(record, 'utf8');
    expect(recorded).toContain('GIT_TERMINAL_PROMPT=0');
    expect(recorded).toContain('GIT_ALLOW_PROTOCOL=file');
    expect(recorded).not.toContain('hunter2');
  });

  test('a connection over https goes to the address that was checked', async () => {
    const record = join(root, 'https');
    const binary = join(root, 'https-git');
    writeFileSync(binary, `#!/bin/sh\necho "$@" >> ${record}\nexec git "$@"\n`, { mode: 0o755 });
    const lookup = async () => [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ];
    // Nobody listens on port 1: that it cannot connect there shows that it was not looked up again.
    await expect(
      take({ git: 'https://code.invalid:1/a.git' }, { gitBinary: binary, lookup }),
    ).rejects.toThrow(/Failed to connect to code\.invalid|Couldn't connect|Connection refused/);
    expect(readFileSync(record, 'utf8')).toContain('http.curloptResolve=code.invalid:1:[::1],127.0.0.1');
  });

  test('an abort ends it, with its own reason', async () => {
    const abort = new AbortController();
    const binary = join(root, 'slow-git');
    writeFileSync(binary, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    const taking = fromGit({ git: `file://${repository}` }, { ...options, gitBinary: binary }, abort.signal);
    await expect.poll(() => readdirSync(workRoot).length).toBe(1);
    abort.abort(new Error('cancelled by ops'));
    await expect(taking).rejects.toThrow('cancelled by ops');
  });

  test('a repository that grows beyond all bounds is given up', async () => {
    const binary = join(root, 'growing-git');
    const script = [
      '#!/bin/sh',
      'for word; do case "$word" in --git-dir=*) folder=$(echo "$word" | cut -c11-);; esac; done',
      'case " $* " in *" fetch "*) ;; *) exec git "$@";; esac',
      // It holds nothing, and says that it is large.
      'truncate -s 300M "$folder/objects/pack/tmp_pack_1"',
      'exec sleep 60',
    ];
    writeFileSync(binary, script.join('\n'), { mode: 0o755 });
    await expect(take({}, { gitBinary: binary })).rejects.toThrow('is too large');
  });

  test('a connection by ssh goes to the address that was checked', async () => {
    const record = join(root, 'ssh');
    const tools = join(root, 'tools');
    mkdirSync(tools);
    writeFileSync(join(tools, 'ssh'), `#!/bin/sh\necho "$@" > ${record}\nexit 255\n`, { mode: 0o755 });
    const lookup = async () => [{ address: '192.0.2.7', family: 4 }];
    const environment = { PATH: `${tools}${delimiter}${PATH}` };
    await expect(take({ git: 'git@code.invalid:a.git' }, { environment, lookup })).rejects.toThrow(
      'The repository git@code.invalid:a.git cannot be fetched: fatal:',
    );
    const recorded = readFileSync(record, 'utf8');
    expect(recorded).toContain('-o HostKeyAlias=code.invalid -o HostName=192.0.2.7');
    expect(recorded).toContain('-o BatchMode=yes -o StrictHostKeyChecking=yes');
  });
});

test.each(['file:///etc', 'http://example.com/a', 'ext::sh -c id', '/etc', '--upload-pack=id'])(
  '%s is not fetched',
  async (address) => {
    await expect(take({ git: address }, { allowPrivate: false })).rejects.toThrow('Only https and ssh');
  },
);

test.each(['https://127.0.0.1/a', 'https://169.254.169.254/a', 'ssh://git@localhost/a', 'git@10.0.0.1:a'])(
  '%s is not on the public internet',
  async (address) => {
    await expect(take({ git: address }, { allowPrivate: false })).rejects.toThrow(
      'not on the public internet',
    );
  },
);

test('where git is missing it is said', async () => {
  await expect(take({}, { gitBinary: join(root, 'no-git') })).rejects.toMatchObject({
    reason: 'unimplemented',
    message: 'Git is not installed where the director runs',
    fix: expect.stringContaining('install git'),
  });
});
