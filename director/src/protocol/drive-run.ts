/** Does what the machine of `run.ts` asks for, and lets the work of a deployment note what it does. */
import { Halted } from '@service-director/shared/engine/drive.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { UnitId } from '@service-director/shared/model/unit.ts';
import { listAll } from '../store/list-all.ts';
import {
  type DeploymentRecord,
  type Holder,
  type JournalEntry,
  keys,
  type LockRecord,
  type StackRecord,
  sentenceOf,
  type Word,
} from '../store/records.ts';
import { Conflict, type Store, StoreFailure } from '../store/store.ts';
import {
  beginRun,
  type Conclusion,
  type Ending,
  HEARTBEAT_MS,
  type Identity,
  type Over,
  type Run,
  type RunAsk,
  type RunEffect,
  type RunEvent,
  stepRun,
} from './run.ts';

/** What the work of a deployment has of its run. */
export interface Tenure {
  readonly record: DeploymentRecord;
  readonly stack: StackRecord;
  /** What was written down by whoever worked on it before. */
  readonly entries: readonly JournalEntry[];
  /** Resolves once it is durable; rejects with Fenced or StoreFailure: then nothing more may be done. */
  note(entries: readonly JournalEntry[], more?: Noted): Promise<void>;
  /** Throws Fenced when the lease may have run out behind our back: before every call that changes anything. */
  demandFresh(): void;
  /** Aborted when somebody else has taken over, or the store has failed. */
  readonly lost: AbortSignal;
  /** Aborted with Cancelled when somebody told it to stop. */
  readonly cancelled: AbortSignal;
}

export interface Noted {
  readonly units?: readonly { readonly unit: UnitId; readonly state: UnitState | undefined }[];
  readonly record?: Partial<DeploymentRecord>;
}

/** The lease was taken over: everything stops, and nothing more is written. */
export class Fenced extends Halted {
  constructor(stack: string) {
    super(`The lease of ${stack} was taken over`);
    this.name = 'Fenced';
  }
}

/** Somebody told the deployment to stop. */
export class Cancelled extends Error {
  constructor(word: Word) {
    super(sentenceOf(word, 'cancelled'));
    this.name = 'Cancelled';
  }
}

export interface RunReach {
  readonly store: Store;
  readonly clock: Clock;
  isGone(holder: Holder): boolean;
  /** Does the deployment; says how it ends. Rejects with Fenced or StoreFailure when the tenure was lost. */
  work(tenure: Tenure): Promise<Ending>;
  gather(record: DeploymentRecord): Promise<Conclusion>;
  /** Told when the store fails. */
  onTrouble(error: unknown): void;
}

export interface RunningRun {
  readonly over: Promise<Over>;
  /** Looks at once whether somebody told it to stop. */
  poke(): void;
}

/** So long before its lease runs out a holder stops to rely on it. Milliseconds. */
const MARGIN_MS = 2_000;

