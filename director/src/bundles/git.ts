/**
 * Code from a Git repository: the tree of one commit, without its history.
 *
 * The repository is foreign, and so is whoever named it. Git is started without a shell, without the settings of this
 * machine and without a way to ask anybody; it may speak https and ssh to the address that was checked, and to no other.
 * No file of the repository is ever checked out, so that no hook, filter or link of it comes to act.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import { gitAddress } from '@service-director/shared/model/bundle-source.ts';
import { type Address, AddressRefused, type AddressRules, demandPublicHost } from '../http/public-address.ts';
import { type BundleFile, demandSize } from './bundle.ts';
import { demandCount } from './names.ts';
import { filesOfTar } from './tar.ts';

export interface GitOptions extends AddressRules {
  readonly clock: Clock;
  /** Where its folder may be for as long as it takes; made when missing. */
  readonly workRoot: string;
  /** Default `git`, as PATH finds it. */
  readonly gitBinary?: string | undefined;
  /** Of it, what git needs to start and to be let in: see PASSED. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface Repository {
  readonly git: string;
  readonly ref?: string | undefined;
}

export interface Taken {
  readonly files: BundleFile[];
  /** Its whole name, hexadecimal. */
  readonly commit: string;
}

const PASSED = ['PATH', 'SSH_AUTH_SOCK', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'GIT_SSL_CAINFO'];
/** Of what a fetch may bring: one commit, packed. */
const MOST_PACKED = 200 * 1024 ** 2;
const LOOK_EVERY_MS = 500;
const FETCH_MS = 300_000;

/** Rejects with a CloudError, with AddressRefused, and with BadBundle. */
export async function fromGit(
  repository: Repository,
  options: GitOptions,
  signal: AbortSignal,
): Promise<Taken> {
  const network = await networkOf(repository.git, options);
  await mkdir(options.workRoot, { recursive: true });
  const folder = await mkdtemp(join(options.workRoot, 'git-'));
  const git: Git = {
    binary: options.gitBinary ?? 'git',
    folder: join(folder, 'repository'),
    settings: network.settings,
    environment: environmentOf(folder, network, options),
    address: repository.git,
  };
  try {
    return await take(git, repository, options.clock, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How git gets to a repository, and to nothing else. */
interface Network {
  readonly protocols: string;
  readonly settings: readonly string[];
  readonly ssh: string;
}

async function networkOf(url: string, rules: AddressRules): Promise<Network> {
  if (rules.allowPrivate && url.startsWith('file:///'))
    return { protocols: 'file', settings: [], ssh: 'false' };
  const address = gitAddress(url);
  if (!address) throw new AddressRefused('Only https and ssh repositories can be fetched');
  const { scheme, host, port } = address;
  const addresses = await demandPublicHost(host, rules);
  if (scheme === 'ssh') return { protocols: 'ssh', settings: [], ssh: sshTo(host, addresses) };
  const targets = addresses.map(({ address: ip, family }) => (family === 6 ? `[${ip}]` : ip));
  const settings = [
    `http.curloptResolve=${host}:${port ?? 443}:${targets.join(',')}`,
    'http.followRedirects=false',
    // A proxy would look the name up again.
    'http.proxy=',
  ];
  return { protocols: 'https', settings, ssh: 'false' };
}

/** A command line that git splits with a shell: the host has only letters, digits, dots and hyphens, the address even less. */
function sshTo(host: string, addresses: readonly Address[]): string {
  // It takes one only: the one that is more likely to be reached from where services run.
  const { address: ip } = addresses.find(({ family }) => family === 4) ?? addresses[0] ?? { address: host };
  return [
    'ssh -F none',
    '-o BatchMode=yes',
    '-o StrictHostKeyChecking=yes',
    '-o ForwardAgent=no',
    `-o HostKeyAlias=${host}`,
    `-o HostName=${ip}`,
  ].join(' ');
}

interface Git {
  readonly binary: string;
  /** Of the repository. */
  readonly folder: string;
  readonly settings: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** As in messages. */
  readonly address: string;
}

function environmentOf(
  home: string,
  { protocols, ssh }: Network,
  { environment }: GitOptions,
): Record<string, string> {
  const passed = PASSED.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(passed),
    HOME: home,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: 'false',
    GIT_ALLOW_PROTOCOL: protocols,
    GIT_SSH_COMMAND: ssh,
    GIT_SSH_VARIANT: 'ssh',
  };
}

async function take(
  git: Git,
  { git: url, ref = 'HEAD' }: Repository,
  clock: Clock,
  signal: AbortSignal,
): Promise<Taken> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(FETCH_MS)]);
  const said = (args: readonly string[]): Promise<string> => saidBy(git, args, inTime);
  try {
    await said(['init', '--quiet', '--bare', '--template=', '--', git.folder]);
    await fetchOnly(git, url, ref, clock, inTime);
    const commit = (await said(['rev-parse', '--verify', 'FETCH_HEAD^{commit}'])).trim();
    demandTree(await said(['ls-tree', '-r', '--format=%(objecttype) %(objectsize)', commit]));
    const tar = join(git.folder, 'tree.tar');
    await said(['archive', '--format=tar', `--output=${tar}`, commit]);
    return { files: await filesOfTar(await readFile(tar)), commit };
  } catch (error) {
    signal.throwIfAborted();
    if (inTime.aborted)
      throw new CloudError('unknown-outcome', `The repository ${git.address} took too long to fetch`);
    throw error;
  }
}

