/**
 * Archives of infrastructure code, read with suspicion.
 *
 * An archive is foreign input: nothing of it may come to stand, or point, outside its folder, and it may fill neither
 * disk nor memory. What breaks a rule is refused as a whole, before the first file is written.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { BadBundle, broken } from './bad-bundle.ts';
import { type BundleFile, demandSize, mostBytes } from './bundle.ts';
import { openNames } from './names.ts';
import { filesOfTar } from './tar.ts';
import { filesOfZip } from './zip.ts';

/** What may come by itself, without an archive around it. */
const CODE = /\.(tf|tf\.json|tfvars|tfvars\.json|bicep|ya?ml|json|template)$/i;

/**
 * Into an empty folder. Rejects with BadBundle: `..`, absolute paths, links, devices, names that differ only in case,
 * control characters, too many files (5,000), too long names, more than 50 MiB unpacked or 100 times its size (a bomb),
 * truncated archives.
 */
export async function unpack(bundle: Buffer, dir: string): Promise<void> {
  const files = await filesOfTar(await gunzipped(bundle));
  if ((await readdir(dir)).length > 0) throw new Error(`The folder ${dir} is not empty`);
  for (const { path, content, executable } of files) {
    const place = join(dir, path);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, content, { flag: 'wx', mode: executable ? 0o755 : 0o644 });
  }
}

/** The files of any `.tar.gz`, `.tgz` or `.zip`, told by their first bytes, or of one file of code by its name. Rejects with BadBundle as `unpack` does. */
export async function filesOf(archive: Buffer, name: string): Promise<BundleFile[]> {
  const files = await read(archive, name);
  if (files.length === 0) throw new BadBundle('The bundle has no file');
  return files;
}

async function read(archive: Buffer, name: string): Promise<BundleFile[]> {
  if (startsWith(archive, 0x1f, 0x8b)) return filesOfTar(await gunzipped(archive));
  // The second is a zip without files.
  if (startsWith(archive, 0x50, 0x4b, 3, 4) || startsWith(archive, 0x50, 0x4b, 5, 6))
    return filesOfZip(archive);
  if (!CODE.test(name) || archive.includes(0))
    throw new BadBundle('The bundle is no .tar.gz, no .zip and no file of code');
  demandSize(archive.length);
  return [{ path: openNames().takeFile(basename(name)), content: archive }];
}

function startsWith(bytes: Buffer, ...magic: readonly number[]): boolean {
  return magic.every((byte, place) => bytes[place] === byte);
}

async function gunzipped(archive: Buffer): Promise<Buffer> {
  const maxOutputLength = mostBytes(archive.length);
  try {
    return await promisify(gunzip)(archive, { maxOutputLength });
  } catch (error) {
    if (error instanceof RangeError) demandSize(maxOutputLength + 1, archive.length);
    throw broken(error);
  }
}
