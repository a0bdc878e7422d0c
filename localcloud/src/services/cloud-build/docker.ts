/** Builds an image from a Dockerfile with the machine's own container tool. */
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isObject } from '../../json.ts';
import { compress } from '../../oci.ts';
import { OWN_RULES, plainly, unpack } from './archive.ts';
import { type Bench, type BuiltImage, runIn } from './bench.ts';
import { BuildFailure } from './failure.ts';
import type { Action } from './steps.ts';

export async function buildWithDocker(
  bench: Bench,
  action: Extract<Action, { type: 'docker' }>,
): Promise<BuiltImage> {
  const docker = bench.machine.find('docker');
  if (docker === undefined) throw noEngine('there is no "docker" on PATH');
  const folder = join(bench.workspace, action.folder);
  if (!existsSync(folder))
    throw new BuildFailure('USER_BUILD_STEP', `The source has no folder "${action.folder}".`);
  const run = (...args: string[]) => runIn(bench, folder, [docker, ...args], bench.machine.engine);
  const asked = await run('info', '--format', '{{.ServerVersion}}');
  if (asked.code !== 0) throw noEngine('its engine does not answer');
  const [image = ''] = action.images;
  const tags = action.images.flatMap((tag) => ['--tag', tag]);
  const built = await run('build', ...action.options, ...tags, action.context);
  if (built.code !== 0) {
    throw new BuildFailure('USER_BUILD_STEP', `step exited with non-zero status: ${built.code}`);
  }
  const archive = join(bench.home, 'image.tar');
  const saved = await run('save', '--output', archive, image);
  if (saved.code !== 0)
    throw new BuildFailure('USER_BUILD_STEP', `"docker save" failed: ${saved.stderr.trim()}`);
  return readSaved(bench, archive);
}

/** Takes over what `docker save` wrote: a tar archive of layers, and a list of them in `manifest.json`. */
async function readSaved(bench: Bench, archive: string): Promise<BuiltImage> {
  const folder = join(bench.home, 'image');
  await mkdir(folder);
  await unpack(createReadStream(archive), folder, OWN_RULES, bench.signal);
  await rm(archive);
  const list: unknown = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  const entry: unknown = Array.isArray(list) ? list[0] : undefined;
  if (!isObject(entry) || !Array.isArray(entry.Layers)) throw new Error('"docker save" wrote no image');
  const layers = [];
  for (const layer of entry.Layers) {
    bench.signal.throwIfAborted();
    const tar = plainly(createReadStream(join(folder, String(layer))));
    layers.push(await compress(bench.blobs, Readable.from(tar)));
  }
  const config = await bench.blobs.put(await readFile(join(folder, String(entry.Config))));
  return { config, layers: layers.map(({ blob }) => blob) };
}

function noEngine(why: string): BuildFailure {
  return new BuildFailure(
    'USER_BUILD_STEP',
    `A Dockerfile needs a container engine on this machine, and ${why}. Start one (Docker, or another with a "docker" command), or send a Node.js package: it needs none.`,
  );
}
