/** Refusals in the form of the dialect at `/api/builds`: one text. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { Problem } from '../../http/problem.ts';
import type { Log } from '../../observability/log.ts';
import { StoreFailure } from '../../store/store.ts';
import { BadJson } from '../json-body.ts';
import { NotPossible } from './builds.ts';

export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const notHere: RequestHandler = (_request, _response, next) => {
  next(new Refused(404, 'Not found'));
};

/** The last handler of the dialect. */
export function failed(log: Log): ErrorRequestHandler {
  return (error, _request, response, next) => {
    if (response.headersSent) return next(error);
    const status = statusOfError(error);
    if (status < 500 || error instanceof Problem)
      return response
        .status(status)
        .set(error instanceof Problem ? error.headers : {})
        .json({ error: error instanceof Error ? error.message : 'Bad request' });
    log.error('a request failed', { error: error instanceof Error ? (error.stack ?? '') : String(error) });
    return response.status(status).json({ error: messageOf(status) });
  };
}

function statusOfError(error: unknown): number {
  if (error instanceof Refused || error instanceof Problem) return error.status;
  if (error instanceof BadJson) return 400;
  if (error instanceof NotPossible) return 409;
  if (error instanceof StoreFailure) return 503;
  const status = Number(Object(error).status);
  return status >= 400 && status < 500 ? status : 500;
}

function messageOf(status: number): string {
  return status === 503 ? 'The state cannot be read or written just now' : 'Internal server error';
}
