/** Who calls a service, and whether they may. */
import { createPublicKey, verify } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { LocalCloud } from '../../cloud.ts';
import { bearer } from '../../gate.ts';
import { ANONYMOUS, type Identity } from '../../identity.ts';
import { isObject } from '../../json.ts';

export type Admission =
  | { readonly admitted: true; readonly headers: IncomingHttpHeaders }
  | { readonly admitted: false; readonly status: 401 | 403; readonly because: string };

/** Decides on one request. The headers that come back are those the service may see: without the token's signature. */
export function admit(
  cloud: LocalCloud,
  service: string,
  audiences: readonly string[],
  open: boolean,
  headers: IncomingHttpHeaders,
): Admission {
  const may = (identity: Identity): boolean =>
    cloud.iam.test(identity, ['run.routes.invoke'], service).length > 0;
  if (open || may(ANONYMOUS)) return { admitted: true, headers };
  const name =
    headers['x-serverless-authorization'] === undefined ? 'authorization' : 'x-serverless-authorization';
  const token = bearer([headers[name]].flat()[0]);
  if (token === undefined) {
    return {
      admitted: false,
      status: 403,
      because:
        'The request was not authenticated. Either allow unauthenticated invocations or set the proper Authorization header.',
    };
  }
  const caller = ofIdentityToken(cloud, token, audiences) ?? ofAccessToken(cloud, token);
  if (!caller)
    return {
      admitted: false,
      status: 401,
      because: 'The request was not authorized: the token is not valid.',
    };
  if (!may(caller)) {
    return {
      admitted: false,
      status: 403,
      because: `The request was not authorized: ${caller.email} lacks run.routes.invoke on ${service}.`,
    };
  }
  return { admitted: true, headers: { ...headers, [name]: `Bearer ${withoutSignature(token)}` } };
}

/** The holder of an identity token that we signed for one of the audiences. */
function ofIdentityToken(
  cloud: LocalCloud,
  token: string,
  audiences: readonly string[],
): Identity | undefined {
  const [head = '', body = '', signature = '', ...more] = token.split('.');
  const header = parse(head);
  const claims = parse(body);
  const key = cloud.tokens.keys().keys.find(({ kid }) => kid === header?.kid);
  if (more.length > 0 || header?.alg !== 'RS256' || !claims || !key) return undefined;
  const publicKey = createPublicKey({ key, format: 'jwk' });
  const signed = Buffer.from(`${head}.${body}`);
  if (!verify('RSA-SHA256', signed, publicKey, Buffer.from(signature, 'base64url'))) return undefined;
  const { aud, iss, exp, email } = claims;
  const timely = Number(exp) * 1000 > cloud.clock.now();
  const ours = /^(https:\/\/)?accounts\.google\.com$/.test(String(iss));
  const meant = audiences.some((audience) => isMeant(audience, String(aud)));
  if (!timely || !ours || !meant || typeof email !== 'string') return undefined;
  return { type: email.endsWith('.gserviceaccount.com') ? 'serviceAccount' : 'user', email };
}

/** Access tokens are for trying a service by hand: a person's count, a service account's do not. */
function ofAccessToken(cloud: LocalCloud, token: string): Identity | undefined {
  try {
    const identity = cloud.tokens.identify(token);
    return identity.type === 'user' ? identity : undefined;
  } catch {
    return undefined;
  }
}

function withoutSignature(token: string): string {
  const [header, claims, signature] = token.split('.');
  return signature === undefined || token.startsWith('ya29.')
    ? 'ACCESS_TOKEN_REMOVED'
    : `${header}.${claims}.SIGNATURE_REMOVED_BY_GOOGLE`;
}

function parse(part: string): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

/** A token for a path of the service counts too: that is what Pub/Sub and Cloud Scheduler send by default. */
function isMeant(audience: string, claimed: string): boolean {
  return (
    claimed === audience || (audience.startsWith('http://127.0.0.1:') && claimed.startsWith(`${audience}/`))
  );
}
