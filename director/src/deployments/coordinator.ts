/**
 * Sees to the stacks that have something to do.
 *
 * One worker for each: it takes the next of the stack's queue, carries it, and takes the next. Stacks go side by
 * side. Nothing that matters lives only here: the queue is in the store, any director may find the same work in it,
 * and the lease says who has it. The sweep finds whatever has not ended, whoever left it.
 */
import { isOperating, type Operating } from '@service-director/shared/contract/command.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import type { LogSubject } from '../observability/log.ts';
import { driveRun, type RunningRun, type Tenure } from '../protocol/drive-run.ts';
import type { Over } from '../protocol/run.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type Holder,
  isEnded,
  keys,
  type LockRecord,
  type QueueRecord,
  type StackRecord,
} from '../store/records.ts';
import { Conflict, type Stored, StoreFailure, type Write } from '../store/store.ts';
import { tellingOfAll } from '../webhooks/deliveries.ts';
import { tellingStore } from '../webhooks/telling-store.ts';
import { admit } from './admission.ts';
import { inQueue, outboxIds } from './conclusion.ts';
import { expire } from './decisions.ts';
import { type DeploymentContext, openDeployment, TimedOut } from './deployment.ts';
import type { Outbox } from './outbox.ts';

export interface Coordinator {
  /** Sees to these stacks: there is something new in their queue, or their lock is gone. */
  wake(stacks: readonly StackId[]): void;
  /** Somebody told these deployments to stop. */
  poke(deployments: readonly string[]): void;
  /**
   * Takes up everything in the store that has not ended, and looks for it again from time to time. Where the store does
   * not let it, it rejects with what that says, and may be called again.
   */
  start(): Promise<void>;
  /** Begins nothing new, stops what runs where it can be taken up again, and gives the leases back. */
  leave(): Promise<void>;
}

export interface CoordinatorOptions extends DeploymentContext {
  readonly holder: Holder;
  /** Whether that process is known to be gone: then nobody has to wait for its lease to run out. */
  isGone(holder: Holder): boolean;
  readonly outbox: Outbox;
  readonly onTrouble: (error: unknown, about: string, of?: LogSubject) => void;
  /** Told how it went with a deployment that was to be worked on. */
  readonly onCarried?: (wanted: QueueRecord, how: Over) => void;
}

/** How often the store is looked through for what others left, and how soon a store that fails is tried again. Milliseconds. */
const SWEEP_MS = 15_000;
const STORE_RETRY_MS = 2_000;
/** How many are shown to wait in one commit. */
const NOTED_AT_ONCE = 100;
/** How long a stack is left alone that somebody else has, or that was lost, or could not be written. Milliseconds, at most. */
const PAUSES_MS: Readonly<Partial<Record<Over, number>>> = {
  busy: 1_000,
  fenced: 1_000,
  unwritable: STORE_RETRY_MS,
};

