/**
 * The life of a delivery, decided without effects.
 *
 *   (due) → claimed → tried ──→ delivered
 *              ↑        │  └──→ failed      gone for good (410), or tried often or long enough
 *              └─ wait ─┘
 *
 * A claim that was not given back in time was its director's last deed: whether it sent anything nobody knows, so that
 * it is sent again, under the same id.
 */
import { type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { backoffMs } from '@service-director/shared/kit/retry.ts';
import type { DeliveryRecord, DeliveryTry, DueRecord } from '../store/records.ts';
import type { Attempted } from './attempt.ts';

/** How long a claim holds; a try takes less. Milliseconds. */
export const CLAIM_MS = 30_000;
export const MOST_ATTEMPTS = 12;
/** From when it was to be told; what is older is not tried any more. */
const MOST_AGE_MS = 86_400_000;
const BACKOFF = { firstMs: 5_000, longestMs: 3_600_000, factor: 3 };
const LEAST_WAIT_MS = 1_000;
/** The answer of an address that is no more. */
const GONE = 410;

/** When somebody may try it, in milliseconds since 1970. */
export function readyAt(delivery: DeliveryRecord | undefined): number {
  return Math.max(delivery?.claim?.until ?? 0, delivery?.nextAt ?? 0);
}

/** The delivery as it stands once it is claimed, by `by`. */
export function claimed(
  due: DueRecord,
  before: DeliveryRecord | undefined,
  by: string,
  now: number,
): DeliveryRecord {
  const { tries, attempts } = stood(before);
  return {
    ...headOf(due),
    state: 'pending',
    attempts: attempts + 1,
    tries,
    claim: { by, at: now, until: now + CLAIM_MS },
  };
}

/** The delivery after a try. */
export function tried(
  delivery: DeliveryRecord,
  result: Attempted,
  now: number,
  random: Random,
): DeliveryRecord {
  const { claim: _, ...rest } = delivery;
  const { at, retryAfterMs, ...told } = result;
  const tries = [...rest.tries, { at: timestamp(at), ...told }];
  if (result.error === undefined) return { ...rest, tries, state: 'delivered' };
  if (isGone(result) || isWornOut(delivery, now)) return { ...rest, tries, state: 'failed' };
  const own = Math.max(LEAST_WAIT_MS, backoffMs(delivery.attempts, BACKOFF, random));
  const wait = Math.min(MOST_AGE_MS, Math.max(own, retryAfterMs ?? 0));
  return { ...rest, tries, nextAt: now + wait };
}

/**
 * What became of it that was not to be told any more, or had been tried too often by directors that did not live to tell.
 * `because`: what its tries do not say.
 */
export function given(
  due: DueRecord,
  before: DeliveryRecord | undefined,
  state: 'dropped' | 'failed',
  because?: DeliveryTry,
): DeliveryRecord {
  const { attempts, tries } = stood(before);
  return { ...headOf(due), state, attempts, tries: because ? [...tries, because] : tries };
}

/** Whether it is too late to tell it. */
export function isTooOld({ createdAt }: Pick<DueRecord, 'createdAt'>, now: number): boolean {
  return now - Date.parse(createdAt) >= MOST_AGE_MS;
}

/** Whether the receiver wants to hear nothing more at all. */
export function isGone({ status }: Attempted): boolean {
  return status === GONE;
}

function isWornOut(delivery: DeliveryRecord, now: number): boolean {
  return delivery.attempts >= MOST_ATTEMPTS || isTooOld(delivery, now);
}

/** What was tried so far; of a claim that ran out, that nobody knows. */
function stood(before: DeliveryRecord | undefined): {
  readonly attempts: number;
  readonly tries: readonly DeliveryTry[];
} {
  if (!before) return { attempts: 0, tries: [] };
  const { attempts, tries, claim } = before;
  if (!claim) return { attempts, tries };
  const lost: DeliveryTry = {
    at: timestamp(claim.at),
    error: 'the director that tried it ended before it could tell how it went',
  };
  return { attempts, tries: [...tries, lost] };
}

function headOf({ body: _, ...head }: DueRecord): Omit<DueRecord, 'body'> {
  return head;
}
