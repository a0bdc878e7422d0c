/**
 * One deployment: one stack, brought from what is to what shall be.
 *
 *   queued → planning ──┬→ applying ──┬→ succeeded
 *     │        │        │             ├→ failed
 *     │        └→ failed│             └→ cancelled
 *     │                 └→ succeeded (dry run)
 *     └→ waiting_for_lock → planning
 *
 * Every arrow is a commit. A process that dies leaves the deployment where its last commit put it; whoever
 * takes it up goes on from there: plans if there is no plan, else applies that plan, in which each unit is
 * looked at before it is touched.
 */
import type { Command } from '@service-director/shared/contract/command.ts';
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import { apply, type Journal, type UnitOutcome } from '@service-director/shared/engine/apply.ts';
import type { Engine, EngineContext } from '@service-director/shared/engine/engine.ts';
import { makePlan, type Plan } from '@service-director/shared/engine/plan.ts';
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import {
  bindingKey,
  bindingsOf,
  type UnitState,
  withoutBindings,
} from '@service-director/shared/model/state.ts';
import type { Unit, UnitId } from '@service-director/shared/model/unit.ts';
import { Fenced, type HeldLease } from '../store/lease.ts';
import { listAll } from '../store/list-all.ts';
import {
  type DeploymentRecord,
  type DeploymentStatus,
  type JournalEntry,
  keys,
  type StackRecord,
  type VersionRecord,
} from '../store/records.ts';
import { type Store, type Stored, StoreFailure, type Write } from '../store/store.ts';
import { existing, type Inputs, inputsOf, Unplannable } from './inputs.ts';
import { lineOf, summaryOf } from './report.ts';
import type { Described } from './subject.ts';

export interface DeploymentContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly engine: Engine;
  readonly projectNumber: string;
  /** What the engine gets for every unit; `rank` orders its calls. */
  engineContext(rank: number): Omit<EngineContext, 'record' | 'waiting' | 'signal'>;
  /** Tells what happens, as it happens; whether it arrives is nobody's promise. */
  announce(event: DirectorEvent, deployment: DeploymentRecord): void;
}

/** How a deployment ended, ready to be committed with the last word on its command. */
export interface Ending {
  readonly record: DeploymentRecord;
  /** Belong into the same commit. */
  readonly writes: readonly Write[];
  readonly note: Partial<Pick<StackRecord, 'version' | 'permanent'>>;
}

export interface DeploymentWork {
  readonly record: DeploymentRecord;
  readonly command: Command;
  readonly lease: HeldLease;
  /** As the stack was when the lease was claimed. */
  readonly stack: StackRecord;
  /** The architecture as far as anybody described it. */
  describe(): Promise<Described>;
  /** Aborted by a cancel, by the end of its time, by the loss of the lease, or because this process stops. */
  readonly signal: AbortSignal;
  /** Whether this process stops: then nothing is ended, somebody else goes on. */
  isLeaving(): boolean;
}

/** This process stops; the deployment goes on elsewhere, or after the restart. */
export class Leaving extends Error {}

/** Runs it to its end, up to but without the last commit. Rejects with Leaving, Fenced or StoreFailure: then it has not ended. */
export async function runDeployment(work: DeploymentWork, context: DeploymentContext): Promise<Ending> {
  const journal = await openJournal(work, context);
  try {
    return await planAndApply(work, journal, context);
  } catch (error) {
    if (error instanceof Leaving || error instanceof Fenced || error instanceof StoreFailure) throw error;
    leaveIfAsked(work);
    const { message, fix } = error instanceof Unplannable ? error : mistake(error);
    const told = { status: 'failed' as const, error: message, ...(fix === undefined ? {} : { fix }) };
    return journal.ending({ ...journal.record(), ...told }, undefined);
  }
}

/** What nobody foresaw ends the deployment too, and says so: it must not be tried for ever. */
export function mistake(error: unknown): Unplannable {
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Unplannable(`The director made a mistake: ${trace}`, 'report it; then run it again');
}

