/**
 * The walk over a graph: every node once, after all that it comes after.
 *
 * A node that is ready starts at once; what is scarce (calls to an API) is handed out by rank, the longest
 * remaining path first. A failure stops only what comes after it; that is skipped and names the node that
 * failed, however far upstream it was, so that a report shows causes and not their echoes.
 */

export interface Node<T> {
  readonly id: string;
  /** Ids of other nodes of the same walk. */
  readonly after: readonly string[];
  /** About how long it takes; decides what is urgent. */
  readonly seconds: number;
  /** `rank` is its longest remaining path in seconds. */
  run(rank: number): Promise<T>;
}

export type Ended<T> =
  | { readonly status: 'ended'; readonly value: T }
  /** The node that failed. */
  | { readonly status: 'skipped'; readonly because: string };

export interface WalkOptions<T> {
  /** Whether what comes after must not run. */
  isFailure(value: T): boolean;
  readonly onEnd?: (id: string, ended: Ended<T>) => void;
}

/** Rejects only when a node's `run` rejects: then nothing new is started, and what runs is awaited first. */
export async function walk<T>(
  nodes: readonly Node<T>[],
  options: WalkOptions<T>,
): Promise<Map<string, Ended<T>>> {
  const { successors, pending } = index(nodes);
  const ranks = ranksOf(nodes, successors);
  const ends = new Map<string, Ended<T>>();
  let running = 0;
  let idle = (): void => {};
  let broken: { readonly error: unknown } | undefined;

  function start(at: number): void {
    const node = nodes[at];
    if (!node || broken) return;
    const cause = causeOf(node);
    if (cause !== undefined) {
      settle(at, node.id, { status: 'skipped', because: cause });
      return;
    }
    running++;
    void Promise.resolve()
      .then(() => node.run(ranks[at] ?? 0))
      .then(
        (value) => settle(at, node.id, { status: 'ended', value }),
        (error) => {
          broken ??= { error };
        },
      )
      .finally(() => {
        running--;
        if (running === 0) idle();
      });
  }

  function causeOf(node: Node<T>): string | undefined {
    for (const before of node.after) {
      const end = ends.get(before);
      if (end?.status === 'skipped') return end.because;
      if (end?.status === 'ended' && options.isFailure(end.value)) return before;
    }
    return undefined;
  }

  function settle(at: number, id: string, ended: Ended<T>): void {
    // Without recursion: a chain of ten thousand skipped nodes must not exhaust the stack.
    const settled: [number, string, Ended<T>][] = [[at, id, ended]];
    for (let next = settled.pop(); next; next = settled.pop()) {
      const [place, name, end] = next;
      ends.set(name, end);
      options.onEnd?.(name, end);
      for (const successor of successors[place] ?? []) {
        pending[successor] = (pending[successor] ?? 0) - 1;
        if (pending[successor] !== 0) continue;
        const node = nodes[successor];
        const cause = node && causeOf(node);
        if (node && cause !== undefined)
          settled.push([successor, node.id, { status: 'skipped', because: cause }]);
        else start(successor);
      }
    }
  }

  for (const [at, count] of pending.entries()) if (count === 0) start(at);
  if (running > 0) await new Promise<void>((resolve) => (idle = resolve));
  if (broken) throw broken.error;
  return ends;
}

interface Indexed {
  /** Places of the nodes that come after each. */
  readonly successors: readonly (readonly number[])[];
  /** How many each still waits for. */
  readonly pending: number[];
}

function index(nodes: readonly Node<unknown>[]): Indexed {
  const places = new Map(nodes.map(({ id }, place) => [id, place]));
  const successors: number[][] = nodes.map(() => []);
  const pending = nodes.map(() => 0);
  for (const [place, { id, after }] of nodes.entries()) {
    for (const before of new Set(after)) {
      const other = places.get(before);
      if (other === undefined) throw new Error(`${id} comes after ${before}, which is not in the walk`);
      successors[other]?.push(place);
      pending[place] = (pending[place] ?? 0) + 1;
    }
  }
  return { successors, pending };
}

/** The places of the nodes so that each comes after its predecessors. Throws for a circle, and names it. */
export function order(nodes: readonly Pick<Node<unknown>, 'id' | 'after'>[]): number[] {
  const { successors, pending } = index(
    nodes.map((node) => ({ ...node, seconds: 0, run: async () => undefined })),
  );
  const sorted = pending.flatMap((count, place) => (count === 0 ? [place] : []));
  for (let at = 0; at < sorted.length; at++) {
    for (const successor of successors[sorted[at] ?? 0] ?? []) {
      pending[successor] = (pending[successor] ?? 0) - 1;
      if (pending[successor] === 0) sorted.push(successor);
    }
  }
  if (sorted.length < nodes.length) throw new Circle(circleIn(nodes, new Set(sorted)));
  return sorted;
}

export class Circle extends Error {
  readonly path: readonly string[];

  constructor(path: readonly string[]) {
    super(`The graph has a circle: ${[...path, path[0]].join(' → ')}`);
    this.name = 'Circle';
    this.path = path;
  }
}

function circleIn(
  nodes: readonly Pick<Node<unknown>, 'id' | 'after'>[],
  sorted: ReadonlySet<number>,
): string[] {
  const left = new Map(nodes.flatMap((node, place) => (sorted.has(place) ? [] : [[node.id, node] as const])));
  const trail: string[] = [];
  let at = [...left.keys()].at(0) ?? '';
  while (!trail.includes(at)) {
    trail.push(at);
    at = left.get(at)?.after.find((before) => left.has(before)) ?? at;
  }
  return trail.slice(trail.indexOf(at)).reverse();
}

/** For each node the length of the longest path from its start to the end of everything. */
function ranksOf(nodes: readonly Node<unknown>[], successors: readonly (readonly number[])[]): number[] {
  const ranks = nodes.map(() => 0);
  for (const place of order(nodes).reverse()) {
    let longest = 0;
    for (const successor of successors[place] ?? []) longest = Math.max(longest, ranks[successor] ?? 0);
    ranks[place] = longest + (nodes[place]?.seconds ?? 0);
  }
  return ranks;
}

/** The longest path of all, as ids from first to last, with its length. */
export function criticalPath(nodes: readonly Omit<Node<unknown>, 'run'>[]): {
  readonly path: string[];
  readonly seconds: number;
} {
  const full = nodes.map((node) => ({ ...node, run: async () => undefined }));
  const { successors } = index(full);
  const ranks = ranksOf(full, successors);
  const longest = (places: readonly number[]): number | undefined =>
    places.length === 0
      ? undefined
      : places.reduce((best, place) => ((ranks[place] ?? 0) > (ranks[best] ?? 0) ? place : best));
  const path: string[] = [];
  const total = longest(nodes.map((_, place) => place));
  for (let at = total; at !== undefined; at = longest(successors[at] ?? [])) path.push(nodes[at]?.id ?? '');
  return { path, seconds: total === undefined ? 0 : (ranks[total] ?? 0) };
}
