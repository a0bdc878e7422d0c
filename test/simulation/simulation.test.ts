/** A part of what `npm run simulate` plays, the same seeds every time. */
import { expect, test } from 'vitest';
import { playSeeds, sweep } from './campaign.ts';
import { hire } from './crew.ts';
import { shrink, storyOf } from './shrink.ts';
import { type Tally, told } from './summary.ts';

const SEEDS = 300;
/** One with few calls: each of them is crashed at. */
const SWEPT_SEED = 154;
const JOBS = 2;
/** Too rare for so few seeds. */
const SELDOM: readonly string[] = ['a create came after its removal'];
const PATIENCE_MS = 10 * 60_000;

test(`${SEEDS} seeds, each twice: all holds, and the second run is the first`, {
  timeout: PATIENCE_MS,
}, async () => {
  await using crew = hire({ jobs: JOBS });
  const started = performance.now();
  const sum = await playSeeds(0, SEEDS, crew);
  const [failing] = sum.found;
  expect(failing && storyOf(await shrink(failing, crew))).toBeUndefined();
  const { runs, sites, never } = print(sum, (performance.now() - started) / 1_000);
  expect(runs).toBe(2 * SEEDS);
  // Nearly all that can go wrong did, and every rare path was taken.
  expect(sites.hit / sites.reachable).toBeGreaterThan(0.8);
  expect(never.filter((path) => !SELDOM.includes(path))).toEqual([]);
});

test('one seed, with a crash before and after every call of a director', {
  timeout: PATIENCE_MS,
}, async () => {
  await using crew = hire({ jobs: JOBS });
  const started = performance.now();
  const sum = await sweep(SWEPT_SEED, crew);
  const [failing] = sum.found;
  expect(failing && storyOf(await shrink(failing, crew))).toBeUndefined();
  const { runs, crashes } = print(sum, (performance.now() - started) / 1_000);
  // The calm one is played twice, and in every other there is one crash.
  expect(runs).toBeGreaterThan(500);
  expect(crashes).toBe(runs - 2);
});

function print(sum: Tally, seconds: number): ReturnType<Tally['summary']> {
  const summary = sum.summary(seconds);
  process.stdout.write(`${told(summary)}\n`);
  return summary;
}
