/** X.509 certificates around a public key, signed by its own private half: how Google tells keys to older clients. */
import { type KeyObject, randomUUID } from 'node:crypto';

export interface CertificateOptions {
  /** The common name of both subject and issuer. */
  readonly subject: string;
  readonly publicKey: KeyObject;
  /** RSASSA-PKCS1-v1_5 with SHA-256, by the private half. */
  sign(bytes: Uint8Array): Buffer;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
}

/** In PEM. */
export function selfSigned({ subject, publicKey, sign, from, until }: CertificateOptions): string {
  const name = sequence(set(sequence(COMMON_NAME, utf8(subject))));
  const content = sequence(
    VERSION_3,
    serial(),
    SHA256_WITH_RSA,
    name,
    sequence(time(from), time(until)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = element(0x03, Buffer.of(0), sign(content));
  const base64 = sequence(content, SHA256_WITH_RSA, signature).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** One DER element: tag, length, content. */
function element(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const bytes: number[] = [];
  for (let rest = content.length; rest > 0; rest >>= 8) bytes.unshift(rest & 0xff);
  return Buffer.concat([Buffer.of(tag, 0x80 | bytes.length, ...bytes), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, ...parts);
}

function set(...parts: readonly Buffer[]): Buffer {
  return element(0x31, ...parts);
}

function utf8(text: string): Buffer {
  return element(0x0c, Buffer.from(text));
}

/** Positive: the first byte has its highest bit off. */
function serial(): Buffer {
  return element(0x02, Buffer.from(`01${randomUUID().replaceAll('-', '')}`, 'hex'));
}

/** Two-digit years until 2049, four-digit years after. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return text < '2050' ? element(0x17, Buffer.from(text.slice(2))) : element(0x18, Buffer.from(text));
}

const VERSION_3 = element(0xa0, element(0x02, Buffer.of(2)));
/** 2.5.4.3 */
const COMMON_NAME = element(0x06, Buffer.of(0x55, 0x04, 0x03));
/** 1.2.840.113549.1.1.11, without parameters */
const SHA256_WITH_RSA = sequence(
  element(0x06, Buffer.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b)),
  element(0x05),
);
