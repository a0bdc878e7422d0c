/**
 * What fails in passing: nothing is wrong with the code, and a moment later the same may work.
 *
 * Only what changes nothing is tried again by itself, `init` and `plan`. An apply is not: an answer that got lost may
 * have had its effect, of which the tool's state knows nothing, and a second apply would make the thing twice. Whoever
 * asks for the deployment again goes on from what is in the state.
 */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import { retry } from '@service-director/shared/kit/retry.ts';

/** The tool failed with what may be over a moment later. */
export class PassingFault extends CloudError {}

/** The network between the tool and whom it asks, and servers that say of themselves that it is not for ever. */
const PASSING: readonly RegExp[] = [
  /connection reset by peer|connection refused|broken pipe|connection timed out/i,
  /TLS handshake timeout|i\/o timeout|Client\.Timeout exceeded|timeout awaiting response headers/,
  /temporary failure in name resolution|server misbehaving|network is unreachable|no route to host/i,
  /: (unexpected )?EOF$|: (unexpected )?EOF\b/,
  /http2: (server sent GOAWAY|client connection lost)/,
  /\b(429 Too Many Requests|500 Internal Server Error|502 Bad Gateway|503 Service Unavailable|504 Gateway Time-?out)\b/i,
  /\b(status( code)?|response code|StatusCode|error|http error)[: =]+"?(429|50[0234])\b/i,
  /\b(RequestLimitExceeded|ThrottlingException|TooManyRequestsException|ServiceUnavailable)\b/,
];

/** What the code itself says is wrong, in words that anybody may have written. */
const OF_THE_CODE =
  /condition failed|check block assertion|invalid value for variable|invalid (reference|function)|unsupported (argument|attribute)/i;

/** Whether each of the errors is such a one: where one is not, the next try would fail with that. */
export function arePassing(errors: readonly string[]): boolean {
  return (
    errors.length > 0 &&
    errors.every((error) => !OF_THE_CODE.test(error) && PASSING.some((pattern) => pattern.test(error)))
  );
}

const ATTEMPTS = 4;
/** After all that time it is no longer in passing. Milliseconds. */
const PATIENCE_MS = 180_000;
const BACKOFF = { firstMs: 2_000, longestMs: 30_000, factor: 4 };

/** Does a job that changes nothing, again where it fails in passing; rejects as it does, and with the signal's reason. */
export function patiently<T>(
  { clock, random, signal, log }: Pick<EngineContext, 'clock' | 'random' | 'signal' | 'log'>,
  job: () => Promise<T>,
): Promise<T> {
  const until = clock.now() + PATIENCE_MS;
  let attempt = 1;
  return retry(job, {
    clock,
    random,
    signal,
    attempts: ATTEMPTS,
    backoff: BACKOFF,
    again(error) {
      if (!(error instanceof PassingFault) || clock.now() >= until) return false;
      attempt++;
      log?.({ level: 'warning', message: `${error.message}; this may pass: try ${attempt} of ${ATTEMPTS}` });
      return true;
    },
  });
}
