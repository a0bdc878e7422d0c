/** Refusals over HTTP: RFC 9457 problem details. */
import {
  PROBLEM_PREFIX,
  type ProblemDetails,
  type ProblemError,
} from '@service-director/shared/contract/rest/schemas.ts';
import type { ErrorRequestHandler, Request, Response } from 'express';
import type { Log } from '../observability/log.ts';
import { StoreFailure } from '../store/store.ts';

export interface ProblemParts {
  /** The last part of its type, which stays whatever the words are; by default that of its status. */
  readonly slug?: string;
  /** All that is wrong with the request. */
  readonly errors?: readonly ProblemError[];
  readonly headers?: Readonly<Record<string, string>>;
}

export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly fix: string | undefined;
  readonly slug: string;
  readonly errors: readonly ProblemError[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, title: string, detail: string, fix?: string, parts: ProblemParts = {}) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.title = title;
    this.fix = fix;
    this.slug = parts.slug ?? SLUGS[status] ?? 'refused';
    this.errors = parts.errors ?? [];
    this.headers = parts.headers ?? {};
  }
}

/** By status: what is not said more precisely. */
const SLUGS: Readonly<Record<number, string>> = {
  400: 'bad-request',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  406: 'not-acceptable',
  409: 'conflict',
  412: 'precondition-failed',
  413: 'too-large',
  415: 'not-json',
  429: 'too-many-requests',
  500: 'internal',
  503: 'not-ready',
};

function sendProblem(request: Request, response: Response, problem: Problem): void {
  const { status, title, message, fix, slug, errors, headers } = problem;
  const details: ProblemDetails = {
    // The paths without a prefix never had types, and whoever reads them may compare.
    type: isNative(request) ? `${PROBLEM_PREFIX}${slug}` : 'about:blank',
    title,
    status,
    detail: message,
    fix,
    ...(errors.length > 0 ? { errors: [...errors] } : {}),
  };
  response.status(status).set(headers).type('application/problem+json').send(JSON.stringify(details));
}

function isNative({ originalUrl }: Request): boolean {
  return /^\/v1(?:[/?]|$)/.test(originalUrl);
}

/** Nothing is wrong with the request, and nothing is lost: what it asks for may be asked again. */
function withoutState({ message }: StoreFailure): Problem {
  const headers = { 'retry-after': '5' };
  const parts = { slug: 'state-failure', headers };
  return new Problem(503, 'The state does not answer', message, 'ask again in a moment', parts);
}

/** The last handler: whatever was thrown becomes a problem, and nothing of our inside gets out. */
export function problemHandler(log: Log): ErrorRequestHandler {
  // Express knows a handler of errors by its four arguments.
  return (error, request, response, _next) => {
    if (response.headersSent) {
      log.warn('an answer broke off', { traceparent: request.get('traceparent'), error: String(error) });
      response.destroy();
      return;
    }
    if (error instanceof Problem) {
      sendProblem(request, response, error);
      return;
    }
    if (error instanceof StoreFailure) {
      log.warn('a request failed', { error: error.message });
      sendProblem(request, response, withoutState(error));
      return;
    }
    const status = Number(error?.status);
    if (status >= 400 && status < 500) {
      sendProblem(request, response, new Problem(status, 'Bad request', String(error.message)));
      return;
    }
    log.error('a request failed', {
      traceparent: request.get('traceparent'),
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    sendProblem(
      request,
      response,
      new Problem(500, 'Internal error', 'The director made a mistake; its log says which.'),
    );
  };
}
