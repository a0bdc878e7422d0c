/** The endpoints of Google's OAuth servers that check tokens, and the one that takes a key for a token. See oauth.md. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError } from '../error.ts';
import type { Account, Accounts } from '../internal.ts';
import { isObject, type JsonObject } from '../json.ts';
import { readBody, sendJson } from '../rest.ts';
import type { Answer, Route, RouteRequest, Service } from '../service.ts';
import { ISSUER } from '../tokens.ts';
import { selfSigned } from '../x509.ts';
import type { KeyRow } from './iam/keys.ts';
import { type Jwt, readJwt, verifies } from './oauth/jwt.ts';

export interface OauthNeeds {
  readonly accounts: Accounts;
  /** The keys of an account, by its unique id. */
  keysOf(uniqueId: string): readonly KeyRow[];
}

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
/** Seconds. */
const TOKEN_SECONDS = 3_600;
const CLOCK_SKEW = 300;

export function oauth(cloud: LocalCloud, { accounts, keysOf }: OauthNeeds): { service: Service } {
  const publicKey = createPublicKey({ key: cloud.tokens.keys().keys[0] ?? {}, format: 'jwk' });
  const signingJwk = (): JsonObject => asJwk(publicKey, cloud.tokens.keyId);
  const seconds = (): number => cloud.clock.now() / 1_000;

  let certificate: string | undefined;
  /** One for the life of the local cloud; Google changes its own every few days. */
  function signingCertificate(): string {
    const from = cloud.clock.now();
    certificate ??= selfSigned({
      subject: 'federated-signon.system.gserviceaccount.com',
      publicKey,
      sign: cloud.tokens.signBytes,
      from,
      until: from + 365 * 24 * 3_600_000,
    });
    return certificate;
  }

  function enabledKeysOf({ params }: RouteRequest): readonly KeyRow[] {
    const account = accounts.find(params.email ?? '');
    if (!account) throw new GoogleError('NOT_FOUND', 'Unknown service account');
    return keysOf(account.uniqueId).filter((key) => !key.disabled);
  }

  function tokenInfo(token: string): JsonObject | undefined {
    const known = cloud.tokens.inspect(token);
    if (known) {
      const { email } = known.identity;
      const subject = accounts.find(email)?.uniqueId ?? userId(email);
      return {
        azp: subject,
        aud: subject,
        sub: subject,
        scope: SCOPE,
        exp: String(Math.floor(known.expiresAt / 1_000)),
        expires_in: String(Math.floor(known.expiresAt / 1_000 - seconds())),
        email,
        email_verified: 'true',
        access_type: 'online',
      };
    }
    const jwt = readJwt(token);
    if (!jwt || !verifies(jwt, publicKey) || jwt.claims.iss !== ISSUER) return undefined;
    if (Number(jwt.claims.exp) <= seconds()) return undefined;
    const claims = Object.entries(jwt.claims).map(([name, value]) => [name, String(value)]);
    return { ...Object.fromEntries(claims), alg: 'RS256', kid: cloud.tokens.keyId, typ: 'JWT' };
  }

  async function checkToken({ query, raw }: RouteRequest): Promise<Answer> {
    const form = raw.method === 'POST' ? await readForm(raw) : query;
    const named = ['id_token', 'access_token'].map((name) => form.get(name) ?? query.get(name));
    const token =
      named.find((value) => value !== null) ?? /^Bearer (.+)$/i.exec(raw.headers.authorization ?? '')?.[1];
    const info = token === undefined ? undefined : tokenInfo(token);
    if (!info) throw new GoogleError('INVALID_ARGUMENT', 'Invalid Value');
    return ok(info);
  }

  /** The account whose key has signed the JWT. */
  function accountOf(jwt: Jwt | undefined, audiences: readonly string[]): Account {
    if (!jwt) throw badGrant('Bad Request');
    const { iss, aud, exp, iat } = jwt.claims;
    const account = accounts.find(String(iss));
    if (!account || account.effectiveAt > cloud.clock.now())
      throw badGrant('Invalid grant: account not found');
    if (account.disabled) throw badGrant('Account disabled');
    const signer = keysOf(account.uniqueId).find(
      (key) =>
        !key.disabled &&
        (jwt.keyId ?? key.keyId) === key.keyId &&
        verifies(jwt, createPublicKey(key.publicKey)),
    );
    if (!signer) throw badGrant('Invalid JWT Signature.');
    if (!audiences.includes(String(aud))) throw badGrant(`Invalid JWT: the audience is ${String(aud)}.`);
    const now = seconds();
    const timely =
      Number(exp) > now - CLOCK_SKEW &&
      Number(exp) - Number(iat) <= TOKEN_SECONDS &&
      Number(iat) < now + CLOCK_SKEW;
    if (timely) return account;
    throw badGrant(
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
    );
  }

  async function exchange(raw: IncomingMessage, origin: string): Promise<Answer> {
    const form = await readForm(raw);
    const grant = form.get('grant_type') ?? '';
    if (grant !== GRANT) {
      return { status: 400, body: problem('unsupported_grant_type', `Invalid grant_type: ${grant}`) };
    }
    const jwt = readJwt(form.get('assertion') ?? '');
    const own = [origin, cloud.origin()].map((base) => `${base}/token`);
    const account = accountOf(jwt, [...own, 'https://oauth2.googleapis.com/token']);
    const audience = jwt?.claims.target_audience;
    if (typeof audience === 'string') {
      return ok({ id_token: cloud.tokens.identityToken(account, audience) });
    }
    const identity = { type: 'serviceAccount', email: account.email } as const;
    return ok({
      access_token: cloud.tokens.access(identity, TOKEN_SECONDS),
      expires_in: TOKEN_SECONDS - 1,
      token_type: 'Bearer',
    });
  }

  const tell = (name: string, path: string, answer: (request: RouteRequest) => JsonObject): Route => ({
    name,
    method: 'GET',
    path,
    handle: (request) => ok(answer(request)),
  });
  const check = (method: 'GET' | 'POST', path: string): Route => ({
    name: 'tokeninfo',
    method,
    path,
    handle: checkToken,
    refuse: (_error, response) => sendJson(response, 400, problem('invalid_token', 'Invalid Value')),
  });

  return {
    service: {
      name: 'oauth2',
      host: 'oauth2.googleapis.com',
      title: 'OAuth 2.0',
      needsEnabling: false,
      routes: [
        tell('certs', '/oauth2/v3/certs', () => ({ keys: [signingJwk()] })),
        tell('certs', '/oauth2/v1/certs', () => ({ [cloud.tokens.keyId]: signingCertificate() })),
        tell('certs', '/service_accounts/v1/jwk/{email}', (request) => ({
          keys: [
            signingJwk(),
            ...enabledKeysOf(request).map((key) => asJwk(createPublicKey(key.publicKey), key.keyId)),
          ],
        })),
        tell('certs', '/robot/v1/metadata/x509/{email}', (request) => ({
          [cloud.tokens.keyId]: signingCertificate(),
          ...Object.fromEntries(enabledKeysOf(request).map((key) => [key.keyId, key.certificate])),
        })),
        check('GET', '/tokeninfo'),
        check('POST', '/tokeninfo'),
        {
          name: 'token',
          method: 'POST',
          path: '/token',
          handle: ({ raw }, _response, call) => exchange(raw, call.origin),
          refuse: (error, response) => sendJson(response, 400, problem('invalid_grant', error.message)),
        },
      ],
    },
  };
}

async function readForm(raw: IncomingMessage): Promise<URLSearchParams> {
  const text = (await readBody(raw)).toString();
  if (!text.startsWith('{')) return new URLSearchParams(text);
  const json: unknown = JSON.parse(text);
  const fields = Object.entries(isObject(json) ? json : {}).map(([name, value]) => [name, String(value)]);
  return new URLSearchParams(Object.fromEntries(fields));
}

function asJwk(key: KeyObject, keyId: string): JsonObject {
  const { kty, n, e } = key.export({ format: 'jwk' });
  return { kty, n, e, kid: keyId, use: 'sig', alg: 'RS256' };
}

function badGrant(message: string): GoogleError {
  return new GoogleError('INVALID_ARGUMENT', message);
}

function ok(body: JsonObject): Answer {
  return { status: 200, body };
}

function problem(error: string, description: string): JsonObject {
  return { error, error_description: description };
}

/** A user's number, which is all that tells one from a service account here: 21 digits. */
function userId(email: string): string {
  const hash = createHash('sha256').update(email).digest('hex').slice(0, 24);
  return `1${(BigInt(`0x${hash}`) % 10n ** 20n).toString().padStart(20, '0')}`;
}
