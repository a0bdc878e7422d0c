import type { Clock, Random } from './clock.ts';

export interface Backoff {
  /** The longest first wait, in milliseconds. */
  readonly firstMs: number;
  /** No single wait is longer. */
  readonly longestMs: number;
  readonly factor: number;
}

/**
 * The wait before try number `attempt` (1 is the first retry), with full jitter:
 * anything from nothing to the exponential bound, so that a crowd spreads out.
 */
export function backoffMs(attempt: number, backoff: Backoff, random: Random): number {
  const bound = Math.min(backoff.longestMs, backoff.firstMs * backoff.factor ** (attempt - 1));
  return Math.round(bound * random());
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff: Backoff;
  /** Counting the first one. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether to try again after this error; a number is a wait in milliseconds that the other side asked for. */
  readonly again: (error: unknown) => boolean | number;
}

/** Calls `task` until it succeeds, `again` says no, or the attempts are used up; then throws the last error. */
export async function retry<T>(task: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, random, backoff, attempts, signal, again } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await task(attempt);
    } catch (error) {
      const verdict = signal?.aborted || attempt >= attempts ? false : again(error);
      if (verdict === false) throw error;
      const own = backoffMs(attempt, backoff, random);
      await clock.sleep(typeof verdict === 'number' ? Math.max(verdict, own) : own, signal);
    }
  }
}
