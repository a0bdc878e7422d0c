/** The documents that the director keeps, and where. */
import type { Command } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent, UnitLine } from '@service-director/shared/contract/event.ts';
import type { LegacyAnswer } from '@service-director/shared/contract/legacy.ts';
import type { Operation, Plan } from '@service-director/shared/engine/plan.ts';
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
  | 'applying'
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
  /** RFC 3339. */
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly endedAt?: string;
  readonly plan?: Plan;
  /** What the plan was made from: the digest of the architecture as it was described then. */
  readonly described?: string;
  readonly units?: readonly UnitLine[];
  readonly urls?: Readonly<Record<string, string>>;
  /** Of the stack's state, after it. */
  readonly version?: number;
  readonly error?: string;
  readonly fix?: string;
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
  /** Grows with every deployment that changed anything; 0 before the first. */
  readonly version: number;
  /** Of the newest lease: grows by one with each claim, and whoever has an older one may not write. */
  readonly token: number;
  readonly lease?: Lease;
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
  readonly deployment: string;
  readonly at: string;
  readonly by: string;
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

export const keys = {
  architecture: (scope: string): Key => ({ collection: 'architectures', id: scope }),
  command: (id: string): Key => ({ collection: 'commands', id }),
  deployment: (id: string): Key => ({ collection: 'deployments', id }),
  journal: (deployment: string, sequence: number): Key => ({
    collection: 'journal',
    id: `${deployment}/${String(sequence).padStart(8, '0')}`,
  }),
  outbox: (id: string): Key => ({ collection: 'outbox', id }),
  stack: (stack: StackId): Key => ({ collection: 'stacks', id: stack }),
  unit: (stack: StackId, unit: UnitId): Key => ({ collection: 'units', id: `${stack}//${unit}` }),
  version: (stack: StackId, version: number): Key => ({
    collection: 'versions',
    id: `${stack}/${String(version).padStart(8, '0')}`,
  }),
} as const;
