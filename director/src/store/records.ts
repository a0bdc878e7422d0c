/** The documents that the director keeps, and where. */
import type { Command, Priority } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent, UnitLine } from '@service-director/shared/contract/event.ts';
import type { LegacyAnswer } from '@service-director/shared/contract/legacy.ts';
import type { ToolLine } from '@service-director/shared/engine/engine.ts';
import type { Operation, Plan } from '@service-director/shared/engine/plan.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { Architecture } from '@service-director/shared/model/architecture.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { StackId, UnitId } from '@service-director/shared/model/unit.ts';
import type { Key } from './store.ts';

/** The ledger: one for each command id, for ever the same command. */
export interface CommandRecord {
  readonly id: string;
  readonly status: 'accepted' | 'running' | 'succeeded' | 'failed' | 'rejected';
  readonly correlationId: string;
  /** W3C trace context of whoever asked. */
  readonly traceparent?: string;
  /** RFC 3339. */
  readonly receivedAt: string;
  readonly endedAt?: string;
  /** Of the type and of what came, with nothing that this version adds: the same id with another body is another command, and refused. */
  readonly bodyHash: string;
  /** Undefined for what could not be read. */
  readonly command?: Command;
  /** What came in, where it could not be read. */
  readonly raw?: string;
  readonly deployments: readonly string[];
  /** The last word on it. */
  readonly answer?: TerminalEvent;
  /** The same in the older form, for whoever asked in it. */
  readonly legacyAnswer?: LegacyAnswer;
}

export type DeploymentStatus =
  | 'queued'
  | 'planning'
  | 'waiting_for_lock'
  /** Planned, and left until somebody approves, or nobody did in time. */
  | 'awaiting_approval'
  | 'applying'
  /** Told to stop, and not yet stopped. */
  | 'cancelling'
  | 'succeeded'
  | 'failed'
  | 'cancelled';

export interface DeploymentRecord {
  /** `<command>.<dataflow>`. */
  readonly id: string;
  readonly command: string;
  readonly correlationId: string;
  readonly traceparent?: string;
  readonly stack: StackId;
  readonly scope: string;
  readonly dataflow: string;
  readonly operation: Operation;
  readonly status: DeploymentStatus;
  readonly dryRun: boolean;
  readonly priority?: Priority;
  readonly requester?: string;
  /** Why, as whoever asked said. */
  readonly reason?: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly startedAt?: string;
  /** When its time began to run anew: waiting for an approval does not count. */
  readonly resumedAt?: string;
  readonly endedAt?: string;
  /** Where its plan needs, or needed, somebody's word. */
  readonly approval?: Approval;
  /** Who told it to stop. What is done after that does not make it a success. */
  readonly cancel?: Word;
  /** The unasked way back of a deployment that failed. */
  readonly onFailure?: 'keep' | 'rollback';
  /** Of a rollback; `current`: whichever it is when it is planned. */
  readonly toVersion?: number | 'current';
  /** The deployments that it undoes: they show as rolled back once it has succeeded. */
  readonly undoes?: readonly string[];
  readonly rolledBackBy?: string;
  /** The hand lock that does not stop it. */
  readonly lockId?: string;
  readonly plan?: Plan;
  /** The digests of the source that the plan was made from, by unit. */
  readonly sources?: Readonly<Record<UnitId, string>>;
  /** What the plan was made from: the digest of the architecture as it was described then. */
  readonly described?: string;
  readonly units?: readonly UnitLine[];
  readonly urls?: Readonly<Record<string, string>>;
  /** Of the stack's state, after it. */
  readonly version?: number;
  readonly error?: string;
  readonly fix?: string;
}

/** Who said what, when, and why. */
export interface Word {
  readonly by: string;
  /** RFC 3339. */
  readonly at: string;
  readonly reason?: string;
}

/** `ada cancelled it: too slow` */
export function sentenceOf({ by, reason }: Word, did: string): string {
  return `${by} ${did} it${reason === undefined ? '' : `: ${reason}`}`;
}

export type Approval =
  /** `expiresAt`: milliseconds since 1970. */
  | { readonly state: 'pending'; readonly planHash: string; readonly expiresAt: number }
  | ({ readonly state: 'approved' | 'rejected' | 'expired'; readonly planHash: string } & Word);

/** A deployment that waits for its turn or has it. By its id the queue of a stack is in order. */
export interface QueueRecord {
  readonly stack: StackId;
  readonly deployment: string;
  readonly command: string;
  /** A hand lock that does not stop it; what only plans is stopped by none. */
  readonly lockId?: string;
  readonly dryRun?: boolean;
}

/** Says of a stack that it is about to use something that it shares, before it has it in its state. */
export interface ShareRecord {
  readonly stack: StackId;
  readonly unit: UnitId;
}

/** A stack that was locked by hand. */
export interface LockRecord extends Word {
  readonly id: string;
  readonly stack: StackId;
  readonly operation: string;
}

