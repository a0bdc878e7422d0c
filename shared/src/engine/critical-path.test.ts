import fc from 'fast-check';
import { expect, test } from 'vitest';
import { timedCriticalPath, type UnitTiming } from './critical-path.ts';

const unit = (id: string, ...after: string[]) => ({ id, after });
/** Began and ended, in seconds. */
const took = (id: string, began: number, ended: number): UnitTiming => ({
  unit: id,
  endedAt: ended * 1000,
  seconds: ended - began,
});
const words = (path: ReturnType<typeof timedCriticalPath>): string | undefined =>
  path?.steps.map(({ unit, seconds, waited }) => `${unit} ${seconds}+${waited}`).join(' → ');

test('the chain goes back from the unit that ended last, along whoever ended last before it (N89, N156)', () => {
  const plan = [
    unit('account'),
    unit('topic'),
    unit('grants', 'account', 'topic'),
    unit('service', 'grants'),
  ];
  const path = timedCriticalPath(plan, [
    took('account', 0, 9),
    took('topic', 0, 2),
    took('grants', 9, 12),
    took('service', 12.5, 40),
  ]);
  expect(path?.seconds).toBe(40);
  expect(words(path)).toBe('account 9+0 → grants 3+0 → service 27.5+0.5');
});

test('what is not needed by the last is not in it, however long it took', () => {
  const plan = [unit('a'), unit('slow'), unit('b', 'a')];
  expect(words(timedCriticalPath(plan, [took('a', 0, 1), took('slow', 0, 8), took('b', 1, 9)]))).toBe(
    'a 1+0 → b 8+0',
  );
});

test('what took no time is passed through', () => {
  const plan = [
    unit('a'),
    unit('same', 'a'),
    unit('same too', 'same'),
    unit('b', 'same too', 'c'),
    unit('c'),
  ];
  const path = timedCriticalPath(plan, [took('a', 0, 5), took('c', 0, 2), took('b', 5, 6)]);
  expect(words(path)).toBe('a 5+0 → b 1+0');
});

test('of a unit that was done twice the last counts, and what the plan does not name does not', () => {
  const path = timedCriticalPath([unit('a')], [took('a', 0, 1), took('stranger', 0, 99), took('a', 50, 52)]);
  expect(path).toEqual({ seconds: 2, steps: [{ unit: 'a', seconds: 2, waited: 0 }] });
});

test('names of others in "after" that the plan does not have are no matter', () => {
  expect(words(timedCriticalPath([unit('a', 'elsewhere')], [took('a', 0, 1)]))).toBe('a 1+0');
});

test('nothing was done: there is no path', () => {
  expect(timedCriticalPath([unit('a'), unit('b', 'a')], [])).toBeUndefined();
  expect(timedCriticalPath([], [took('a', 0, 1)])).toBeUndefined();
});

test('a long chain is no trouble', () => {
  const count = 20_000;
  const plan = Array.from({ length: count }, (_, at) => unit(`u${at}`, ...(at > 0 ? [`u${at - 1}`] : [])));
  const path = timedCriticalPath(plan, [took('u0', 0, 1), took(`u${count - 1}`, 1, 2)]);
  expect(words(path)).toBe(`u0 1+0 → u${count - 1} 1+0`);
});

test('of a walk without waits the steps fill the whole time, whatever the graph (N89, N156)', () => {
  const graphs = fc.array(fc.record({ seconds: fc.nat(50), after: fc.array(fc.nat(), { maxLength: 4 }) }), {
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(
    fc.property(graphs, (made) => {
      const plan = made.map(({ after }, at) => ({
        id: `u${at}`,
        after: at === 0 ? [] : after.map((other) => `u${other % at}`),
      }));
      const ends = new Map<string, number>();
      const timings = plan.map(({ id, after }, at) => {
        const began = Math.max(0, ...after.map((other) => ends.get(other) ?? 0));
        const ended = began + (made[at]?.seconds ?? 0);
        ends.set(id, ended);
        return took(id, began, ended);
      });
      const path = timedCriticalPath(plan, timings);
      const sum = path?.steps.reduce((all, { seconds, waited }) => all + seconds + waited, 0);
      expect(path?.seconds).toBe(Math.max(...ends.values()));
      expect(sum).toBe(path?.seconds);
      for (const [at, { unit: id }] of (path?.steps ?? []).entries()) {
        const previous = path?.steps[at - 1]?.unit;
        if (previous !== undefined) expect(plan.find((one) => one.id === id)?.after).toContain(previous);
      }
    }),
  );
});
