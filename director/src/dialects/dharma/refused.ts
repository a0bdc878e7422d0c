/** Refusals in the form of this dialect: one text. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { Problem } from '../../http/problem.ts';
import type { Log } from '../../observability/log.ts';
import { StoreFailure } from '../../store/store.ts';
import { Wrong } from './request.ts';

/** A refusal in the form of this dialect. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const notHere: RequestHandler = (request, _response, next) => {
  // Other dialects live below the same root.
  if (/^\/api\/(v1|builds)(\/|$)/.test(`${request.baseUrl}${request.path}`)) next();
  else next(new Refused(404, 'Not found'));
};

/** The last handler of the dialect. */
export function failed(log: Log): ErrorRequestHandler {
  return (error, _request, response, next) => {
    if (response.headersSent) return next(error);
    const status = statusOfError(error);
    if (status < 500 || error instanceof Refused || error instanceof Problem)
      return response
        .status(status)
        .set(headersOf(error))
        .json({ error: error instanceof Error ? error.message : 'Bad request' });
    log.error('a request failed', { error: error instanceof Error ? (error.stack ?? '') : String(error) });
    return response.status(status).json({ error: messageOf(status) });
  };
}

function headersOf(error: unknown): Problem['headers'] {
  return error instanceof Problem ? error.headers : {};
}

function statusOfError(error: unknown): number {
  if (error instanceof Refused || error instanceof Problem) return error.status;
  if (error instanceof Wrong) return 400;
  if (error instanceof StoreFailure) return 503;
  const status = Number(Object(error).status);
  return status >= 400 && status < 500 ? status : 500;
}

function messageOf(status: number): string {
  return status === 503 ? 'The state cannot be read or written just now' : 'Internal server error';
}
