/**
 * Whether an engine's tool is worth being asked, as a machine without effects.
 *
 *   closed ── it fails, for the third time in a row ──> open ── it is asked after a pause, and fails ──> open
 *     ▲                                                  │ ▲
 *     │                                        it works  │ │ it fails
 *     │                                                  ▼ │
 *     └──────────────── it works once more ────────── half-open
 *
 * To fail is to be unable to run at all; what the tool says of somebody's code is its work. Half-open nobody is kept
 * out: that would keep out what would have worked, for as long as one apply takes.
 */
import { never } from '@service-director/shared/kit/never.ts';

export type Breaker =
  | { readonly state: 'closed' /** In a row. */; readonly failures: number }
  /** `until`, in milliseconds since 1970, nobody asks it. */
  | { readonly state: 'open'; readonly because: string; readonly until: number }
  | { readonly state: 'half-open' };

export type Finding = { readonly works: true } | { readonly works: false; readonly because: string };

const MOST_FAILURES = 3;
/** Milliseconds. */
export const PAUSE_MS = 30_000;

export const CLOSED: Breaker = { state: 'closed', failures: 0 };

/** What it is after something was found out at that time. */
export function after(breaker: Breaker, finding: Finding, now: number): Breaker {
  switch (breaker.state) {
    case 'closed':
      if (finding.works) return breaker.failures === 0 ? breaker : CLOSED;
      if (breaker.failures + 1 < MOST_FAILURES) return { state: 'closed', failures: breaker.failures + 1 };
      return open(finding.because, now);
    case 'open':
      if (finding.works) return { state: 'half-open' };
      // One that was begun before it opened tells nothing new.
      return isDue(breaker, now) ? open(finding.because, now) : breaker;
    case 'half-open':
      return finding.works ? CLOSED : open(finding.because, now);
    default:
      return never(breaker);
  }
}

/** Whether its pause is over. A clock may be set back: then it is over as well. */
export function isDue(breaker: Breaker, now: number): boolean {
  return breaker.state === 'open' && (now >= breaker.until || now < breaker.until - PAUSE_MS);
}

function open(because: string, now: number): Breaker {
  return { state: 'open', because, until: now + PAUSE_MS };
}
