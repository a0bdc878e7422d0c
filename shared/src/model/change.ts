/** What has to happen to one unit, and how two shapes differ. */
import { canonicalJson } from '../kit/hash.ts';

export type Change =
  | { readonly action: 'none' }
  | { readonly action: 'create' }
  /** The names of the fields that differ. */
  | { readonly action: 'update'; readonly fields: readonly string[] }
  /** Cannot be changed in place. */
  | { readonly action: 'replace'; readonly because: string }
  | { readonly action: 'delete' };

/** What an engine's own tool would do to one of the resources within a unit. */
export interface ResourceChange {
  /** As the tool names it: `module.net.aws_vpc.main[0]`. */
  readonly address: string;
  readonly type: string;
  readonly action: 'create' | 'update' | 'replace' | 'delete' | 'read' | 'import' | 'move' | 'forget';
  /** Which of its attributes differ; never their values. */
  readonly fields?: readonly string[];
  readonly because?: string;
}

export const NONE: Change = { action: 'none' };

/**
 * Desired beside observed, field by field. A desired value of undefined is not compared: the field belongs to
 * whoever set it. To clear a field, ask for its empty value (`''`, `{}`, `[]`, `false`), which equals an absent one.
 */
export function compare(
  fields: Readonly<Record<string, readonly [desired: unknown, observed: unknown]>>,
): Change {
  const different = Object.entries(fields).flatMap(([name, [desired, observed]]) =>
    desired === undefined || same(desired, observed) ? [] : [name],
  );
  return different.length === 0 ? NONE : { action: 'update', fields: different };
}

function same(desired: unknown, observed: unknown): boolean {
  if (isEmpty(desired) && isEmpty(observed)) return true;
  return canonicalJson(desired) === canonicalJson(observed);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false || value === 0) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
