/**
 * Whether a receiver that fails is called, decided without effects.
 *
 *   closed ──(so many failures in a row)──→ open ──(after a while, with one call)──→ half-open
 *      ↑                                     ↑ └──────────(it came to nothing)←─────────┤ │
 *      │                                     └────────────(it failed: a longer while)←──┘ │
 *      └──────────────────────────────────────────────────(it succeeded)←─────────────────┘
 *
 * What is not called waits, and loses nothing by it. This is of one process and cheap to lose: after a start all are
 * closed, and a receiver that still fails is called a few times more.
 */
import { never } from '@service-director/shared/kit/never.ts';

/** Times in milliseconds since 1970. */
export type Breaker =
  /** `failures`: in a row, the newest of them. */
  | { readonly state: 'closed'; readonly failures: number }
  /** `openings`: without a success in between. */
  | { readonly state: 'open'; readonly until: number; readonly openings: number }
  /** One call is under way to see; if nobody tells of it until then, another may be made. */
  | { readonly state: 'half-open'; readonly until: number; readonly openings: number };

/** What came of a call; `unknown`: it was not made after all, or nobody knows. */
export type Outcome = 'succeeded' | 'failed' | 'unknown';

export type Asked =
  | { readonly mayCall: true; readonly breaker: Breaker }
  /** `again`: when to ask again, milliseconds since 1970. */
  | { readonly mayCall: false; readonly again: number };

export interface BreakerRules {
  /** So many failures in a row open it. */
  readonly failures: number;
  /** How long it is open the first time, milliseconds; each time after that twice as long. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** How long the one call is waited for, milliseconds. */
  readonly probeMs: number;
}

export const CLOSED: Breaker = { state: 'closed', failures: 0 };

/** Whether a call may be made now; where it may, `breaker` is how it stands from then on. */
export function askToCall(breaker: Breaker, now: number, rules: BreakerRules): Asked {
  switch (breaker.state) {
    case 'closed':
      return { mayCall: true, breaker };
    case 'open':
    case 'half-open': {
      const { until, openings } = breaker;
      const began = until - (breaker.state === 'open' ? openMs(openings, rules) : rules.probeMs);
      // A clock may be set back: nobody waits longer than was meant.
      if (began <= now && now < until) return { mayCall: false, again: until };
      return { mayCall: true, breaker: { state: 'half-open', until: now + rules.probeMs, openings } };
    }
    default:
      return never(breaker);
  }
}

/** How it stands after a call. */
export function afterCall(breaker: Breaker, outcome: Outcome, now: number, rules: BreakerRules): Breaker {
  switch (outcome) {
    case 'succeeded':
      return CLOSED;
    case 'failed':
      return afterFailure(breaker, now, rules);
    case 'unknown':
      // Nothing was learnt: the next may see instead.
      return breaker.state === 'half-open' ? { ...breaker, state: 'open', until: now } : breaker;
    default:
      return never(outcome);
  }
}

function afterFailure(breaker: Breaker, now: number, rules: BreakerRules): Breaker {
  switch (breaker.state) {
    case 'closed': {
      const failures = breaker.failures + 1;
      return failures < rules.failures ? { state: 'closed', failures } : opened(1, now, rules);
    }
    case 'open':
      // A call from before it opened: that it fails as well is no news.
      return breaker;
    case 'half-open':
      return opened(breaker.openings + 1, now, rules);
    default:
      return never(breaker);
  }
}

function opened(openings: number, now: number, rules: BreakerRules): Breaker {
  return { state: 'open', until: now + openMs(openings, rules), openings };
}

/** How long it is open that time. */
function openMs(openings: number, { firstMs, longestMs }: BreakerRules): number {
  return Math.min(longestMs, firstMs * 2 ** (openings - 1));
}
