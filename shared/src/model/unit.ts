/**
 * One node of the graph: something that an engine makes, and what it takes.
 *
 * Outputs of one unit may feed the spec of another; such a reference is an edge.
 */
import type { z } from 'zod';

/** `topic/orders`, `grants/topic/orders`: the kind, then the name. Unique in an architecture. */
export type UnitId = string & z.$brand<'UnitId'>;

export function unitId(kind: string, name: string): UnitId {
  return `${kind}/${name}` as UnitId;
}

/** When in the life of a dataflow a unit is made: with the identities, with the resources, or with the services. */
export const STAGES = ['identity', 'setup', 'deploy'] as const;
export type Stage = (typeof STAGES)[number];

/** Who makes units: Google Cloud's resources we make ourselves, the rest is a tool's. */
export type EngineName = 'gcp' | 'terraform';

export interface Unit {
  readonly id: UnitId;
  readonly engine: EngineName;
  readonly kind: string;
  /** As its kind wants it; may hold references. Never a secret. */
  readonly spec: UnitSpec;
  /** Beside those that the references in the spec imply. */
  readonly needs: readonly UnitId[];
  /** Whose it is: the stack that makes, marks and removes it. */
  readonly owner: Owner;
  readonly stage: Stage;
  /** Never deleted; the reason is shown. */
  readonly protection?: string;
}

export type UnitSpec = Readonly<Record<string, unknown>> & { readonly name: string };

/** Who owns a thing in the cloud, as its labels say. Values are legal labels. */
export interface Owner {
  /** The architecture, with its environment where one was chosen; for the infrastructure the director's name. */
  readonly scope: string;
  readonly dataflow: string;
}

/** Stands where a dataflow does, for the accounts of a whole architecture. */
export const ACCOUNTS = 'accounts';

/** `<scope>/<dataflow>`: what has state and a lock. */
export type StackId = `${string}/${string}`;

export function stackOf({ scope, dataflow }: Owner): StackId {
  return `${scope}/${dataflow}`;
}

/** Stands in a spec for the output of another unit. */
export interface OutputReference {
  readonly $output: { readonly unit: UnitId; readonly name: string };
  /** Put before and after the value. */
  readonly prefix?: string;
  readonly suffix?: string;
}

export function output(
  unit: UnitId,
  name: string,
  around: { prefix?: string; suffix?: string } = {},
): OutputReference {
  return { $output: { unit, name }, ...around };
}

export type Outputs = Readonly<Record<string, string>>;

/** All references in a spec. */
export function referencesIn(spec: unknown): OutputReference[] {
  if (isReference(spec)) return [spec];
  if (typeof spec !== 'object' || spec === null) return [];
  return Object.values(spec).flatMap(referencesIn);
}

/** All that must be there before the unit. */
export function needsOf(unit: Unit): UnitId[] {
  return [...new Set([...unit.needs, ...referencesIn(unit.spec).map((reference) => reference.$output.unit)])];
}

/**
 * The spec with each reference replaced by the output it names. `outputs` gives undefined for a unit that
 * is not there yet; then so is the value, and its place holds UNKNOWN.
 */
export function resolve<T>(spec: T, outputs: (unit: UnitId) => Outputs | undefined): T {
  return walk(spec, (reference) => {
    const { unit, name } = reference.$output;
    const value = outputs(unit)?.[name];
    return value === undefined ? UNKNOWN : `${reference.prefix ?? ''}${value}${reference.suffix ?? ''}`;
  }) as T;
}

/** A value that is known only after the apply. */
export const UNKNOWN = '(known after apply)';

function walk(value: unknown, replace: (reference: OutputReference) => string): unknown {
  if (isReference(value)) return replace(value);
  if (Array.isArray(value)) return value.map((inner) => walk(inner, replace));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner, replace)]));
}

function isReference(value: unknown): value is OutputReference {
  return typeof value === 'object' && value !== null && '$output' in value;
}
