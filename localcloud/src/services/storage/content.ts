/** Bytes on their way into the store, with their checksums. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Blobs } from '../../store.ts';
import { crc32c, encodeCrc32c } from './crc32c.ts';
import type { Content } from './objects.ts';

/** Streams the bytes into the store; nothing is kept when the stream fails. */
export async function keepContent(
  blobs: Blobs,
  source: AsyncIterable<Uint8Array>,
): Promise<Content & { readonly md5Hash: string }> {
  const md5 = createHash('md5');
  let crc = 0;
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      md5.update(chunk);
      crc = crc32c(chunk, crc);
      yield chunk;
    }
  }
  const blob = await blobs.put(Readable.from(measured(), { objectMode: false }));
  return { blob, crc32c: encodeCrc32c(crc), md5Hash: md5.digest('base64') };
}

/** The body of a request. Whoever stops reading leaves the connection open, so that the refusal gets through. */
export function bodyOf(raw: IncomingMessage): AsyncIterable<Buffer> {
  return raw.iterator({ destroyOnReturn: false });
}
