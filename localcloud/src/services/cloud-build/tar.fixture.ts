/** Archives as tests send them. */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

export type Entry = Partial<Header> & { name: string; data?: string | Buffer };

/** A `.tar.gz` of exactly these entries. */
export async function archiveOf(entries: readonly Entry[]): Promise<Buffer> {
  return gzipSync(await tarOf(entries));
}

export async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { data = '', ...header } of entries) {
    if ((header.type ?? 'file') === 'file') tar.entry(header, data);
    else tar.entry(header);
  }
  tar.finalize();
  return buffer(Readable.from(tar));
}

/** A `.tar.gz` of files by name. */
export function sourceOf(files: Readonly<Record<string, string | object>>): Promise<Buffer> {
  const entries = Object.entries(files).map(([name, data]) => ({
    name,
    data: typeof data === 'string' ? data : JSON.stringify(data),
  }));
  return archiveOf(entries);
}