async function planAndApply(
  work: DeploymentWork,
  journal: OpenJournal,
  context: DeploymentContext,
): Promise<Ending> {
  const { lease, stack } = work;
  const { operation, dataflow } = work.record;
  const { architecture, directorUrl, digest } = await work.describe();
  const command = { ...work.command, data: { ...work.command.data, director_url: directorUrl } } as Command;
  // A plan is for what it was made from: whoever takes it up and knows of something newer plans anew.
  const stored = work.record.described === digest ? work.record.plan : undefined;
  const applied = await statesOf(context.store, work.record.stack);
  const options = {
    architecture,
    dataflow,
    command,
    operation,
    priors: applied,
    projectNumber: context.projectNumber,
    wasPermanent: stack.permanent,
  };
  let inputs = inputsOf(options);
  const priors = await withoutShared(applied, inputs.desired, work.record, context.store);
  const base = (rank: number, waiting: (because: string) => void): EngineContext => ({
    ...context.engineContext(rank),
    signal: work.signal,
    waiting,
    record: () => Promise.reject(new Error('Planning writes nothing')),
  });

  if (!stored) await journal.status('planning');
  const looking = base(0, () => {});
  const obsolete = await planning(work, () => existing(inputs.obsolete, priors, context.engine, looking));
  inputs = { ...inputs, obsolete };
  const waiting = (unit: UnitId, because: string): void =>
    journal.tell({ type: 'unit-waiting', unit, because });
  const { engine } = context;
  const plan =
    stored ??
    (await planning(work, () =>
      makePlan({ stack: lease.stack, operation, ...inputs, priors, engine, context: looking, waiting }),
    ));
  leaveIfAsked(work);
  if (!stored) await journal.planned(plan, digest);
  const described = architecture?.dataflows[dataflow];
  const permanent = described && described.lifecycle.strategy === 'permanent';
  if (work.record.dryRun) return journal.ending({ ...journal.record(), status: 'succeeded' }, undefined);

  await journal.status('applying');
  const outcomes = await apply({
    plan,
    ...inputs,
    priors,
    engine: context.engine,
    journal,
    clock: context.clock,
    emit: (progress) => journal.tell(progress),
    isComing: (unit) => isComing(unit, inputs, work.record, context.store),
    letGo: (state) => letGo(state, work, context.store),
    context: (rank, unit) => base(rank, (because) => journal.tell({ type: 'unit-waiting', unit, because })),
  });
  leaveIfAsked(work);
  return journal.ending(concluded(journal.record(), outcomes, work), permanent);
}