export function driveRun(identity: Identity, reach: RunReach): RunningRun {
  const { store, clock } = reach;
  const lost = new AbortController();
  const cancelled = new AbortController();
  const tickets = new Map<number, { resolve(): void; reject(error: unknown): void }>();
  let run: Run = beginRun(identity);
  let entries: readonly JournalEntry[] = [];
  let doing: RunAsk | undefined;
  let nextTicket = 1;
  let failure: unknown;
  let stopBeating = (): void => {};
  const { promise: over, resolve, reject } = Promise.withResolvers<Over>();

  function feed(event: RunEvent): void {
    if (run.asked.type === 'over') return;
    const stepped = stepRun(run, event);
    run = stepped.run;
    for (const effect of stepped.effects) heed(effect);
    if (run.asked === doing) return;
    doing = run.asked;
    answer(doing).catch(fail);
  }

  function heed(effect: RunEffect): void {
    switch (effect.type) {
      case 'claimed':
        beat();
        void startWork(effect.record, effect.stack);
        return;
      case 'durable':
        tickets.get(effect.ticket)?.resolve();
        tickets.delete(effect.ticket);
        return;
      case 'cancelled':
        cancelled.abort(new Cancelled(effect.word));
        return;
      default:
        never(effect);
    }
  }

  async function answer(ask: RunAsk): Promise<void> {
    switch (ask.type) {
      case 'idle':
        return;
      case 'look':
        return feed(await read(look));
      case 'reread':
        return feed(
          await read(async () => ({
            type: 'reread',
            record: await store.get<DeploymentRecord>(keys.deployment(identity.deployment)),
          })),
        );
      case 'gather':
        return feed(
          await read(async () => ({ type: 'gathered', conclusion: await reach.gather(ask.record) })),
        );
      case 'commit':
        return feed(await write(ask));
      case 'over':
        return end(ask.how);
      default:
        return never(ask);
    }
  }

  async function read(ask: () => Promise<RunEvent>): Promise<RunEvent> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error;
      failure = error;
      return { type: 'unwritable' };
    }
  }

  async function write({ writes, durability }: Extract<RunAsk, { type: 'commit' }>): Promise<RunEvent> {
    try {
      await store.commit(writes, durability);
      return { type: 'written' };
    } catch (error) {
      if (error instanceof Conflict) return { type: 'conflict', key: error.key };
      if (!(error instanceof StoreFailure)) throw error;
      failure = error;
      return { type: 'unwritable' };
    }
  }

  async function look(): Promise<RunEvent> {
    const [stack, record, lock] = await Promise.all([
      store.get<StackRecord>(keys.stack(identity.stack)),
      store.get<DeploymentRecord>(keys.deployment(identity.deployment)),
      store.get<LockRecord>(keys.lock(identity.stack)),
    ]);
    // Of what somebody else works on nobody needs the journal.
    const isOthers = stack?.value.current !== undefined && stack.value.current !== identity.deployment;
    const journal = isOthers
      ? []
      : await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${identity.deployment}/` });
    entries = journal.map(({ value }) => value);
    const holder = stack?.value.lease?.holder;
    return {
      type: 'looked',
      stack,
      record,
      lock,
      entries: journal,
      holderIsGone: holder !== undefined && reach.isGone(holder),
      now: clock.now(),
    };
  }

  async function startWork(record: DeploymentRecord, stack: StackRecord): Promise<void> {
    try {
      const ending = await reach.work({
        record,
        stack,
        entries,
        lost: lost.signal,
        cancelled: cancelled.signal,
        note,
        demandFresh() {
          const expiresAt = run.held?.stack.lease?.expiresAt ?? 0;
          if (lost.signal.aborted || clock.now() > expiresAt - MARGIN_MS) throw new Fenced(identity.stack);
        },
      });
      feed({ type: 'ending', ending });
    } catch (error) {
      if (lost.signal.aborted) return;
      if (error instanceof Fenced) {
        // Our own clock says that the lease may be over: whoever looks finds out.
        run = { ...run, asked: { type: 'over', how: 'fenced' } };
        end('fenced');
      } else fail(error);
    }
  }

  function note(what: readonly JournalEntry[], more: Noted = {}): Promise<void> {
    if (lost.signal.aborted) return Promise.reject(lost.signal.reason);
    const ticket = nextTicket++;
    const durable = new Promise<void>((done, refuse) =>
      tickets.set(ticket, { resolve: done, reject: refuse }),
    );
    feed({ type: 'noted', note: { ticket, entries: what, ...more } });
    return durable;
  }

  function beat(): void {
    stopBeating = clock.after(HEARTBEAT_MS, () => {
      feed({ type: 'beat', now: clock.now() });
      beat();
    });
  }

  function end(how: Over): void {
    stopBeating();
    if (how === 'fenced') lost.abort(new Fenced(identity.stack));
    if (how === 'unwritable') {
      reach.onTrouble(failure);
      lost.abort(failure);
    }
    for (const ticket of tickets.values()) ticket.reject(lost.signal.reason ?? new Fenced(identity.stack));
    tickets.clear();
    resolve(how);
  }

  function fail(error: unknown): void {
    stopBeating();
    lost.abort(error);
    for (const ticket of tickets.values()) ticket.reject(error);
    tickets.clear();
    run = { ...run, asked: { type: 'over', how: 'fenced' } };
    reject(error);
  }

  doing = run.asked;
  answer(doing).catch(fail);
  return { over, poke: () => feed({ type: 'beat', now: clock.now() }) };
}
