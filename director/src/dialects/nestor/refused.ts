/** Refusals in the form of the dialect at `/api/v1`: `{"error": {code, message, service, details, trace_id}}`. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { Problem } from '../../http/problem.ts';
import type { Log } from '../../observability/log.ts';
import { StoreFailure } from '../../store/store.ts';
import { BadJson } from '../json-body.ts';
import { traceIdOf, traceOfRequest } from '../trace.ts';

/** As their clients know them, and the last two of ours. */
type Code =
  | 'RESOURCE_NOT_FOUND'
  | 'VALIDATION_FAILED'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'INTERNAL_ERROR'
  | 'SERVICE_UNAVAILABLE'
  | 'CIRCULAR_DEPENDENCY'
  | 'DEPENDENCY_ERROR'
  | 'ENGINE_NOT_FOUND'
  | 'VERSION_CONFLICT'
  | 'STORAGE_FAILURE'
  | 'ENGINE_NOT_AVAILABLE'
  | 'NOT_POSSIBLE_NOW';

export class Refused extends Error {
  readonly status: number;
  readonly code: Code;
  readonly details: object;
  readonly headers: Problem['headers'];

  constructor(
    status: number,
    code: Code,
    message: string,
    details: object = {},
    headers: Problem['headers'] = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.headers = headers;
  }
}

export const notHere: RequestHandler = (request, _response, next) => {
  next(
    new Refused(404, 'RESOURCE_NOT_FOUND', `There is no ${request.method} ${request.baseUrl}${request.path}`),
  );
};

/** The last handler of the dialect: whatever was thrown is told in its form, and nothing of our inside gets out. */
export function failed(log: Log): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (response.headersSent) return next(error);
    const refused = refusalOf(error);
    if (refused.code === 'INTERNAL_ERROR' || refused.code === 'STORAGE_FAILURE')
      log.error('a request failed', { error: error instanceof Error ? (error.stack ?? '') : String(error) });
    const { status, code, message, details } = refused;
    return response
      .status(status)
      .set(headersOf(error))
      .json({
        error: {
          code,
          message,
          service: 'orchestrator',
          details,
          trace_id: traceIdOf(traceOfRequest(request)),
        },
      });
  };
}

function headersOf(error: unknown): Problem['headers'] {
  return error instanceof Problem || error instanceof Refused ? error.headers : {};
}

function refusalOf(error: unknown): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof BadJson) return new Refused(400, 'VALIDATION_FAILED', error.message);
  if (error instanceof Problem)
    return new Refused(
      error.status,
      codeOf(error.status),
      error.message,
      error.fix === undefined ? {} : { hint: error.fix },
    );
  if (error instanceof StoreFailure)
    return new Refused(503, 'STORAGE_FAILURE', 'The state cannot be read or written just now', {
      hint: 'ask again with the same id: what was taken all the same is known again by it',
    });
  const status = Number(Object(error).status);
  if (status >= 400 && status < 500)
    return new Refused(status, codeOf(status), error instanceof Error ? error.message : 'bad request');
  return new Refused(500, 'INTERNAL_ERROR', 'The director made a mistake; its log says which.');
}

function codeOf(status: number): Code {
  switch (status) {
    case 401:
      return 'UNAUTHORIZED';
    case 403:
      return 'FORBIDDEN';
    case 404:
      return 'RESOURCE_NOT_FOUND';
    case 409:
      return 'VERSION_CONFLICT';
    default:
      return status >= 500 ? 'SERVICE_UNAVAILABLE' : 'VALIDATION_FAILED';
  }
}
