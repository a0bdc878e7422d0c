/**
 * One deployment: one stack, brought from what is to what shall be.
 *
 *   queued → planning ──┬→ applying ──┬→ succeeded
 *     │        │        │    │        ├→ failed ──→ (a rollback of its own, if asked for)
 *     │        │        │    └→ cancelling → cancelled
 *     │        │        ├→ awaiting_approval ─┬→ queued → applying
 *     │        │        │                     └→ cancelled (rejected, or nobody came)
 *     │        └→ failed└→ succeeded (dry run, or nothing to do)
 *     └→ waiting_for_lock → planning
 *
 * Every arrow is a commit. A process that dies leaves the deployment where its last commit put it; whoever
 * takes it up goes on from there: plans if there is no plan, else applies that plan, in which each unit is
 * looked at before it is touched.
 */

import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Operating } from '@service-director/shared/contract/command.ts';
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import { apply, type UnitOutcome } from '@service-director/shared/engine/apply.ts';
import type { Engine, EngineContext } from '@service-director/shared/engine/engine.ts';
import { makePlan, type Plan } from '@service-director/shared/engine/plan.ts';
import { type Clock, type Random, timestamp } from '@service-director/shared/kit/clock.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { UnitId } from '@service-director/shared/model/unit.ts';
import type { Sources } from '../bundles/sources.ts';
import { Cancelled, Fenced, type Tenure } from '../protocol/drive-run.ts';
import type { Conclusion, Ending } from '../protocol/run.ts';
import { auditWrites, type Fact } from '../store/audit.ts';
import {
  type Approval,
  type DeploymentRecord,
  keys,
  type StackRecord,
  type VersionRecord,
} from '../store/records.ts';
import { Conflict, type Store, type Stored, StoreFailure, type Write } from '../store/store.ts';
import { tellingWrites } from '../webhooks/deliveries.ts';
import { type Blueprints, type Described, type Inputs, mistake, Unplannable } from './blueprints.ts';
import { endingWrites, statesOf } from './conclusion.ts';
import { demandTime } from './held-time.ts';
import { existing } from './inputs.ts';
import { type DeploymentJournal, openJournal } from './journal.ts';
import { digestsOf, withCode } from './modules.ts';
import type { Speaker } from './outbox.ts';
import { lineOf } from './report.ts';
import { demandSure, pastOf, rollbackInputs } from './rollback.ts';
import { isComing, join, joined, letGo, withoutShared } from './sharing.ts';

export interface DeploymentContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly engine: Engine;
  readonly blueprints: Blueprints;
  readonly speaker: Speaker;
  readonly projectNumber: string;
  /** How many earlier versions of a stack's state are kept. */
  readonly retention: number;
  /** How long an approval is waited for, in milliseconds. */
  readonly approvalMs: number;
  /** Where the code of modules comes from; without it there can be none. */
  readonly sources: Sources | undefined;
  /** What the engine gets for every unit; `rank` orders its calls. */
  engineContext(rank: number): Omit<EngineContext, 'record' | 'waiting' | 'signal'>;
  /** Tells what happens, as it happens; whether it arrives is nobody's promise. */
  announce(event: DirectorEvent, deployment: DeploymentRecord): void;
}

export interface DeploymentWork {
  readonly command: Operating;
  readonly tenure: Tenure;
  /** Aborted by a cancel, by the end of its time, by the loss of the lease, or because this process stops. */
  readonly signal: AbortSignal;
  /** Whether this process stops: then nothing is ended, somebody else goes on. */
  isLeaving(): boolean;
}

/** A deployment as its run wants it: what to do, and what its end writes. */
export interface OpenDeployment {
  work(): Promise<Ending>;
  /** Reads whatever else the end of `record` depends on. */
  gather(record: DeploymentRecord): Promise<Conclusion>;
}

