/** Every history of a small world: breadth first, each state once. */
import { broken, initial, type Scenario, successors, unfinished, type World } from './model.ts';

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  /** The first one, as the moves that lead to it. */
  readonly violation: { readonly what: string; readonly moves: readonly string[] } | undefined;
  /** States from which no history ends well: how many, and the moves that lead to one. */
  readonly stuck:
    | { readonly count: number; readonly why: string; readonly moves: readonly string[] }
    | undefined;
}

export function explore(scenario: Scenario, mostStates = 5_000_000): Explored {
  const atlas = newAtlas();
  const good: number[] = [];
  const ends = new Map<number, string>();
  let transitions = 0;

  /** What comes after it for the first time; or what is broken in one of those. */
  function expand(place: number, world: World): { next: Found[] } | { violation: Explored['violation'] } {
    const why = unfinished(world, scenario);
    if (why === undefined) good.push(place);
    const following = successors(world, scenario);
    if (following.length === 0 && why !== undefined) ends.set(place, why);
    const next: Found[] = [];
    for (const { move, next: after } of following) {
      transitions++;
      const found = atlas.enter(after, place, move);
      if (found === undefined) continue;
      const what = broken(after, scenario);
      if (what !== undefined) return { violation: { what, moves: atlas.movesTo(found) } };
      next.push([found, after]);
    }
    return { next };
  }

  const first = initial(scenario);
  atlas.enter(first, -1, '');
  let frontier: Found[] = [[0, first]];
  while (frontier.length > 0) {
    const following: Found[] = [];
    for (const [place, world] of frontier) {
      const expanded = expand(place, world);
      if ('violation' in expanded)
        return { states: atlas.size(), transitions, violation: expanded.violation, stuck: undefined };
      following.push(...expanded.next);
    }
    if (atlas.size() > mostStates) throw new Error(`${scenario.name} has more than ${mostStates} states`);
    frontier = following;
  }
  const stuck = stuckAmong(atlas.size(), good, atlas.origins, ends, atlas.movesTo);
  return { states: atlas.size(), transitions, violation: undefined, stuck };
}

/** A state, by its place in the atlas. */
type Found = [place: number, world: World];

/** All states that were found, and how. */
function newAtlas() {
  const nameOf = interner();
  const places = new Map<string, number>();
  /** For each state the one before it, and the move. */
  const parents: number[] = [];
  const moves: string[] = [];
  /** Edges backwards: the states from which each can be reached. */
  const origins: number[][] = [];

  return {
    origins,
    size: () => places.size,

    /** Its place, when it is new. */
    enter(world: World, parent: number, move: string): number | undefined {
      const name = nameOf(world);
      const known = places.get(name);
      const place = known ?? places.size;
      if (known === undefined) {
        places.set(name, place);
        parents.push(parent);
        moves.push(move);
        origins.push([]);
      }
      if (parent >= 0) origins[place]?.push(parent);
      return known === undefined ? place : undefined;
    },

    movesTo(place: number): string[] {
      const path: string[] = [];
      for (let at = place; at > 0; at = parents[at] ?? 0) path.push(moves[at] ?? '');
      return path.reverse();
    },
  };
}

/** What cannot be reached backwards from a good end. */
function stuckAmong(
  states: number,
  good: readonly number[],
  origins: readonly (readonly number[])[],
  ends: ReadonlyMap<number, string>,
  movesTo: (place: number) => string[],
): Explored['stuck'] {
  const saved = new Uint8Array(states);
  const queue = [...good];
  for (const place of queue) saved[place] = 1;
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const origin of origins[at] ?? []) {
      if (saved[origin]) continue;
      saved[origin] = 1;
      queue.push(origin);
    }
  }
  const first = saved.indexOf(0);
  if (first < 0) return undefined;
  const count = saved.reduce((sum, one) => sum + (one ? 0 : 1), 0);
  return { count, why: ends.get(first) ?? 'no history from here ends well', moves: movesTo(first) };
}

/** Gives equal values equal numbers. Worlds share most of their parts: what was seen before is not read again. */
function interner(): (value: unknown) => string {
  const numbers = new Map<string, number>();
  const known = new WeakMap<object, string>();

  function name(value: unknown): string {
    if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
    const before = known.get(value);
    if (before !== undefined) return before;
    const text = Array.isArray(value)
      ? `[${value.map(name).join()}]`
      : `{${Object.keys(value)
          .sort()
          .map((key) => `${key}:${name(value[key as keyof typeof value])}`)
          .join()}}`;
    const number = numbers.get(text) ?? numbers.size;
    numbers.set(text, number);
    const short = `#${number}`;
    known.set(value, short);
    return short;
  }
  return name;
}
