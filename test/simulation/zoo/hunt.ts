/**
 * Hunts planted bugs: with each in the product, seed after seed is played until an invariant does not hold.
 *
 * Each is hunted from several seeds on, and a seed counts only if all holds in it without the bug: what found it
 * was the bug. What the simulation has no part in is given to the checker.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { holds } from '../checker/check.ts';
import { SCENARIOS } from '../checker/scenarios.ts';
import { type Crew, hire, inTurn } from '../crew.ts';
import type { Mutant } from './mutants.ts';

/** Where the hunts for each bug begin. */
const STARTS = [10_000, 20_000, 30_000];
/** So many seeds are played in one hunt before it is given up. */
const MOST_SEEDS = 800;
/** Of one change all misfortunes, the narrowest first; then the other changes. */
const NARROW_FIRST = SCENARIOS.toReversed().sort((a, b) => Number(isOfOne(b.name)) - Number(isOfOne(a.name)));
const ROOT = resolve(import.meta.dirname, '../../..');

export interface Hunted {
  readonly name: string;
  readonly what: string;
  readonly by: Mutant['by'];
  /** How many seeds, or scenarios, each hunt took; undefined where it found nothing. */
  readonly hunts: readonly (number | undefined)[];
  readonly median: number | undefined;
  /** What did not hold, of all hunts. */
  readonly invariants: readonly string[];
}

export interface ZooSummary {
  readonly bugs: readonly Hunted[];
  readonly isWell: boolean;
}

export async function huntAll(
  mutants: readonly Mutant[],
  jobs: number,
  say: (line: string) => void,
): Promise<ZooSummary> {
  for (const mutant of mutants) demandOnce(mutant);
  const done = new Map<string, Hunted>();
  await using sound = hire({ jobs });
  await inTurn(mutants, jobs, async (mutant) => {
    const hunted = await hunt(mutant, sound);
    done.set(mutant.name, hunted);
    say(lineOf(hunted));
  });
  const bugs = mutants.flatMap(({ name }) => done.get(name) ?? []);
  return { bugs, isWell: bugs.every(({ hunts }) => hunts.every((found) => found !== undefined)) };
}

/** A patch that fits nowhere, or in two places, is of another version of the product. */
export function demandOnce({ name, patches }: Mutant): void {
  for (const { file, find } of patches) {
    const count = readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
    if (count !== 1) throw new Error(`${name}: ${file} has ${count} times, and not once: ${find}`);
  }
}

async function hunt(mutant: Mutant, sound: Crew): Promise<Hunted> {
  await using crew = hire({ jobs: 1, patches: mutant.patches });
  const trophies =
    mutant.by === 'checker'
      ? [await searchScenarios(crew)]
      : await Promise.all(STARTS.map((start) => searchSeeds(start, crew, sound)));
  const hunts = trophies.map((trophy) => trophy?.took);
  const { name, what, by } = mutant;
  return {
    ...{ name, what, by, hunts, median: medianOf(hunts) },
    invariants: [...new Set(trophies.flatMap((trophy) => trophy?.invariant ?? []))],
  };
}

interface Trophy {
  /** How many seeds or scenarios, with the one that found it. */
  readonly took: number;
  readonly invariant: string;
}

async function searchSeeds(start: number, crew: Crew, sound: Crew): Promise<Trophy | undefined> {
  for (let took = 1; took <= MOST_SEEDS; took++) {
    const story = { seed: start + took - 1 };
    const { violation } = await crew.perform({ type: 'play', story });
    if (!violation) continue;
    const { violation: without } = await sound.perform({ type: 'play', story });
    // Then it is no bug of ours that was found; the seed is one for `--seeds`.
    if (without) continue;
    return { took, invariant: violation.invariant };
  }
  return undefined;
}

async function searchScenarios(crew: Crew): Promise<Trophy | undefined> {
  for (const [at, { name }] of NARROW_FIRST.entries()) {
    const checked = await crew.perform({ type: 'check', scenario: name });
    if (!holds(checked))
      return { took: at + 1, invariant: checked.violation?.what ?? checked.stuck?.why ?? 'stuck' };
  }
  return undefined;
}

function isOfOne(scenario: string): boolean {
  return scenario.startsWith('create: ');
}

/** Of all hunts; one that found nothing counts as longer than all others. */
function medianOf(hunts: Hunted['hunts']): number | undefined {
  const sorted = [...hunts].sort((a, b) => (a ?? Number.POSITIVE_INFINITY) - (b ?? Number.POSITIVE_INFINITY));
  return sorted[sorted.length >> 1];
}

export function toldZoo({ bugs }: ZooSummary): string {
  const found = bugs.filter(({ hunts }) => hunts.every((took) => took !== undefined)).length;
  return [...bugs.map(lineOf), `${found} of ${bugs.length} planted bugs were found from every seed on`].join(
    '\n',
  );
}

function lineOf({ name, hunts, median, by, invariants }: Hunted): string {
  const isFound = hunts.every((took) => took !== undefined);
  const [unit, most] = by === 'checker' ? ['scenarios', SCENARIOS.length] : ['seeds', MOST_SEEDS];
  const list = hunts.map((took) => took ?? 'not found').join(', ');
  const took = `median ${median ?? `more than ${most}`} ${unit} (${list})`;
  return `${isFound ? 'found' : 'NOT FOUND'}  ${name}: ${took}; ${invariants.join('; ')}`;
}
