/** What the tests of the engine have to be told of a kind of resource. */
import type { UnitSpec } from '@service-director/shared/model/unit.ts';
import type { Bench, Json } from '../bench.ts';

export type Fields = Readonly<Record<string, unknown>>;

export interface KindCase {
  /** With every field that a spec may have, at the value that most tests use; undefined for one that it usually lacks. Makes what it needs around it. */
  spec(name: string, bench: Bench): Promise<Fields & { readonly name: string }>;
  /** The fields in which nothing can change: what names it, says where it is, or tells how it is removed. */
  readonly fixed: readonly string[];
  readonly changes: readonly FieldChange[];
  /** What cannot be changed in place. */
  readonly replacements?: readonly Replacement[];
  /** What others may do to it by hand, and how the plan calls what differs then. */
  readonly drifts: readonly Drift[];
  /** Makes a thing of that name that does not bear our mark. Left out for kinds that bear none. */
  readonly stranger?: (name: string, bench: Bench) => Promise<unknown>;
  /** Puts a label on it, beside those that are there. Left out for kinds that have none. */
  readonly label?: (name: string, key: string, bench: Bench) => Promise<unknown>;
  /** What Google has of it. */
  look(name: string, bench: Bench): Promise<Json | undefined>;
  /** The methods behind the verbs, as the fault rules call them. What a kind never does is left out. */
  readonly methods: {
    readonly api: string;
    readonly observe: string;
    readonly create?: string;
    readonly update: string;
    readonly remove?: string;
    /** Asks how an operation stands. */
    readonly poll?: string;
  };
  /** The API behind it, where a project has to enable that first. */
  readonly host?: string;
}

export interface FieldChange {
  readonly what: string;
  /** Where it starts, beside the usual spec. */
  readonly from?: Fields;
  readonly to: Fields | ((bench: Bench) => Promise<Fields>);
  /** How the plan calls what differs. */
  readonly shows: readonly string[];
}

export interface Replacement {
  readonly what: string;
  readonly to: Fields;
  readonly because: RegExp;
}

export interface Drift {
  readonly what: string;
  by(name: string, bench: Bench): Promise<unknown>;
  readonly shows: readonly string[];
}

/** The spec as an engine gets it: without the fields that are undefined. */
export function specOf(usual: Fields & { readonly name: string }, ...more: readonly Fields[]): UnitSpec {
  const fields = Object.entries(Object.assign({}, usual, ...more));
  return { ...Object.fromEntries(fields.filter(([, value]) => value !== undefined)), name: usual.name };
}

export const LABELS: Fields = { team: 'blue' };

/** What may happen to the labels of every kind that has some. */
export const LABEL_CHANGES: readonly FieldChange[] = [
  { what: 'other labels', to: { labels: { team: 'red', tier: 'one' } }, shows: ['labels'] },
  { what: 'no labels any more', to: { labels: {} }, shows: ['labels'] },
];

export function record(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}