/** One fact of the audit trail: each has the hash of the one before in its own. */
export interface AuditRecord extends Word {
  readonly stack: StackId;
  readonly sequence: number;
  readonly what:
    | 'asked'
    | 'approved'
    | 'rejected'
    | 'expired'
    | 'cancelled'
    | 'changed'
    | 'locked'
    | 'unlocked'
    | 'forced';
  readonly command: string;
  readonly deployment?: string;
  readonly detail?: string;
  /** SHA-256 of the row before and of all else in this one. */
  readonly hash: string;
}

/** One read of what is kept of a stack; linked as the facts of its audit trail are. */
export interface ReadRecord extends Word {
  readonly stack: StackId;
  readonly sequence: number;
  readonly what: ReadKind;
  readonly hash: string;
}

export type ReadKind = 'state' | 'history' | 'audit';

/** The end of a stack's audit trail: a row that is taken from it shows. */
export interface AuditHead extends AuditPlace {
  /** The last row that is not kept any more; absent where all are there. Of trails of reads alone. */
  readonly from?: AuditPlace;
}

export interface AuditPlace {
  readonly sequence: number;
  readonly hash: string;
}

export function isEnded(status: DeploymentStatus): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** What has state and a lock. */
export interface StackRecord {
  readonly stack: StackId;
  readonly scope: string;
  readonly dataflow: string;
  /** Whether a teardown leaves it; as it was when it was set up last. */
  readonly permanent: boolean;
  /** Whether its plans need somebody's word; as it was when it was set up last. */
  readonly approval?: 'automatic' | 'manual';
  /** Of the state: another lineage is another state, whatever its version. Absent in records of the first release. */
  readonly lineage?: string;
  /** Grows with every deployment that changed anything; 0 before the first. */
  readonly version: number;
  /** Grows with every unit that changed. */
  readonly serial?: number;
  /** Of the newest lease: grows by one with each claim, and whoever has an older one may not write. */
  readonly token: number;
  readonly lease?: Lease;
  /** The deployment that was begun and has not ended: whoever works on the stack next goes on with it. */
  readonly current?: string;
}

export interface Lease {
  readonly holder: Holder;
  readonly deployment: string;
  /** Milliseconds since 1970. */
  readonly claimedAt: number;
  readonly heartbeatAt: number;
  readonly expiresAt: number;
}

/** Which process holds a lease. */
export interface Holder {
  /** New for each start of a process. */
  readonly id: string;
  readonly host: string;
  /** Where its number means it and no other; undefined where that is not known. */
  readonly machine?: string;
  readonly pid: number;
}

/** One state version: what the deployment that made it changed. */
export interface VersionRecord {
  readonly stack: StackId;
  readonly version: number;
  /** Of the state after it. */
  readonly serial?: number;
  readonly deployment: string;
  readonly operation?: Operation;
  readonly at: string;
  readonly by: string;
  readonly reason?: string;
  readonly changes: readonly {
    readonly unit: UnitId;
    readonly before?: UnitState;
    readonly after?: UnitState;
  }[];
}

/** What a deployment intended, did and said, in the order in which it did. */
export type JournalEntry = { readonly at: string } & (
  | { readonly type: 'status'; readonly status: DeploymentStatus }
  | { readonly type: 'intend'; readonly unit: UnitId; readonly action: string; readonly token: number }
  | {
      readonly type: 'finish';
      readonly unit: UnitId;
      readonly line: UnitLine;
      readonly seconds: number;
      readonly before?: UnitState;
      readonly after?: UnitState;
    }
  | { readonly type: 'waiting'; readonly unit: UnitId; readonly because: string }
  /** What an engine's own tool said. */
  | ({ readonly type: 'log'; readonly unit: UnitId } & ToolLine)
);

/** An event that has to be published: written with the fact, published after it at least once, then deleted. */
export interface OutboxRecord {
  readonly id: string;
  readonly topic: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey?: string;
  /** JSON text. */
  readonly body: string;
}

/** The newest architecture that we were told of a scope. */
export interface ArchitectureRecord {
  readonly scope: string;
  readonly document: Architecture;
  readonly environment?: string;
  readonly directorUrl?: string;
  /** Of the command that brought it, RFC 3339: an older one does not replace a newer. */
  readonly time: string;
}

/** Somewhere that is told of status changes. Its secrets are among the artifacts, never here. */
export interface WebhookRecord {
  /** `wh_` and 24 hexadecimal digits. */
  readonly id: string;
  readonly url: string;
  /** Patterns of what it wants to hear: `deployment.failed`, `deployment.*`. */
  readonly events: readonly string[];
  /** Patterns of the scopes and of the stacks that it wants to hear of; both must fit. */
  readonly scopes: readonly string[];
  readonly stacks: readonly string[];
  /** Whether it hears of deployments that only plan. */
  readonly dryRuns: boolean;
  readonly description?: string;
  readonly active: boolean;
  /** Why it is not active, where nobody asked for that. */
  readonly disabled?: { readonly at: string; readonly because: string };
  /** The newest first. */
  readonly secrets: readonly WebhookSecret[];
  readonly createdAt: string;
  readonly createdBy: string;
}

