import { expect, test } from 'vitest';
import { coverageOf, type FaultKind, faults, mergeCoverage } from './faults.ts';

const KINDS: readonly FaultKind[] = ['lost-request', 'lost-answer', 'slow', 'conflict'];

function visit(seed: number, options: Parameters<typeof faults>[1], times = 2_000) {
  const world = faults(seed, options);
  const site = world.site('a', KINDS);
  const drawn = Array.from({ length: times }, () => site.draw());
  return { world, drawn };
}

test('seeds differ in what goes wrong at all, and some kinds are left out', () => {
  const sets = Array.from({ length: 40 }, (_, seed) => {
    const { world } = visit(seed, {});
    return Object.keys(world.counts()).sort().join(' ');
  });
  expect(new Set(sets).size).toBeGreaterThan(5);
  expect(sets.some((set) => set.split(' ').length < KINDS.length)).toBe(true);
});

test('the same seed draws the same, number by number', () => {
  const [one, two] = [visit(5, { intensity: 3 }), visit(5, { intensity: 3 })];
  expect(one.drawn).toEqual(two.drawn);
  const fired = one.world.fired();
  expect(fired.length).toBeGreaterThan(10);
  expect(fired.map(({ number }) => number)).toEqual(fired.map((_, at) => at + 1));
  const skipped = visit(5, { intensity: 3, skip: new Set([2, 3]) });
  expect(skipped.world.fired()).toEqual(fired.filter(({ number }) => number !== 2 && number !== 3));
});

test('rates are kept to, nothing happens at intensity 0, and what is forced happens all the same', () => {
  const { drawn } = visit(1, { intensity: 0, rates: { slow: 0.2, conflict: 0.1 } });
  const share = (kind: FaultKind): number => drawn.filter((one) => one === kind).length / drawn.length;
  expect(share('slow')).toBeCloseTo(0.2, 1);
  expect(share('conflict')).toBeCloseTo(0.1, 1);
  expect(share('lost-request')).toBe(0);
  const { world, drawn: none } = visit(1, { intensity: 0 });
  expect(none.every((one) => one === undefined)).toBe(true);
  world.heal();
  world.force('a', 'slow');
  expect([world.site('a', KINDS).draw(), world.site('a', KINDS).draw()]).toEqual(['slow', undefined]);
});

test('the coverage says what could happen where, and did not', () => {
  const { world } = visit(1, { intensity: 0, rates: { slow: 0.5 } });
  world.site('b', ['drop']);
  const other = faults(2, { intensity: 0, rates: { drop: 1 } });
  other.site('b', ['drop', 'delay']).draw();
  const { reachable, hit, missing } = coverageOf(mergeCoverage([world.coverage(), other.coverage()]));
  expect([reachable, hit]).toEqual([6, 2]);
  expect(missing).toEqual(['a lost-request', 'a lost-answer', 'a conflict', 'b delay']);
});
