import { heap } from './heap.ts';

/** Runs tasks, so many at a time; of those that wait, the highest rank goes first. */
export interface Limiter {
  run<T>(task: () => Promise<T>, rank?: number): Promise<T>;
}

export function limiter(places: number): Limiter {
  const waiting = heap<() => void>();
  let free = places;

  const leave = (): void => {
    const next = waiting.pop();
    if (next) next();
    else free++;
  };

  return {
    async run(task, rank = 0) {
      if (free > 0) free--;
      else await new Promise<void>((enter) => waiting.push(enter, rank));
      try {
        return await task();
      } finally {
        leave();
      }
    },
  };
}
