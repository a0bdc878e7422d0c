/** What a director tells of its stacks and deployments when it is asked: the answers of its HTTP API. */
import { z } from 'zod';
import { PRIORITIES } from './command.ts';
import { DeploymentReport } from './event.ts';

/** RFC 3339 in UTC, as all times here. */
const Time = z.string();

/** Who keeps others from working on a stack. */
export const LockView = z.object({
  id: z.string(),
  /** `deployment`: for as long as it runs; `manual`: until it is given back. */
  held_by: z.enum(['deployment', 'manual']),
  /** `deploy`, `teardown`, …; of a manual lock what it was taken for. */
  operation: z.string(),
  who: z.string(),
  created: Time,
  /** Of a deployment: when its director was last heard of, and after which time it counts as dead. */
  heartbeat_at: Time.optional(),
  expires_at: Time.optional(),
  /** What the deployment is at: its status, and the units that it has begun and not finished. */
  step: z.string().optional(),
  reason: z.string().optional(),
  version: z.literal('1.0').default('1.0'),
});
export type LockView = z.output<typeof LockView>;

export const ApprovalView = z.object({
  state: z.enum(['pending', 'approved', 'rejected', 'expired']),
  plan_hash: z.string(),
  expires_at: Time.optional(),
  by: z.string().optional(),
  at: Time.optional(),
  reason: z.string().optional(),
});
export type ApprovalView = z.output<typeof ApprovalView>;

/** A deployment in a list. */
export const DeploymentBrief = z.object({
  id: z.string(),
  command: z.string(),
  stack: z.string(),
  operation: z.string(),
  status: z.string(),
  dry_run: z.boolean(),
  priority: z.enum(PRIORITIES),
  requester: z.string(),
  reason: z.string().optional(),
  created_at: Time,
  started_at: Time.optional(),
  ended_at: Time.optional(),
  /** Of the stack's state, after it. */
  version: z.number().optional(),
  /** Place in the queue of its stack; 1 is the next. */
  position: z.number().optional(),
  approval: ApprovalView.optional(),
  /** What it waits for: a lock, an approval, another deployment. */
  waiting_for: z.string().optional(),
  rolled_back_by: z.string().optional(),
});
export type DeploymentBrief = z.output<typeof DeploymentBrief>;

export const DeploymentPage = z.object({
  deployments: z.array(DeploymentBrief),
  /** Given back as `after`, the next page; absent on the last. */
  next: z.string().optional(),
});

/** A line of a deployment's journal. */
export const JournalLine = z
  .object({ at: Time, stack: z.string(), type: z.string(), unit: z.string().optional() })
  .loose();

/** Which chain of units decided how long a deployment took. */
const TimedPath = z.object({
  /** From the beginning of the first to the end of the last. */
  seconds: z.number(),
  /** In the order in which they were done; `waited`: seconds from the end of the one before to the beginning. */
  steps: z.array(z.object({ unit: z.string(), seconds: z.number(), waited: z.number() })),
});

export const DeploymentDetail = DeploymentBrief.extend({
  report: DeploymentReport,
  /** Absent as long as no unit was done. */
  critical_path: TimedPath.optional(),
  events: z.array(JournalLine),
});
export type DeploymentDetail = z.output<typeof DeploymentDetail>;

export const UnitView = z.object({
  id: z.string(),
  engine: z.string(),
  kind: z.string(),
  /** Of the spec that was applied. */
  fingerprint: z.string(),
  spec: z.record(z.string(), z.unknown()),
  outputs: z.record(z.string(), z.string()),
  needs: z.array(z.string()),
});

/** The state of a stack as it stands. */
export const StackState = z.object({
  stack: z.string(),
  scope: z.string(),
  dataflow: z.string(),
  /** Given to the state when it began; another lineage is another state, whatever its version. */
  lineage: z.string(),
  /** Grows with every unit that changes. */
  serial: z.number(),
  /** Grows with every deployment that changes anything. */
  version: z.number(),
  locked: z.boolean(),
  lock: LockView.optional(),
  /** Waiting for their turn, the next first. */
  queue: z.array(z.string()),
  units: z.array(UnitView),
});
export type StackState = z.output<typeof StackState>;

/** One version of a stack's state. */
export const VersionView = z.object({
  version: z.number(),
  serial: z.number(),
  current: z.boolean(),
  /** Whether a rollback can bring it back. */
  restorable: z.boolean(),
  deployment: z.string(),
  operation: z.string(),
  who: z.string(),
  at: Time,
  reason: z.string().optional(),
  /** Units by what happened to them. */
  added: z.array(z.string()),
  changed: z.array(z.string()),
  removed: z.array(z.string()),
});
export type VersionView = z.output<typeof VersionView>;

/** Newest first. */
export const History = z.object({ stack: z.string(), versions: z.array(VersionView) });
export type History = z.output<typeof History>;

/** One fact of the audit trail of a stack. */
export const AuditView = z.object({
  sequence: z.number(),
  at: Time,
  /** `asked`, `approved`, `rejected`, `expired`, `cancelled`, `changed`, `locked`, `unlocked`, `forced`. */
  what: z.string(),
  who: z.string(),
  command: z.string(),
  deployment: z.string().optional(),
  reason: z.string().optional(),
  detail: z.string().optional(),
  hash: z.string(),
});

export const AuditTrail = z.object({
  stack: z.string(),
  /** Whether every row follows from the one before it, and the last is the newest that was written. */
  intact: z.boolean(),
  /** Where it is not: the first row that does not fit. */
  broken_at: z.number().optional(),
  entries: z.array(AuditView),
});
export type AuditTrail = z.output<typeof AuditTrail>;

/** Who has read what is kept of a stack; of the same read again and again one row a minute is kept. */
export const ReadTrail = z.object({
  stack: z.string(),
  /** As of the audit trail. */
  intact: z.boolean(),
  broken_at: z.number().optional(),
  entries: z.array(
    z.object({
      sequence: z.number(),
      at: Time,
      what: z.enum(['state', 'history', 'audit']),
      who: z.string(),
      hash: z.string(),
    }),
  ),
});
export type ReadTrail = z.output<typeof ReadTrail>;
