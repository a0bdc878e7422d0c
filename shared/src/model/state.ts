/** What we know of what we made: kept per stack, by unit. Never evidence of what is there, only of what was asked for. */
import { fingerprint } from '../kit/hash.ts';
import {
  needsOf,
  type Outputs,
  type Owner,
  resolve,
  type Stage,
  type Unit,
  type UnitId,
  type UnitSpec,
} from './unit.ts';

/** One of the resources that an engine's own tool keeps within a unit. */
export interface ResourceState {
  /** As the tool names it. */
  readonly address: string;
  readonly type: string;
  readonly name: string;
  readonly provider: string;
  /** Those that the tool calls sensitive hold `(sensitive)`. */
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Addresses. */
  readonly dependencies: readonly string[];
}

export interface UnitState {
  readonly id: UnitId;
  readonly engine: Unit['engine'];
  readonly kind: string;
  /** As it was applied, references resolved. Never a secret: those are referred to by their names. */
  readonly spec: UnitSpec;
  /** Of that spec. Absent in states of the first release. */
  readonly fingerprint?: string;
  readonly needs: readonly UnitId[];
  readonly owner: Owner;
  readonly stage: Stage;
  readonly protection?: string;
  readonly outputs: Outputs;
  /** Of those outputs that are no texts, what they are: numbers, lists. Absent where an engine has only texts. */
  readonly values?: Readonly<Record<string, unknown>>;
  /**
   * It is being given up, or was and nobody saw it go: no other stack relies on this one for it. The fencing token
   * of the tenure that gave it up; an older one than the stack's is nobody at work.
   */
  readonly leaving?: number;
  /** A call was made for it, and nobody saw it end well: what is there may be this, or what was asked for. */
  readonly unsure?: boolean;
  /** Of a unit that is a tool's: what it is made of. */
  readonly resources?: readonly ResourceState[];
  /** When it was changed last, milliseconds since 1970. Absent in states of the first release. */
  readonly changedAt?: number;
  /** Of a grant: whether it was seen to be in effect. */
  readonly effective?: boolean;
}

/** What is known of a unit once it is as described; `known` are the outputs that its spec refers to. */
export function stateOf(
  unit: Unit,
  outputs: Outputs,
  known: (id: UnitId) => Outputs | undefined = () => undefined,
): UnitState {
  const { id, engine, kind, owner, stage, protection } = unit;
  const spec = resolve(unit.spec, known);
  return {
    id,
    engine,
    kind,
    spec,
    fingerprint: fingerprint(spec),
    needs: needsOf(unit),
    owner,
    stage,
    outputs,
    ...(protection === undefined ? {} : { protection }),
  };
}

/** One member's role on the resource that a unit of grants is about. */
export interface HeldBinding {
  readonly role: string;
  readonly member: string;
}

/** Of a unit of grants; none of any other. */
export function bindingsOf({ spec }: Pick<UnitState, 'spec'>): readonly HeldBinding[] {
  return Array.isArray(spec.bindings) ? spec.bindings : [];
}

/** The same grants without those that others hold as well. */
export function withoutBindings(state: UnitState, others: readonly UnitState[]): UnitState {
  const held = new Set(others.flatMap(bindingsOf).map(bindingKey));
  const bindings = bindingsOf(state).filter((binding) => !held.has(bindingKey(binding)));
  return { ...state, spec: { ...state.spec, bindings } };
}

export function bindingKey({ role, member }: HeldBinding): string {
  return `${role} ${member}`;
}
