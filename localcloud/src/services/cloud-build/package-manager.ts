/** npm, pnpm and Yarn: which one a package means, and how each is told what to do. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, type JsonObject } from '../../json.ts';
import { BuildFailure } from './failure.ts';
import type { Machine } from './machine.ts';

export interface PackageManager {
  readonly name: 'npm' | 'pnpm' | 'yarn';
  /** The file that pins what is installed. */
  readonly lockfile: string;
  /** Commands, each a program and its arguments. */
  install(production: boolean): readonly string[];
  script(name: string): readonly string[];
  /** Takes the development dependencies away again. */
  prune(): readonly string[];
}

/** By the lockfile in the folder; undefined where there is none. Throws BuildFailure when this machine has not got the program. */
export function packageManager(
  folder: string,
  packageJson: JsonObject,
  machine: Machine,
): PackageManager | undefined {
  const found = LOCKFILES.find(([file]) => existsSync(join(folder, file)));
  if (!found) return undefined;
  const [lockfile, name] = found;
  switch (name) {
    case 'npm':
      return npm(machine, lockfile);
    case 'pnpm':
      return pnpm(machine, lockfile, packageJson);
    case 'yarn':
      return yarn(machine, lockfile, packageJson);
  }
}

/** npm without a lockfile, to run the scripts of a package that depends on nothing. */
export function npm(machine: Machine, lockfile = ''): PackageManager {
  const program = need(machine, 'npm', 'It comes with Node.');
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline'];
  return {
    name: 'npm',
    lockfile,
    install: (production) => [program, 'ci', production ? '--omit=dev' : '--include=dev', ...quiet],
    script: (name) => [program, 'run', name],
    prune: () => [program, 'prune', '--omit=dev', ...quiet],
  };
}

const LOCKFILES = [
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
] as const;

function pnpm(machine: Machine, lockfile: string, packageJson: JsonObject): PackageManager {
  const own = machine.find('pnpm');
  const version = versionOf(packageJson, 'pnpm') ?? 'latest';
  const program = own
    ? [own]
    : [need(machine, 'npx', 'It comes with Node and fetches pnpm.'), '-y', `pnpm@${version}`];
  return {
    name: 'pnpm',
    lockfile,
    install: (production) => [
      ...program,
      'install',
      '--frozen-lockfile',
      '--prefer-offline',
      `--store-dir=${join(machine.caches, 'pnpm')}`,
      ...(production ? ['--prod'] : ['--prod=false']),
    ],
    script: (name) => [...program, 'run', name],
    prune: () => [...program, 'prune', '--prod'],
  };
}

function yarn(machine: Machine, lockfile: string, packageJson: JsonObject): PackageManager {
  const version = versionOf(packageJson, 'yarn') ?? '1';
  if (!version.startsWith('1')) {
    throw new BuildFailure(
      'USER_BUILD_STEP',
      `package.json asks for Yarn ${version}; the local cloud runs Yarn 1 only. Use npm or pnpm, or a Dockerfile.`,
    );
  }
  const program = need(machine, 'yarn', 'Install it with "npm install --global yarn".');
  const install = [program, 'install', '--frozen-lockfile', '--non-interactive'];
  return {
    name: 'yarn',
    lockfile,
    install: (production) => [...install, `--production=${production}`],
    script: (name) => [program, 'run', name],
    prune: () => [...install, '--production=true', '--ignore-scripts'],
  };
}

/** `pnpm@9.1.0+sha512…` in `packageManager` → `9.1.0`. */
function versionOf(packageJson: JsonObject, name: string): string | undefined {
  const text = typeof packageJson.packageManager === 'string' ? packageJson.packageManager : '';
  return new RegExp(`^${name}@([^+]+)`).exec(text)?.[1];
}

function need(machine: Machine, program: string, advice: string): string {
  const path = machine.find(program);
  if (path !== undefined) return path;
  throw new BuildFailure(
    'USER_BUILD_STEP',
    `${program} was found neither beside Node nor on PATH, and is needed to install the dependencies. ${advice}`,
  );
}

/** Whether package.json names anything in these fields. */
export function dependsOn(packageJson: JsonObject, fields: readonly string[]): boolean {
  return fields.some((field) => {
    const names = packageJson[field];
    return isObject(names) && Object.keys(names).length > 0;
  });
}
