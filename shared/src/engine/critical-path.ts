/**
 * What decided how long a deployment took: looked at afterwards, by when its units ended.
 *
 * From the unit that ended last, back to the one of its predecessors that ended last, and so on to the beginning:
 * whoever makes one of these quicker makes the whole quicker. `walk.ts` guesses the same path beforehand.
 */
import { order } from './walk.ts';

/** How long a unit was worked on. */
export interface UnitTiming {
  readonly unit: string;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
  readonly seconds: number;
}

export interface CriticalStep {
  readonly unit: string;
  readonly seconds: number;
  /** Seconds between the end of the step before and its beginning: for a place, or for somebody to take it up. */
  readonly waited: number;
}

export interface TimedPath {
  /** From the beginning of the first to the end of the last. */
  readonly seconds: number;
  /** In the order in which they were done. */
  readonly steps: readonly CriticalStep[];
}

/**
 * `units` are those of the plan. What has no timing took no time: it is passed through. Undefined where nothing has.
 * Of a unit that was done several times the last counts. Throws Circle for a plan that has one.
 */
export function timedCriticalPath(
  units: readonly { readonly id: string; readonly after: readonly string[] }[],
  timings: readonly UnitTiming[],
): TimedPath | undefined {
  const ids = new Set(units.map(({ id }) => id));
  const timed = new Map(timings.flatMap((one) => (ids.has(one.unit) ? [[one.unit, one] as const] : [])));
  const before = lastBefore(units, ids, timed);
  const chain: UnitTiming[] = [];
  for (let at = lastOf([...timed.values()]); at; at = before.get(at.unit)) chain.unshift(at);
  const [first, last] = [chain[0], chain.at(-1)];
  if (!first || !last) return undefined;
  return {
    seconds: rounded((last.endedAt - beganAt(first)) / 1000),
    steps: chain.map((step, place) => {
      const previous = chain[place - 1];
      const gap = previous ? (beganAt(step) - previous.endedAt) / 1000 : 0;
      return { unit: step.unit, seconds: rounded(step.seconds), waited: rounded(Math.max(0, gap)) };
    }),
  };
}

/** For each unit the one that ended last of all that it came after, through those that took no time. */
function lastBefore(
  units: Parameters<typeof timedCriticalPath>[0],
  ids: ReadonlySet<string>,
  timed: ReadonlyMap<string, UnitTiming>,
): ReadonlyMap<string, UnitTiming> {
  const nodes = units.map(({ id, after }) => ({ id, after: after.filter((other) => ids.has(other)) }));
  const before = new Map<string, UnitTiming>();
  for (const place of order(nodes)) {
    const node = nodes[place];
    const last = lastOf(node?.after.flatMap((id) => timed.get(id) ?? before.get(id) ?? []) ?? []);
    if (node && last) before.set(node.id, last);
  }
  return before;
}

/** Of those that ended at once the first. */
function lastOf(timings: readonly UnitTiming[]): UnitTiming | undefined {
  let last = timings[0];
  for (const one of timings) if (last && one.endedAt > last.endedAt) last = one;
  return last;
}

function beganAt({ endedAt, seconds }: UnitTiming): number {
  return endedAt - seconds * 1000;
}

/** To milliseconds: what is added up beyond that is noise of the arithmetic. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
