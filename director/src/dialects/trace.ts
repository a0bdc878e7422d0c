/** The trace that a request belongs to: W3C trace context, made up where the caller has none. */
import { readTraceparent } from '@service-director/shared/contract/trace-context.ts';
import type { Request, RequestHandler } from 'express';
import { traceparentFor } from '../observability/trace.ts';

/** Puts the trace where `traceOfRequest` finds it, and its id into the answer's `x-trace-id`. */
export const traced: RequestHandler = (request, response, next) => {
  const traceparent = traceparentFor(request.get('traceparent'));
  response.locals.traceparent = traceparent;
  response.set('x-trace-id', traceIdOf(traceparent));
  next();
};

/** For an envelope: what the caller sent. */
export function traceIn(request: Request): { readonly traceparent?: string } {
  const traceparent = request.get('traceparent');
  return traceparent === undefined ? {} : { traceparent };
}

/** The traceparent; of a request that was refused before it was traced, what it would have been. */
export function traceOfRequest(request: Request): string {
  return String(request.res?.locals.traceparent ?? traceparentFor(request.get('traceparent')));
}

export function traceIdOf(traceparent: string): string {
  return readTraceparent(traceparent)?.traceId ?? '';
}
