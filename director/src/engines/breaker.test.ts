/** The machine that keeps work from a tool that does not run: each of its turns, and that it never keeps it away for good. */
import { seededRandom } from '@service-director/shared/kit/clock.ts';
import { expect, test } from 'vitest';
import { after, type Breaker, CLOSED, type Finding, isDue, PAUSE_MS } from './breaker.ts';

const works: Finding = { works: true };
const fails: Finding = { works: false, because: 'it is gone' };

/** What it is after that, all at one time. */
const all = (findings: readonly Finding[], from = CLOSED, now = 0): Breaker =>
  findings.reduce((breaker, finding) => after(breaker, finding, now), from);

test('opens with the third failure in a row, and not with the third altogether (N143)', () => {
  expect(all([fails, fails])).toEqual({ state: 'closed', failures: 2 });
  expect(all([fails, fails, works, fails, fails])).toEqual({ state: 'closed', failures: 2 });
  expect(all([fails, fails, fails], CLOSED, 5)).toEqual({
    state: 'open',
    because: 'it is gone',
    until: 5 + PAUSE_MS,
  });
});

test('is due when its pause is over, and fails once more for another (N143)', () => {
  const open = all([fails, fails, fails]);
  expect([isDue(open, PAUSE_MS - 1), isDue(open, PAUSE_MS)]).toEqual([false, true]);
  expect(after(open, fails, 10)).toBe(open);
  expect(after(open, fails, PAUSE_MS)).toMatchObject({ state: 'open', until: 2 * PAUSE_MS });
  expect([isDue(CLOSED, 0), isDue({ state: 'half-open' }, 0)]).toEqual([false, false]);
});

test('is half-open when it works again: one success closes it, one failure opens it (N143)', () => {
  const half = all([fails, fails, fails, works]);
  expect(half).toEqual({ state: 'half-open' });
  expect(after(half, works, 0)).toEqual(CLOSED);
  expect(after(half, fails, 7)).toMatchObject({ state: 'open', until: 7 + PAUSE_MS });
});

test('of a clock that is set back it is no slave', () => {
  const open = all([fails, fails, fails], CLOSED, 1_000_000);
  expect(isDue(open, 0)).toBe(true);
});

test('whatever comes, two successes close it, and no pause is longer than it may be', () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = seededRandom(seed);
    let breaker: Breaker = CLOSED;
    let now = 0;
    for (let step = 0; step < 50; step++) {
      now += Math.floor(random() * PAUSE_MS);
      breaker = after(breaker, random() < 0.4 ? works : fails, now);
      if (breaker.state === 'open') expect(breaker.until - now).toBeLessThanOrEqual(PAUSE_MS);
      expect(all([works, works], breaker, now)).toEqual(CLOSED);
    }
  }
});
