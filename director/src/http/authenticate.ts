/** Who calls over HTTP: a Google-signed identity token of somebody on the list, or, in local mode, this machine. */

import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { AccessRule } from '@service-director/shared/model/architecture.ts';
import type { Request, RequestHandler } from 'express';
import { OAuth2Client } from 'google-auth-library';
import { Problem } from './problem.ts';
import { type Caller, callerFor, type Identity, LOCAL_CALLER } from './roles.ts';

export interface AuthenticateOptions {
  readonly access: 'verified' | 'loopback';
  /** Addresses of those who may do everything. */
  readonly allowed: readonly string[];
  /** Who else may do something; only where every route asks with `demand`. */
  readonly roles?: readonly AccessRule[];
  /** By default the URL that was called: for Cloud Run, which knows its services' URLs. */
  readonly audience: string | undefined;
  /** Where the keys are that tokens are checked with, if not at Google. */
  readonly endpoint: string | undefined;
  /** Whether Cloud Run stands before us and lets in nobody whose token it has not checked: it hands tokens on without their signature. */
  readonly behindCloudRun: boolean;
}

/** Puts the caller, with their roles, where `whoCalls` and `callerOf` find them. */
export function authenticate(options: AuthenticateOptions): RequestHandler {
  const verify = tokenVerifier(options);
  return async (request, response, next) => {
    if (options.access === 'loopback') {
      demandOwnMachine(request);
      response.locals.caller = LOCAL_CALLER;
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
    const identity = await verify(token, options.audience ?? `https://${request.get('host')}`);
    const caller = callerFor(identity, options.allowed, options.roles ?? []);
    if (caller === undefined) {
      throw new Problem(
        403,
        'Forbidden',
        `${identity.email} is not on this director's list.`,
        'add it to director.allowed_callers, or with a role to director.access, and run conductor up',
      );
    }
    response.locals.caller = caller;
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
}: TokenChecks): (token: string, audience: string) => Promise<Identity> {
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
      const { email, email_verified, hd } = await claimsOf(token, audience);
      if (email === undefined || email_verified !== true)
        throw new Error('the token names no verified address');
      return { email, domain: hd };
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
  /** The Google Workspace of the account. */
  readonly hd?: string | undefined;
}

/** The claims of a token whose signature the front end has checked: issuer, audience and time are ours to check. */
function readChecked(token: string, audience: string): Claims {
  const { iss, aud, exp, email, email_verified, hd } = JSON.parse(
    Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
  );
  if (!ISSUERS.includes(iss)) throw new Error('it is of another issuer');
  if (aud !== audience) throw new Error(`it is meant for ${aud}`);
  if (!(Number(exp) * 1000 > systemClock.now())) throw new Error('it has expired');
  return { email, email_verified, hd };
}

/** Throws a Problem 401 where nobody was let in. */
export function whoCalls({ res }: Request): Caller {
  const caller: Caller | undefined = res?.locals.caller;
  if (caller === undefined) throw new Problem(401, 'Unauthenticated', 'Nobody knows who calls.');
  return caller;
}

export function callerOf({ res }: Request): string {
  const caller: Caller | undefined = res?.locals.caller;
  return caller?.name ?? 'unknown';
}

/**
 * Nobody needs a token here, so that a page of anybody's, open in a browser of this machine, could send commands: by
 * itself, or under a name of its own that it has turned to this address.
 */
function demandOwnMachine(request: Request): void {
  if (!isLoopback(request.socket.remoteAddress))
    throw new Problem(403, 'Forbidden', 'This director is open to its own machine only.');
  const host = request.get('host') ?? '';
  if (!OWN_HOST.test(host))
    throw new Problem(403, 'Forbidden', 'This director is called by an address of its own machine.');
  const origin = request.get('origin');
  if (origin !== undefined && origin !== `http://${host}`)
    throw new Problem(403, 'Forbidden', 'This director takes nothing from pages of others.');
}

/** With or without a port. */
const OWN_HOST = /^(localhost|[a-z0-9-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

function isLoopback(address: string | undefined): boolean {
  return (
    address === '::1' ||
    address === '127.0.0.1' ||
    address?.startsWith('::ffff:127.') === true ||
    address?.startsWith('127.') === true
  );
}
