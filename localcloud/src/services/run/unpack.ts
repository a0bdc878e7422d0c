/**
 * Unpacks an image's layers into one folder of this machine: https://github.com/opencontainers/image-spec/blob/main/layer.md
 *
 * An image is foreign input. Nothing of it may be written, linked or deleted outside its folder.
 */
import { chmod, link, lstat, mkdir, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, posix, relative, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** Puts the layers on each other, lowest first. Rejects, with a sentence, for an image that is broken or tries to leave the folder. */
export async function unpackLayers(layers: readonly (() => Readable)[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  const folder = await openFolder(root);
  for (const layer of layers) {
    const archive = extract();
    const reading = pipeline(layer(), createGunzip(), archive);
    // A failure shows in the iteration below, which waits for it; here it must not go unheard.
    reading.catch(() => {});
    for await (const entry of archive) {
      await writeEntry(folder, entry.header, bytesOf(entry));
      entry.resume();
    }
    await reading;
  }
}

/** Paths below one folder. */
interface Folder {
  readonly root: string;
  /** Where an entry of that name goes, its parent made; refuses what would be elsewhere. */
  place(name: string): Promise<string>;
  /** Forgets which parents were checked: a link or a deletion may have changed them. */
  changed(): void;
}

async function openFolder(path: string): Promise<Folder> {
  const root = await realpath(path);
  /** Where parents really are. */
  const checked = new Map<string, string>();

  async function check(parent: string): Promise<string> {
    const known = checked.get(parent);
    if (known !== undefined) return known;
    await makeFolder(root, parent);
    const real = await realpath(parent);
    demandInside(root, real, parent);
    checked.set(parent, real);
    return real;
  }

  return {
    root,
    async place(name) {
      const path = join(root, inside(name));
      return path === root ? root : join(await check(dirname(path)), basename(path));
    },
    changed: () => checked.clear(),
  };
}

function demandInside(root: string, real: string, path: string): void {
  if (real === root || real.startsWith(root + sep)) return;
  throw new Error(`The image has an entry that leads out of it: ${relative(root, path)}`);
}

/** Makes the folders down to `path` one by one, so that none is made behind a link that leads out. */
async function makeFolder(root: string, path: string): Promise<void> {
  let at = root;
  for (const segment of relative(root, path).split(sep)) {
    if (segment === '') continue;
    demandInside(root, await realpath(at), path);
    at = join(at, segment);
    const found = await lstat(at).catch(() => undefined);
    if (found && !found.isDirectory() && !found.isSymbolicLink()) await rm(at);
    if (!found || (!found.isDirectory() && !found.isSymbolicLink())) await mkdir(at);
  }
}

/** `./app/a.js`, `app/a.js` → `app/a.js`. Absolute names and `..` are refused. */
function inside(name: string): string {
  const path = posix.normalize(name);
  if (posix.isAbsolute(path) || path.split('/').includes('..') || name.includes('\0'))
    throw new Error(`The image has an entry with a name outside it: ${name}`);
  return path;
}

async function* bytesOf(entry: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  for await (const chunk of entry) if (chunk instanceof Uint8Array) yield chunk;
}

async function writeEntry(folder: Folder, header: Header, data: AsyncIterable<Uint8Array>): Promise<void> {
  const path = await folder.place(header.name);
  const name = basename(path);
  if (path === folder.root) return;
  if (name.startsWith(WHITEOUT)) return removeBelow(folder, path, name);
  const mode = header.mode & 0o777;
  switch (header.type) {
    case 'directory': {
      const found = await lstat(path).catch(() => undefined);
      if (found && !found.isDirectory()) await replace(folder, path);
      await mkdir(path, { recursive: true });
      return chmod(path, mode | 0o700);
    }
    case 'file':
    case 'contiguous-file':
      await replace(folder, path);
      return writeFile(path, data, { flag: 'wx', mode: mode | 0o600 });
    case 'symlink':
      await replace(folder, path);
      await symlink(linkTarget(folder.root, path, header.linkname), path);
      return folder.changed();
    case 'link': {
      const target = await folder.place(header.linkname.replace(/^\/+/, ''));
      if (!(await lstat(target)).isFile())
        throw new Error(`The image links to what is no file: ${header.linkname}`);
      await replace(folder, path);
      return link(target, path);
    }
    default:
      // Devices, pipes and sockets are of no use to a process of this machine.
      return;
  }
}

async function replace(folder: Folder, path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  await rm(path, { recursive: true, force: true });
  if (!found.isFile()) folder.changed();
}

/** A whiteout hides what lower layers have. */
async function removeBelow(folder: Folder, path: string, name: string): Promise<void> {
  const parent = dirname(path);
  const hidden = name === OPAQUE ? await readdir(parent) : [name.slice(WHITEOUT.length)];
  for (const each of hidden) {
    if (each === '' || each === '.' || each === '..') continue;
    await rm(join(parent, each), { recursive: true, force: true });
  }
  folder.changed();
}

/** A link's target, relative; `/` in an image is the image's own root. */
function linkTarget(root: string, path: string, target: string): string {
  const from = dirname(path);
  const full = posix.isAbsolute(target) ? join(root, target) : join(from, target);
  if (full !== root && !full.startsWith(root + sep))
    throw new Error(`The image has a link that leads out of it: ${relative(root, path)} -> ${target}`);
  return relative(from, full) || '.';
}
