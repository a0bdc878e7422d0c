/** The simulation can fail: every bug that is planted in the product is found. */
import { expect, test } from 'vitest';
import { demandOnce, huntAll, toldZoo } from './zoo/hunt.ts';
import { MUTANTS } from './zoo/mutants.ts';

const JOBS = 2;
const PATIENCE_MS = 20 * 60_000;
const OURS = MUTANTS.filter(({ by }) => by === 'simulation');

test.each(MUTANTS)('$name fits the product as it is', (mutant) => {
  expect(() => demandOnce(mutant)).not.toThrow();
});

test(`${OURS.length} planted bugs are found, each from several seeds on`, {
  timeout: PATIENCE_MS,
}, async () => {
  const zoo = await huntAll(OURS, JOBS, () => {});
  process.stdout.write(`${toldZoo(zoo)}\n`);
  expect(OURS.length + 4).toBeGreaterThanOrEqual(24);
  expect(zoo.bugs.filter(({ hunts }) => hunts.includes(undefined)).map(({ name }) => name)).toEqual([]);
});
