/**
 * Turns commands into deployments, and deployments into their last word.
 *
 * Deployments of different stacks run side by side, those of one stack one after the other. Nothing that
 * matters lives only here: `recover` and the sweep find in the store whatever has not ended, whoever left it.
 */
import type { Command } from '@service-director/shared/contract/command.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { type StackId, stackOf } from '@service-director/shared/model/unit.ts';
import { Fenced, type HeldLease, type LeaseKeeper } from '../store/lease.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  keys,
  type StackRecord,
} from '../store/records.ts';
import { Conflict, StoreFailure, type Write } from '../store/store.ts';
import { concluded, refused } from './conclusion.ts';
import {
  type DeploymentContext,
  type Ending,
  Leaving,
  mistake,
  runDeployment,
  TimedOut,
} from './deployment.ts';
import { Unplannable } from './inputs.ts';
import { answerRows, type Outbox, type Speaker } from './outbox.ts';
import { architectureOf, remember, subjectOf } from './subject.ts';

export interface Coordinator {
  /** Starts work on a command that is in the ledger; a second time is no harm. */
  submit(record: CommandRecord): void;
  /** Takes up everything in the store that has not ended, and looks for it again from time to time. */
  start(): Promise<void>;
  /** Begins nothing new, stops what runs where it can be taken up again, and gives the leases back. */
  leave(): Promise<void>;
}

export interface CoordinatorOptions extends DeploymentContext {
  readonly leases: LeaseKeeper;
  readonly outbox: Outbox;
  readonly speaker: Speaker;
  readonly onTrouble: (error: unknown, about: string) => void;
}

/** How often the store is looked through for what others left, and how soon a store that fails is tried again. Milliseconds. */
const SWEEP_MS = 15_000;
const STORE_RETRY_MS = 2_000;
/** How often a lease that somebody else holds is looked at. */
const LOCK_POLL_MS = 500;