/** Whatever keeps a plan from being made is for the user to hear. */
async function planning<T>(work: DeploymentWork, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    leaveIfAsked(work);
    throw new Unplannable(`It cannot be planned: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function concluded(
  record: DeploymentRecord,
  outcomes: ReadonlyMap<UnitId, UnitOutcome>,
  work: DeploymentWork,
): DeploymentRecord {
  const units = [...outcomes].map(([id, outcome]) => lineOf(id, outcome));
  const statuses = new Set([...outcomes.values()].map(({ status }) => status));
  const urls = Object.fromEntries(
    [...outcomes].flatMap(([id, outcome]) => {
      const uri = outcome.status === 'done' ? outcome.outputs.uri : undefined;
      return id.startsWith('service/') && uri ? [[id.slice('service/'.length), uri]] : [];
    }),
  );
  const done = { ...record, units, urls };
  if (statuses.has('cancelled')) {
    const reason: unknown = work.signal.reason;
    const error = reason instanceof Error ? reason.message : 'it was cancelled';
    return {
      ...done,
      status: reason instanceof TimedOut ? 'failed' : 'cancelled',
      error,
      fix: 'run it again; what was done is kept',
    };
  }
  return { ...done, status: statuses.has('failed') || statuses.has('skipped') ? 'failed' : 'succeeded' };
}

/** The time of the command is over. */
export class TimedOut extends Error {
  constructor(seconds: number) {
    super(`it was not done within ${seconds} s`);
    this.name = 'TimedOut';
  }
}

function leaveIfAsked({ isLeaving, lease }: DeploymentWork): void {
  if (lease.lost.aborted) throw lease.lost.reason;
  if (isLeaving()) throw new Leaving('This director is stopping');
}

export async function statesOf(store: Store, stack: string): Promise<Map<UnitId, UnitState>> {
  const rows = await listAll<UnitState>(store, { collection: 'units', prefix: `${stack}//` });
  return new Map(rows.map(({ value }) => [value.id, value]));
}

/** Whether a deployment that would make it has not ended yet. */
async function isComing(
  unit: UnitId,
  inputs: Inputs,
  record: DeploymentRecord,
  store: Store,
): Promise<boolean> {
  const makers = inputs.makers.get(unit) ?? [];
  // What would make it in this stack stands in the queue behind us.
  const others = makers.filter((dataflow) => dataflow !== record.dataflow);
  const stacks = new Set(others.map((dataflow) => `${record.scope}/${dataflow}`));
  if (stacks.size === 0) return false;
  for (const status of UNENDED) {
    const found = await store.list<DeploymentRecord>({
      collection: 'deployments',
      where: { field: 'status', is: status },
    });
    if (found.some(({ value }) => stacks.has(value.stack))) return true;
  }
  return false;
}

export const UNENDED = [
  'queued',
  'waiting_for_lock',
  'planning',
  'applying',
] as const satisfies readonly DeploymentStatus[];

/**
 * Gives up this stack's share in something that several may use: an account stays while somebody else uses it, of
 * grants goes what nobody else gives. The share is given up before the others are counted: of two that let go at
 * once, at least one finds that nobody is left.
 */
async function letGo(
  state: UnitState,
  { lease, record }: DeploymentWork,
  store: Store,
): Promise<string | UnitState> {
  if (state.kind !== 'service-account' && state.kind !== 'grants') return state;
  const key = keys.unit(record.stack, state.id);
  const mine = await store.get<UnitState>(key);
  // Marked, not forgotten: whoever goes on after a crash must still know of it.
  if (mine) await lease.commit([{ type: 'put', key, value: { ...mine.value, leaving: true }, if: 'any' }]);
  const others = await sharedWith(record, store);
  const users = others.filter(({ value }) => value.id === state.id);
  if (state.kind === 'grants')
    return withoutBindings(
      state,
      users.map(({ value }) => value),
    );
  const [user] = users;
  return user ? `${user.id.split('//')[0]} uses it too` : state;
}

/** What other stacks of the architecture have and do not give up. */
async function sharedWith({ scope, stack }: DeploymentRecord, store: Store): Promise<Stored<UnitState>[]> {
  const rows = await listAll<UnitState>(store, { collection: 'units', prefix: `${scope}/` });
  return rows.filter(({ value, id }) => !value.leaving && !id.startsWith(`${stack}//`));
}

/** What we applied, without the grants that we give no more and others do: those are not ours to take back. */
async function withoutShared(
  priors: ReadonlyMap<UnitId, UnitState>,
  desired: readonly Unit[],
  record: DeploymentRecord,
  store: Store,
): Promise<ReadonlyMap<UnitId, UnitState>> {
  const shrinking = desired.flatMap((unit) => {
    const prior = priors.get(unit.id);
    if (unit.kind !== 'grants' || !prior) return [];
    const wanted = new Set(bindingsOf(unit).map(bindingKey));
    return bindingsOf(prior).every((binding) => wanted.has(bindingKey(binding))) ? [] : [prior];
  });
  if (shrinking.length === 0) return priors;
  const others = (await sharedWith(record, store)).map(({ value }) => value);
  const kept = shrinking.map((prior): [UnitId, UnitState] => [
    prior.id,
    withoutBindings(
      prior,
      others.filter(({ id }) => id === prior.id),
    ),
  ]);
  return new Map([...priors, ...kept]);
}

/** The journal of one deployment, with its record kept in step. */
interface OpenJournal extends Journal {
  record(): DeploymentRecord;
  status(status: DeploymentStatus): Promise<void>;
  /** Keeps the plan and goes on to apply it, unless only the plan was asked for. */
  planned(plan: Plan, described: string): Promise<void>;
  tell(progress: Parameters<Parameters<typeof apply>[0]['emit']>[0]): void;
  /** `permanent` is what the dataflow was said to be, where it was applied. */
  ending(record: DeploymentRecord, permanent: boolean | undefined): Promise<Ending>;
}

async function openJournal(
  work: DeploymentWork,
  { store, clock, announce }: DeploymentContext,
): Promise<OpenJournal> {
  const { lease } = work;
  const { stack, command, id } = work.record;
  const key = keys.deployment(id);
  const entries = await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${id}/` });
  let sequence = Number(entries.at(-1)?.id.split('/').at(-1) ?? 0);
  let current = work.record;
  /** What this deployment changed, by unit, over all processes that worked on it. */
  const changes = new Map<UnitId, { before?: UnitState; after?: UnitState }>();
  const begun = new Set<UnitId>();
  for (const { value } of entries) {
    if (value.type === 'intend') begun.add(value.unit);
    if (value.type !== 'finish') continue;
    begun.delete(value.unit);
    noteChange(value.unit, value.before, value.after);
  }
  /** What was cut short, or not begun, because we leave is not over. */
  const isPostponed = ({ status }: UnitOutcome): boolean =>
    (status === 'cancelled' || status === 'skipped') && (work.isLeaving() || lease.lost.aborted);

  function noteChange(unit: UnitId, before: UnitState | undefined, after: UnitState | undefined): void {
    const first = changes.get(unit)?.before ?? before;
    changes.set(unit, { ...(first ? { before: first } : {}), ...(after ? { after } : {}) });
  }

  function append(entry: DistributiveOmit<JournalEntry, 'at'>): Write {
    const value = { at: timestamp(clock.now()), ...entry };
    return { type: 'put', key: keys.journal(id, ++sequence), value, if: 'absent' };
  }

  async function update(change: Partial<DeploymentRecord>, more: readonly Write[] = []): Promise<void> {
    current = { ...current, ...change };
    await lease.commit([{ type: 'put', key, value: current, if: 'any' }, ...more]);
  }

  return {
    record: () => current,

    async status(status) {
      if (current.status === status) return;
      const startedAt = current.startedAt ?? timestamp(clock.now());
      await update({ status, startedAt }, [append({ type: 'status', status })]);
      announce({ type: 'status', command, deployment: id, stack, status }, current);
    },

    async planned(plan, described) {
      const next = current.dryRun ? undefined : ('applying' as const);
      await update(
        { plan, described, ...(next ? { status: next } : {}) },
        next ? [append({ type: 'status', status: next })] : [],
      );
      announce({ type: 'planned', command, deployment: id, stack, plan: summaryOf(plan) }, current);
      if (next) announce({ type: 'status', command, deployment: id, stack, status: next }, current);
    },

    begun: () => begun,

    intend: (unit, action) => lease.commit([append({ type: 'intend', unit, action, token: lease.token })]),

    async finish(unit, outcome, after, seconds) {
      if (isPostponed(outcome)) return;
      const before = (await store.get<UnitState>(keys.unit(stack, unit)))?.value;
      const isNews = JSON.stringify(before) !== JSON.stringify(after);
      const line = lineOf(unit, outcome);
      if (!isNews && line.result === 'unchanged') return;
      if (isNews) noteChange(unit, before, after);
      const states = { ...(before ? { before } : {}), ...(after ? { after } : {}) };
      const entry = append({ type: 'finish', unit, line, seconds, ...(isNews ? states : {}) });
      const where = keys.unit(stack, unit);
      const row: Write[] = after
        ? [{ type: 'put', key: where, value: after, if: 'any' }]
        : [{ type: 'delete', key: where, if: 'any' }];
      await lease.commit(isNews ? [entry, ...row] : [entry]);
    },

    tell(progress) {
      const { unit } = progress;
      switch (progress.type) {
        case 'unit-started':
          announce({ type: 'unit-started', command, stack, unit, change: progress.change }, current);
          return;
        case 'unit-waiting':
          // Told, and kept where it can be read later; a failure to keep it shows at the next write.
          lease.commit([append({ type: 'waiting', unit, because: progress.because })]).catch(() => {});
          announce({ type: 'unit-waiting', command, stack, unit, because: progress.because }, current);
          return;
        case 'unit-finished': {
          if (isPostponed(progress.outcome)) return;
          const line = lineOf(unit, progress.outcome);
          if (line.result === 'unchanged') return;
          const because = line.because === undefined ? {} : { because: line.because };
          announce(
            {
              type: 'unit-finished',
              command,
              stack,
              unit,
              result: line.result,
              seconds: progress.seconds,
              ...because,
            },
            current,
          );
        }
      }
    },

    async ending(record, permanent) {
      const at = timestamp(clock.now());
      const version = changes.size > 0 ? work.stack.version + 1 : undefined;
      const ended: DeploymentRecord = {
        ...current,
        ...record,
        endedAt: at,
        ...(version === undefined ? {} : { version }),
      };
      const writes: Write[] = [
        { type: 'put', key, value: ended, if: 'any' },
        append({ type: 'status', status: ended.status }),
      ];
      if (version !== undefined) {
        const made: VersionRecord = {
          stack,
          version,
          deployment: id,
          at,
          by: work.command.requester,
          changes: [...changes].map(([unit, change]) => ({ unit, ...change })),
        };
        writes.push({ type: 'put', key: keys.version(stack, version), value: made, if: 'absent' });
      }
      const note = {
        ...(version === undefined ? {} : { version }),
        ...(permanent === undefined ? {} : { permanent }),
      };
      return { record: ended, writes, note };
    },
  };
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
