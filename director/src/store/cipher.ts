/** AES-256-GCM: nobody reads what is encrypted, or changes a bit of it, without the key. */
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A nonce, what was encrypted, a tag. `about` goes in unencrypted, and has to be the same when it is decrypted. */
export function encrypt(key: KeyObject, plaintext: Uint8Array, about: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce);
  cipher.setAAD(Buffer.from(about));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Throws when the key is another, or a bit was changed of the bytes or of what they are about. */
export function decrypt(key: KeyObject, bytes: Uint8Array, about: string): Buffer {
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('it was cut short');
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(about));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw new Error('it was changed, or is from somewhere else');
  }
}