/** The time of the command is over. */
export class TimedOut extends Error {
  constructor(seconds: number) {
    super(`it was not done within ${seconds} s`);
    this.name = 'TimedOut';
  }
}

export function openDeployment(work: DeploymentWork, context: DeploymentContext): OpenDeployment {
  const { tenure } = work;
  const { store, clock } = context;
  let journal: DeploymentJournal | undefined;
  /** What holds from now on for the stack, where it was applied. */
  let learned: Partial<StackRecord> = {};
  let undoes: readonly string[] = tenure.record.undoes ?? [];
  let sources: Readonly<Record<UnitId, string>> = {};

  async function attempt(): Promise<Ending> {
    const { record } = tenure;
    const { operation, dataflow, stack, status } = record;
    context.announce(
      { type: 'status', command: record.command, deployment: record.id, stack, status },
      record,
    );
    const states = await statesOf(store, stack);
    const open = openJournal({
      tenure,
      states,
      clock,
      announce: (event) => context.announce(event, record),
      isLeaving: work.isLeaving,
    });
    journal = open;
    const described = await context.blueprints.describe(record.scope, work.command, store);
    const { inputs, priors } = await inputsFor(described, states, open);
    const plan = await planFor(inputs, priors, described, open);
    if ('type' in plan) return plan;
    const made = { plan, described: described.digest };
    if (record.dryRun) return { type: 'conclude', record: { ...made, status: 'succeeded' } };

    const outcomes = await apply({
      plan,
      ...inputs,
      priors,
      engine: context.engine,
      // What an earlier plan finished may be something else in this one.
      journal: plan === record.plan ? open : { ...open, finished: () => new Map() },
      clock,
      emit: open.tell,
      isComing: (unit) => isComing(unit, inputs, record, store),
      letGo: (state) => letGo(state, tenure, store, open.keep),
      context: (rank, unit) => ({
        ...contextOf(rank, (because) => open.tell({ type: 'unit-waiting', unit, because })),
        log: (line) => open.say(unit, line),
      }),
    });
    leaveIfAsked();
    const permanent = operation === 'teardown' ? undefined : described.isPermanent(dataflow);
    learned = {
      ...(permanent === undefined ? {} : { permanent }),
      ...(described.approval === undefined ? {} : { approval: described.approval }),
    };
    return { type: 'conclude', record: { ...made, ...endedWith(outcomes) } };
  }

  async function inputsFor(
    described: Described,
    applied: ReadonlyMap<UnitId, UnitState>,
    open: DeploymentJournal,
  ): Promise<{ inputs: Inputs; priors: ReadonlyMap<UnitId, UnitState> }> {
    const { record, stack } = tenure;
    const inputs =
      record.operation === 'rollback'
        ? await wayBack(applied)
        : described.inputs({
            dataflow: record.dataflow,
            command: work.command,
            operation: record.operation,
            priors: applied,
            projectNumber: context.projectNumber,
            wasPermanent: stack.permanent,
          });
    const { signal } = work;
    const waiting = (unit: UnitId, because: string): void =>
      open.tell({ type: 'unit-waiting', unit, because });
    const desired = await withCode(inputs.desired, record.sources ?? {}, {
      sources: context.sources,
      signal: work.signal,
      say: open.say,
    });
    sources = digestsOf(desired);
    if (!record.dryRun) await join(inputs.desired, applied, record, { store, clock, signal, waiting });
    const priors = await withoutShared(applied, inputs.desired, record, store);
    const looking = contextOf(0, () => {});
    const obsolete = await planning(() => existing(inputs.obsolete, priors, context.engine, looking));
    return { inputs: { ...inputs, desired, obsolete }, priors };
  }

  async function wayBack(applied: ReadonlyMap<UnitId, UnitState>): Promise<Inputs> {
    const { record, stack } = tenure;
    if (record.toVersion === 'current') demandSure(record.stack, applied);
    const version = record.toVersion === 'current' ? stack.version : (record.toVersion ?? stack.version - 1);
    if (version < 0) throw new Unplannable('the stack has no version before its first');
    const past = await pastOf(record.stack, applied, stack.version, version, store);
    const strangers = past.undoes.filter((id) => record.undoes && !record.undoes.includes(id));
    if (strangers.length > 0)
      throw new Unplannable(
        `${strangers.join(', ')} changed it since`,
        'see conductor history, and roll back to the version that is meant',
      );
    undoes = [...new Set([...(record.undoes ?? []), ...past.undoes])];
    return rollbackInputs(past.states, applied);
  }

  /** The plan that is to be applied; or how the deployment ends without. */
  async function planFor(
    inputs: Inputs,
    priors: ReadonlyMap<UnitId, UnitState>,
    described: Described,
    open: DeploymentJournal,
  ): Promise<Plan | Ending> {
    const { digest } = described;
    const stored = storedPlan(digest, open);
    if (stored) return stored;
    const plan = await makeOne(inputs, priors, open);
    demandTime(plan, work.command.data.timeout_seconds);
    leaveIfAsked();
    work.signal.throwIfAborted();
    const { record, stack } = tenure;
    // Who approved with the command approved what there would be to do.
    const byWord = work.command.data.auto_approve ? undefined : record.approval;
    if (byWord?.state === 'approved') return demandApproved(plan, byWord.planHash);
    if (record.dryRun || changesNothing(plan)) {
      open.tellPlan(plan);
      return plan;
    }
    // What is half done is not left so for somebody's word.
    const gate = open.hasBegun() ? 'automatic' : (described.approval ?? stack.approval ?? 'automatic');
    if (gate === 'manual' && !work.command.data.auto_approve) return park(plan, digest, open);
    const approval = gate === 'manual' ? { approval: approvedWithCommand(plan) } : {};
    await open.planned(plan, { described: digest, status: 'applying', sources, ...approval });
    return plan;
  }

  /** A plan is for what it was made from: whoever takes it up and knows of something newer plans anew. */
  function storedPlan(digest: string, open: DeploymentJournal): Plan | undefined {
    const { plan, approval, described } = tenure.record;
    // What was approved is compared with what is there now, until it is begun.
    if (approval?.state === 'approved') return open.hasBegun() ? plan : undefined;
    return described === digest ? plan : undefined;
  }

  function demandApproved(plan: Plan, hash: string): Plan {
    if (plan.hash === hash) return plan;
    throw new Unplannable(
      'The plan that was approved is stale: what it would do now is another thing',
      'run it again, and read the new plan',
    );
  }

  function approvedWithCommand({ hash }: Plan): Approval {
    const by = tenure.record.requester ?? work.command.requester;
    return { state: 'approved', planHash: hash, by, at: timestamp(clock.now()), reason: 'with the command' };
  }

  async function makeOne(
    inputs: Inputs,
    priors: ReadonlyMap<UnitId, UnitState>,
    open: DeploymentJournal,
  ): Promise<Plan> {
    const { stack, operation } = tenure.record;
    const { engine } = context;
    const looking = contextOf(0, () => {});
    const waiting = (unit: UnitId, because: string): void =>
      open.tell({ type: 'unit-waiting', unit, because });
    return planning(() =>
      makePlan({ stack, operation, ...inputs, priors, engine, context: looking, waiting, log: open.say }),
    );
  }

  async function park(plan: Plan, described: string, open: DeploymentJournal): Promise<Ending> {
    const now = clock.now();
    const expiresAt = now + context.approvalMs;
    const status = 'awaiting_approval';
    open.tellPlan(plan);
    const approval = { state: 'pending', planHash: plan.hash, expiresAt } as const;
    const record = { plan, described, sources, status, approval } as const;
    return {
      type: 'park',
      record,
      entries: [{ at: timestamp(now), type: 'status', status }],
      // Nobody may come for it: until then it uses nothing. Whoever goes on with it says so again.
      writes: [...(await joined(tenure.record.stack, store))],
    };
  }

  /** Whatever keeps a plan from being made is for the user to hear. */
  async function planning<T>(look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } catch (error) {
      leaveIfAsked();
      if (work.signal.aborted) throw work.signal.reason;
      throw new Unplannable(
        `It cannot be planned: ${error instanceof Error ? error.message : String(error)}`,
        error instanceof CloudError ? error.fix : undefined,
      );
    }
  }

  function contextOf(rank: number, waiting: (because: string) => void): EngineContext {
    const { traceparent } = tenure.record;
    return {
      ...context.engineContext(rank),
      ...(traceparent === undefined ? {} : { traceparent }),
      signal: work.signal,
      waiting,
      demandFresh: tenure.demandFresh,
      record: () => Promise.reject(new Error('Planning writes nothing')),
    };
  }

  function leaveIfAsked(): void {
    if (tenure.lost.aborted) throw tenure.lost.reason;
    if (work.isLeaving()) throw work.signal.reason;
  }

  function endedWith(outcomes: ReadonlyMap<UnitId, UnitOutcome>): Partial<DeploymentRecord> {
    const units = [...outcomes].map(([id, outcome]) => lineOf(id, outcome));
    const statuses = new Set([...outcomes.values()].map(({ status }) => status));
    const urls = Object.fromEntries(
      [...outcomes].flatMap(([id, outcome]) => {
        const uri = outcome.status === 'done' ? outcome.outputs.uri : undefined;
        return id.startsWith('service/') && uri ? [[id.slice('service/'.length), uri]] : [];
      }),
    );
    const done = { units, urls };
    if (statuses.has('cancelled')) return { ...done, ...stopped(work.signal.reason) };
    return { ...done, status: statuses.has('failed') || statuses.has('skipped') ? 'failed' : 'succeeded' };
  }

  /** How it ends that it could not be done; throws on what is no end of the deployment. */
  function endOn(error: unknown): Ending {
    const isOurs = error instanceof Fenced || error instanceof StoreFailure || error instanceof Conflict;
    if (tenure.lost.aborted) throw tenure.lost.reason;
    if (isOurs) throw error;
    if (work.isLeaving()) return { type: 'leave' };
    if (work.signal.aborted) return { type: 'conclude', record: stopped(work.signal.reason) };
    const { message, fix } = error instanceof Unplannable ? error : mistake(error);
    const told = { status: 'failed' as const, error: message, ...(fix === undefined ? {} : { fix }) };
    return { type: 'conclude', record: told };
  }

  return {
    work: () => attempt().catch(endOn),
    gather: (record) =>
      endOf(record, {
        changes: journal?.changes() ?? [],
        hasBegun: journal?.hasBegun() ?? false,
        learned,
        undoes,
        work,
        context,
      }),
  };
}

