/** What goes wrong with a call, in the shapes in which Google's REST clients throw it. */

const STATUSES = {
  NOT_FOUND: { status: 404, code: 'NOT_FOUND' },
  ALREADY_EXISTS: { status: 409, code: 'ALREADY_EXISTS' },
  ABORTED: { status: 409, code: 'ABORTED' },
  /** As Cloud Storage says it: without a canonical code. */
  PRECONDITION: { status: 412, code: undefined },
  PERMISSION_DENIED: { status: 403, code: 'PERMISSION_DENIED' },
  RATE_LIMITED: { status: 429, code: 'RESOURCE_EXHAUSTED' },
  UNAVAILABLE: { status: 503, code: 'UNAVAILABLE' },
  INTERNAL: { status: 500, code: 'INTERNAL' },
} as const;

const OF_GAXIOS: unique symbol = Symbol.for('gaxios-gaxios-error');

/** An error of gaxios. */
class GaxiosError extends Error {
  readonly response: object | undefined;
  /** By this it is known; its name is `Error`. */
  readonly [OF_GAXIOS] = 'simulated';

  constructor(message: string, response?: object, cause?: object) {
    super(message, cause ? { cause } : undefined);
    this.response = response;
  }
}

/** An answer that says no. */
export function answer(what: keyof typeof STATUSES, message: string, retryAfterSeconds?: number): Error {
  const { status, code } = STATUSES[what];
  const headers = new Map(
    retryAfterSeconds === undefined ? [] : [['retry-after', String(retryAfterSeconds)]],
  );
  const error = { code: status, message, ...(code === undefined ? {} : { status: code }) };
  return new GaxiosError(message, { status, headers, data: { error } });
}

/** No answer, or none that can be read. */
export const NO_ANSWER = {
  timeout: (): Error => new GaxiosError('The operation was aborted due to timeout'),
  truncated: (): Error =>
    new GaxiosError('terminated', undefined, { code: 'UND_ERR_SOCKET', message: 'other side closed' }),
} as const;
