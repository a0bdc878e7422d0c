/**
 * What went wrong with a call to Google Cloud, in one form for REST and gRPC.
 *
 * The only file that reads status codes. Everything else asks for the `reason`.
 */

export type Reason =
  | 'not-found'
  | 'already-exists'
  /** The caller lacks a permission; on Google Cloud also the answer for what does not exist. */
  | 'denied'
  | 'unauthenticated'
  /** The request itself is wrong; trying again cannot help. */
  | 'invalid'
  /** Not in this state: a bucket that is not empty, a disabled version. */
  | 'precondition'
  /** Somebody else wrote in between: read again, decide again. */
  | 'conflict'
  /** Too fast. `retryAfterMs` says how long to wait where Google says so. */
  | 'rate-limited'
  /** No more of it in this project, however long one waits. */
  | 'quota'
  /** A new account, grant or enabled API that this part of Google does not see yet. */
  | 'propagating'
  /** The API is not enabled in the project, or its enabling has not propagated. */
  | 'api-disabled'
  /** No answer, or one that does not tell: the call may have had its effect. Look before trying again. */
  | 'unknown-outcome'
  | 'cancelled'
  /** Ours, found without asking Google: exists without our mark, would be replaced, does not converge. */
  | 'refused'
  | 'unimplemented'
  /** A mistake of ours, no answer of Google's. */
  | 'internal';

export interface CloudErrorDetails {
  /** The permission that is missing, where Google names it. */
  readonly permission?: string | undefined;
  /** The API that is disabled: `run.googleapis.com`. */
  readonly api?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** What to do, as an order. */
  readonly fix?: string | undefined;
  readonly cause?: unknown;
}

export class CloudError extends Error {
  readonly reason: Reason;
  readonly permission: string | undefined;
  readonly api: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly fix: string | undefined;

  constructor(reason: Reason, message: string, details: CloudErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CloudError';
    this.reason = reason;
    this.permission = details.permission;
    this.api = details.api;
    this.retryAfterMs = details.retryAfterMs;
    this.fix = details.fix;
  }

  /** Any error that a Google client throws. */
  static from(error: unknown): CloudError {
    if (error instanceof CloudError) return error;
    const facts = factsOf(error);
    const reason = facts.code === undefined && !isNetwork(error) ? ownReason(facts) : reasonOf(facts);
    return new CloudError(reason, facts.message, {
      permission: facts.info.permission ?? /[Pp]ermission '([\w.]+)'/.exec(facts.message)?.[1],
      api:
        reason === 'api-disabled'
          ? (facts.info.service ?? /([a-z]+\.googleapis\.com)/.exec(facts.message)?.[1])
          : undefined,
      retryAfterMs: facts.retryAfterMs,
      cause: error,
    });
  }
}

/** The value, or undefined when Google says that there is no such thing. */
export async function found<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (CloudError.from(error).reason === 'not-found') return undefined;
    throw CloudError.from(error);
  }
}

/**
 * Throws a CloudError 'unknown-outcome' for a yes whose body is not the JSON that was asked for: cut short on its way, or
 * somebody else's page. Google's clients hand its text on as data, in which all fields are missing.
 */
export function demandReadable({ status, data }: { readonly status: number; readonly data: unknown }): void {
  const isYes = status >= 200 && status < 300 && status !== NO_CONTENT;
  if (!isYes || (typeof data === 'object' && data !== null)) return;
  const length = typeof data === 'string' ? ` (${data.length} characters)` : '';
  throw new CloudError('unknown-outcome', `The answer cannot be read: what came is no JSON${length}`);
}

const NO_CONTENT = 204;

/** What to do about it: what it says itself, else what its reason suggests; undefined where nobody could know. */
export function fixOf({ fix, reason, permission, api }: CloudError): string | undefined {
  if (fix !== undefined) return fix;
  switch (reason) {
    case 'denied':
      return permission === undefined
        ? 'grant the permission that is missing, then run it again'
        : `grant a role that holds ${permission}, then run it again`;
    case 'api-disabled':
      return `run gcloud services enable ${api ?? ''}`.trim();
    case 'invalid':
    case 'precondition':
      return 'correct what the message names, then run it again: only what is missing is done';
    case 'quota':
      return 'ask for more quota, or remove what is not needed, then run it again';
    case 'conflict':
    case 'rate-limited':
    case 'propagating':
    case 'unknown-outcome':
      return 'run it again: only what is missing is done';
    default:
      return undefined;
  }
}

/** Whether the same call may succeed later without anybody doing anything. */
export function isTransient({ reason }: CloudError): boolean {
  return TRANSIENT.has(reason);
}

const TRANSIENT: ReadonlySet<Reason> = new Set([
  'rate-limited',
  'propagating',
  'unknown-outcome',
  'conflict',
]);

/** What can be read off an error of gaxios (REST), gax (gRPC), Cloud Storage's client or a finished operation (`google.rpc.Status`). */
interface Facts {
  readonly message: string;
  /** The canonical name: `NOT_FOUND`; undefined when there was no answer. */
  readonly code: Code | undefined;
  readonly info: Readonly<Record<string, string | undefined>>;
  /** Of `google.rpc.ErrorInfo`, or of the older `errors[]`: `SERVICE_DISABLED`, `rateLimitExceeded`. */
  readonly tag: string | undefined;
  readonly retryAfterMs: number | undefined;
}

const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
type Code = (typeof CODES)[number];

/** HTTP statuses for the bodies that carry no canonical code (Cloud Storage, proxies). */
const BY_STATUS: Readonly<Record<number, Code>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'ALREADY_EXISTS',
  412: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  501: 'UNIMPLEMENTED',
};

