/** Reads a tar archive that is not packed any more. */
import { buffer } from 'node:stream/consumers';
import { extract, type Header } from 'tar-stream';
import { broken } from './bad-bundle.ts';
import { type BundleFile, demandSize } from './bundle.ts';
import { openNames, refused } from './names.ts';

/** Regular files, in the archive's order; folders are taken and not told. Rejects with BadBundle. */
export async function filesOfTar(tar: Buffer): Promise<BundleFile[]> {
  demandSize(tar.length);
  const reader = extract();
  reader.end(tar);
  const files: BundleFile[] = [];
  const names = openNames();
  try {
    for await (const entry of reader) {
      const { name, mode } = entry.header;
      if (kindOf(entry.header) === 'folder') names.takeFolder(name);
      else {
        const path = names.takeFile(name);
        files.push({ path, content: await buffer(entry), executable: ((mode ?? 0) & 0o100) !== 0 });
      }
      entry.resume();
    }
  } catch (error) {
    throw broken(error);
  }
  return files;
}

function kindOf({ type, name }: Header): 'file' | 'folder' {
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return 'file';
    case 'directory':
      return 'folder';
    case 'link':
    case 'symlink':
      throw refused(name, 'is a link');
    default:
      throw refused(name, `is of a kind that code cannot have (${type ?? 'unknown'})`);
  }
}
