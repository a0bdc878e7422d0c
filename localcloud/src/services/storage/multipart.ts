/** `multipart/related` with two parts, as uploads have it: metadata, then bytes. RFC 2387. */
import { badRequest } from './refusals.ts';

export interface TwoParts {
  /** JSON. */
  readonly metadata: string;
  readonly mediaType: string | undefined;
  /** To be read to its end. */
  readonly media: AsyncIterable<Buffer>;
}

const MAX_LINE = 16 * 1024;
const MAX_METADATA = 1024 * 1024;

/**
 * Hands the parts over, and returns what comes of them.
 * Lines may end in `\r\n` or, as Python writes them, in `\n`; the first one tells.
 */
export async function readTwoParts<T>(
  source: AsyncIterable<Buffer>,
  contentType: string,
  use: (parts: TwoParts) => Promise<T>,
): Promise<T> {
  const boundary = /boundary=(?:"([^"]+)"|'([^']+)'|([^;\s]+))/i.exec(contentType)?.slice(1).find(Boolean);
  if (boundary === undefined) throw badRequest('A multipart upload must name its boundary.');
  const scan = scanner(source);
  try {
    await scan.until(Buffer.from(`--${boundary}`), MAX_LINE);
    const end = (await scan.until(LINE_FEED, MAX_LINE)).toString() === '\r' ? '\r\n' : '\n';
    const delimiter = Buffer.from(`${end}--${boundary}`);
    await readHeaders(scan);
    const metadata = (await scan.until(delimiter, MAX_METADATA)).toString();
    await scan.until(LINE_FEED, MAX_LINE);
    const headers = await readHeaders(scan);
    return await use({
      metadata,
      mediaType: headers.get('content-type'),
      media: scan.through(delimiter),
    });
  } finally {
    await scan.close();
  }
}

const LINE_FEED = Buffer.from('\n');

async function readHeaders(scan: Scanner): Promise<Map<string, string>> {
  const headers = new Map<string, string>();
  for (;;) {
    const line = (await scan.until(LINE_FEED, MAX_LINE)).toString().trim();
    if (line === '') return headers;
    const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    headers.set(name.toLowerCase(), value);
  }
}

interface Scanner {
  /** The bytes before the delimiter, which is left behind. */
  until(delimiter: Buffer, limit: number): Promise<Buffer>;
  /** The same as a stream; reads the source to its end. */
  through(delimiter: Buffer): AsyncGenerator<Buffer>;
  close(): Promise<void>;
}

function scanner(source: AsyncIterable<Buffer>): Scanner {
  const chunks = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function fetchMore(): Promise<void> {
    const next = await chunks.next();
    if (next.done) throw badRequest('The multipart body ends too early.');
    held = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
  }

  function take(length: number): Buffer {
    const taken = held.subarray(0, length);
    held = held.subarray(length);
    return taken;
  }

  return {
    async until(delimiter, limit) {
      for (;;) {
        const at = held.indexOf(delimiter);
        if (at >= 0) return take(at + delimiter.length).subarray(0, at);
        if (held.length > limit) throw badRequest('The multipart body is malformed.');
        await fetchMore();
      }
    },
    async *through(delimiter) {
      for (;;) {
        const at = held.indexOf(delimiter);
        if (at >= 0) {
          yield take(at);
          break;
        }
        // The delimiter may have begun in what is held: its length is kept back.
        const certain = held.length - delimiter.length;
        if (certain > 0) yield take(certain);
        await fetchMore();
      }
      while (!(await chunks.next()).done);
    },
    async close() {
      await chunks.return?.();
    },
  };
}