function stopped(reason: unknown): Partial<DeploymentRecord> {
  const error = reason instanceof Error ? reason.message : 'it was cancelled';
  const status = reason instanceof Cancelled ? 'cancelled' : 'failed';
  return { status, error, fix: 'run it again; what was done is kept' };
}

function changesNothing({ units }: Plan): boolean {
  return units.every(
    ({ change, kept, unverified, refused }) =>
      (change.action === 'none' || kept !== undefined) && !unverified && !refused,
  );
}

interface EndOptions {
  readonly changes: VersionRecord['changes'];
  /** Whether anything was called that may have had an effect. */
  readonly hasBegun: boolean;
  readonly learned: Partial<StackRecord>;
  readonly undoes: readonly string[];
  readonly work: DeploymentWork;
  readonly context: DeploymentContext;
}

/** All that the end of a deployment writes, in the one commit in which it also gives its lease back. */
async function endOf(record: DeploymentRecord, options: EndOptions): Promise<Conclusion> {
  const { changes, hasBegun, learned, undoes, work, context } = options;
  const { store, clock, retention } = context;
  const { stack, id, command, requester = work.command.requester, reason } = record;
  const at = timestamp(clock.now());
  const before = work.tenure.stack;
  const serial = (before.serial ?? 0) + changes.length;
  const version = changes.length > 0 ? before.version + 1 : undefined;
  const ended: DeploymentRecord = {
    ...record,
    endedAt: at,
    ...(version === undefined ? {} : { version }),
    ...(undoes.length === 0 ? {} : { undoes }),
  };
  const why = reason === undefined ? {} : { reason };
  const facts: Fact[] = [];
  if (version !== undefined)
    facts.push({
      what: 'changed',
      by: requester,
      at,
      command,
      deployment: id,
      detail: `${record.operation} ${ended.status}: version ${version}`,
      ...why,
    });
  const follows = hasBegun ? wayBackOf(ended, before.version) : undefined;
  const undone = await overlays(ended, undoes, store);
  const writes = [
    ...(await endingWrites([ended, ...undone.map(({ value }) => value)], context, follows)),
    ...undone.map(
      ({ id: one, value, version: at }): Write => ({
        type: 'put',
        key: keys.deployment(one),
        value,
        if: at,
      }),
    ),
    ...(await auditWrites(stack, facts, store)),
    ...(await joined(stack, store)),
    // Of its own status whoever carries it tells: its commits go through a `tellingStore`.
    ...(follows ? await tellingWrites(undefined, follows, context) : []),
  ];
  if (version !== undefined) {
    const made: VersionRecord = {
      stack,
      version,
      serial,
      deployment: id,
      operation: record.operation,
      at,
      by: requester,
      ...why,
      changes,
    };
    writes.push({ type: 'put', key: keys.version(stack, version), value: made, if: 'absent' });
    // Each tells the way back to the one before it: so many, and that of who made the oldest.
    const oldest = version - retention - 1;
    if (oldest > 0) writes.push({ type: 'delete', key: keys.version(stack, oldest), if: 'any' });
  }
  writes.push({ type: 'delete', key: keys.queue(record), if: 'any' });
  return {
    record: ended,
    entries: [{ at, type: 'status', status: ended.status }],
    writes,
    stack: { ...learned, ...(version === undefined ? {} : { version, serial }) },
  };
}

