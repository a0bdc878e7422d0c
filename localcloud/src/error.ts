/** Errors as Google's APIs answer them: https://google.aip.dev/193 */

import type { JsonObject } from './json.ts';

/** The canonical codes: name → number on gRPC and status on HTTP. */
const CODES = {
  CANCELLED: [1, 499],
  UNKNOWN: [2, 500],
  INVALID_ARGUMENT: [3, 400],
  DEADLINE_EXCEEDED: [4, 504],
  NOT_FOUND: [5, 404],
  ALREADY_EXISTS: [6, 409],
  PERMISSION_DENIED: [7, 403],
  RESOURCE_EXHAUSTED: [8, 429],
  FAILED_PRECONDITION: [9, 400],
  ABORTED: [10, 409],
  OUT_OF_RANGE: [11, 400],
  UNIMPLEMENTED: [12, 501],
  INTERNAL: [13, 500],
  UNAVAILABLE: [14, 503],
  DATA_LOSS: [15, 500],
  UNAUTHENTICATED: [16, 401],
} as const satisfies Record<string, readonly [number, number]>;

export type Code = keyof typeof CODES;

export function isCode(text: string): text is Code {
  return text in CODES;
}

/** A `google.rpc` detail: `{"@type": "type.googleapis.com/google.rpc.ErrorInfo", …}`. */
export type Detail = JsonObject & { '@type': string };

export class GoogleError extends Error {
  readonly code: Code;
  readonly details: readonly Detail[];

  constructor(code: Code, message: string, details: readonly Detail[] = []) {
    super(message);
    this.name = 'GoogleError';
    this.code = code;
    this.details = details;
  }

  get grpc(): number {
    return CODES[this.code][0];
  }

  get http(): number {
    return CODES[this.code][1];
  }

  /** The body of most APIs. */
  body(): object {
    const details = this.details.length > 0 ? { details: this.details } : {};
    return { error: { code: this.http, message: this.message, status: this.code, ...details } };
  }

  /** `google.rpc.Status`, as it stands in a finished operation. */
  status(): JsonObject {
    const details = this.details.length > 0 ? { details: [...this.details] } : {};
    return { code: this.grpc, message: this.message, ...details };
  }
}

/** The body of the older JSON APIs (Cloud Storage): `errors[]` with a reason, and no `status`. */
export class LegacyError extends GoogleError {
  readonly reason: string;
  readonly #http: number;

  constructor(http: number, reason: string, message: string, code: Code) {
    super(code, message);
    this.reason = reason;
    this.#http = http;
  }

  override get http(): number {
    return this.#http;
  }

  override body(): object {
    const errors = [{ message: this.message, domain: 'global', reason: this.reason }];
    return { error: { code: this.http, message: this.message, errors } };
  }
}

export function notFound(resource: string): GoogleError {
  return new GoogleError('NOT_FOUND', `Resource not found (resource=${resource}).`);
}

export function invalid(message: string, field?: string): GoogleError {
  if (field === undefined) return new GoogleError('INVALID_ARGUMENT', message);
  return new GoogleError('INVALID_ARGUMENT', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{ field, description: message }],
    },
  ]);
}

/** Anything thrown, as an answer: what we did not foresee is our own fault, and INTERNAL. */
export function toGoogleError(error: unknown): GoogleError {
  if (error instanceof GoogleError) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new GoogleError('INTERNAL', `The local cloud failed: ${text}`);
}
