/** KSUIDs: ids of 27 characters in base62 that sort as text in the order of time. */
import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const LENGTH = 27;
/** The first second that one can tell: 2014-05-13T16:53:20Z, seconds since 1970. */
const EPOCH = 1_400_000_000;

/** `now`: milliseconds since 1970. Of two in the same second the later is the greater: the chance begins with the milliseconds. */
export function ksuid(now: number): string {
  const bytes = Buffer.concat([Buffer.alloc(4), randomBytes(16)]);
  bytes.writeUInt32BE(Math.floor(now / 1000) - EPOCH);
  bytes.writeUInt16BE((Math.floor(now) % 1000) * 64 + ((bytes[5] ?? 0) & 63), 4);
  return base62(BigInt(`0x${bytes.toString('hex')}`)).padStart(LENGTH, '0');
}

/** When it was made, seconds since 1970; undefined for what is none. */
export function secondsOf(id: string): number | undefined {
  if (id.length !== LENGTH) return undefined;
  let value = 0n;
  for (const character of id) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return undefined;
    value = value * 62n + BigInt(digit);
  }
  return value >> 160n > 0n ? undefined : Number(value >> 128n) + EPOCH;
}

function base62(value: bigint): string {
  let text = '';
  for (let rest = value; rest > 0n; rest /= 62n) text = `${ALPHABET[Number(rest % 62n)]}${text}`;
  return text;
}
