/** One try to tell somebody something over HTTP: bounded in time and in what it reads, and led nowhere else. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { masked } from './mask.ts';

/** As `fetch`, which follows no redirect, and may refuse addresses. Rejects once the signal is aborted. */
export type Transport = (url: string, question: TransportQuestion) => Promise<Response>;

export interface TransportQuestion {
  readonly method: 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}

export interface Attempted {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly milliseconds: number;
  /** Undefined where nobody answered. */
  readonly status?: number;
  /** Why it does not count as delivered; undefined where it does. */
  readonly error?: string;
  readonly answer?: string;
  /** The wait that the answer asked for, in milliseconds. */
  readonly retryAfterMs?: number;
}

export interface Reach {
  readonly transport: Transport;
  readonly clock: Clock;
  /** For the headers of the answer, and for what is read of it. */
  readonly timeoutMs: number;
  /** Aborted when this director stops. */
  readonly signal: AbortSignal;
}

const MOST_ANSWER_BYTES = 4_096;
/** Characters. */
const SHOWN_ANSWER = 200;
const SHOWN_ERROR = 300;

/** Never rejects: what goes wrong is a result. */
export async function attempt(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  { transport, clock, timeoutMs, signal }: Reach,
): Promise<Attempted> {
  const at = clock.now();
  const late = new AbortController();
  const cancel = clock.after(timeoutMs, () =>
    late.abort(new Error(`it did not answer within ${timeoutMs / 1000} s`)),
  );
  try {
    const response = await transport(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'service-director',
        'accept-encoding': 'identity',
        ...headers,
      },
      body,
      signal: AbortSignal.any([late.signal, signal]),
    });
    const answer = masked(await beginningOf(response), SHOWN_ANSWER);
    const retryAfterMs = retryAfterOf(response, clock.now());
    const error = objectionTo(response);
    return {
      at,
      milliseconds: clock.now() - at,
      status: response.status,
      ...(error === undefined ? {} : { error }),
      ...(answer === '' ? {} : { answer }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
  } catch (error) {
    return { at, milliseconds: clock.now() - at, error: masked(reasonOf(error), SHOWN_ERROR) };
  } finally {
    cancel();
  }
}

function objectionTo({ status, ok }: Response): string | undefined {
  if (ok) return undefined;
  if (status >= 300 && status < 400) return `it answered ${status}: redirects are not followed`;
  return `it answered ${status}`;
}

/** What could be read: the status has come, and that the rest does not is no reason to tell it once more. */
async function beginningOf({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  if (!reader) return '';
  const chunks: Uint8Array[] = [];
  let left = MOST_ANSWER_BYTES;
  try {
    while (left > 0) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value.subarray(0, left));
      left -= value.length;
    }
  } catch {
    // Cut off, or too late.
  }
  // Ends the connection where there is more to come.
  await reader.cancel().catch(() => {});
  return Buffer.concat(chunks).toString();
}

/** Of seconds or of a date; undefined for anything else. */
function retryAfterOf({ headers }: Response, now: number): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** `fetch failed` says nothing; what caused it does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  if (cause.message !== '') return cause.message;
  return 'code' in cause ? String(cause.code) : error.message;
}
