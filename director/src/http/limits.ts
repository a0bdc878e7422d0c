/** How much, how fast and how long anybody may ask, and what every answer says to browsers. */
import type { ServerOptions } from 'node:http';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { isDeeper } from '@service-director/shared/kit/json-depth.ts';
import type { Request, RequestHandler } from 'express';
import { Problem } from './problem.ts';

/** For `createServer`: a client that sends slowly, or not at all, does not hold a connection for ever. Times in milliseconds. */
export const SERVER_LIMITS = {
  headersTimeout: 10_000,
  /** For the whole of a request; a large command over a poor line takes its time. An answer may take any. */
  requestTimeout: 120_000,
  connectionsCheckingInterval: 5_000,
  /** Bytes. An identity token has two thousand at most. */
  maxHeaderSize: 16_384,
} as const satisfies ServerOptions;

/** Bytes; a push of Pub/Sub's is the largest that comes. */
export const MOST_BODY_BYTES = 14 * 1024 * 1024;

/** Refuses at its first line what says that it is too long; what does not say so, each route's parser counts. */
export function limitBody(most: number): RequestHandler {
  return (request, response, next) => {
    if (!(Number(request.get('content-length') ?? 0) > most)) {
      next();
      return;
    }
    // What the caller still sends is not read.
    response.set('connection', 'close');
    throw new Problem(413, 'Too large', `A request has at most ${most} bytes.`, 'send less at once');
  };
}

/** Refuses JSON, still text, that lies deeper: what reads it goes down by itself, and would not come back. */
export function limitDepth(most: number): RequestHandler {
  return (request, _response, next) => {
    if (typeof request.body === 'string' && isDeeper(request.body, most))
      throw new Problem(400, 'Too deep', `The body lies more than ${most} levels deep.`, 'send it flatter');
    next();
  };
}

export interface RateOptions {
  readonly clock: Clock;
  /** 0 for any number. As many may come at once. */
  readonly perMinute: number;
  readonly callerOf: (request: Request) => string;
}

/** What a caller has left: so many requests at that time, in milliseconds since 1970. */
interface Bucket {
  readonly left: number;
  readonly at: number;
}

/** Callers that are remembered before those are forgotten who have not asked for a minute. */
const MOST_REMEMBERED = 1_000;
const MINUTE_MS = 60_000;

/**
 * Refuses with 429 whoever asks more often, each caller for themselves, and each instance of a director by its own count.
 * Comes after whatever says who calls. Headers as in draft-ietf-httpapi-ratelimit-headers.
 */
export function limitRate({ clock, perMinute, callerOf }: RateOptions): RequestHandler {
  const buckets = new Map<string, Bucket>();

  /** What is left after a request, or too little for it. */
  function take(caller: string): { readonly isTaken: boolean; readonly left: number } {
    const now = clock.now();
    const { left: before, at } = buckets.get(caller) ?? { left: perMinute, at: now };
    const refilled = Math.min(perMinute, before + (Math.max(0, now - at) * perMinute) / MINUTE_MS);
    const isTaken = refilled >= 1;
    const left = isTaken ? refilled - 1 : refilled;
    buckets.set(caller, { left, at: now });
    if (buckets.size > MOST_REMEMBERED) forget(now);
    return { isTaken, left };
  }

  /** Whoever has not asked for a minute has all of it again, as one who was never seen. */
  function forget(now: number): void {
    for (const [caller, { at }] of buckets) if (now - at >= MINUTE_MS) buckets.delete(caller);
  }

  return (request, response, next) => {
    if (perMinute === 0) {
      next();
      return;
    }
    const caller = callerOf(request);
    const { isTaken, left } = take(caller);
    const whole = Math.floor(left);
    /** Until there is one more, in whole seconds. */
    const seconds = Math.max(1, Math.ceil(((whole + 1 - left) * MINUTE_MS) / perMinute / 1000));
    response.set({
      'ratelimit-policy': `"caller";q=${perMinute};w=60`,
      ratelimit: `"caller";r=${whole};t=${seconds}`,
    });
    if (isTaken) {
      next();
      return;
    }
    response.set('retry-after', String(seconds));
    throw new Problem(
      429,
      'Too many requests',
      `${caller} asks more than ${perMinute} times a minute.`,
      'ask again after the seconds in Retry-After, or follow the events instead of asking',
    );
  };
}

/** Nothing of an answer is a page: no browser is to make one of it, or to keep it. */
const HEADERS = {
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy':
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
} as const;

/** A page of ours takes what it needs from us and from nowhere else; no script stands in it. */
const PAGE_HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
} as const;

/** `isEncrypted`: whether callers come by HTTPS, and shall for a year. */
export function securityHeaders({ isEncrypted }: { readonly isEncrypted: boolean }): RequestHandler {
  const transport = isEncrypted ? { 'strict-transport-security': 'max-age=31536000' } : {};
  const headers = new Map(Object.entries({ ...HEADERS, ...transport }));
  return (_request, response, next) => {
    response.setHeaders(headers);
    next();
  };
}

/** For routes that answer HTML. */
export const pageHeaders: RequestHandler = (_request, response, next) => {
  response.set(PAGE_HEADERS);
  next();
};
