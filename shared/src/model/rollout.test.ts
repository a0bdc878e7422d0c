import { describe, expect, test } from 'vitest';
import { Rollout, rolloutSeconds, rolloutSpec } from './rollout.ts';

const specOf = (rollout: object) => rolloutSpec(Rollout.parse(rollout), '/ready');

describe('a rollout', () => {
  test.each([
    ['a canary has a tenth and a half', { strategy: 'canary' }, [10, 50]],
    ['or the steps that are said', { strategy: 'canary', steps: [1, 5, 25] }, [1, 5, 25]],
    ['a rolling one has quarters', { strategy: 'rolling' }, [25, 50, 75]],
    ['or as many parts as are said', { strategy: 'rolling', batches: 3 }, [33, 67]],
    ['blue and green has none in between', { strategy: 'blue-green' }, []],
  ])('%s', (_what, rollout, steps) => {
    expect(specOf(rollout).steps).toEqual(steps);
  });

  test('asks for the path of the health check where none is said', () => {
    expect(specOf({ strategy: 'canary' }).checkPath).toBe('/ready');
    expect(specOf({ strategy: 'canary', check: { path: '/well?deep=1' } }).checkPath).toBe('/well?deep=1');
  });

  test('takes as long as each step is watched', () => {
    expect(rolloutSeconds(specOf({ strategy: 'canary', hold: '5m' }))).toBe(600);
    expect(rolloutSeconds(specOf({ strategy: 'blue-green', hold: '30s' }))).toBe(30);
  });

  test.each([
    ['a strategy that there is not', { strategy: 'big-bang' }, /a strategy is canary, rolling or blue-green/],
    ['steps that do not grow', { strategy: 'canary', steps: [50, 10] }, /each step is larger/],
    ['a step of all', { strategy: 'canary', steps: [100] }, /99/],
    ['steps of a rolling one', { strategy: 'rolling', steps: [5] }, /steps are those of a canary/],
    ['batches of a canary', { strategy: 'canary', batches: 2 }, /batches are those of a rolling one/],
    ['a hold of a day', { strategy: 'canary', hold: '24h' }, /out of range/],
    ['a path elsewhere', { strategy: 'canary', check: { path: 'http://x' } }, /a path begins with \//],
    ['an unknown field', { strategy: 'canary', tempo: 1 }, /tempo/],
  ])('refuses %s', (_what, rollout, because) => {
    expect(JSON.stringify(Rollout.safeParse(rollout).error?.issues)).toMatch(because);
  });
});
