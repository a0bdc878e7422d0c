/** A key in a file: 32 random bytes, base64. For one machine; in production a key should be where nobody can copy it (`kms-key.ts`). */
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { decrypt, encrypt } from './cipher.ts';
import type { Keyring } from './keyring.ts';

const ABOUT = 'a data key of Service Director';

/** Throws when the file is missing, open to others, or holds no key, and says what to do. */
export function fileKey(path: string): Keyring {
  const bytes = readKey(path);
  const key = createSecretKey(bytes);
  // By its content, not by its place: a file that was moved is the same key, another one in its place is not.
  const digest = createHmac('sha256', bytes).update('the name of this key').digest('hex');
  const name = `file:${digest.slice(0, 16)}`;
  return {
    name,
    async wrap(dataKey) {
      return { key: name, bytes: encrypt(key, dataKey, ABOUT).toString('base64') };
    },
    async unwrap(wrapped) {
      return decrypt(key, Buffer.from(wrapped.bytes, 'base64'), ABOUT);
    },
  };
}

/** Makes the file where there is none. Of two that do so at once both get the same. */
export function ensureFileKey(path: string): Keyring {
  const made = `${path}.${process.pid}.new`;
  if (!existsSync(path)) {
    writeFileSync(made, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
    try {
      linkSync(made, path);
    } catch (error) {
      if (!existsSync(path)) throw error;
    } finally {
      rmSync(made);
    }
  }
  return fileKey(path);
}

function readKey(path: string): Buffer {
  const text = readOwn(path).trim();
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text))
    throw new Error(
      `The key file ${path} holds no key: it must be 32 random bytes in base64. ${remedy(path)}`,
    );
  return Buffer.from(text, 'base64');
}

/** The text of a file that is its owner's alone. */
function readOwn(path: string): string {
  const file = openKeyFile(path);
  try {
    const { mode } = fstatSync(file);
    // Windows has no such bits.
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw new Error(
        `The key file ${path} can be read by others (mode ${(mode & 0o777).toString(8)}). Close it with: chmod 600 ${path}`,
      );
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

function openKeyFile(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`The key file ${path} cannot be read: ${reason}. ${remedy(path)}`, { cause: error });
  }
}

function remedy(path: string): string {
  return `A new one is made with: (umask 077; head -c 32 /dev/urandom | base64 > ${path}). What was encrypted with another key needs that key.`;
}
