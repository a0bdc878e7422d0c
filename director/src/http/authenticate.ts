/** Who calls over HTTP: a Google-signed identity token of somebody on the list, or, in local mode, this machine. */

import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { Request, RequestHandler } from 'express';
import { OAuth2Client } from 'google-auth-library';
import { Problem } from './problem.ts';

export interface AuthenticateOptions {
  readonly access: 'verified' | 'loopback';
  /** Addresses. */
  readonly allowed: readonly string[];
  /** By default the URL that was called: for Cloud Run, which knows its services' URLs. */
  readonly audience: string | undefined;
  /** Where the keys are that tokens are checked with, if not at Google. */
  readonly endpoint: string | undefined;
  /** Whether Cloud Run stands before us and lets in nobody whose token it has not checked: it hands tokens on without their signature. */
  readonly behindCloudRun: boolean;
}

/** Puts the caller's address into `response.locals.caller`. */
export function authenticate(options: AuthenticateOptions): RequestHandler {
  const verify = tokenVerifier(options);
  return async (request, response, next) => {
    if (options.access === 'loopback') {
      if (!isLoopback(request.socket.remoteAddress))
        throw new Problem(403, 'Forbidden', 'This director is open to its own machine only.');
      response.locals.caller = 'local';
      next();
      return;
    }
    const token = tokenOf(request);
    if (token === undefined) {
      throw new Problem(
        401,
        'Unauthenticated',
        'An identity token is missing.',
        'send Authorization: Bearer $(gcloud auth print-identity-token)',
      );
    }
    const { email } = await verify(token, options.audience ?? `https://${request.get('host')}`);
    if (!options.allowed.includes(email)) {
      throw new Problem(
        403,
        'Forbidden',
        `${email} is not on this director's list.`,
        'add it to director.allowed_callers and run conductor up',
      );
    }
    response.locals.caller = email;
    next();
  };
}

/**
 * The token that a request carries. Cloud Run checks `X-Serverless-Authorization` where there is one, and hands
 * `Authorization` on unread: then that one says nothing of who calls.
 */
export function tokenOf(request: Request): string | undefined {
  const header = request.get('x-serverless-authorization') ?? request.get('authorization') ?? '';
  // One token: a header that came twice holds both, with a comma.
  return /^Bearer ([^\s,]+)$/i.exec(header)?.[1];
}

/** What Cloud Run puts in the place of a signature that it has checked. */
const CHECKED = /\.SIGNATURE_REMOVED_BY_GOOGLE$/;
const ISSUERS = ['https://accounts.google.com', 'accounts.google.com'];

type TokenChecks = Pick<AuthenticateOptions, 'endpoint' | 'behindCloudRun'>;

/** Checks signature, issuer, audience, time, and that the address is verified. Throws a Problem 401. */
export function tokenVerifier({
  endpoint,
  behindCloudRun,
}: TokenChecks): (token: string, audience: string) => Promise<{ email: string }> {
  const keysAt =
    endpoint === undefined
      ? {}
      : {
          oauth2FederatedSignonPemCertsUrl: `${endpoint}/oauth2/v1/certs`,
          oauth2FederatedSignonJwkCertsUrl: `${endpoint}/oauth2/v3/certs`,
        };
  const client = new OAuth2Client({ endpoints: keysAt });

  async function claimsOf(token: string, audience: string): Promise<Claims> {
    if (behindCloudRun && CHECKED.test(token)) return readChecked(token, audience);
    const ticket = await client.verifyIdToken({ idToken: token, audience });
    return ticket.getPayload() ?? {};
  }

  return async (token, audience) => {
    try {
      const { email, email_verified } = await claimsOf(token, audience);
      if (email === undefined || email_verified !== true)
        throw new Error('the token names no verified address');
      return { email };
    } catch (error) {
      throw new Problem(
        401,
        'Unauthenticated',
        `The identity token is not good: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  };
}

interface Claims {
  readonly email?: string | undefined;
  readonly email_verified?: boolean | undefined;
}

/** The claims of a token whose signature the front end has checked: issuer, audience and time are ours to check. */
function readChecked(token: string, audience: string): Claims {
  const { iss, aud, exp, email, email_verified } = JSON.parse(
    Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
  );
  if (!ISSUERS.includes(iss)) throw new Error('it is of another issuer');
  if (aud !== audience) throw new Error(`it is meant for ${aud}`);
  if (!(Number(exp) * 1000 > systemClock.now())) throw new Error('it has expired');
  return { email, email_verified };
}

export function callerOf({ res }: Request): string {
  return String(res?.locals.caller ?? 'unknown');
}

function isLoopback(address: string | undefined): boolean {
  return (
    address === '::1' ||
    address === '127.0.0.1' ||
    address?.startsWith('::ffff:127.') === true ||
    address?.startsWith('127.') === true
  );
}