/** Where a secret of a webhook is kept. */
export interface WebhookSecret {
  /** Among the artifacts. */
  readonly key: string;
  readonly createdAt: string;
  /** Milliseconds since 1970; of one that was replaced: until then it signs beside the newest. */
  readonly until?: number;
}

/** A fact that a webhook has yet to be told: written with the fact, forgotten once its delivery has ended. */
export interface DueRecord {
  /** `<webhook>.<deployment>.<status>`: the same fact is the same delivery, however often it is written. */
  readonly id: string;
  readonly webhook: string;
  readonly type: string;
  readonly deployment?: string;
  readonly stack?: StackId;
  /** W3C trace context of the command that it tells of. */
  readonly traceparent?: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** JSON text, the same at each try. */
  readonly body: string;
}

/** How the delivery of a fact goes, and at last how it went. */
export interface DeliveryRecord extends Omit<DueRecord, 'body'> {
  /** `dropped`: its webhook was gone, or not active any more. */
  readonly state: 'pending' | 'delivered' | 'failed' | 'dropped';
  /** Tries that were begun. */
  readonly attempts: number;
  readonly tries: readonly DeliveryTry[];
  /** Who is at it; after `until`, milliseconds since 1970, somebody else may take it. */
  readonly claim?: { readonly by: string; readonly at: number; readonly until: number };
  /** Milliseconds since 1970; of one that is pending and was tried. */
  readonly nextAt?: number;
}

export interface DeliveryTry {
  /** RFC 3339. */
  readonly at: string;
  /** Undefined where whoever tried did not live to tell. */
  readonly milliseconds?: number;
  readonly status?: number;
  /** Why it did not count as delivered. */
  readonly error?: string;
  /** The beginning of what was answered, without what looks like a secret. */
  readonly answer?: string;
}

/** How much later than it came a deployment counts, in milliseconds: what is more urgent goes first, and nobody waits for ever. */
const HANDICAP_MS: Readonly<Record<Priority, number>> = { high: 0, normal: 15 * 60_000, low: 30 * 60_000 };

/** Trails of reads begin so. */
export const READS = 'reads:';

type QueuePlace = Pick<DeploymentRecord, 'stack' | 'priority' | 'createdAt' | 'id'>;

export const keys = {
  architecture: (scope: string): Key => ({ collection: 'architectures', id: scope }),
  audit: (stack: StackId, sequence: number): Key => ({
    collection: 'audit',
    id: `${stack}/${String(sequence).padStart(8, '0')}`,
  }),
  auditHead: (stack: StackId): Key => ({ collection: 'audits', id: stack }),
  /** What the dialect at `/api/builds` keeps; its ids are its own. */
  build: (id: string): Key => ({ collection: 'builds', id }),
  command: (id: string): Key => ({ collection: 'commands', id }),
  deployment: (id: string): Key => ({ collection: 'deployments', id }),
  journal: (deployment: string, sequence: number): Key => ({
    collection: 'journal',
    id: `${deployment}/${String(sequence).padStart(8, '0')}`,
  }),
  lock: (stack: StackId): Key => ({ collection: 'locks', id: stack }),
  outbox: (id: string): Key => ({ collection: 'outbox', id }),
  /** The next is the first. */
  queue: ({ stack, priority = 'normal', createdAt, id }: QueuePlace): Key => ({
    collection: 'queue',
    id: `${stack}//${timestamp(Date.parse(createdAt) + HANDICAP_MS[priority])}/${id}`,
  }),
  /** By which the trail of reads is kept; no stack is called so, for none has a colon in its name. */
  reads: (stack: StackId): StackId => `${READS}${stack}`,
  /** A stack that is about to use what others may be giving up. */
  share: (stack: StackId, unit: UnitId): Key => ({ collection: 'shares', id: `${stack}//${unit}` }),
  stack: (stack: StackId): Key => ({ collection: 'stacks', id: stack }),
  unit: (stack: StackId, unit: UnitId): Key => ({ collection: 'units', id: `${stack}//${unit}` }),
  version: (stack: StackId, version: number): Key => ({
    collection: 'versions',
    id: `${stack}/${String(version).padStart(8, '0')}`,
  }),
  webhook: (id: string): Key => ({ collection: 'webhooks', id }),
  /** What has yet to be told stands apart, so that it is found without what was told. */
  due: (delivery: string): Key => ({ collection: 'deliveries', id: `due//${delivery}` }),
  delivery: (delivery: string): Key => ({ collection: 'deliveries', id: `log//${delivery}` }),
} as const;
