/** Everything that a run tells. Renderers read it; the library prints nothing. */
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import type { Diagnostic } from '@service-director/shared/model/diagnostic.ts';
import type { LogLine } from './logs.ts';

export const PHASES = [
  'preflight',
  'identities',
  'build',
  'bootstrap',
  'setup',
  'verify-grants',
  'deploy',
  'verify-services',
] as const;
export type Phase = (typeof PHASES)[number];

export function isPhase(text: string): text is Phase {
  return PHASES.some((phase) => phase === text);
}

/** Those of an up, and what stands in their place in a run of another kind. */
export type AnyPhase = Phase | 'teardown' | 'rollback' | 'drift';

/** What a run is for. */
export type RunOperation = 'up' | 'down' | 'plan' | 'rollback' | 'drift';

/** What one thing of a phase came to. */
export type TaskResult =
  | 'created'
  | 'updated'
  | 'replaced'
  | 'deleted'
  | 'unchanged'
  | 'kept'
  | 'failed'
  | 'skipped'
  | 'cancelled'
  | 'built'
  | 'reused'
  | 'done';

export type ConductorEvent =
  | {
      readonly type: 'started';
      readonly run: string;
      readonly operation: RunOperation;
      readonly architecture: string;
      readonly project: string;
    }
  /** Where there is no architecture: the same at a director's URL. */
  | {
      readonly type: 'started-at';
      readonly run: string;
      readonly operation: RunOperation;
      readonly director: string;
    }
  | { readonly type: 'phase-started'; readonly phase: AnyPhase }
  | {
      readonly type: 'phase-finished';
      readonly phase: AnyPhase;
      readonly status: 'done' | 'failed' | 'skipped';
      readonly seconds: number;
      readonly because?: string;
    }
  | {
      readonly type: 'task-started';
      readonly phase: AnyPhase;
      readonly task: string;
      readonly what: string;
    }
  | {
      readonly type: 'task-waiting';
      readonly phase: AnyPhase;
      readonly task: string;
      readonly because: string;
    }
  | {
      readonly type: 'task-output';
      readonly phase: AnyPhase;
      readonly task: string;
      readonly line: string;
    }
  | {
      readonly type: 'task-finished';
      readonly phase: AnyPhase;
      readonly task: string;
      readonly result: TaskResult;
      readonly seconds: number;
      readonly because?: string;
      readonly fix?: string;
    }
  | { readonly type: 'director'; readonly id: string; readonly event: DirectorEvent }
  /** A deployment of the run has to wait until another, or somebody's lock, is out of its way. */
  | {
      readonly type: 'deployment-waiting';
      readonly deployment: string;
      readonly stack: string;
      /** `the lock … of jo (migration)`, `the deployment …`. */
      readonly waitingFor: string;
      /** In the queue of the stack; 1 is the next. */
      readonly position?: number;
    }
  /** The last that a service wrote that did not come up, oldest first. */
  | { readonly type: 'service-log'; readonly service: string; readonly lines: readonly LogLine[] }
  | { readonly type: 'diagnostic'; readonly diagnostic: Diagnostic }
  | { readonly type: 'note'; readonly message: string }
  | {
      readonly type: 'completed';
      readonly run: string;
      readonly operation: RunOperation;
      readonly seconds: number;
      readonly changes: number;
      /** Only told what would be done. */
      readonly dryRun?: true;
      readonly summary: Summary;
    }
  | {
      readonly type: 'failed';
      readonly run: string;
      readonly operation: RunOperation;
      readonly seconds: number;
      readonly error: string;
      readonly fix?: string;
      readonly exitCode: number;
    };

export interface Summary {
  readonly created: number;
  readonly updated: number;
  readonly deleted: number;
  readonly unchanged: number;
  /** What stayed although it was to go, with the reason. */
  readonly kept: readonly { readonly unit: string; readonly because: string }[];
  /** By service. */
  readonly urls: Readonly<Record<string, string>>;
}

export type Emit = (event: ConductorEvent) => void;

/** The deployment that it is about, where it tells how one stands. */
export function deploymentIn(event: ConductorEvent): string | undefined {
  if (event.type === 'deployment-waiting') return event.deployment;
  return event.type === 'director' && event.event.type === 'status' ? event.event.deployment : undefined;
}

/** Whether it shows that the director is told something, which goes on without us. */
export function isForDirector(event: ConductorEvent): boolean {
  if (event.type === 'director' || event.type === 'deployment-waiting') return true;
  return event.type === 'task-started' && COMMANDS.has(event.what);
}

/** What a run tells the director, dataflow by dataflow. */
export const COMMANDS: ReadonlySet<string> = new Set(['dataflow-setup', 'deploy', 'teardown']);
