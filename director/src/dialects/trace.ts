/** The trace that a request belongs to: W3C trace context, made up where the caller has none. */
import { randomBytes } from 'node:crypto';
import type { Request, RequestHandler } from 'express';

/** `00-<32 hexadecimal digits>-<16>-<2>`, RFC draft "Trace Context" of the W3C. */
const GOOD = /^00-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;

/** Puts the trace where `traceOfRequest` finds it, and its id into the answer's `x-trace-id`. */
export const traced: RequestHandler = (request, response, next) => {
  const came = request.get('traceparent') ?? '';
  const traceparent = GOOD.test(came)
    ? came
    : `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
  response.locals.traceparent = traceparent;
  response.set('x-trace-id', traceIdOf(traceparent));
  next();
};

/** The traceparent. */
export function traceOfRequest({ res }: Request): string {
  return String(res?.locals.traceparent ?? '');
}

export function traceIdOf(traceparent: string): string {
  return GOOD.exec(traceparent)?.[1] ?? '';
}