export function coordinator(options: CoordinatorOptions): Coordinator {
  const { store, clock, random, outbox, onTrouble } = options;
  const workers = new Map<StackId, Promise<void>>();
  const awake = new Set<StackId>();
  const runs = new Map<string, RunningRun>();
  /** Those that were shown to wait. */
  const noted = new Set<string>();
  const leaving = new AbortController();
  let stopSweeping = (): void => {};

  function wake(stacks: readonly StackId[]): void {
    for (const stack of stacks) {
      if (leaving.signal.aborted) return;
      awake.add(stack);
      if (workers.has(stack)) continue;
      workers.set(
        stack,
        attend(stack).finally(() => {
          workers.delete(stack);
          // Woken between its last look and its end.
          if (awake.has(stack)) wake([stack]);
        }),
      );
    }
  }

  /** Works through the queue of a stack, until there is nothing in it that could go on. */
  async function attend(stack: StackId): Promise<void> {
    while (!leaving.signal.aborted) {
      try {
        awake.delete(stack);
        const next = await nextOf(stack);
        if (!next) return;
        const how = await carry(next);
        options.onCarried?.(next.value, how);
        if (how === 'busy') await noteWaiting([next.value.deployment]);
        else noted.delete(next.value.deployment);
        const ms = PAUSES_MS[how];
        if (ms !== undefined) await pause(ms);
      } catch (error) {
        onTrouble(error, stack);
        // Only a store that fails is worth another try at once; anything else waits for the sweep.
        if (!(error instanceof StoreFailure)) return;
        await pause(STORE_RETRY_MS);
      }
    }
  }

  async function pause(ms: number): Promise<void> {
    await clock.sleep(ms * (0.5 + random() / 2), leaving.signal).catch(() => {});
  }

  /** What was begun and has not ended; else the first of the queue that no lock of somebody's hand keeps waiting. */
  async function nextOf(stack: StackId): Promise<Stored<QueueRecord> | undefined> {
    const [found, queue, lock] = await Promise.all([
      store.get<StackRecord>(keys.stack(stack)),
      listAll<QueueRecord>(store, { collection: 'queue', prefix: `${stack}//` }),
      store.get<LockRecord>(keys.lock(stack)),
    ]);
    const current = found?.value.current ?? found?.value.lease?.deployment;
    const next =
      queue.find(({ value }) => value.deployment === current) ??
      queue.find(({ value }) => !lock || lock.value.id === value.lockId || value.dryRun);
    await noteWaiting(queue.flatMap(({ value }) => (value === next?.value ? [] : value.deployment)));
    return next;
  }

  async function carry({ id: place, value }: Stored<QueueRecord>): Promise<Over> {
    const { stack, deployment, command: commandId } = value;
    const [found, ledger] = await Promise.all([
      store.get<DeploymentRecord>(keys.deployment(deployment)),
      store.get<CommandRecord>(keys.command(commandId)),
    ]);
    const command = ledger?.value.command;
    if (!found || !command || !isOperating(command))
      throw new Error(`The deployment ${deployment} is in the queue and not in the ledger`);
    if (isEnded(found.value.status)) {
      await store.commit([{ type: 'delete', key: { collection: 'queue', id: place }, if: 'any' }]);
      return 'ended';
    }
    const { scope, dataflow } = found.value;
    let written: readonly string[] = [];
    let ended: DeploymentRecord | undefined;
    let open: ReturnType<typeof openDeployment> | undefined;
    const run = driveRun(
      { holder: options.holder, deployment, stack, scope, dataflow },
      {
        store: tellingStore({ store, clock, deployment }),
        clock,
        isGone: options.isGone,
        onTrouble: (error) => onTrouble(error, deployment, found.value),
        work: (tenure) =>
          withinTime(tenure, command, async (signal) => {
            open = openDeployment(
              { command, tenure, signal, isLeaving: () => leaving.signal.aborted },
              options,
            );
            return open.work();
          }),
        async gather(record) {
          if (!open) throw new Error(`${deployment} ends and was not begun`);
          const conclusion = await open.gather(record);
          written = outboxIds(conclusion.writes);
          ended = conclusion.record;
          return conclusion;
        },
      },
    );
    runs.set(deployment, run);
    try {
      const how = await run.over;
      // Somebody else may have ended it while we waited.
      if (how === 'ended' && ended) {
        outbox.send(written);
        tell(ended);
      }
      if (how === 'parked') tell({ ...found.value, status: 'awaiting_approval' });
      return how;
    } finally {
      runs.delete(deployment);
    }
  }

  /** The signal of the work: a cancel, the end of its time, the loss of the lease, the end of this process. */
  async function withinTime<T>(
    tenure: Tenure,
    { data: { timeout_seconds } }: Operating,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const time = new AbortController();
    const stopTimer = clock.after(leftMs(tenure.record, timeout_seconds), () =>
      time.abort(new TimedOut(timeout_seconds)),
    );
    try {
      return await work(AbortSignal.any([tenure.cancelled, time.signal, tenure.lost, leaving.signal]));
    } finally {
      stopTimer();
    }
  }

  /** How long the deployment may still take, counted from its beginning, whoever worked on it. */
  function leftMs({ resumedAt, startedAt, createdAt }: DeploymentRecord, timeoutSeconds: number): number {
    return Math.max(1, Date.parse(resumedAt ?? startedAt ?? createdAt) + timeoutSeconds * 1000 - clock.now());
  }

  /** Shows that these wait for their stack, in one commit. Only shows: whoever writes at the same moment is right. */
  async function noteWaiting(ids: readonly string[]): Promise<void> {
    const unnoted = ids.filter((id) => !noted.has(id)).slice(0, NOTED_AT_ONCE);
    for (const id of unnoted) noted.add(id);
    const found = await Promise.all(unnoted.map((id) => store.get<DeploymentRecord>(keys.deployment(id))));
    const queued = found.flatMap((stored) => (stored?.value.status === 'queued' ? [stored] : []));
    const shown = queued.map(({ value: before, version }) => {
      const after: DeploymentRecord = { ...before, status: 'waiting_for_lock' };
      return { before, after, version };
    });
    try {
      const puts = shown.map(({ after, version }): Write => {
        return { type: 'put', key: keys.deployment(after.id), value: after, if: version };
      });
      await store.commit([...puts, ...(await tellingOfAll(shown, options))], 'soon');
      for (const { after } of shown) tell(after);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      // One of them has gone on: the others are shown at the next look.
      for (const id of unnoted) noted.delete(id);
    }
  }

  function tell(record: DeploymentRecord): void {
    const { command, id, stack, status } = record;
    options.announce({ type: 'status', command, deployment: id, stack, status }, record);
  }

  async function recover(): Promise<void> {
    await outbox.recover();
    const queue = await listAll<QueueRecord>(store, { collection: 'queue' });
    wake([...new Set(queue.map(({ value }) => value.stack))]);
    await expireApprovals();
  }

  async function expireApprovals(): Promise<void> {
    const waiting = await listAll<DeploymentRecord>(store, {
      collection: 'deployments',
      where: { field: 'status', is: 'awaiting_approval' },
    });
    for (const found of waiting) {
      const { approval } = found.value;
      if (approval?.state !== 'pending' || approval.expiresAt > clock.now()) continue;
      try {
        const writes = await expire(found, options);
        await store.commit(writes);
        outbox.send(outboxIds(writes));
      } catch (error) {
        // Somebody approved it at the last moment, or another director was faster; and one that cannot be ended keeps up no other.
        if (error instanceof StoreFailure) throw error;
        if (!(error instanceof Conflict)) onTrouble(error, found.id, found.value);
      }
    }
  }

  /** What directors of the first release left: they had no queue, and took commands before they knew what those meant. */
  async function takeUpOlder(): Promise<void> {
    const accepted = await listAll<CommandRecord>(store, {
      collection: 'commands',
      where: { field: 'status', is: 'accepted' },
    });
    for (const { value, version } of accepted) {
      if (!value.command) continue;
      const { record, writes } = await admit(value, value.command, options);
      await store.commit([
        { type: 'put', key: keys.command(value.id), value: record, if: version },
        ...writes,
      ]);
    }
    for (const status of ['queued', 'waiting_for_lock', 'planning', 'applying']) {
      const found = await listAll<DeploymentRecord>(store, {
        collection: 'deployments',
        where: { field: 'status', is: status },
      });
      for (const { id, value, version } of found) await queueAsItIs(id, value, version);
    }
  }

  async function queueAsItIs(id: string, record: DeploymentRecord, version: number): Promise<void> {
    const place = inQueue(record);
    if (await store.get(place.key)) return;
    try {
      await store.commit([{ type: 'check', key: keys.deployment(id), if: version }, place]);
    } catch (error) {
      // Somebody works on it: then it has its place, or needs none any more.
      if (!(error instanceof Conflict)) throw error;
    }
  }

  function sweep(): void {
    stopSweeping = clock.after(SWEEP_MS * (0.75 + random() / 2), () => {
      recover()
        .catch((error) => onTrouble(error, 'the sweep'))
        .finally(() => {
          if (!leaving.signal.aborted) sweep();
        });
    });
  }

  return {
    wake,
    poke(deployments) {
      for (const id of deployments) runs.get(id)?.poke();
    },
    async start() {
      await takeUpOlder();
      await recover();
      sweep();
    },
    async leave() {
      leaving.abort(new Error('This director is stopping'));
      stopSweeping();
      await Promise.allSettled(workers.values());
      await outbox.settled();
    },
  };
}
