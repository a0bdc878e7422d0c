/** What the walk asks of an engine. One engine knows no other. */
import type { Cloud } from '../cloud/cloud.ts';
import type { Clock, Random } from '../kit/clock.ts';
import type { Change, ResourceChange } from '../model/change.ts';
import type { UnitState } from '../model/state.ts';
import type { Outputs, Unit, UnitSpec } from '../model/unit.ts';
import type { Action, Outcome, Patience } from './reconcile.ts';

export interface EngineContext {
  readonly cloud: Cloud;
  /** Where units live that do not say otherwise. */
  readonly region: string;
  /** The address of the account that we are, where we are one. */
  readonly self: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** How long to wait for what may come by itself, where it is not the usual time. */
  readonly patience?: Patience;
  /** Makes a call take its turn; `api` is whose limit it counts against. */
  limit<T>(api: string, call: () => Promise<T>): Promise<T>;
  /** The W3C trace context of what asked for it: `traceparent`. */
  readonly traceparent?: string;
  /** Tells what the unit waits for. */
  waiting(because: string): void;
  /** Tells what an engine's own tool says, line by line, while it says it. */
  log?(line: ToolLine): void;
  /** Called right before every call that changes anything; throws Halted when nothing more may be done. */
  demandFresh?(): void;
  /** Makes an intent durable before its call; see `drive.ts`. */
  record(action: Action): Promise<void>;
}

export interface ToolLine {
  readonly level: 'info' | 'warning' | 'error';
  /** One line; secrets masked. */
  readonly message: string;
  /** The address of the resource that it is about. */
  readonly resource?: string;
}

export interface Planned {
  readonly change: Change;
  /** What others may refer to; what is there already, or nothing. */
  readonly outputs: Outputs;
  /** Whether the change waits for grants to take effect. */
  readonly unverified?: boolean;
  /** What is in such a thing is not made with it: made anew it is empty. */
  readonly holdsData?: boolean;
  /** Why the apply will not touch it; then there is no change. */
  readonly refused?: Refusal;
  /** About how long it takes. */
  readonly seconds: number;
  /** How much of that is waited on purpose, where any is: it takes no less. */
  readonly heldSeconds?: number;
  /** Of a unit that is a tool's: what it would do to the resources within. Part of what is approved. */
  readonly resources?: readonly ResourceChange[];
}

export interface Refusal {
  readonly because: string;
  readonly fix?: string;
}

/** A unit with its references resolved, beside what we applied last. */
export interface Work {
  readonly unit: Unit;
  readonly spec: UnitSpec;
  readonly prior: UnitState | undefined;
}

export interface Engine {
  /** Reads, never writes. */
  plan(work: Work, context: EngineContext): Promise<Planned>;
  /** What is there, for others that need it, where that is less work than a plan; else they are told by `plan`. */
  look?(work: Work, context: EngineContext): Promise<Planned>;
  /** Applies no more than that plan: what would now be replaced and was not planned so is refused. */
  apply(work: Work, planned: Change, context: EngineContext): Promise<Outcome>;
  /** Missing is success. */
  destroy(state: UnitState, context: EngineContext): Promise<Outcome>;
  /** Why a kind is never removed, where that is so. */
  stays(kind: string): string | undefined;
  /** About how long a removal takes. */
  removalSeconds(kind: string): number;
}
