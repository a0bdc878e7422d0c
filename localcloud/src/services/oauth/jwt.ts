/** JSON Web Tokens with an RSA signature: https://datatracker.ietf.org/doc/html/rfc7519 */
import { type KeyObject, verify } from 'node:crypto';
import { isObject, type JsonObject } from '../../json.ts';

export interface Jwt {
  /** Undefined when the header names none. */
  readonly keyId: string | undefined;
  readonly claims: JsonObject;
  /** Header and claims, as they were signed. */
  readonly signed: string;
  readonly signature: Buffer;
}

/** Undefined for what is no JWT, or is not signed with RS256. Nothing is verified yet. */
export function readJwt(text: string): Jwt | undefined {
  const [head, body, signature, ...rest] = text.split('.');
  const header = parse(head);
  const claims = parse(body);
  if (!header || !claims || signature === undefined || rest.length > 0 || header.alg !== 'RS256')
    return undefined;
  return {
    keyId: typeof header.kid === 'string' ? header.kid : undefined,
    claims,
    signed: `${head}.${body}`,
    signature: Buffer.from(signature, 'base64url'),
  };
}

export function verifies({ signed, signature }: Jwt, key: KeyObject): boolean {
  return verify('RSA-SHA256', Buffer.from(signed), key, signature);
}

function parse(part: string | undefined): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString());
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}
