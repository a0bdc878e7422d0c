/** Every history of small worlds: no violation, and from every state a way to a good end. */
import { expect, test } from 'vitest';
import { checkAll, toldCheck } from './checker/check.ts';
import { hire } from './crew.ts';
import { huntAll, toldZoo } from './zoo/hunt.ts';
import { MUTANTS, type Mutant } from './zoo/mutants.ts';

const JOBS = 2;
/** What is planted for the simulation and shows here as well. */
const ALSO = ['ack-unwritten', 'unfenced-stack', 'forget-before-publish', 'no-token-growth'];
const PATIENCE_MS = 20 * 60_000;

test('the exhaustive checker finds no violation and no stuck state', { timeout: PATIENCE_MS }, async () => {
  await using crew = hire({ jobs: JOBS });
  const checked = await checkAll(crew, () => {});
  process.stdout.write(`${toldCheck(checked)}\n`);
  expect(checked.scenarios.filter(({ violation, stuck }) => violation ?? stuck)).toEqual([]);
  expect(checked.isWell).toBe(true);
});

test('it finds the bugs that are planted for it', { timeout: PATIENCE_MS }, async () => {
  const planted = MUTANTS.filter(({ by, name }) => by === 'checker' || ALSO.includes(name));
  const zoo = await huntAll(
    planted.map((mutant): Mutant => ({ ...mutant, by: 'checker' })),
    JOBS,
    () => {},
  );
  process.stdout.write(`${toldZoo(zoo)}\n`);
  expect(zoo.bugs.length).toBe(ALSO.length + 2);
  expect(zoo.isWell).toBe(true);
});
