/** What can be asked of a thread of the simulation, and what it answers: all of it plain data. */
import { type Explored, explore } from './checker/explore.ts';
import { SCENARIOS } from './checker/scenarios.ts';
import type { FaultKind, Fired } from './faults.ts';
import { type RunOptions, type RunResult, runSeed } from './run.ts';

/** One seed, with what is left out of it. */
export type Story = Omit<RunOptions, 'trace'>;

export type Task =
  | {
      readonly type: 'play';
      readonly story: Story;
      /** Plays it again: the hash must be the same. */
      readonly twice?: boolean;
      /** Keeps every line of its history. */
      readonly traced?: boolean;
    }
  /** The scenario of that name, exhaustively. */
  | { readonly type: 'check'; readonly scenario: string };

export interface Played {
  readonly story: Story;
  readonly digest: string;
  readonly violation: RunResult['violation'];
  readonly virtualMs: number;
  readonly stats: RunResult['stats'];
  readonly counts: Readonly<Partial<Record<FaultKind, number>>>;
  /** Only of a run in which something did not hold. */
  readonly fired: readonly Fired[];
  readonly coverage: RunResult['coverage'];
  readonly sometimes: RunResult['sometimes'];
  /** Where it was asked for. */
  readonly trace: readonly string[];
}

export interface Checked extends Explored {
  readonly scenario: string;
  readonly seconds: number;
}

export interface Answers {
  readonly play: Played;
  readonly check: Checked;
}

export async function perform(task: Task): Promise<Played | Checked> {
  return task.type === 'play' ? play(task) : check(task.scenario);
}

async function play({ story, twice, traced }: Extract<Task, { type: 'play' }>): Promise<Played> {
  const trace: string[] = [];
  const first = await runSeed(traced ? { ...story, trace: (line) => void trace.push(line) } : story);
  const second = twice ? await runSeed(story) : first;
  const counts: Partial<Record<FaultKind, number>> = {};
  for (const { kind } of first.faults) counts[kind] = (counts[kind] ?? 0) + 1;
  const isSame = first.digest === second.digest;
  const message = `${first.digest} and then ${second.digest}`;
  const violation = isSame ? first.violation : { invariant: 'the same seed is the same run', message };
  const { digest, virtualMs, stats, coverage, sometimes, faults } = first;
  return {
    ...{ story, digest, violation, virtualMs, stats, counts, coverage, sometimes, trace },
    fired: violation ? faults : [],
  };
}

function check(name: string): Checked {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (!scenario) throw new Error(`There is no scenario "${name}"`);
  const started = performance.now();
  const explored = explore(scenario);
  return { ...explored, scenario: name, seconds: (performance.now() - started) / 1_000 };
}
