/** Who reads what is kept of a stack: noted behind the answer, and never in its way. */
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import { retry } from '@service-director/shared/kit/retry.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import type { Request } from 'express';
import { readWrites } from '../store/audit.ts';
import type { ReadKind } from '../store/records.ts';
import { Conflict, type Store } from '../store/store.ts';
import { callerOf } from './authenticate.ts';

export interface Reads {
  /** Returns at once. The same by the same caller is one row a minute, however often it is read. */
  note(request: Request, stack: StackId, what: ReadKind): void;
  /** Resolves when all that was noted is written. */
  settled(): Promise<void>;
}

export interface ReadsContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  onTrouble(error: unknown, about: string): void;
}

/** For as long the same is not noted again, in milliseconds. */
const QUIET_MS = 60_000;
/** So many reads are remembered; more are noted more often than they need be. */
const MOST_REMEMBERED = 10_000;
/** So many may wait to be written; what comes while they do is told as trouble. */
const MOST_WAITING = 1_000;
/** Other directors write the same trail. */
const BACKOFF = { firstMs: 20, longestMs: 500, factor: 2 };
const ATTEMPTS = 20;

export function readsOf({ store, clock, random, onTrouble }: ReadsContext): Reads {
  /** When each was noted last, the oldest first. */
  const noted = new Map<string, number>();
  let writing: Promise<void> = Promise.resolve();
  let waiting = 0;

  function isNew(key: string): boolean {
    const now = clock.now();
    const last = noted.get(key);
    if (last !== undefined && Math.abs(now - last) < QUIET_MS) return false;
    noted.delete(key);
    noted.set(key, now);
    const [oldest] = noted.keys();
    if (noted.size > MOST_REMEMBERED && oldest !== undefined) noted.delete(oldest);
    return true;
  }

  async function write(stack: StackId, by: string, what: ReadKind, at: string): Promise<void> {
    await retry(async () => store.commit(await readWrites(stack, [{ what, by, at }], store), 'soon'), {
      ...{ clock, random, backoff: BACKOFF, attempts: ATTEMPTS },
      again: (error) => error instanceof Conflict,
    });
  }

  return {
    note(request, stack, what) {
      const by = callerOf(request);
      const key = JSON.stringify([stack, by, what]);
      if (!isNew(key)) return;
      if (waiting >= MOST_WAITING) {
        noted.delete(key);
        onTrouble(new Error('Too many reads wait to be noted'), `the trail of reads of ${stack}`);
        return;
      }
      waiting++;
      const at = timestamp(clock.now());
      // One after the other: two that write one trail at once would only be in each other's way.
      writing = writing
        .then(() =>
          write(stack, by, what, at).catch((error) => {
            noted.delete(key);
            onTrouble(error, `the trail of reads of ${stack}`);
          }),
        )
        .then(() => {
          waiting--;
        });
    },
    settled: () => writing,
  };
}
