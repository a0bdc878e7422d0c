/** Adds runs up, and tells what they did: how much, what went wrong in them, and which rare paths were taken. */
import { coverageOf, type FaultKind, mergeCoverage } from './faults.ts';
import { RARE } from './oracles.ts';
import type { Played, Story } from './tasks.ts';

export interface Summary {
  readonly seeds: number;
  /** Each seed is played twice. */
  readonly runs: number;
  readonly steps: number;
  readonly virtualHours: number;
  readonly crashes: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly sites: ReturnType<typeof coverageOf>;
  readonly sometimes: Readonly<Record<string, number>>;
  /** The rare paths that no run took. */
  readonly never: readonly string[];
  readonly seconds: number;
  readonly violations: readonly Found[];
}

/** What did not hold, and where. */
export interface Found {
  readonly story: Story;
  readonly invariant: string;
  readonly message: string;
}

export interface Tally {
  add(played: Played, times: number): void;
  readonly runs: number;
  readonly found: readonly Played[];
  summary(seconds: number): Summary;
}

export function tally(): Tally {
  const faults: Partial<Record<FaultKind, number>> = {};
  const sometimes = new Map<string, number>(RARE.map((path) => [path, 0]));
  const found: Played[] = [];
  let coverage = mergeCoverage([]);
  let [seeds, runs, steps, virtualMs, crashes] = [0, 0, 0, 0, 0];

  return {
    get runs() {
      return runs;
    },
    found,
    add(played, times) {
      seeds++;
      runs += times;
      steps += played.stats.events;
      virtualMs += played.virtualMs;
      crashes += played.stats.crashes;
      coverage = mergeCoverage([coverage, played.coverage]);
      for (const [kind, count] of Object.entries(played.counts) as [FaultKind, number][])
        faults[kind] = (faults[kind] ?? 0) + count;
      for (const [path, count] of played.sometimes) sometimes.set(path, (sometimes.get(path) ?? 0) + count);
      if (played.violation) found.push(played);
    },
    summary: (seconds) => ({
      ...{ seeds, runs, steps, virtualHours: virtualMs / 3_600_000, crashes, faults, seconds },
      sites: coverageOf(coverage),
      sometimes: Object.fromEntries([...sometimes].sort(([, a], [, b]) => b - a)),
      never: [...sometimes].flatMap(([path, count]) => (count === 0 ? [path] : [])),
      violations: found.flatMap(({ story, violation }) => (violation ? [{ story, ...violation }] : [])),
    }),
  };
}

/** So many seeds should come by everything. */
const MUCH = 200;

/** As people read it. */
export function told(summary: Summary): string {
  const { seeds, runs, steps, virtualHours, crashes, faults, sites, sometimes, never, seconds } = summary;
  const kinds = Object.entries(faults).sort(([, a], [, b]) => b - a);
  const taken = Object.entries(sometimes).filter(([, count]) => count > 0);
  // Of a few runs, or of calm ones, nobody expects everything.
  const isMuch = seeds >= MUCH && kinds.length > 0;
  const all = kinds.reduce((sum, [, count]) => sum + count, 0);
  const lines: [string, string][] = [
    ['seeds', `${figure(seeds)}, in ${figure(runs)} runs`],
    ['steps', figure(steps)],
    ['virtual time', `${figure(virtualHours)} h`],
    ['crashes', figure(crashes)],
    ['faults', figure(all)],
    ...kinds.map(([kind, count]): [string, string] => [`  ${kind}`, figure(count)]),
    ['fault sites', `${sites.hit} hit of ${sites.reachable} reachable`],
    ...(isMuch ? sites.missing : []).map((pair): [string, string] => ['  not hit', pair]),
    ['rare paths', ''],
    ...taken.map(([path, count]): [string, string] => [`  ${path}`, figure(count)]),
    ...(isMuch ? never : []).map((path): [string, string] => ['  WARNING', `no run ever: ${path}`]),
    ['seconds', `${seconds.toFixed(1)}, ${figure((runs / seconds) * 60)} runs a minute`],
    ['violations', figure(summary.violations.length)],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`.trimEnd()).join('\n');
}

function figure(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}
