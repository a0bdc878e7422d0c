/** Preconditions of a call: which generation and metageneration it expects to find. */
import type { JsonObject } from '../../json.ts';
import { readNumber } from './query.ts';
import { preconditionFailed } from './refusals.ts';

/** Decimal numbers. Undefined: not asked. */
export type Conditions = {
  readonly generationMatch?: string;
  readonly generationNotMatch?: string;
  readonly metagenerationMatch?: string;
  readonly metagenerationNotMatch?: string;
};

/** What they are judged against: an object version, or a bucket, which is asked for its metageneration only. */
export interface Versioned {
  readonly generation: string;
  readonly metageneration: number;
}

/** From query parameters: `ifGenerationMatch` and its kin, or `ifSourceGenerationMatch` and its kin. */
export function readConditions(query: URLSearchParams, prefix: 'if' | 'ifSource' = 'if'): Conditions {
  const read = (name: keyof Conditions): JsonObject => {
    const parameter = `${prefix}${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    const value = readNumber(query, parameter);
    return value === undefined ? {} : { [name]: value };
  };
  return {
    ...read('generationMatch'),
    ...read('generationNotMatch'),
    ...read('metagenerationMatch'),
    ...read('metagenerationNotMatch'),
  };
}

/** Before a write: throws 412 unless all hold. Without a version there is no live object, which counts as generation 0. */
export function demandConditions(conditions: Conditions, found: Versioned | undefined): void {
  if (!matches(conditions, found) || isUnchanged(conditions, found)) throw preconditionFailed();
}

/** Before a read: throws 412 where it expects another version; true where the reader has this version already (304). */
export function readerHas(conditions: Conditions, found: Versioned): boolean {
  if (!matches(conditions, found)) throw preconditionFailed();
  return isUnchanged(conditions, found);
}

function matches(conditions: Conditions, found: Versioned | undefined): boolean {
  const { generationMatch, metagenerationMatch } = conditions;
  return (
    (generationMatch === undefined || generationMatch === (found?.generation ?? '0')) &&
    (metagenerationMatch === undefined || metagenerationMatch === metagenerationOf(found))
  );
}

function isUnchanged(conditions: Conditions, found: Versioned | undefined): boolean {
  const { generationNotMatch, metagenerationNotMatch } = conditions;
  return (
    generationNotMatch === (found?.generation ?? '0') ||
    (metagenerationNotMatch !== undefined && metagenerationNotMatch === metagenerationOf(found))
  );
}

function metagenerationOf(found: Versioned | undefined): string | undefined {
  return found && String(found.metageneration);
}
