/**
 * Credentials: access tokens and OpenID Connect identity tokens, minted and checked here.
 *
 * Access tokens are opaque to their holder. Identity tokens are what Google's are: RS256 with the
 * claims of https://accounts.google.com, checked against the keys at `/oauth2/v3/certs`.
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  randomBytes,
  sign,
  timingSafeEqual,
} from 'node:crypto';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { GoogleError } from './error.ts';
import type { Identity } from './identity.ts';
import { isObject } from './json.ts';
import type { Store } from './store.ts';

export const ISSUER = 'https://accounts.google.com';

export interface Tokens {
  /** An access token of that identity, good for `seconds`. */
  access(identity: Identity, seconds: number): string;
  /** Whose token it is; throws UNAUTHENTICATED when it is none of ours or has expired. */
  identify(token: string): Identity;
  /** Whose token it is and until when, in milliseconds since 1970; undefined when it is none of ours or has expired. */
  inspect(token: string): { readonly identity: Identity; readonly expiresAt: number } | undefined;
  /** An identity token of an account for one audience, good for an hour. Tells the email unless asked not to. */
  identityToken(
    account: { readonly email: string; readonly uniqueId: string },
    audience: string,
    withEmail?: boolean,
  ): string;
  /** Any claims, signed as Google signs an account's JWT (`signJwt`). */
  signJwt(claims: object): string;
  /** An RSASSA-PKCS1-v1_5 signature with SHA-256. */
  signBytes(bytes: Uint8Array): Buffer;
  /** Names the key that signs. */
  readonly keyId: string;
  /** The public half of the signing key, as a JSON Web Key Set. */
  keys(): { keys: JsonWebKey[] };
}

interface Secrets {
  readonly hmac: string;
  readonly privateKey: string;
  readonly keyId: string;
}

export function openTokens(store: Store, clock: Clock): Tokens {
  const rows = store.table<Secrets>('tokens.secrets');
  const secrets = rows.get('current') ?? newSecrets();
  rows.set('current', secrets);
  const key = createPrivateKey(secrets.privateKey);

  const mac = (text: string): string => createHmac('sha256', secrets.hmac).update(text).digest('base64url');

  function signJwt(claims: object): string {
    const header = { alg: 'RS256', kid: secrets.keyId, typ: 'JWT' };
    const text = [header, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${text}.${sign('RSA-SHA256', Buffer.from(text), key).toString('base64url')}`;
  }

  function inspect(token: string): ReturnType<Tokens['inspect']> {
    const [, text = '', given = ''] = token.split('.');
    const right = Buffer.from(mac(text));
    const same = right.length === given.length && timingSafeEqual(right, Buffer.from(given));
    const claims: unknown = same ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined;
    if (!isObject(claims) || typeof claims.email !== 'string') return undefined;
    const expiresAt = Number(claims.exp);
    if (expiresAt <= clock.now()) return undefined;
    return {
      identity: { type: claims.type === 'user' ? 'user' : 'serviceAccount', email: claims.email },
      expiresAt,
    };
  }

  return {
    signJwt,
    inspect,
    signBytes: (bytes) => sign('RSA-SHA256', bytes, key),
    keyId: secrets.keyId,
    access(identity, seconds) {
      const claims = { ...identity, exp: clock.now() + seconds * 1000 };
      const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
      return `ya29.${text}.${mac(text)}`;
    },
    identify(token) {
      const known = inspect(token);
      if (known) return known.identity;
      throw new GoogleError(
        'UNAUTHENTICATED',
        'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
      );
    },
    identityToken({ email, uniqueId }, audience, withEmail = true) {
      const iat = Math.floor(clock.now() / 1000);
      return signJwt({
        aud: audience,
        azp: uniqueId,
        ...(withEmail ? { email, email_verified: true } : {}),
        exp: iat + 3600,
        iat,
        iss: ISSUER,
        sub: uniqueId,
      });
    },
    keys() {
      const jwk = createPublicKey(key).export({ format: 'jwk' });
      return { keys: [{ ...jwk, kid: secrets.keyId, use: 'sig', alg: 'RS256' }] };
    },
  };
}

function newSecrets(): Secrets {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    hmac: randomBytes(32).toString('hex'),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    keyId: randomBytes(20).toString('hex'),
  };
}
