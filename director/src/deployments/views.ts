/** Records as they are told: what a list, a state, a history and an audit trail show of them. */
import type {
  ApprovalView,
  AuditTrail,
  DeploymentBrief,
  DeploymentDetail,
  LockView,
  StackState,
  VersionView,
} from '@service-director/shared/contract/state.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import {
  type Approval,
  type AuditRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
  type LockRecord,
  type QueueRecord,
  type StackRecord,
  type VersionRecord,
} from '../store/records.ts';
import { isRestorable } from './rollback.ts';

/** What decides whose turn it is on a stack. */
export interface Surroundings {
  readonly stack: StackRecord | undefined;
  /** Taken by hand. */
  readonly lock: LockRecord | undefined;
  /** The next first; whoever has its turn is among them. */
  readonly queue: readonly QueueRecord[];
}

/** What has the lease, and what it did so far. */
export interface Holding {
  readonly record: DeploymentRecord;
  readonly entries: readonly JournalEntry[];
}

/** A line of a journal. */
export type JournalLine = DeploymentDetail['events'][number];

export function briefOf(record: DeploymentRecord, around: Surroundings): DeploymentBrief {
  const { id, command, stack, operation, status } = record;
  const place = isEnded(status) ? -1 : waitingIn(around).indexOf(id);
  return {
    id,
    command,
    stack,
    operation,
    status,
    dry_run: record.dryRun,
    priority: record.priority ?? 'normal',
    requester: record.requester ?? 'unknown',
    reason: record.reason,
    created_at: record.createdAt,
    started_at: record.startedAt,
    ended_at: record.endedAt,
    version: record.version,
    position: place < 0 ? undefined : place + 1,
    approval: record.approval && approvalOf(record.approval),
    waiting_for: whatFor(record, around),
    rolled_back_by: record.rolledBackBy,
  };
}

function approvalOf(approval: Approval): ApprovalView {
  const { state, planHash: plan_hash } = approval;
  if (approval.state === 'pending') return { state, plan_hash, expires_at: timestamp(approval.expiresAt) };
  const { by, at, reason } = approval;
  return { state, plan_hash, by, at, reason };
}

/** The queue without whoever has its turn. */
function waitingIn({ stack, queue }: Surroundings): string[] {
  return queue.map(({ deployment }) => deployment).filter((id) => id !== stack?.lease?.deployment);
}

function whatFor(record: DeploymentRecord, around: Surroundings): string | undefined {
  const { id, status, lockId } = record;
  if (status === 'awaiting_approval') return 'an approval';
  if (status !== 'queued' && status !== 'waiting_for_lock') return undefined;
  const { lock, stack } = around;
  if (lock && lock.id !== lockId) return `the lock ${lock.id} of ${lock.by} (${lock.operation})`;
  const waiting = waitingIn(around);
  const before = stack?.lease?.deployment ?? waiting[waiting.indexOf(id) - 1];
  return before === undefined || before === id ? undefined : `the deployment ${before}`;
}

/** Who keeps others away; of both kinds at once the one that lasts longer, which is the one taken by hand. */
export function lockOf({ stack, lock }: Surroundings, holding: Holding | undefined): LockView | undefined {
  const lease = stack?.lease;
  const step = lease && holding && stepOf(holding);
  if (lock) {
    const { id, operation, by: who, at: created, reason } = lock;
    return { id, held_by: 'manual', operation, who, created, reason, step, version: '1.0' };
  }
  if (!lease) return undefined;
  return {
    id: lease.deployment,
    held_by: 'deployment',
    operation: holding?.record.operation ?? 'unknown',
    who: holding?.record.requester ?? 'unknown',
    created: timestamp(lease.claimedAt),
    heartbeat_at: timestamp(lease.heartbeatAt),
    expires_at: timestamp(lease.expiresAt),
    step,
    reason: holding?.record.reason,
    version: '1.0',
  };
}

/** `applying: topic/orders, bucket/receipts`. */
function stepOf({ record, entries }: Holding): string {
  const begun = new Set<string>();
  for (const entry of entries) {
    if (entry.type === 'intend') begun.add(entry.unit);
    if (entry.type === 'finish') begun.delete(entry.unit);
  }
  return begun.size === 0 ? record.status : `${record.status}: ${[...begun].join(', ')}`;
}

export function stateOf(
  stack: StackRecord,
  around: Surroundings,
  holding: Holding | undefined,
  units: readonly UnitState[],
): StackState {
  const lock = lockOf(around, holding);
  return {
    stack: stack.stack,
    scope: stack.scope,
    dataflow: stack.dataflow,
    lineage: stack.lineage ?? '',
    serial: stack.serial ?? 0,
    version: stack.version,
    locked: lock !== undefined,
    lock,
    queue: waitingIn(around),
    units: units.map(({ id, engine, kind, spec, outputs, needs }) => ({
      id,
      engine,
      kind,
      fingerprint: fingerprint(spec),
      spec,
      outputs,
      needs: [...needs],
    })),
  };
}

/**
 * `rows` are the newest versions, newest first. `deployments` are those that made them, for rows of the first
 * release, which do not tell what was done.
 */
export function versionsOf(
  current: number,
  rows: readonly VersionRecord[],
  deployments: ReadonlyMap<string, DeploymentRecord>,
): VersionView[] {
  const kept = new Set(rows.map(({ version }) => version));
  return rows.map((row) => {
    const by = (pick: (before: boolean, after: boolean) => boolean): string[] =>
      row.changes
        .flatMap(({ unit, before, after }) => (pick(before !== undefined, after !== undefined) ? [unit] : []))
        .sort();
    const made = deployments.get(row.deployment);
    return {
      version: row.version,
      serial: row.serial ?? 0,
      current: row.version === current,
      // What is there need not be brought back.
      restorable: row.version < current && isRestorable(row.version, current, kept),
      deployment: row.deployment,
      operation: row.operation ?? made?.operation ?? 'unknown',
      who: row.by,
      at: row.at,
      reason: row.reason ?? made?.reason,
      added: by((before, after) => !before && after),
      changed: by((before, after) => before && after),
      removed: by((before, after) => before && !after),
    };
  });
}

export function auditLineOf({ by: who, stack: _, ...row }: AuditRecord): AuditTrail['entries'][number] {
  return { ...row, who };
}

/** What the journal says, as it is told: without the states. */
export function journalLineOf(entry: JournalEntry, stack: StackId): JournalLine {
  const about = { at: entry.at, stack, type: entry.type };
  switch (entry.type) {
    case 'status':
      return { ...about, status: entry.status };
    case 'intend':
      return { ...about, unit: entry.unit, action: entry.action };
    case 'waiting':
      return { ...about, unit: entry.unit, because: entry.because };
    case 'finish':
      return { ...about, ...entry.line, seconds: entry.seconds };
    case 'log': {
      const { unit, level, message, resource } = entry;
      return { ...about, unit, level, message, ...(resource === undefined ? {} : { resource }) };
    }
    default:
      return never(entry);
  }
}
