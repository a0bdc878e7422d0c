/** Builds an image from source without a Dockerfile, as buildpacks would: detects what the source is, installs, and packs layers. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject, type JsonObject } from '../../json.ts';
import { makeConfig, makeLayer } from '../../oci.ts';
import type { Bench, BuiltImage } from './bench.ts';
import { installDependencies } from './dependencies.ts';
import { buildWithDocker } from './docker.ts';
import { BuildFailure } from './failure.ts';
import { launchScript, type Start, startOf } from './start-command.ts';
import type { Action } from './steps.ts';

export async function buildWithPack(
  bench: Bench,
  action: Extract<Action, { type: 'pack' }>,
): Promise<BuiltImage> {
  const folder = join(bench.workspace, action.folder);
  if (!existsSync(folder))
    throw new BuildFailure('USER_BUILD_STEP', `The source has no folder "${action.folder}".`);
  if (!existsSync(join(folder, 'package.json'))) {
    if (!existsSync(join(folder, 'Dockerfile'))) throw notDetected(folder, action.folder);
    bench.say('There is a Dockerfile, and no package.json.');
    return buildWithDocker(bench, { ...action, type: 'docker', options: [], context: '.' });
  }
  bench.say('===> DETECTING');
  bench.say(`Node.js: package.json found; building with Node ${process.version}`);
  const json = await readPackageJson(folder);
  bench.say('===> BUILDING');
  const { env, clearCache } = action;
  const dependencies = await installDependencies(bench, { folder, json, env, clearCache });
  const start = await startOf(folder, json, env);
  bench.say('===> EXPORTING');
  const source = await makeLayer(bench.blobs, folder, {
    at: 'workspace',
    leaveOut: (path) => path === 'node_modules',
    signal: bench.signal,
  });
  const launcher = start.type === 'script' ? await launcherLayer(bench, start.text) : undefined;
  const layers = [dependencies, launcher, source].filter((layer) => layer !== undefined);
  const entrypoint = entrypointOf(start);
  const config = await makeConfig(bench.blobs, {
    entrypoint,
    env: { NODE_ENV: 'production' },
    workingDir: '/workspace',
    labels: { 'google.runtime': 'nodejs' },
    layers,
  });
  bench.say(`Started by: ${entrypoint.join(' ')}`);
  return { config, layers: layers.map(({ blob }) => blob) };
}

function entrypointOf(start: Start): readonly string[] {
  return start.type === 'program' ? start.words : ['/cnb/process/web'];
}

async function launcherLayer(bench: Bench, text: string) {
  const folder = join(bench.home, 'launcher');
  await mkdir(join(folder, 'process'), { recursive: true });
  await writeFile(join(folder, 'process', 'web'), launchScript(text), { mode: 0o755 });
  return makeLayer(bench.blobs, folder, { at: 'cnb' });
}

async function readPackageJson(folder: string): Promise<JsonObject> {
  const text = await readFile(join(folder, 'package.json'), 'utf8');
  let why = 'it is no JSON object';
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json)) return json;
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  throw new BuildFailure('USER_BUILD_STEP', `package.json cannot be read: ${why}`);
}

/** Files that show a language which Google's buildpacks build, and the local cloud does not. */
const OTHER_LANGUAGES: readonly (readonly [string, string])[] = [
  ['requirements.txt', 'Python'],
  ['pyproject.toml', 'Python'],
  ['go.mod', 'Go'],
  ['pom.xml', 'Java'],
  ['build.gradle', 'Java'],
  ['Gemfile', 'Ruby'],
  ['composer.json', 'PHP'],
];

function notDetected(folder: string, name: string): BuildFailure {
  const other = OTHER_LANGUAGES.find(([file]) => existsSync(join(folder, file)));
  const found = other ? ` There is a ${other[0]}: the local cloud does not build ${other[1]}.` : '';
  const where = name === '' ? 'the source' : `"${name}"`;
  return new BuildFailure(
    'USER_BUILD_STEP',
    `No buildpack groups passed detection. Looked in ${where} for package.json (Node.js is the only language that the local cloud builds) and for a Dockerfile.${found}`,
  );
}
