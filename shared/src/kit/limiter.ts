import { type Heap, heap } from './heap.ts';

/** Runs tasks, so many at a time; of those that wait, the highest rank goes first. */
export interface Limiter {
  run<T>(task: () => Promise<T>, rank?: number): Promise<T>;
}

export function limiter(places: number): Limiter {
  const { run } = limits({ all: places, each: places });
  return { run: (task, rank) => run('', task, rank) };
}

/** Runs tasks of several kinds, so many at a time altogether and so many of each kind; of those that may run, the highest rank goes first. */
export interface Limits {
  run<T>(kind: string, task: () => Promise<T>, rank?: number): Promise<T>;
}

export function limits({ all, each }: { readonly all: number; readonly each: number }): Limits {
  const lines = new Map<string, Line>();
  let free = all;
  let entries = 0;

  function lineOf(kind: string): Line {
    const line = lines.get(kind) ?? { free: each, waiting: heap() };
    lines.set(kind, line);
    return line;
  }

  function handOut(): void {
    while (free > 0) {
      const line = nextOf(lines.values());
      if (!line) return;
      free--;
      line.free--;
      line.waiting.pop()?.enter();
    }
  }

  return {
    async run(kind, task, rank = 0) {
      const line = lineOf(kind);
      const turn = Promise.withResolvers<void>();
      line.waiting.push({ rank, order: entries++, enter: turn.resolve }, rank);
      handOut();
      await turn.promise;
      try {
        return await task();
      } finally {
        // Not at once: what the end of this task makes ready may be more urgent than all that wait.
        process.nextTick(() => {
          free++;
          line.free++;
          handOut();
        });
      }
    },
  };
}

/** Who waits for a place among tasks of one kind. */
interface Line {
  free: number;
  readonly waiting: Heap<Waiting>;
}

interface Waiting {
  readonly rank: number;
  /** Of those with one rank the smallest is the oldest. */
  readonly order: number;
  enter(): void;
}

/** The line whose first is the most urgent of all that may run; undefined when nobody may. */
function nextOf(lines: Iterable<Line>): Line | undefined {
  let next: Line | undefined;
  let first: Waiting | undefined;
  for (const line of lines) {
    const other = line.free > 0 ? line.waiting.peek() : undefined;
    if (!other || (first && !isBefore(other, first))) continue;
    next = line;
    first = other;
  }
  return next;
}

function isBefore(one: Waiting, other: Waiting): boolean {
  return one.rank === other.rank ? one.order < other.order : one.rank > other.rank;
}
