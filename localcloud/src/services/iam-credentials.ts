/** IAM Credentials v1: tokens and signatures of service accounts. See iam-credentials.md. */
import { wholeSeconds } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError, invalid } from '../error.ts';
import type { Identity } from '../identity.ts';
import type { Account, Accounts } from '../internal.ts';
import { isObject, type JsonObject } from '../json.ts';
import type { Access, Call, Method, Service } from '../service.ts';

/** Seconds. */
const LONGEST_TOKEN = 3_600;
const LONGEST_JWT = 12 * 3_600;

export interface IamCredentialsNeeds {
  readonly accounts: Accounts;
  /** The name under which policies keep an account. */
  canonical(name: string): string;
}

export function iamCredentials(
  cloud: LocalCloud,
  { accounts, canonical }: IamCredentialsNeeds,
): { service: Service } {
  /** Without delegates the caller needs the permission; with them the last delegate does, and the call asks for it. */
  function method(permission: string, answer: (request: JsonObject, account: Account) => JsonObject): Method {
    const asked = (request: JsonObject): Access => ({
      permission: `iam.serviceAccounts.${permission}`,
      resource: canonical(String(request.name)),
    });
    return {
      access(request) {
        const access = asked(request);
        return delegatesOf(request).length > 0 ? { ...access, permission: undefined } : access;
      },
      handle(request, { identity }: Call) {
        const delegates = delegatesOf(request);
        if (delegates.length > 0) cloud.iam.demand(throughDelegates(identity, delegates), asked(request));
        return answer(request, usable(asked(request).resource));
      },
    };
  }

  function throughDelegates(caller: Identity, delegates: readonly string[]): Identity {
    let identity = caller;
    for (const delegate of delegates) {
      const resource = canonical(delegate);
      cloud.iam.demand(identity, { permission: 'iam.serviceAccounts.implicitDelegation', resource });
      identity = { type: 'serviceAccount', email: usable(resource).email };
    }
    return identity;
  }

  function usable(resource: string): Account {
    const email = resource.split('/')[3] ?? '';
    const account = accounts.find(email);
    if (!account || account.effectiveAt > cloud.clock.now()) {
      throw new GoogleError('NOT_FOUND', `Not found; Gaia id not found for email ${email}`);
    }
    if (account.disabled) {
      throw new GoogleError('FAILED_PRECONDITION', `The service account ${email} is disabled.`);
    }
    return account;
  }

  function generateAccessToken(request: JsonObject, { email }: Account): JsonObject {
    if (!Array.isArray(request.scope) || request.scope.length === 0) {
      throw invalid('The request must have at least one scope.', 'scope');
    }
    const seconds = Number.parseFloat(String(request.lifetime ?? `${LONGEST_TOKEN}s`));
    if (seconds <= 0 || seconds > LONGEST_TOKEN) {
      throw invalid(`The lifetime must be positive and at most ${LONGEST_TOKEN} seconds.`, 'lifetime');
    }
    return {
      accessToken: cloud.tokens.access({ type: 'serviceAccount', email }, seconds),
      expireTime: wholeSeconds(cloud.clock.now() + seconds * 1_000),
    };
  }

  function generateIdToken(request: JsonObject, account: Account): JsonObject {
    const audience = String(request.audience ?? '');
    if (audience === '') throw invalid('The request must have an audience.', 'audience');
    return { token: cloud.tokens.identityToken(account, audience, request.includeEmail === true) };
  }

  function signBlob(request: JsonObject): JsonObject {
    const signature = cloud.tokens.signBytes(Buffer.from(String(request.payload ?? ''), 'base64'));
    return { keyId: cloud.tokens.keyId, signedBlob: signature.toString('base64') };
  }

  function signJwt(request: JsonObject): JsonObject {
    const claims = readClaims(String(request.payload ?? ''));
    if (Number(claims.exp) > cloud.clock.now() / 1_000 + LONGEST_JWT) {
      throw invalid('The claim "exp" must be at most 12 hours in the future.', 'payload');
    }
    return { keyId: cloud.tokens.keyId, signedJwt: cloud.tokens.signJwt(claims) };
  }

  return {
    service: {
      name: 'iamcredentials',
      host: 'iamcredentials.googleapis.com',
      title: 'IAM Service Account Credentials API',
      protos: ['google/iam/credentials/v1/iamcredentials.proto'],
      methods: {
        'google.iam.credentials.v1.IAMCredentials': {
          GenerateAccessToken: method('getAccessToken', generateAccessToken),
          GenerateIdToken: method('getOpenIdToken', generateIdToken),
          SignBlob: method('signBlob', signBlob),
          SignJwt: method('signJwt', signJwt),
        },
      },
    },
  };
}

function delegatesOf(request: JsonObject): string[] {
  return Array.isArray(request.delegates) ? request.delegates.map(String) : [];
}

function readClaims(payload: string): JsonObject {
  try {
    const claims: unknown = JSON.parse(payload);
    if (isObject(claims)) return claims;
  } catch {
    // Refused below, as any other payload that is no object.
  }
  throw invalid('The payload must be a JSON object of claims.', 'payload');
}