export function coordinator(options: CoordinatorOptions): Coordinator {
  const { store, clock, outbox, speaker, leases, onTrouble } = options;
  const commands = new Set<string>();
  const deployments = new Map<string, Promise<void>>();
  const turns = new Map<StackId, Promise<void>>();
  const leaving = new AbortController();
  let beginning = Promise.resolve();
  let stopSweeping = (): void => {};

  function submit(record: CommandRecord): void {
    if (leaving.signal.aborted || commands.has(record.id)) return;
    commands.add(record.id);
    // One after the other, so that those of one stack queue up in the order in which they came.
    beginning = beginning
      .then(() => persist(() => begin(record.id), record.id))
      .finally(() => commands.delete(record.id));
  }

  /** Does the task, and does it again while the store fails: a full disk is waited out, nothing is lost. */
  async function persist(task: () => Promise<void>, about: string): Promise<void> {
    while (!leaving.signal.aborted) {
      try {
        await task();
        return;
      } catch (error) {
        if (error instanceof Leaving || error instanceof Fenced) return;
        // Somebody else wrote at the same moment: what is there now decides.
        if (error instanceof Conflict) continue;
        onTrouble(error, about);
        if (!(error instanceof StoreFailure)) return;
        await clock.sleep(STORE_RETRY_MS, leaving.signal).catch(() => {});
      }
    }
  }

  /** Finds out what a command means, and makes its deployments: one for each dataflow. */
  async function begin(id: string): Promise<void> {
    const found = await store.get<CommandRecord>(keys.command(id));
    const command = found?.value.command;
    if (!found || !command) return;
    if (found.value.status === 'running') return takeUp(found.value, command);
    if (found.value.status !== 'accepted') return;

    const made = await deploymentsOf(command).catch((error) => {
      if (error instanceof StoreFailure || error instanceof Conflict) throw error;
      return error instanceof Unplannable ? error : mistake(error);
    });
    if (made instanceof Unplannable) return answer(refused(found.value, command, made, clock), found.version);
    if (made.length === 0)
      return answer(await concluded(found.value, [], command, store, clock), found.version);

    const running: CommandRecord = {
      ...found.value,
      status: 'running',
      deployments: made.map((record) => record.id),
    };
    const rows: Write[] = made.map((value) => ({
      type: 'put',
      key: keys.deployment(value.id),
      value,
      if: 'absent',
    }));
    await store.commit([{ type: 'put', key: keys.command(id), value: running, if: found.version }, ...rows]);
    for (const record of made) enqueue(record, command);
  }

  async function takeUp({ deployments: ids }: CommandRecord, command: Command): Promise<void> {
    for (const record of await deploymentsNamed(ids)) if (!isEnded(record.status)) enqueue(record, command);
  }

  async function deploymentsOf(command: Command): Promise<DeploymentRecord[]> {
    const { scope, dataflows } = await subjectOf(command, store);
    // Whoever only asks what would be done teaches nothing.
    if (!command.data.dry_run) await remember(command, store);
    return dataflows.map((dataflow) => ({
      id: `${command.id}.${dataflow}`,
      command: command.id,
      correlationId: command.correlationId,
      ...(command.traceparent === undefined ? {} : { traceparent: command.traceparent }),
      stack: stackOf({ scope, dataflow }),
      scope,
      dataflow,
      operation: command.type,
      status: 'queued',
      dryRun: command.data.dry_run,
      createdAt: timestamp(clock.now()),
    }));
  }

  function enqueue(record: DeploymentRecord, command: Command): void {
    if (deployments.has(record.id) || leaving.signal.aborted) return;
    const { announce } = options;
    const { id, stack } = record;
    announce(
      { type: 'accepted', command: command.id, command_type: command.type, dataflow: record.dataflow },
      record,
    );
    const before = turns.get(stack) ?? Promise.resolve();
    const mine = before
      .then(() => persist(() => run(id, command), id))
      .finally(() => {
        deployments.delete(id);
        if (turns.get(stack) === mine) turns.delete(stack);
      });
    deployments.set(id, mine);
    turns.set(stack, mine);
  }

  async function run(id: string, command: Command): Promise<void> {
    const [waiting] = await deploymentsNamed([id]);
    if (!waiting || isEnded(waiting.status)) return;
    const lease = await lock(waiting);
    try {
      // Whoever held the lease before may have ended it.
      const [record] = await deploymentsNamed([id]);
      if (!record || isEnded(record.status)) await lease.release([], {});
      else await end(lease, await work(record, command, lease), command);
    } catch (error) {
      // Without a store there is nobody to give it back to; then it runs out.
      if (!(error instanceof Fenced)) await lease.release([], {}).catch(() => lease.abandon());
      throw error;
    }
  }

  async function work(record: DeploymentRecord, command: Command, lease: HeldLease): Promise<Ending> {
    const time = new AbortController();
    const { timeout_seconds } = command.data;
    const stopTimer = clock.after(leftMs(record, timeout_seconds), () =>
      time.abort(new TimedOut(timeout_seconds)),
    );
    try {
      const stack = await store.get<StackRecord>(keys.stack(record.stack));
      return await runDeployment(
        {
          record,
          command,
          lease,
          stack: stack?.value ?? { ...record, permanent: true, version: 0, token: 0 },
          describe: () => architectureOf(record.scope, command, store),
          signal: AbortSignal.any([time.signal, leaving.signal, lease.lost]),
          isLeaving: () => leaving.signal.aborted,
        },
        options,
      );
    } finally {
      stopTimer();
    }
  }

  /** How long the deployment may still take, counted from its beginning, whoever worked on it. */
  function leftMs({ startedAt, createdAt }: DeploymentRecord, timeoutSeconds: number): number {
    return Math.max(1, Date.parse(startedAt ?? createdAt) + timeoutSeconds * 1000 - clock.now());
  }

  async function lock(record: DeploymentRecord): Promise<HeldLease> {
    for (let told = false; ; told = true) {
      const claimed = await leases.claim(record, record.id);
      if (!('heldBy' in claimed)) return claimed;
      if (!told) await noteWaiting(record);
      await clock.sleep(LOCK_POLL_MS, leaving.signal).catch(() => {});
      if (leaving.signal.aborted) throw new Leaving('This director is stopping');
    }
  }

  async function noteWaiting({ id, command, stack }: DeploymentRecord): Promise<void> {
    const found = await store.get<DeploymentRecord>(keys.deployment(id));
    if (found?.value.status !== 'queued') return;
    const value: DeploymentRecord = { ...found.value, status: 'waiting_for_lock' };
    await store.commit([{ type: 'put', key: keys.deployment(id), value, if: found.version }]);
    options.announce({ type: 'status', command, deployment: id, stack, status: 'waiting_for_lock' }, value);
  }

  /** The last commit of a deployment; with that of the last one of a command goes the last word on the command. */
  async function end(lease: HeldLease, ending: Ending, command: Command): Promise<void> {
    const key = keys.command(command.id);
    for (;;) {
      const found = await store.get<CommandRecord>(key);
      if (!found) throw new Error(`The command ${command.id} is not in the ledger`);
      const others = await deploymentsNamed(found.value.deployments.filter((id) => id !== ending.record.id));
      const isLast = found.value.status === 'running' && others.every(({ status }) => isEnded(status));
      const all = inOrder(found.value, [...others, ending.record]);
      const record = isLast ? await concluded(found.value, all, command, store, clock) : undefined;
      const rows = record ? answerRows(record, speaker, clock.now()) : [];
      // Without the last word the command's row changes all the same: of two siblings that end at once, one must see the other.
      const word: Write = { type: 'put', key, value: record ?? found.value, if: found.version };
      try {
        await lease.release([word, ...ending.writes, ...rows.map(({ write }) => write)], ending.note);
        outbox.send(rows.map(({ id }) => id));
        options.announce(
          {
            type: 'status',
            command: command.id,
            deployment: ending.record.id,
            stack: ending.record.stack,
            status: ending.record.status,
          },
          ending.record,
        );
        return;
      } catch (error) {
        if (!(error instanceof Conflict)) throw error;
      }
    }
  }

  async function answer(record: CommandRecord, version: number): Promise<void> {
    const rows = answerRows(record, speaker, clock.now());
    await store.commit([
      { type: 'put', key: keys.command(record.id), value: record, if: version },
      ...rows.map(({ write }) => write),
    ]);
    outbox.send(rows.map(({ id }) => id));
  }

  async function deploymentsNamed(ids: readonly string[]): Promise<DeploymentRecord[]> {
    const found = await Promise.all(ids.map((id) => store.get<DeploymentRecord>(keys.deployment(id))));
    return found.flatMap((stored) => (stored ? [stored.value] : []));
  }

  async function recover(): Promise<void> {
    await outbox.recover();
    const left = await Promise.all(
      (['accepted', 'running'] as const).map((status) =>
        listAll<CommandRecord>(store, { collection: 'commands', where: { field: 'status', is: status } }),
      ),
    );
    const oldestFirst = left.flat().sort((a, b) => a.value.receivedAt.localeCompare(b.value.receivedAt));
    for (const { value } of oldestFirst) submit(value);
  }

  function sweep(): void {
    stopSweeping = clock.after(SWEEP_MS, () => {
      recover()
        .catch((error) => onTrouble(error, 'the sweep'))
        .finally(() => {
          if (!leaving.signal.aborted) sweep();
        });
    });
  }

  return {
    submit,
    async start() {
      await recover();
      sweep();
    },
    async leave() {
      leaving.abort(new Leaving('This director is stopping'));
      stopSweeping();
      await Promise.allSettled(deployments.values());
      await outbox.settled();
    },
  };
}

function inOrder(
  { deployments: ids }: CommandRecord,
  records: readonly DeploymentRecord[],
): DeploymentRecord[] {
  return ids.flatMap((id) => records.find((record) => record.id === id) ?? []);
}
