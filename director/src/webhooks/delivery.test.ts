/** When a delivery is tried again, and when it is given up. */
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { expect, test } from 'vitest';
import type { DeliveryRecord } from '../store/records.ts';
import type { Attempted } from './attempt.ts';
import { claimed, readyAt, tried } from './delivery.ts';
import { dueFor, NOON } from './testing.ts';

const HOUR = 3_600_000;
const due = dueFor('wh_1', 'one', '2026-03-01T12:00:00.000Z');
const refused = (at: number, about: Partial<Attempted> = {}): Attempted => ({
  at,
  milliseconds: 5,
  error: 'it answered 503',
  ...about,
});

/** Tries it until it has ended; the waits between, in milliseconds. */
function waitsOf(seed: number): { readonly waits: number[]; readonly last: DeliveryRecord | undefined } {
  const random = seededRandom(seed);
  const waits: number[] = [];
  let last: DeliveryRecord | undefined;
  for (let now = NOON; ; ) {
    last = tried(claimed(due, last, 'me', now), refused(now), now, random);
    if (last.state !== 'pending') return { waits, last };
    waits.push(readyAt(last) - now);
    now = readyAt(last);
  }
}

test('waits are drawn from nothing to a bound that grows, so that a crowd spreads out', () => {
  const bounds = [5, 15, 45, 135, 405, 1_215, 3_600, 3_600, 3_600, 3_600, 3_600];
  const runs = Array.from({ length: 200 }, (_, seed) => waitsOf(seed));
  for (const { waits, last } of runs) {
    expect(last).toMatchObject({ state: 'failed', attempts: 12 });
    expect(waits).toHaveLength(bounds.length);
    for (const [place, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(1_000);
      expect(wait).toBeLessThanOrEqual((bounds[place] ?? 0) * 1_000);
    }
  }
  const sevenths = runs.map(({ waits }) => waits[6] ?? 0);
  expect(Math.min(...sevenths)).toBeLessThan(HOUR / 10);
  expect(Math.max(...sevenths)).toBeGreaterThan((HOUR * 9) / 10);
});

test('after a day it is not tried again, however seldom it was tried', () => {
  const late = NOON + 24 * HOUR;
  const claim = claimed(due, undefined, 'me', late);
  expect(tried(claim, refused(late - 1), late - 1, () => 0)).toMatchObject({ state: 'pending' });
  expect(tried(claim, refused(late), late, () => 0)).toMatchObject({ state: 'failed' });
});

test('nobody waits shorter than the receiver asked, or than the backoff says', () => {
  const claim = claimed(due, undefined, 'me', NOON);
  const waited = (retryAfterMs: number): number =>
    readyAt(tried(claim, refused(NOON, { retryAfterMs }), NOON, () => 1)) - NOON;
  expect(waited(60_000)).toBe(60_000);
  expect(waited(0)).toBe(5_000);
});
