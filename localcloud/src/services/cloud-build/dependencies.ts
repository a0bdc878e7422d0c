/** Installs what a package depends on, and runs its build scripts. Nothing is installed twice. */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, sha256 } from '@service-director/shared/kit/hash.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { type Layer, makeLayer } from '../../oci.ts';
import { OWN_RULES, unpack } from './archive.ts';
import { type Bench, runIn } from './bench.ts';
import { BuildFailure } from './failure.ts';
import { dependsOn, npm, type PackageManager, packageManager } from './package-manager.ts';

export interface Package {
  readonly folder: string;
  readonly json: JsonObject;
  /** Of the build, as `pack build --env` gives it. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether to install even if the same was installed before. */
  readonly clearCache: boolean;
}

const PRODUCTION = ['dependencies', 'optionalDependencies', 'peerDependencies'];
/** Scripts of the package itself that an install runs: what it leaves may depend on any file. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare'];

/** The layer `workspace/node_modules`; undefined when there is nothing in it. */
export async function installDependencies(bench: Bench, of: Package): Promise<Layer | undefined> {
  await rm(join(of.folder, 'node_modules'), { recursive: true, force: true });
  const scripts = buildScripts(of);
  const fields = scripts.length > 0 ? [...PRODUCTION, 'devDependencies'] : PRODUCTION;
  const needsInstall = dependsOn(of.json, fields) || Array.isArray(of.json.workspaces);
  if (!needsInstall && scripts.length === 0) return undefined;
  const manager = managerOf(bench, of, needsInstall);
  if (scripts.length === 0) return installed(bench, of, manager, true);
  if (needsInstall) await installed(bench, of, manager, false);
  for (const script of scripts) await demand(bench, of, manager.script(script), {});
  if (!needsInstall) return undefined;
  await demand(bench, of, manager.prune(), { NODE_ENV: 'production' });
  return layerOf(bench, of);
}

/** `gcp-build`, else `build`, else none; `GOOGLE_NODE_RUN_SCRIPTS` has the last word. */
function buildScripts({ json, env }: Package): string[] {
  const scripts = isObject(json.scripts) ? json.scripts : {};
  const asked = env.GOOGLE_NODE_RUN_SCRIPTS;
  if (asked !== undefined)
    return asked
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean);
  return ['gcp-build', 'build'].filter((name) => typeof scripts[name] === 'string').slice(0, 1);
}

function managerOf(bench: Bench, of: Package, needsInstall: boolean): PackageManager {
  const manager = packageManager(of.folder, of.json, bench.machine);
  if (manager) return manager;
  if (!needsInstall) return npm(bench.machine);
  throw new BuildFailure(
    'USER_BUILD_STEP',
    'package.json has dependencies, but there is no lockfile that pins them. Make one with "npm install --package-lock-only" (or pnpm, or Yarn) and send it along.',
  );
}

/** Installs, or takes what was installed before. For production only a layer is needed; else the files are put in place. */
async function installed(
  bench: Bench,
  of: Package,
  manager: PackageManager,
  production: boolean,
): Promise<Layer | undefined> {
  const key = await keyOf(of, manager, production);
  const kept = key === undefined || of.clearCache ? undefined : await bench.cache.find(key);
  if (kept) {
    bench.say(`Reusing the dependencies of ${manager.lockfile}: it has not changed.`);
    if (!production) await putInPlace(bench, of, kept);
    return kept;
  }
  await demand(bench, of, manager.install(production), {
    NODE_ENV: production ? 'production' : 'development',
  });
  const layer = await layerOf(bench, of);
  if (key !== undefined && layer) await bench.cache.keep(key, layer);
  return layer;
}

/** All that decides what an install gives; undefined when more than that does. */
async function keyOf(of: Package, manager: PackageManager, production: boolean): Promise<string | undefined> {
  const { json, folder, env } = of;
  const scripts = isObject(json.scripts) ? json.scripts : {};
  if (INSTALL_SCRIPTS.some((name) => scripts[name] !== undefined)) return undefined;
  if (json.workspaces !== undefined || existsSync(join(folder, 'pnpm-workspace.yaml')) || hasLocal(json)) {
    return undefined;
  }
  const content = (name: string): Promise<string> => readFile(join(folder, name), 'utf8').catch(() => '');
  return sha256(
    canonicalJson({
      manager: manager.name,
      production,
      lockfile: await content(manager.lockfile),
      packageJson: await content('package.json'),
      npmrc: await content('.npmrc'),
      env,
      node: [process.version, process.platform, process.arch],
    }),
  );
}

/** Whether a dependency is a folder of the source. */
function hasLocal(json: JsonObject): boolean {
  return [...PRODUCTION, 'devDependencies'].some((field) => {
    const dependencies = json[field];
    return (
      isObject(dependencies) &&
      Object.values(dependencies).some((version) =>
        /^(file|link|portal|workspace):|^\.{0,2}\//.test(String(version)),
      )
    );
  });
}

async function layerOf(bench: Bench, of: Package): Promise<Layer | undefined> {
  const modules = join(of.folder, 'node_modules');
  if (!existsSync(modules)) return undefined;
  return makeLayer(bench.blobs, modules, { at: 'workspace/node_modules', signal: bench.signal });
}

/** Our own archive, of names `workspace/node_modules/…`. */
async function putInPlace(bench: Bench, of: Package, layer: Layer): Promise<void> {
  const rules = { ...OWN_RULES, below: 'workspace' };
  await unpack(bench.blobs.read(layer.blob.digest), of.folder, rules, bench.signal);
}

async function demand(
  bench: Bench,
  of: Package,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const ran = await runIn(bench, of.folder, command, { ...env, ...of.env });
  if (ran.code === 0) return;
  const [program = '', ...args] = command;
  const what = [program.split('/').at(-1), ...args.filter((arg) => !arg.startsWith('--no-'))].join(' ');
  const how = ran.code === null ? 'was killed' : `failed with exit code ${ran.code}`;
  const why = reasonIn(ran.stderr) || reasonIn(ran.stdout);
  throw new BuildFailure('USER_BUILD_STEP', `"${what}" ${how}${why === '' ? '' : `: ${why}`}`);
}

/** The first lines that say what went wrong; the log has all. */
function reasonIn(output: string): string {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const errors = lines.filter((line) => /error\b|\bERR[_!]/i.test(line));
  const told = errors.length > 0 ? errors.slice(0, 3) : lines.slice(-2);
  return told.join(' ').slice(0, 500);
}
