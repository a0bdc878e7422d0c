/** Code from an object in Cloud Storage: one generation of it, whole. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import { crc32c } from '@service-director/shared/kit/crc32c.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import { type StorageAddress, storageAddress } from '@service-director/shared/model/bundle-source.ts';
import { z } from 'zod';
import type { BundleFile } from './bundle.ts';
import { filesOf } from './unpack.ts';

export interface StorageOptions {
  readonly cloud: Cloud;
  readonly clock: Clock;
  readonly random: Random;
}

const MOST_BYTES = 20 * 1024 ** 2;
const ATTEMPTS = 5;
const BACKOFF = { firstMs: 500, longestMs: 8_000, factor: 2 };

/** The part of an object's metadata that tells which bytes it has. */
const Metadata = z.object({
  generation: z.string(),
  size: z.coerce.number(),
  crc32c: z.string(),
  /** Absent for what was composed. */
  md5Hash: z.string().optional(),
  contentEncoding: z.string().optional(),
});
type Metadata = z.output<typeof Metadata>;

export interface Fetched {
  readonly files: BundleFile[];
  /** The one that was read. */
  readonly generation: string;
}

/** Rejects with a CloudError, and with BadBundle. */
export async function fromStorage(
  url: string,
  options: StorageOptions,
  signal: AbortSignal,
): Promise<Fetched> {
  const address = storageAddress(url);
  if (!address) throw new CloudError('invalid', `${url} is no object of Cloud Storage`);
  const metadata = await metadataOf(address, options, signal);
  demandPlain(url, metadata);
  const bytes = await read({ ...address, generation: metadata.generation }, options, signal);
  if (!isWhole(bytes, metadata))
    throw new CloudError('unknown-outcome', `${url} did not arrive as it is kept: its checksum is another`);
  return { files: await filesOf(bytes, basename(address.object)), generation: metadata.generation };
}

async function metadataOf(
  { bucket, object, generation }: StorageAddress,
  { cloud, ...patience }: StorageOptions,
  signal: AbortSignal,
): Promise<Metadata> {
  const storage = await cloud.storage();
  const of = generation === undefined ? {} : { generation };
  return patiently(patience, signal, async () => {
    const { data } = await storage.objects.get({ bucket, object, ...of }, { signal });
    return Metadata.parse(data);
  });
}

function demandPlain(url: string, { size, contentEncoding }: Metadata): void {
  if (size > MOST_BYTES)
    throw new CloudError('invalid', `${url} is larger than ${MOST_BYTES / 1024 ** 2} MiB`);
  // It would be unpacked on its way, to any size, and no checksum would be right.
  if (contentEncoding !== undefined && contentEncoding !== '')
    throw new CloudError('invalid', `${url} is kept with contentEncoding ${contentEncoding}`, {
      fix: 'upload it as it is: gcloud storage cp without --gzip-local',
    });
}

async function read(
  { bucket, object, generation = '' }: StorageAddress,
  { cloud, ...patience }: StorageOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  const storage = await cloud.storage();
  return patiently(patience, signal, async () => {
    const { data } = await storage.objects.get(
      { bucket, object, generation, alt: 'media' },
      { signal, responseType: 'arraybuffer' },
    );
    return Buffer.from(z.instanceof(ArrayBuffer).parse(data));
  });
}

/** Reads may be made again whatever became of them. */
async function patiently<T>(
  { clock, random }: Omit<StorageOptions, 'cloud'>,
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await retry(call, {
      clock,
      random,
      signal,
      attempts: ATTEMPTS,
      backoff: BACKOFF,
      again(error) {
        const { reason, retryAfterMs } = CloudError.from(error);
        return (reason === 'unknown-outcome' || reason === 'rate-limited') && (retryAfterMs ?? true);
      },
    });
  } catch (error) {
    signal.throwIfAborted();
    throw CloudError.from(error);
  }
}

function isWhole(bytes: Buffer, expected: Metadata): boolean {
  if (bytes.length !== expected.size) return false;
  if (expected.md5Hash !== undefined)
    return createHash('md5').update(bytes).digest('base64') === expected.md5Hash;
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(bytes));
  return sum.toString('base64') === expected.crc32c;
}
