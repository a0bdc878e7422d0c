/** Reads a zip archive. */
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl';
import { broken } from './bad-bundle.ts';
import { type BundleFile, demandSize } from './bundle.ts';
import { openNames, refused } from './names.ts';

/** The upper half of an entry's attributes is its mode, where a Unix made it; what kind of file it is stands in these bits. */
const KIND = 0o170000;
const FOLDER = 0o040000;
const LINK = 0o120000;
const REGULAR = 0o100000;

/** Regular files, in the archive's order; folders are taken and not told. Rejects with BadBundle. */
export async function filesOfZip(archive: Buffer): Promise<BundleFile[]> {
  try {
    // A name is refused, not mended.
    const zip = await fromBufferPromise(archive, { lazyEntries: true, strictFileNames: true });
    return await filesIn(zip, archive.length);
  } catch (error) {
    throw broken(error);
  }
}

async function filesIn(zip: ZipFile, packedBytes: number): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  const names = openNames();
  let bytes = 0;
  for await (const entry of zip.eachEntry()) {
    if (kindOf(entry) === 'folder') {
      names.takeFolder(entry.fileName);
      continue;
    }
    const path = names.takeFile(entry.fileName);
    // The size that it says is held while it is read, so it may be trusted here.
    bytes += entry.uncompressedSize;
    demandSize(bytes, packedBytes);
    files.push({ path, content: await contentOf(zip, entry), executable: (modeOf(entry) & 0o100) !== 0 });
  }
  return files;
}

async function contentOf(zip: ZipFile, entry: Entry): Promise<Buffer> {
  const content = await buffer(await zip.openReadStreamPromise(entry));
  if (crc32(content) !== entry.crc32) throw refused(entry.fileName, 'does not have its checksum');
  return content;
}

function kindOf(entry: Entry): 'file' | 'folder' {
  if (entry.isEncrypted()) throw refused(entry.fileName, 'is encrypted');
  const isFolder = entry.fileName.endsWith('/');
  switch (modeOf(entry) & KIND) {
    case LINK:
      throw refused(entry.fileName, 'is a link');
    // Zero: made where files have no mode.
    case 0:
    case isFolder ? FOLDER : REGULAR:
      return isFolder ? 'folder' : 'file';
    default:
      throw refused(entry.fileName, 'is of a kind that code cannot have');
  }
}

function modeOf({ externalFileAttributes }: Entry): number {
  return externalFileAttributes >>> 16;
}
