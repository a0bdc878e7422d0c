/**
 * The lock of a stack: who works on it, since when, and whether they still do.
 *
 * It keeps order and saves work; safety does not rest on it. Every write of a holder is conditional on the
 * stack's document, which each claim changes: whoever was overtaken cannot write any more, and finds out.
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import { type Holder, keys, type Lease, type StackRecord } from './records.ts';
import { Conflict, type Store, type Write } from './store.ts';

/** How long a lease holds without a heartbeat, and how often it beats. Milliseconds. */
export const LEASE_MS = 20_000;
const HEARTBEAT_MS = 5_000;

export interface HeldLease {
  readonly stack: StackId;
  readonly token: number;
  /** Writes while the lease is held, one commit after the other. Rejects with Fenced once it is not. */
  commit(writes: readonly Write[]): Promise<void>;
  /** The same, and gives the lease back with what is to be noted of the stack. */
  release(writes: readonly Write[], note: Partial<Pick<StackRecord, 'version' | 'permanent'>>): Promise<void>;
  /** Stops the heartbeat without a word to the store: as if the process had died. */
  abandon(): void;
  /** Aborted when somebody else has taken over. */
  readonly lost: AbortSignal;
}

/** The lease was taken over: everything stops, and nothing more is written. */
export class Fenced extends Error {
  constructor(stack: StackId) {
    super(`The lease of ${stack} was taken over`);
    this.name = 'Fenced';
  }
}

export interface LeaseKeeper {
  /** The lease, or who holds it. */
  claim(
    stack: { stack: StackId; scope: string; dataflow: string },
    deployment: string,
  ): Promise<HeldLease | { heldBy: Lease }>;
}

export interface LeaseOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly holder: Holder;
  /** Whether that process is known to be gone: then nobody has to wait for its lease to run out. */
  isGone(holder: Holder): boolean;
}

export function leaseKeeper({ store, clock, holder, isGone }: LeaseOptions): LeaseKeeper {
  return {
    async claim({ stack, scope, dataflow }, deployment) {
      for (;;) {
        const found = await store.get<StackRecord>(keys.stack(stack));
        const now = clock.now();
        const held = found?.value.lease;
        if (held && held.expiresAt > now && held.holder.id !== holder.id && !isGone(held.holder))
          return { heldBy: held };
        const before: StackRecord = found?.value ?? {
          stack,
          scope,
          dataflow,
          permanent: true,
          version: 0,
          token: 0,
        };
        const lease: Lease = {
          holder,
          deployment,
          claimedAt: now,
          heartbeatAt: now,
          expiresAt: now + LEASE_MS,
        };
        const record: StackRecord = { ...before, token: before.token + 1, lease };
        try {
          await store.commit([
            { type: 'put', key: keys.stack(stack), value: record, if: found?.version ?? 'absent' },
          ]);
        } catch (error) {
          if (error instanceof Conflict) continue;
          throw error;
        }
        return hold(store, clock, record, (found?.version ?? 0) + 1);
      }
    },
  };
}

/** `documentVersion` is the store's, of the stack's document: as long as it is what we wrote last, the lease is ours. */
function hold(store: Store, clock: Clock, claimed: StackRecord, documentVersion: number): HeldLease {
  const key = keys.stack(claimed.stack);
  const lost = new AbortController();
  let record = claimed;
  let expected = documentVersion;
  let turn: Promise<unknown> = Promise.resolve();
  let stopBeating = (): void => {};
  let over = false;

  /** One commit at a time: each must know what the one before left. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = turn.then(task);
    turn = mine.catch(() => {});
    return mine;
  }

  async function write(writes: readonly Write[]): Promise<void> {
    if (over) throw new Fenced(claimed.stack);
    try {
      await store.commit(writes);
    } catch (error) {
      if (!(error instanceof Conflict) || error.key.collection !== 'stacks') throw error;
      over = true;
      stopBeating();
      lost.abort(new Fenced(claimed.stack));
      throw new Fenced(claimed.stack);
    }
  }

  async function replace(next: StackRecord, writes: readonly Write[]): Promise<void> {
    await write([{ type: 'put', key, value: next, if: expected }, ...writes]);
    record = next;
    expected += 1;
  }

  function beat(): void {
    stopBeating = clock.after(HEARTBEAT_MS, () => {
      void inTurn(async () => {
        const { lease } = record;
        if (over || !lease) return;
        const now = clock.now();
        await replace({ ...record, lease: { ...lease, heartbeatAt: now, expiresAt: now + LEASE_MS } }, []);
      })
        // A store that fails now may be back at the next beat; if not, the lease runs out, as it should.
        .catch(() => {})
        .then(() => {
          if (!over) beat();
        });
    });
  }
  beat();

  return {
    stack: claimed.stack,
    token: claimed.token,
    lost: lost.signal,
    commit: (writes) => inTurn(() => write([{ type: 'check', key, if: expected }, ...writes])),
    release: (writes, note) =>
      inTurn(async () => {
        const { lease: _, ...free } = record;
        await replace({ ...free, ...note }, writes);
        over = true;
        stopBeating();
      }),
    abandon() {
      over = true;
      stopBeating();
    },
  };
}