/** What was rolled back shows as such, once it has been: an overlay, for how it ended stays as it was. */
async function overlays(
  { id, dryRun, operation, status }: DeploymentRecord,
  undoes: readonly string[],
  store: Store,
): Promise<Stored<DeploymentRecord>[]> {
  if (dryRun || operation !== 'rollback' || status !== 'succeeded') return [];
  const found = await Promise.all(
    undoes.map((undone) => store.get<DeploymentRecord>(keys.deployment(undone))),
  );
  return found.flatMap((stored) =>
    stored ? [{ ...stored, value: { ...stored.value, rolledBackBy: id } }] : [],
  );
}

/** The rollback that follows a deployment that failed and was told not to be left so. */
function wayBackOf(ended: DeploymentRecord, version: number): DeploymentRecord | undefined {
  if (ended.status !== 'failed' || ended.onFailure !== 'rollback') return undefined;
  const { command, correlationId, traceparent, stack, scope, dataflow, requester, lockId, createdAt } = ended;
  return {
    id: `${ended.id}.rollback`,
    command,
    correlationId,
    ...(traceparent === undefined ? {} : { traceparent }),
    stack,
    scope,
    dataflow,
    operation: 'rollback',
    status: 'queued',
    dryRun: false,
    // Before whatever waits: on what is half done nobody builds.
    priority: 'high',
    createdAt,
    ...(requester === undefined ? {} : { requester }),
    reason: `${ended.id} failed`,
    toVersion: version,
    undoes: [ended.id],
    ...(lockId === undefined ? {} : { lockId }),
  };
}
