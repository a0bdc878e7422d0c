/** Time for tests: one clock that stands still until it is told, one that runs faster. */
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';

export interface ManualClock extends Clock {
  /** Moves the time on, and does in its order what becomes due. */
  pass(ms: number): void;
}

export function manualClock(): ManualClock {
  let now = 1_800_000_000_000;
  let tasks: { readonly at: number; readonly run: () => void }[] = [];
  return {
    now: () => now,
    sleep: () => Promise.reject(new Error('Nobody sleeps here')),
    after(ms, run) {
      const task = { at: now + ms, run };
      tasks.push(task);
      return () => {
        tasks = tasks.filter((other) => other !== task);
      };
    },
    pass(ms) {
      const until = now + ms;
      for (;;) {
        const [next] = tasks.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (!next) break;
        tasks = tasks.filter((task) => task !== next);
        now = Math.max(now, next.at);
        next.run();
      }
      now = until;
    },
  };
}

/** A second takes a second divided by `times`. */
export function fastClock(times: number): Clock {
  const start = systemClock.now();
  return {
    now: () => start + Math.floor((systemClock.now() - start) * times),
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
    after: (ms, task) => systemClock.after(ms / times, task),
  };
}
