/** A clock whose time passes when nobody has anything left to do, and then at once up to whatever is next. */
import { setImmediate as settle } from 'node:timers/promises';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { heap } from '@service-director/shared/kit/heap.ts';

export interface VirtualClock extends Clock {
  /** Lets time pass until the work has ended. Rejects when it waits for something that no time brings. */
  pass<T>(work: Promise<T>): Promise<T>;
}

/** Starts at 0. */
export function virtualClock(): VirtualClock {
  const alarms = heap<{ readonly at: number; ring(): void }>();
  let now = 0;

  function after(ms: number, task: () => void): () => void {
    let ring = task;
    const at = now + ms;
    alarms.push({ at, ring: () => ring() }, -at);
    return () => {
      ring = () => {};
    };
  }

  return {
    now: () => now,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const forget = after(ms, resolve);
        signal?.addEventListener('abort', () => {
          forget();
          reject(signal.reason);
        });
      }),
    async pass(work) {
      let ended = false;
      const end = work.finally(() => {
        ended = true;
      });
      end.catch(() => {});
      // What follows from one alarm has happened before the next one rings, at the same moment or not.
      for (await settle(); !ended; await settle()) {
        const alarm = alarms.pop();
        if (!alarm) throw new Error('The work waits, and not for time');
        now = alarm.at;
        alarm.ring();
      }
      return end;
    },
  };
}
