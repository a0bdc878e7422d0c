/** What a download answers: the bytes, a range of them, and the headers that describe them. */
import type { IncomingHttpHeaders } from 'node:http';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { LegacyError } from '../../error.ts';
import type { Answer } from '../../service.ts';
import type { Blobs } from '../../store.ts';
import { objectEtag } from './etags.ts';
import { textAt } from './fields.ts';
import { preconditionFailed } from './refusals.ts';
import type { ObjectVersion } from './versions.ts';

/** Both inclusive. */
interface Range {
  readonly start: number;
  readonly end: number;
}

export function download(blobs: Blobs, version: ObjectVersion, headers: IncomingHttpHeaders): Answer {
  const { digest, size } = version.blob;
  if (isUnpacked(version, headers)) {
    const packed = blobs.read(digest);
    const unpacked = createGunzip();
    pipeline(packed, unpacked, () => {});
    return answer(200, version, { warning: '214 UploadServer gunzipped' }, unpacked, false);
  }
  const range = readRange(headers.range, size);
  if (range === undefined) {
    const whole = { 'content-length': String(size), 'accept-ranges': 'bytes' };
    return answer(200, version, whole, blobs.read(digest));
  }
  const part = {
    'content-length': String(range.end - range.start + 1),
    'content-range': `bytes ${range.start}-${range.end}/${size}`,
    'accept-ranges': 'bytes',
  };
  return answer(206, version, part, blobs.read(digest, range));
}

/** Whether the reader has this version already, by its etag. Throws 412 where it expects another one. */
export function etagUnchanged(version: ObjectVersion, headers: IncomingHttpHeaders): boolean {
  const etag = objectEtag(version.generation, version.metageneration);
  if (headers['if-match'] !== undefined && !names(headers['if-match'], etag)) throw preconditionFailed();
  return headers['if-none-match'] !== undefined && names(headers['if-none-match'], etag);
}

function names(header: string, etag: string): boolean {
  return header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^"|"$/g, '') === etag);
}

/** Stored gzipped, and the reader takes no gzip. */
function isUnpacked(version: ObjectVersion, headers: IncomingHttpHeaders): boolean {
  const kept = /no-transform/.test(textAt(version.fields, 'cacheControl') ?? '');
  const accepts = /\bgzip\b/.test(String(headers['accept-encoding'] ?? ''));
  return textAt(version.fields, 'contentEncoding') === 'gzip' && !kept && !accepts;
}

/** Undefined: all bytes; so is a header that asks for several ranges, or is none. Throws 416 for one outside. */
function readRange(header: string | undefined, size: number): Range | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '') ?? [];
  if (from === '' && to === '') return undefined;
  const start = from === '' ? Math.max(size - Number(to), 0) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (start < size && start <= end) return { start, end };
  throw new LegacyError(
    416,
    'requestedRangeNotSatisfiable',
    'The requested range cannot be satisfied.',
    'OUT_OF_RANGE',
  );
}

function answer(
  status: number,
  version: ObjectVersion,
  more: Readonly<Record<string, string>>,
  body: Readable,
  withEncoding = true,
): Answer {
  const { fields, generation, metageneration } = version;
  const encoding = textAt(fields, 'contentEncoding');
  const hashes = [
    `crc32c=${version.crc32c}`,
    ...(version.md5Hash === undefined ? [] : [`md5=${version.md5Hash}`]),
  ];
  const headers: Record<string, string | undefined> = {
    'content-type': textAt(fields, 'contentType') ?? 'application/octet-stream',
    'content-encoding': withEncoding ? encoding : undefined,
    'content-disposition': textAt(fields, 'contentDisposition'),
    'content-language': textAt(fields, 'contentLanguage'),
    'cache-control': textAt(fields, 'cacheControl') ?? 'private, max-age=0',
    etag: objectEtag(generation, metageneration),
    'last-modified': new Date(version.updated).toUTCString(),
    'x-goog-generation': generation,
    'x-goog-metageneration': String(metageneration),
    'x-goog-hash': hashes.join(','),
    'x-goog-storage-class': version.storageClass,
    'x-goog-stored-content-encoding': encoding ?? 'identity',
    'x-goog-stored-content-length': String(version.blob.size),
    ...more,
  };
  const said = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Buffer.from(value).toString('latin1')] as const],
  );
  return { status, headers: Object.fromEntries(said), body };
}
