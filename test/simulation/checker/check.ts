/** Runs all scenarios of the checker, and tells what came of each. */
import { type Crew, inTurn } from '../crew.ts';
import type { Checked } from '../tasks.ts';
import { SCENARIOS } from './scenarios.ts';

export interface CheckSummary {
  /** In the order of the scenarios. */
  readonly scenarios: readonly Checked[];
  readonly isWell: boolean;
}

export async function checkAll(crew: Crew, say: (line: string) => void): Promise<CheckSummary> {
  const done = new Map<string, Checked>();
  await inTurn(SCENARIOS, crew.jobs, async ({ name }) => {
    const checked = await crew.perform({ type: 'check', scenario: name });
    done.set(name, checked);
    say(lineOf(checked));
  });
  const scenarios = SCENARIOS.flatMap(({ name }) => done.get(name) ?? []);
  return { scenarios, isWell: scenarios.every(holds) };
}

export function holds({ violation, stuck }: Checked): boolean {
  return violation === undefined && stuck === undefined;
}

export function toldCheck({ scenarios, isWell }: CheckSummary): string {
  const sum = (of: (checked: Checked) => number): number =>
    scenarios.reduce((total, checked) => total + of(checked), 0);
  return [
    ...scenarios.map(lineOf),
    `${scenarios.length} scenarios, ${sum(({ states }) => states)} states, ${sum(({ transitions }) => transitions)} moves: ${isWell ? 'no violation, no stuck state' : 'something does not hold'}`,
  ].join('\n');
}

function lineOf({ scenario, states, seconds, violation, stuck }: Checked): string {
  const line = `${String(states).padStart(8)} states ${seconds.toFixed(1).padStart(6)} s  ${scenario}`;
  if (violation) return [line, `VIOLATION: ${violation.what}`, ...violation.moves].join('\n    ');
  if (stuck) return [line, `STUCK in ${stuck.count} states: ${stuck.why}`, ...stuck.moves].join('\n    ');
  return line;
}
