/**
 * OCI images: made of folders, and read.
 *
 * The same content gives the same bytes, and so the same digest, whenever and wherever it is packed: names are
 * sorted, times are zero, owners are root, modes are 0644 or 0755.
 * Format: https://github.com/opencontainers/image-spec
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { canonicalJson } from '@service-director/shared/kit/hash.ts';
import { type Header, pack as openPack, type Pack } from 'tar-stream';
import { invalid } from './error.ts';
import { isObject, type JsonObject } from './json.ts';
import type { Blob, Blobs } from './store.ts';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json';
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

/** A gzipped tar archive, and the digest of what is in the gzip. */
export interface Layer {
  readonly blob: Blob;
  readonly diffId: string;
}

export interface LayerOptions {
  /** Where the folder stands in the image: `workspace`. */
  readonly at: string;
  /** Whether a file or folder, named from the folder on (`node_modules/a`), is left out with all that is in it. */
  readonly leaveOut?: (path: string) => boolean;
  readonly signal?: AbortSignal;
}

/** Packs a folder into a layer. Rejects when the folder cannot be read, or on abort. */
export async function makeLayer(blobs: Blobs, folder: string, options: LayerOptions): Promise<Layer> {
  const tar = openPack();
  const filled = fill(tar, folder, options).catch((error) => {
    tar.destroy(error);
    throw error;
  });
  const [layer] = await Promise.all([compress(blobs, Readable.from(tar)), filled]);
  return layer;
}

/** Gzips a tar archive into a layer. */
export async function compress(blobs: Blobs, tar: Readable): Promise<Layer> {
  const content = createHash('sha256');
  const gzip = createGzip({ level: 1 });
  const read = pipeline(
    tar,
    async function* (source: AsyncIterable<Uint8Array>) {
      for await (const chunk of source) {
        content.update(chunk);
        yield chunk;
      }
    },
    gzip,
  );
  const [blob] = await Promise.all([blobs.put(Readable.from(namingNoSystem(gzip))), read]);
  return { blob, diffId: `sha256:${content.digest('hex')}` };
}

export interface ImageSpec {
  readonly entrypoint: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Lowest first. */
  readonly layers: readonly Layer[];
}

/** Stores the configuration of an image for Linux on this machine's processor. */
export function makeConfig(blobs: Blobs, spec: ImageSpec): Promise<Blob> {
  const config = {
    architecture: architecture(),
    os: 'linux',
    // The date that buildpacks give every image, so that time is no part of the digest.
    created: '1980-01-01T00:00:01Z',
    config: {
      Entrypoint: spec.entrypoint,
      Env: Object.entries(spec.env)
        .map(([name, value]) => `${name}=${value}`)
        .sort(),
      WorkingDir: spec.workingDir,
      Labels: spec.labels,
    },
    rootfs: { type: 'layers', diff_ids: spec.layers.map((layer) => layer.diffId) },
  };
  return blobs.put(Buffer.from(canonicalJson(config)));
}

/** This machine's processor, as images name it. */
export function architecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

export function manifestOf(image: { config: Blob; layers: readonly Blob[] }): JsonObject {
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, ...image.config },
    layers: image.layers.map((blob) => ({ mediaType: OCI_LAYER, ...blob })),
  };
}

/** What a manifest points to. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  /** Bytes that are kept elsewhere have addresses. */
  readonly foreign: boolean;
  readonly platform: JsonObject;
}

export type Manifest =
  | {
      readonly type: 'image';
      readonly mediaType: string;
      readonly artifactType: string;
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
    }
  | { readonly type: 'index'; readonly mediaType: string; readonly manifests: readonly Descriptor[] };

