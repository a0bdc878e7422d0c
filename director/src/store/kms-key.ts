/** A key in Cloud KMS: it never leaves, each use of it takes a permission, and can be recorded there. */
import { CloudError, fixOf, isTransient } from '@service-director/shared/cloud/error.ts';
import { crc32c } from '@service-director/shared/kit/crc32c.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import type { Keyring, KeyringOptions } from './keyring.ts';

/** Milliseconds after which a key that does not answer is given up. */
const LONGEST_MS = 30_000;
const BACKOFF = { firstMs: 100, longestMs: 2_000, factor: 2 };
const ROLE = 'roles/cloudkms.cryptoKeyEncrypterDecrypter';

/** The key cannot be asked now: nobody has granted it yet, or it does not answer. Any other error of a keyring stays. */
export class KeyUnavailable extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'KeyUnavailable';
  }
}

/** `path`: `projects/p/locations/l/keyRings/r/cryptoKeys/k`. Which version of it decrypts, KMS knows itself. */
export function kmsKey(path: string, { cloud, clock, random }: KeyringOptions): Keyring {
  const name = `kms:${path}`;

  async function ask<T>(call: () => Promise<T>): Promise<T> {
    const until = clock.now() + LONGEST_MS;
    const again = (error: unknown): boolean | number => {
      const known = CloudError.from(error);
      if (clock.now() >= until || !isTransient(known)) return false;
      return known.retryAfterMs ?? true;
    };
    try {
      const attempts = Number.POSITIVE_INFINITY;
      return await retry(call, { clock, random, backoff: BACKOFF, attempts, again });
    } catch (error) {
      throw told(CloudError.from(error), path);
    }
  }

  return {
    name,

    wrap: (dataKey) =>
      ask(async () => {
        const { projects } = await cloud.kms();
        const { data } = await projects.locations.keyRings.cryptoKeys.encrypt({
          name: path,
          requestBody: { plaintext: base64(dataKey), plaintextCrc32c: checksum(dataKey) },
        });
        const ciphertext = Buffer.from(data.ciphertext ?? '', 'base64');
        if (data.verifiedPlaintextCrc32c !== true || data.ciphertextCrc32c !== checksum(ciphertext))
          throw damaged();
        return { key: name, bytes: base64(ciphertext) };
      }),

    unwrap: (wrapped) =>
      ask(async () => {
        const ciphertext = Buffer.from(wrapped.bytes, 'base64');
        const { projects } = await cloud.kms();
        const { data } = await projects.locations.keyRings.cryptoKeys.decrypt({
          name: path,
          requestBody: { ciphertext: base64(ciphertext), ciphertextCrc32c: checksum(ciphertext) },
        });
        const plaintext = Buffer.from(data.plaintext ?? '', 'base64');
        if (data.plaintextCrc32c !== checksum(plaintext)) throw damaged();
        return plaintext;
      }),
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** As KMS writes it: https://cloud.google.com/kms/docs/data-integrity-guidelines */
function checksum(bytes: Uint8Array): string {
  return String(crc32c(bytes));
}

/** To be asked again, as Google recommends. */
function damaged(): CloudError {
  return new CloudError(
    'unknown-outcome',
    'Cloud KMS: the checksum is wrong, so bytes were damaged on their way',
  );
}

/** With what to do, where that is known. */
function told(error: CloudError, path: string): Error {
  const fixes: Partial<Record<CloudError['reason'], string | undefined>> = {
    denied: `grant ${ROLE} on ${path} to the account of the director`,
    'api-disabled': fixOf(error),
  };
  const fix = fixes[error.reason];
  const message = fix === undefined ? error.message : `${error.message} To do: ${fix}`;
  return STAYS.has(error.reason) ? new Error(message, { cause: error }) : new KeyUnavailable(message, error);
}

/** There is no such key, it did not encrypt this, or we ask the wrong thing. All else is up to others, who may set it right. */
const STAYS: ReadonlySet<CloudError['reason']> = new Set(['not-found', 'invalid', 'internal']);
