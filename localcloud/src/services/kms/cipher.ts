/** Encrypt and decrypt. A ciphertext is the number of its version (4 bytes), a nonce (12), what was encrypted, and a tag (16). */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { crc32c } from '@service-director/shared/kit/crc32c.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Access, Method } from '../../service.ts';
import { type Key, type Keys, type Version, versionName } from './keys.ts';
import { canonical, keyOf, numberOf } from './names.ts';

const MOST_BYTES = 64 * 1024;
const HEAD = 4;
const NONCE = 12;
const TAG = 16;

export function cipherMethods(cloud: LocalCloud, keys: Keys): Record<'Encrypt' | 'Decrypt', Method> {
  const on =
    (verb: string) =>
    (request: JsonObject): Access => ({
      permission: `cloudkms.cryptoKeyVersions.${verb}`,
      resource: keyOf(canonical(cloud.projects, request.name)),
    });

  function encrypt(request: JsonObject): JsonObject {
    const name = canonical(cloud.projects, request.name);
    const key = keys.get(name);
    const number = numberOf(name) ?? key.primary;
    if (number === undefined)
      throw new GoogleError('FAILED_PRECONDITION', `${key.name} has no primary version.`);
    const version = keys.usable(key, number);
    const plaintext = bytesOf(request, 'plaintext');
    const ciphertext = seal(key, version, number, plaintext, bytesOf(request, AAD));
    return {
      name: versionName(key, number),
      ciphertext: ciphertext.toString('base64'),
      ciphertextCrc32c: String(crc32c(ciphertext)),
      verifiedPlaintextCrc32c: request.plaintextCrc32c !== undefined,
      verifiedAdditionalAuthenticatedDataCrc32c: request[`${AAD}Crc32c`] !== undefined,
      protectionLevel: 'SOFTWARE',
    };
  }

  function decrypt(request: JsonObject): JsonObject {
    const key = keys.get(canonical(cloud.projects, request.name));
    const ciphertext = bytesOf(request, 'ciphertext');
    const additional = bytesOf(request, AAD);
    const number = ciphertext.length < HEAD + NONCE + TAG ? 0 : ciphertext.readUInt32BE();
    if (key.versions[number - 1] === undefined) throw undecipherable();
    const plaintext = open(key, keys.usable(key, number), ciphertext, additional);
    return {
      plaintext: plaintext.toString('base64'),
      plaintextCrc32c: String(crc32c(plaintext)),
      usedPrimary: number === key.primary,
      protectionLevel: 'SOFTWARE',
    };
  }

  return {
    Encrypt: { access: on('useToEncrypt'), handle: encrypt },
    Decrypt: { access: on('useToDecrypt'), handle: decrypt },
  };
}

const AAD = 'additionalAuthenticatedData';

function seal(key: Key, version: Version, number: number, plaintext: Buffer, additional: Buffer): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32BE(number);
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(version.material, 'base64'), nonce);
  cipher.setAAD(Buffer.concat([Buffer.from(`${key.name}\n`), additional]));
  return Buffer.concat([head, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(key: Key, version: Version, ciphertext: Buffer, additional: Buffer): Buffer {
  const nonce = ciphertext.subarray(HEAD, HEAD + NONCE);
  const material = Buffer.from(version.material, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', material, nonce, { authTagLength: TAG });
  decipher.setAAD(Buffer.concat([Buffer.from(`${key.name}\n`), additional]));
  decipher.setAuthTag(ciphertext.subarray(-TAG));
  try {
    return Buffer.concat([decipher.update(ciphertext.subarray(HEAD + NONCE, -TAG)), decipher.final()]);
  } catch {
    throw undecipherable();
  }
}

function undecipherable(): GoogleError {
  return invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
}

/** The bytes of a field, as its checksum says where there is one. */
function bytesOf(request: JsonObject, field: string): Buffer {
  const bytes = Buffer.from(String(request[field] ?? ''), 'base64');
  const most = field === 'ciphertext' ? 2 * MOST_BYTES : MOST_BYTES;
  if (bytes.length > most) throw invalid(`${snake(field)} is longer than ${most} bytes.`, snake(field));
  const told = request[`${field}Crc32c`];
  if (told === undefined || told === String(crc32c(bytes))) return bytes;
  const checksum = `${snake(field)}_crc32c`;
  throw invalid(
    `The checksum in field ${checksum} did not match the data in field ${snake(field)}.`,
    checksum,
  );
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
