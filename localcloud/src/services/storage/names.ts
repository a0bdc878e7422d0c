/** Which names buckets and objects can have. */
import { isIPv4 } from 'node:net';
import { badRequest } from './refusals.ts';

const MAX_OBJECT_NAME = 1024;

export function demandBucketName(name: string): void {
  const parts = name.split('.');
  const fits =
    name.length >= 3 &&
    name.length <= (parts.length > 1 ? 222 : 63) &&
    parts.every((part) => part.length >= 1 && part.length <= 63) &&
    /^[a-z0-9][a-z0-9._-]*[a-z0-9]$/.test(name) &&
    !/\.-|-\./.test(name) &&
    !isIPv4(name) &&
    !name.startsWith('goog') &&
    !name.includes('google');
  if (!fits) throw badRequest(`Invalid bucket name: '${name}'`);
}

export function demandObjectName(name: string): void {
  const fits =
    name !== '' &&
    Buffer.byteLength(name) <= MAX_OBJECT_NAME &&
    !/[\r\n]/.test(name) &&
    name !== '.' &&
    name !== '..' &&
    !name.startsWith('.well-known/acme-challenge/');
  if (!fits) throw badRequest(`Invalid object name: '${name}'`);
}

/** Orders names as their UTF-8 bytes do; JavaScript would order by UTF-16 units, where surrogates come too early. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** Surrogates stand for characters above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
