/** A bundle: the files of some infrastructure code in one piece, named by what is in it. */
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { sha256 } from '@service-director/shared/kit/hash.ts';
import { pack as packTar } from 'tar-stream';
import { BadBundle } from './bad-bundle.ts';
import { openNames } from './names.ts';

export interface BundleFile {
  /** Below the bundle's folder, with slashes: `modules/net/main.tf`. */
  readonly path: string;
  readonly content: Buffer;
  /** Default false. Nothing else of a file's mode is kept, nor its owner, nor its time. */
  readonly executable?: boolean;
}

/** Bytes of a bundle that is not packed: its files, and what the archive adds. */
const MOST_BYTES = 50 * 1024 ** 2;
/** A bundle that unpacks to more than so many times its size is a bomb. */
const MOST_DENSE = 100;
/** What unpacks to so little hurts nobody, however dense it is. */
const HARMLESS_BYTES = 4 * 1024 ** 2;

/** Where gzip notes the system that it ran on. */
const GZIP_SYSTEM = 9;
const UNKNOWN_SYSTEM = 255;

/** Canonical: the same files give the same bytes, in whatever order they come. Gzipped tar of regular files only. Rejects with BadBundle what `unpack` would refuse. */
export async function pack(files: readonly BundleFile[]): Promise<Buffer> {
  if (files.length === 0) throw new BadBundle('The bundle has no file');
  const names = openNames();
  const named = files.map((file) => ({ ...file, path: names.takeFile(file.path) }));
  named.sort((a, b) => (a.path < b.path ? -1 : 1));
  demandSize(named.reduce((sum, { content }) => sum + content.length, 0));
  const tar = packTar();
  const written = buffer(tar);
  for (const { path, content, executable } of named)
    tar.entry({ name: path, mode: executable ? 0o755 : 0o644, mtime: new Date(0), uid: 0, gid: 0 }, content);
  tar.finalize();
  const plain = await written;
  const packed = await promisify(gzip)(plain, { level: 6 });
  packed[GZIP_SYSTEM] = UNKNOWN_SYSTEM;
  demandSize(plain.length, packed.length);
  return packed;
}

/** SHA-256, as 64 hex digits. */
export function digestOf(bundle: Buffer): string {
  return sha256(bundle);
}

const BUNDLES = 'bundles/';

/** Where a bundle is kept among the artifacts. */
export function bundleKey(digest: string): string {
  return `${BUNDLES}${digest}`;
}

/** The digest of what is kept there; undefined where that is no bundle. */
export function digestAt(key: string): string | undefined {
  return key.startsWith(BUNDLES) ? key.slice(BUNDLES.length) : undefined;
}

/** Throws BadBundle where so many bytes are too many, or too many for the size of the archive that holds them. */
export function demandSize(bytes: number, packedBytes = Number.POSITIVE_INFINITY): void {
  if (bytes <= mostBytes(packedBytes)) return;
  if (bytes > MOST_BYTES)
    throw new BadBundle(`The bundle has more than ${MOST_BYTES / 1024 ** 2} MiB when it is unpacked`);
  throw new BadBundle(`The bundle unpacks to more than ${MOST_DENSE} times its size`);
}

/** How many bytes an archive of that size may unpack to. */
export function mostBytes(packedBytes: number): number {
  return Math.min(MOST_BYTES, Math.max(HARMLESS_BYTES, packedBytes * MOST_DENSE));
}