/** Reads a manifest or an index of manifests; throws INVALID_ARGUMENT with what is wrong with it. `contentType` counts where the manifest itself does not tell its type. */
export function readManifest(text: string, contentType: string): Manifest {
  const json = parse(text);
  if (json.schemaVersion !== 2) throw invalid('schemaVersion must be 2');
  const mediaType = typeof json.mediaType === 'string' ? json.mediaType : contentType;
  if (contentType !== '' && mediaType !== contentType) {
    throw invalid(`mediaType in the manifest is "${mediaType}", but Content-Type is "${contentType}"`);
  }
  if (mediaType === OCI_INDEX || mediaType === DOCKER_INDEX) {
    return { type: 'index', mediaType, manifests: readList(json.manifests, 'manifests') };
  }
  if (mediaType !== OCI_MANIFEST && mediaType !== DOCKER_MANIFEST) {
    throw invalid(`media type "${mediaType}" is not supported`);
  }
  return {
    type: 'image',
    mediaType,
    artifactType: typeof json.artifactType === 'string' ? json.artifactType : '',
    config: readDescriptor(json.config, 'config'),
    layers: readList(json.layers, 'layers'),
  };
}

function parse(text: string): JsonObject {
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json)) return json;
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
  throw invalid('not a JSON object');
}

function readList(json: unknown, at: string): Descriptor[] {
  if (!Array.isArray(json)) throw invalid(`${at} is not a list`);
  return json.map((one, index) => readDescriptor(one, `${at}[${index}]`));
}

function readDescriptor(json: unknown, at: string): Descriptor {
  if (!isObject(json)) throw invalid(`${at} is missing`);
  const { digest, size, mediaType, urls, platform } = json;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${at}.digest is no SHA-256 digest`);
  if (typeof size !== 'number' || size < 0) throw invalid(`${at}.size is no size`);
  return {
    digest,
    size,
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    foreign: Array.isArray(urls) && urls.length > 0,
    platform: isObject(platform) ? platform : {},
  };
}

export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

const EPOCH = new Date(0);
/** Larger files are streamed instead of read at once. */
const LARGE = 4 * 1024 * 1024;

async function fill(tar: Pack, folder: string, { at, leaveOut, signal }: LayerOptions): Promise<void> {
  async function walk(path: string): Promise<void> {
    const names = (await readdir(join(folder, path))).sort();
    for (const name of names) {
      const inner = path === '' ? name : `${path}/${name}`;
      if (leaveOut?.(inner)) continue;
      signal?.throwIfAborted();
      if (await add(tar, join(folder, inner), `${at}/${inner}`)) await walk(inner);
    }
  }
  for (const [index] of at.split('/').entries()) {
    const parent = at
      .split('/')
      .slice(0, index + 1)
      .join('/');
    await entry(tar, { name: `${parent}/`, type: 'directory', mode: 0o755 });
  }
  await walk('');
  tar.finalize();
}

/** Adds one file, link or folder; true for a folder. What is none of these (a socket) has no place in an image. */
async function add(tar: Pack, path: string, name: string): Promise<boolean> {
  const stats = await lstat(path);
  if (stats.isDirectory()) {
    await entry(tar, { name: `${name}/`, type: 'directory', mode: 0o755 });
    return true;
  }
  const mode = stats.mode & 0o100 ? 0o755 : 0o644;
  if (stats.isSymbolicLink())
    await entry(tar, { name, type: 'symlink', mode: 0o777, linkname: await readlink(path) });
  else if (stats.isFile() && stats.size > LARGE) {
    await pipeline(
      createReadStream(path),
      tar.entry({ name, type: 'file', mode, size: stats.size, mtime: EPOCH }),
    );
  } else if (stats.isFile()) await entry(tar, { name, type: 'file', mode }, await readFile(path));
  return false;
}

function entry(
  tar: Pack,
  header: Partial<Header> & { name: string },
  data: Buffer = Buffer.alloc(0),
): Promise<void> {
  return new Promise((resolve, reject) => {
    const whole = { ...header, uid: 0, gid: 0, mtime: EPOCH };
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    if (header.type === 'file') tar.entry(whole, data, done);
    else tar.entry(whole, done);
  });
}

/** The tenth byte of a gzip names the operating system that made it; here it says "unknown", the same everywhere. */
async function* namingNoSystem(gzip: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let first = true;
  for await (const chunk of gzip) {
    if (first && chunk.length >= 10) chunk[9] = 0xff;
    first = false;
    yield chunk;
  }
}
