/** Refusals over HTTP: RFC 9457 problem details. */
import type { ErrorRequestHandler, Response } from 'express';
import type { Log } from '../observability/log.ts';

export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly fix: string | undefined;

  constructor(status: number, title: string, detail: string, fix?: string) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.title = title;
    this.fix = fix;
  }
}

export function sendProblem(response: Response, { status, title, message, fix }: Problem): void {
  response
    .status(status)
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: 'about:blank',
        title,
        status,
        detail: message,
        ...(fix === undefined ? {} : { fix }),
      }),
    );
}

/** The last handler: whatever was thrown becomes a problem, and nothing of our inside gets out. */
export function problemHandler(log: Log): ErrorRequestHandler {
  return (error, _request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    if (error instanceof Problem) {
      sendProblem(response, error);
      return;
    }
    const status = Number(error?.status);
    if (status >= 400 && status < 500) {
      sendProblem(response, new Problem(status, 'Bad request', String(error.message)));
      return;
    }
    log.error('a request failed', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    sendProblem(
      response,
      new Problem(500, 'Internal error', 'The director made a mistake; its log says which.'),
    );
  };
}
