/**
 * Which director sees to the history: one at a time, once a day, whichever comes first.
 *
 * Whoever has the turn writes it anew with each commit, under the condition that it is still as they wrote it last: who
 * was taken for dead, and is not, removes nothing any more.
 */
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Holder } from '../store/records.ts';
import { Conflict, type Key, type Store, type Write } from '../store/store.ts';

interface TurnRecord {
  /** Who is at it; absent where nobody is. */
  readonly holder?: Holder;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
  /** Of the last round that came to its end, RFC 3339. */
  readonly endedAt?: string;
}

const KEY: Key = { collection: 'store', id: 'upkeep' };
/** How long a turn holds without a commit, and how soon it is written anew where there is nothing else to write. Milliseconds. */
const TURN_MS = 60_000;
const BEAT_MS = 20_000;
/** From one round to the next, in milliseconds. */
const ROUND_MS = 86_400_000;

export interface TurnOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly holder: Holder;
  /** Whether that process is known to be gone: then nobody has to wait for its turn to run out. */
  isGone(holder: Holder): boolean;
}

export interface Turn {
  /** All or none. False where a document is not as it was; throws Lost where the turn is somebody else's. */
  commit(writes: readonly Write[]): Promise<boolean>;
  /** Says that somebody is still at it, where that was not said for a while. */
  beat(): Promise<void>;
  /** Gives the turn back: after a whole round until the next one is due, else to whoever comes next. */
  end(how: 'whole' | 'left'): Promise<void>;
}

/** Somebody else has the turn. */
export class Lost extends Error {
  constructor() {
    super('Another director sees to the history');
    this.name = 'Lost';
  }
}

/** Undefined where no round is due, or somebody is at it. */
export async function takeTurn({ store, clock, holder, isGone }: TurnOptions): Promise<Turn | undefined> {
  const found = await store.get<TurnRecord>(KEY);
  if (found && !isFree(found.value)) return undefined;
  const { endedAt } = found?.value ?? {};
  let version = found?.version;
  let writtenAt = clock.now();

  /** What is said to be in times to come was written by a clock that went wrong. */
  function isFree({ holder: other, expiresAt = 0, endedAt: last }: TurnRecord): boolean {
    const leftMs = expiresAt - clock.now();
    if (other) return other.id === holder.id || leftMs <= 0 || leftMs > 2 * TURN_MS || isGone(other);
    return last === undefined || Math.abs(clock.now() - Date.parse(last)) >= ROUND_MS;
  }

  async function write(value: TurnRecord, writes: readonly Write[]): Promise<boolean> {
    const own: Write = { type: 'put', key: KEY, value, if: version ?? 'absent' };
    try {
      // What is lost with the machine is only there again: the next round removes it.
      await store.commit([own, ...writes], 'soon');
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      if (error.key.collection === KEY.collection && error.key.id === KEY.id) throw new Lost();
      return false;
    }
    version = (version ?? 0) + 1;
    writtenAt = clock.now();
    return true;
  }

  const last = endedAt === undefined ? {} : { endedAt };
  const mine = (): TurnRecord => ({ holder, expiresAt: clock.now() + TURN_MS, ...last });
  try {
    await write(mine(), []);
  } catch (error) {
    if (error instanceof Lost) return undefined;
    throw error;
  }
  return {
    commit: (writes) => write(mine(), writes),
    async beat() {
      if (clock.now() - writtenAt >= BEAT_MS) await write(mine(), []);
    },
    async end(how) {
      await write(how === 'whole' ? { endedAt: timestamp(clock.now()) } : last, []);
    },
  };
}