/** Brings exactly that ref, without its history; gives up when more comes than one commit of code can have. */
async function fetchOnly(
  git: Git,
  url: string,
  ref: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const tooMuch = new AbortController();
  const fetching = saidBy(
    git,
    [
      'fetch',
      '--quiet',
      '--depth=1',
      '--no-tags',
      '--no-recurse-submodules',
      '--no-auto-maintenance',
      '--',
      url,
      ref,
    ],
    AbortSignal.any([signal, tooMuch.signal]),
  ).finally(() => ended.abort());
  const watching = watch(join(git.folder, 'objects', 'pack'), clock, ended.signal, () =>
    tooMuch.abort(new CloudError('invalid', `The repository ${git.address} is too large`)),
  );
  await Promise.all([fetching, watching]);
}

async function watch(folder: string, clock: Clock, ended: AbortSignal, tooMuch: () => void): Promise<void> {
  while (!ended.aborted) {
    if ((await bytesIn(folder)) > MOST_PACKED) return tooMuch();
    await clock.sleep(LOOK_EVERY_MS, ended).catch(() => {});
  }
}

async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  // A file may get its last name, or go, between the two looks.
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Before it is unpacked: what is a few kilobytes in a repository may be any size in its tree. */
function demandTree(text: string): void {
  const lines = text.split('\n');
  demandCount(lines.length - 1);
  let bytes = 0;
  for (const line of lines) {
    const [type, size] = line.split(' ');
    if (type === 'blob') bytes += Number(size);
  }
  demandSize(bytes);
}

/** What git says on its standard output. Rejects with a CloudError that has git's own words, or names what is missing. */
async function saidBy(git: Git, args: readonly string[], signal: AbortSignal): Promise<string> {
  const isNew = args[0] === 'init';
  const settings = [
    'core.hooksPath=/dev/null',
    'credential.helper=',
    'protocol.version=2',
    'gc.auto=0',
    // What comes stays packed, and is never whole in memory, however much it is.
    'fetch.unpackLimit=1',
    'core.bigFileThreshold=20m',
    ...git.settings,
  ];
  const ran = await run(
    git.binary,
    [
      ...settings.flatMap((setting) => ['-c', setting]),
      ...(isNew ? [] : [`--git-dir=${git.folder}`]),
      ...args,
    ],
    { env: git.environment, signal },
  ).catch((error) => {
    throw isMissing(error)
      ? new CloudError('unimplemented', 'Git is not installed where the director runs', {
          fix: 'install git there, or bring the code by Cloud Storage',
          cause: error,
        })
      : error;
  });
  if (ran.code !== 0)
    throw new CloudError('precondition', `The repository ${git.address} cannot be fetched: ${wordsOf(ran)}`);
  return ran.stdout;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EACCES');
}

/** The line that says what is wrong, without the one that says what else could be. */
function wordsOf({ stderr, code }: Ran): string {
  const lines = stderr
    .replace(/[^\P{Cc}\n]/gu, '')
    .split('\n')
    .map((line) => line.trim());
  const said =
    lines.find((line) => /^(fatal|error|remote|ssh):/.test(line)) ?? lines.find((line) => line !== '');
  return (said ?? `git ended with ${code ?? 'a signal'}`).slice(0, 500);
}
