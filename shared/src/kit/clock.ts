/**
 * Time and chance, passed as arguments.
 *
 * The only file that reads the system's own. Whoever takes a `Clock` and a `Random`
 * can be run on a virtual clock and a seed, and does the same thing each time.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970, as `Date.now()`. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `task` once after `ms`, unless the returned function was called before. Does not keep the process alive. */
  after(ms: number, task: () => void): () => void;
}

/** A number in [0, 1). */
export type Random = () => number;

/** The longest time a timer can hold; more overflows to "at once". */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await sleepFor(Math.min(ms, LONGEST_MS), undefined, signal ? { signal } : {}).catch((error) => {
      throw signal?.aborted ? signal.reason : error;
    });
  },
  after: (ms, task) => {
    const timer = setTimeout(task, Math.min(ms, LONGEST_MS)).unref();
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = () => Math.random();

/** A repeatable stream of chance (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** RFC 3339 in UTC with milliseconds, as Google's APIs print time. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}

/** RFC 3339 in UTC in whole seconds: what Google's IAM APIs print, and all that some clients of theirs can read. */
export function wholeSeconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
