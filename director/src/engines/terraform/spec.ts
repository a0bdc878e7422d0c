/** What a unit of Terraform takes, where what is kept of it lies, and what its plan was made from. */

import { CloudError } from '@service-director/shared/cloud/error.ts';
import { canonicalJson, fingerprint, sha256 } from '@service-director/shared/kit/hash.ts';
import { type Owner, UNKNOWN } from '@service-director/shared/model/unit.ts';
import { z } from 'zod';

export const ModuleSpec = z.strictObject({
  name: z.string().min(1).max(200),
  source: z.strictObject({
    /** Of the bundle: a gzipped tar. */
    digest: z.string().regex(/^[0-9a-f]{64}$/, 'The digest of a bundle is 64 hex digits'),
    /** The folder of the root module within it. */
    path: z.string().max(1_000).refine(isInside, 'The path must lead into the bundle').optional(),
  }),
  variables: z.record(z.string().regex(/^[\p{L}_][\p{L}\p{N}_-]*$/u), z.json()).default({}),
  /** How many resources the tool works on at the same time. */
  parallelism: z.number().int().min(1).max(256).default(10),
  workspace: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,89}$/, 'A workspace is named with letters, digits, _ and -')
    .optional(),
});
export type ModuleSpec = z.output<typeof ModuleSpec>;

/** Throws a CloudError 'invalid' that says which field is wrong, and never what is in it. */
export function moduleSpec(spec: unknown): ModuleSpec {
  const parsed = ModuleSpec.safeParse(spec);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  throw new CloudError('invalid', `The Terraform module's ${first?.path.join('.')}: ${first?.message}`);
}

function isInside(path: string): boolean {
  return (
    !path.startsWith('/') && !path.includes('\\') && !path.includes('\0') && !path.split('/').includes('..')
  );
}

/** Where things that persist are kept. */
export interface Keys {
  readonly state: string;
  readonly plan: string;
  /** There while an apply is under way, or was when its director died. */
  readonly begun: string;
  /** Of a module whose state is a backend's. */
  readonly outputs: string;
  /** Which backend its state is in that was told from outside. */
  readonly backend: string;
  /** What was put before the name of its workspace. */
  readonly workspace: string;
  /** A state that could not be written where it belongs. */
  readonly errored: string;
}

export function keysOf({ scope, dataflow }: Owner, name: string): Keys {
  const at = ['terraform', scope, dataflow, name].map(keyPart).join('/');
  return {
    state: `${at}/state`,
    plan: `${at}/plan`,
    begun: `${at}/begun`,
    outputs: `${at}/outputs`,
    backend: `${at}/backend`,
    workspace: `${at}/workspace`,
    errored: `${at}/errored-state`,
  };
}

/** Legal names stay as they are; no name leads elsewhere. */
function keyPart(name: string): string {
  return encodeURIComponent(name).replace(/^\.+$/, (dots) => dots.replaceAll('.', '%2E'));
}

/** A folder's name for a unit: from a hash, for names are the users'. */
export function roomName({ scope, dataflow }: Owner, name: string): string {
  return sha256(canonicalJson([scope, dataflow, name])).slice(0, 32);
}

/** Of all that a plan is made from beside the state. */
export function inputsOf({ source, variables, workspace }: ModuleSpec): string {
  return fingerprint({ source, variables, workspace });
}

export function hasUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  return typeof value === 'object' && value !== null && Object.values(value).some(hasUnknown);
}

/** Whether a value is what was planned with, where that was known. */
export function fits(planned: unknown, actual: unknown): boolean {
  if (planned === UNKNOWN) return true;
  if (!isObject(planned) || !isObject(actual)) return canonicalJson(planned) === canonicalJson(actual);
  const keys = new Set([...Object.keys(planned), ...Object.keys(actual)]);
  return [...keys].every((key) => fits(planned[key], actual[key]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