const REASONS: Readonly<Partial<Record<Code, Reason>>> = {
  CANCELLED: 'cancelled',
  INVALID_ARGUMENT: 'invalid',
  OUT_OF_RANGE: 'invalid',
  NOT_FOUND: 'not-found',
  ALREADY_EXISTS: 'already-exists',
  PERMISSION_DENIED: 'denied',
  UNAUTHENTICATED: 'unauthenticated',
  FAILED_PRECONDITION: 'precondition',
  ABORTED: 'conflict',
  RESOURCE_EXHAUSTED: 'rate-limited',
  UNIMPLEMENTED: 'unimplemented',
};

/** Texts that Google sends with a code that says something else: the catalogue of Terraform's provider, in short. */
const SPECIAL: readonly { readonly code: Code; readonly text: RegExp; readonly reason: Reason }[] = [
  { code: 'INVALID_ARGUMENT', text: /service account .* does not exist/i, reason: 'propagating' },
  {
    code: 'INVALID_ARGUMENT',
    text: /another activation or deactivation is in progress|retry this operation/i,
    reason: 'propagating',
  },
  { code: 'PERMISSION_DENIED', text: /iam\.serviceaccounts\.actas.*may not exist/i, reason: 'propagating' },
  { code: 'PERMISSION_DENIED', text: /quota exceeded|rate ?limit ?exceeded/i, reason: 'rate-limited' },
  { code: 'PERMISSION_DENIED', text: /has not been used in project|it is disabled/i, reason: 'api-disabled' },
  { code: 'ALREADY_EXISTS', text: /is not empty/i, reason: 'precondition' },
  { code: 'ALREADY_EXISTS', text: /concurrent|in progress|please try again/i, reason: 'conflict' },
];

function reasonOf({ code, tag, message }: Facts): Reason {
  if (code === undefined) return 'unknown-outcome';
  if (tag === 'SERVICE_DISABLED' || tag === 'accessNotConfigured') return 'api-disabled';
  if (tag === 'RATE_LIMIT_EXCEEDED' || tag === 'rateLimitExceeded') return 'rate-limited';
  if (code === 'RESOURCE_EXHAUSTED' && tag === 'RESOURCE_QUOTA_EXCEEDED') return 'quota';
  const special = SPECIAL.find((entry) => entry.code === code && entry.text.test(message));
  return special?.reason ?? REASONS[code] ?? 'unknown-outcome';
}

/** Of what was never sent. */
function ownReason({ message }: Facts): Reason {
  return /could not load the default credentials/i.test(message) ? 'unauthenticated' : 'internal';
}

function factsOf(error: unknown): Facts {
  const outer = record(error);
  const response = record(outer.response);
  const body = record(record(response.data ?? response.body).error);
  // Details hang on the JSON body (REST), on the error itself (gax) or on the status of an operation.
  const details = list(body.details ?? outer.statusDetails ?? outer.details).map(record);
  const info = details.find((detail) => String(detail['@type'] ?? '').endsWith('ErrorInfo'));
  const retry = details.find((detail) => String(detail['@type'] ?? '').endsWith('RetryInfo'));
  const firstError = record(list(body.errors ?? outer.errors)[0]);
  const message = text(body.message) ?? text(outer.details) ?? text(outer.message) ?? String(error);
  return {
    message: message.replace(/^\d+ [A-Z_]+: /, ''),
    code: codeOf(outer, response, body),
    info: Object.fromEntries(
      Object.entries(record(info?.metadata ?? outer.errorInfoMetadata)).map(([k, v]) => [k, text(v)]),
    ),
    tag: text(info?.reason) ?? text(outer.reason) ?? text(firstError.reason),
    retryAfterMs: secondsToMs(text(retry?.retryDelay) ?? headerOf(response, 'retry-after')),
  };
}

function codeOf(outer: Fields, response: Fields, body: Fields): Code | undefined {
  if (CODES.some((code) => code === body.status)) return body.status as Code;
  const status = Number(response.status ?? body.code ?? outer.code);
  if (status >= 500) return status === 501 ? 'UNIMPLEMENTED' : 'UNAVAILABLE';
  if (BY_STATUS[status]) return BY_STATUS[status];
  // A gRPC status, of a call or of an operation. Codes of the network (ECONNRESET) are text, and no answer.
  return typeof outer.code === 'number' && outer.code < CODES.length ? CODES[outer.code] : undefined;
}

/** Whether the call was made and its answer got lost: reset, timed out, cut short. */
function isNetwork(error: unknown): boolean {
  const { name, code, cause, [OF_GAXIOS]: ofGaxios } = record(error);
  // Without a response, whatever gaxios throws came after the request was sent, under any code.
  if (ofGaxios !== undefined || name === 'TimeoutError' || name === 'AbortError') return true;
  return /^(E[A-Z]+|UND_ERR_\w+)$/.test(String(code)) || (cause !== undefined && isNetwork(cause));
}

/** By this its errors know each other; their name is `Error`. */
const OF_GAXIOS = Symbol.for('gaxios-gaxios-error');

type Fields = Readonly<Record<PropertyKey, unknown>>;

function record(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function headerOf(response: Fields, name: string): string | undefined {
  const { headers } = response;
  // The clients bring a Headers of their own, which is no instance of ours.
  const { get } = record(headers);
  return text(typeof get === 'function' ? get.call(headers, name) : record(headers)[name]);
}

function secondsToMs(seconds: string | undefined): number | undefined {
  const value = Number.parseFloat(seconds ?? '');
  return Number.isFinite(value) ? value * 1000 : undefined;
}
