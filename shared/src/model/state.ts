/** What we know of what we made: kept per stack, by unit. Never evidence of what is there, only of what was asked for. */
import type { Outputs, Owner, Stage, Unit, UnitId, UnitSpec } from './unit.ts';

export interface UnitState {
  readonly id: UnitId;
  readonly engine: Unit['engine'];
  readonly kind: string;
  /** As it was applied, references resolved. */
  readonly spec: UnitSpec;
  readonly needs: readonly UnitId[];
  readonly owner: Owner;
  readonly stage: Stage;
  readonly protection?: string;
  readonly outputs: Outputs;
  /** Of what several stacks use: this one has given it up, and looks whether others still do. */
  readonly leaving?: boolean;
  /** Of a grant: whether it was seen to be in effect. */
  readonly effective?: boolean;
}
