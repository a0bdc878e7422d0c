/**
 * What goes wrong in the simulated world, how often, and where it did.
 *
 * A *site* is a place where something may go wrong (`store.commit`, `cloud.create`), with the kinds of fault that
 * may happen there. Each seed draws which kinds there are at all and how often they come, so that some runs suffer
 * from one thing only and others from everything. Every fault that fires has a number; a run with the same seed and
 * that number in `skip` goes the same way up to there, which is how a failing run is made shorter.
 */
import { type Random, seededRandom } from '@service-director/shared/kit/clock.ts';

/** `most` is the highest rate that a seed may draw, per visit of a site. */
const KINDS = {
  /** The request never arrives; the caller hears of it late. */
  'lost-request': { most: 0.06 },
  /** It was carried out, and the answer never arrives. */
  'lost-answer': { most: 0.06 },
  /** It was carried out, and the answer is cut off. */
  truncated: { most: 0.03 },
  slow: { most: 0.04 },
  /** 5xx, not carried out. */
  unavailable: { most: 0.06 },
  /** 5xx, carried out all the same. */
  'unavailable-after': { most: 0.06 },
  /** 409: somebody else is at it. */
  conflict: { most: 0.04 },
  /** 412: somebody else wrote. */
  precondition: { most: 0.04 },
  /** 429 with Retry-After. */
  'rate-limited': { most: 0.04 },
  /** Of a new grant or account: refused for the moment. */
  denied: { most: 0.02 },
  /** Of a long-running operation. */
  'operation-fails': { most: 0.15 },
  'operation-slow': { most: 0.1 },
  'operation-stuck': { most: 0.03 },
  'operation-forgotten': { most: 0.1 },
  /** What was written does not show for a while. */
  'shows-late': { most: 0.3 },
  'grant-late': { most: 0.3 },
  /** What was removed keeps its name for a while. */
  'name-held': { most: 0.3 },
  /** Of messages. */
  duplicate: { most: 0.15 },
  drop: { most: 0.1 },
  delay: { most: 0.1 },
  'ack-lost': { most: 0.1 },
  /** Of processes, at a call of theirs. */
  'crash-before': { most: 0.004 },
  'crash-after': { most: 0.004 },
  pause: { most: 0.003 },
  'clock-jump': { most: 0.003 },
  /** By somebody's hand, at a moment when he may. */
  'hand-edit': { most: 0.3 },
  'hand-remove': { most: 0.2 },
  'hand-plant': { most: 0.2 },
} as const satisfies Record<string, { readonly most: number }>;

export type FaultKind = keyof typeof KINDS;
const ALL_KINDS = Object.keys(KINDS) as FaultKind[];

export interface FaultOptions {
  /** Multiplies every rate that the seed draws; 0 for a world in which nothing goes wrong. Default 1. */
  readonly intensity?: number;
  /** In the place of what the seed draws. */
  readonly rates?: Readonly<Partial<Record<FaultKind, number>>>;
  /** Numbers of faults that do not fire. */
  readonly skip?: ReadonlySet<number>;
}

export interface Site {
  readonly name: string;
  /** What goes wrong this time. */
  draw(): FaultKind | undefined;
}

export interface Fired {
  /** From 1; also counts those that are skipped. */
  readonly number: number;
  readonly site: string;
  readonly kind: FaultKind;
}

/** How often each kind fired at each site that was visited and where it can; 0 where it did not. */
export type Coverage = ReadonlyMap<string, ReadonlyMap<FaultKind, number>>;

export interface Faults {
  /** The same site for the same name. */
  site(name: string, kinds: readonly FaultKind[]): Site;
  /** The next visit of that site suffers this, whatever the seed says; also after `heal`. Several queue up. */
  force(site: string, kind: FaultKind): void;
  /** From now on nothing goes wrong by itself. */
  heal(): void;
  isHealed(): boolean;
  /** What fired, oldest first. */
  fired(): readonly Fired[];
  counts(): Readonly<Partial<Record<FaultKind, number>>>;
  coverage(): Coverage;
}

export function faults(seed: number, options: FaultOptions = {}): Faults {
  const random = seededRandom(seed);
  const rates = ratesOf(seededRandom(seed ^ 0x5bd1e995), options);
  const sites = new Map<string, Site>();
  const visited = new Map<string, Map<FaultKind, number>>();
  const forced = new Map<string, FaultKind[]>();
  const fired: Fired[] = [];
  let healed = false;
  let number = 0;

  function fire(site: string, kind: FaultKind, counts: Map<FaultKind, number>): FaultKind | undefined {
    number++;
    if (options.skip?.has(number)) return undefined;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    fired.push({ number, site, kind });
    return kind;
  }

  function newSite(name: string, kinds: readonly FaultKind[]): Site {
    const own = kinds.map((kind): readonly [FaultKind, number] => [kind, rates[kind]]);
    const counts = new Map<FaultKind, number>();
    const chance = (): FaultKind | undefined => {
      let left = random();
      for (const [kind, rate] of own) {
        left -= rate;
        if (left < 0) return kind;
      }
      return undefined;
    };
    return {
      name,
      draw() {
        if (counts.size === 0) {
          for (const kind of kinds) counts.set(kind, 0);
          visited.set(name, counts);
        }
        const kind = forced.get(name)?.shift() ?? (healed ? undefined : chance());
        return kind && fire(name, kind, counts);
      },
    };
  }

  return {
    site(name, kinds) {
      const known = sites.get(name) ?? newSite(name, kinds);
      sites.set(name, known);
      return known;
    },
    force(site, kind) {
      forced.set(site, [...(forced.get(site) ?? []), kind]);
    },
    heal() {
      healed = true;
    },
    isHealed: () => healed,
    fired: () => fired,
    counts() {
      const counts: Partial<Record<FaultKind, number>> = {};
      for (const { kind } of fired) counts[kind] = (counts[kind] ?? 0) + 1;
      return counts;
    },
    coverage: () => visited,
  };
}

/** Of several runs together. */
export function mergeCoverage(runs: Iterable<Coverage>): Coverage {
  const merged = new Map<string, Map<FaultKind, number>>();
  for (const run of runs) {
    for (const [site, counts] of run) {
      const sum = merged.get(site) ?? new Map<FaultKind, number>();
      merged.set(site, sum);
      for (const [kind, count] of counts) sum.set(kind, (sum.get(kind) ?? 0) + count);
    }
  }
  return merged;
}

/** How many pairs of site and kind there are, how many were hit, and which were not: `cloud.create slow`. */
export function coverageOf(coverage: Coverage): {
  readonly reachable: number;
  readonly hit: number;
  readonly missing: readonly string[];
} {
  const pairs = [...coverage].flatMap(([site, counts]) =>
    [...counts].map(([kind, count]) => ({ pair: `${site} ${kind}`, count })),
  );
  const missing = pairs.filter(({ count }) => count === 0).map(({ pair }) => pair);
  return { reachable: pairs.length, hit: pairs.length - missing.length, missing };
}

/** About a third of all kinds is left out, each seed another third; the others come rarely or often. */
function ratesOf(random: Random, { intensity = 1, rates }: FaultOptions): Record<FaultKind, number> {
  const drawn = ALL_KINDS.map((kind) => {
    const [isThere, how] = [random() < 2 / 3, random()];
    const rate = isThere ? KINDS[kind].most * how * how * intensity : 0;
    return [kind, rates?.[kind] ?? rate] as const;
  });
  return Object.fromEntries(drawn) as Record<FaultKind, number>;
}
