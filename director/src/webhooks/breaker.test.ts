/** When a receiver that fails is called again, and by how many. */
import { expect, test } from 'vitest';
import { afterCall, askToCall, type Breaker, type BreakerRules, CLOSED } from './breaker.ts';

const RULES: BreakerRules = { failures: 3, firstMs: 1_000, longestMs: 4_000, probeMs: 500 };

function failing(times: number, from: Breaker = CLOSED, now = 0): Breaker {
  let breaker = from;
  for (let time = 0; time < times; time++) breaker = afterCall(breaker, 'failed', now, RULES);
  return breaker;
}

/** Asks at that time, and demands to be let on. */
function called(breaker: Breaker, now: number): Breaker {
  const asked = askToCall(breaker, now, RULES);
  if (!asked.mayCall) throw new Error(`Not before ${asked.again}`);
  return asked.breaker;
}

test('closed lets all on, and only failures in a row open it (N143)', () => {
  expect(called(CLOSED, 7)).toEqual(CLOSED);
  const twice = failing(2);
  expect(twice).toEqual({ state: 'closed', failures: 2 });
  expect(afterCall(twice, 'unknown', 0, RULES)).toEqual(twice);
  expect(afterCall(twice, 'succeeded', 0, RULES)).toEqual(CLOSED);
  expect(failing(1, twice, 10)).toEqual({ state: 'open', until: 1_010, openings: 1 });
});

test('open lets nobody on until its time is over, then one (N143)', () => {
  const open = failing(3);
  expect(askToCall(open, 999, RULES)).toEqual({ mayCall: false, again: 1_000 });
  const half = called(open, 1_000);
  expect(half).toEqual({ state: 'half-open', until: 1_500, openings: 1 });
  expect(askToCall(half, 1_000, RULES)).toEqual({ mayCall: false, again: 1_500 });
});

test('the one call closes it, or opens it for twice as long, up to the longest (N143)', () => {
  const half = called(failing(3), 1_000);
  expect(afterCall(half, 'succeeded', 1_200, RULES)).toEqual(CLOSED);
  let breaker = half;
  let now = 1_200;
  for (const ms of [2_000, 4_000, 4_000]) {
    const open = afterCall(breaker, 'failed', now, RULES);
    expect(open).toMatchObject({ state: 'open', until: now + ms });
    now += ms;
    breaker = called(open, now);
  }
  expect(failing(1, afterCall(breaker, 'succeeded', now, RULES))).toEqual({ state: 'closed', failures: 1 });
});

test('a call that nobody tells of does not keep it half-open: the next may see', () => {
  const half = called(failing(3), 1_000);
  expect(called(half, 1_500)).toEqual({ state: 'half-open', until: 2_000, openings: 1 });
  const given = afterCall(half, 'unknown', 1_100, RULES);
  expect(given).toEqual({ state: 'open', until: 1_100, openings: 1 });
  expect(called(given, 1_100)).toMatchObject({ state: 'half-open', openings: 1 });
});

test('calls from before it opened close it if they succeed, and change nothing if they fail', () => {
  const open = failing(3);
  expect(afterCall(open, 'failed', 600, RULES)).toEqual(open);
  expect(afterCall(open, 'unknown', 600, RULES)).toEqual(open);
  expect(afterCall(open, 'succeeded', 600, RULES)).toEqual(CLOSED);
});

test('a clock that is set back keeps nobody uncalled for longer than was meant (N143)', () => {
  const open = afterCall(called(failing(3), 1_000), 'failed', 10_000, RULES);
  expect(open).toEqual({ state: 'open', until: 12_000, openings: 2 });
  expect(askToCall(open, 10_000, RULES)).toEqual({ mayCall: false, again: 12_000 });
  expect(called(open, 9_999)).toEqual({ state: 'half-open', until: 10_499, openings: 2 });
  const half = called(open, 12_000);
  expect(askToCall(half, 12_000, RULES)).toEqual({ mayCall: false, again: 12_500 });
  expect(called(half, 3_000)).toEqual({ state: 'half-open', until: 3_500, openings: 2 });
});
