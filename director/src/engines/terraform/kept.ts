/** What is kept of a plan until it is applied, and of an apply until it has ended. */

import type { Change, ResourceChange } from '@service-director/shared/model/change.ts';
import { z } from 'zod';
import type { Artifacts } from '../../store/artifacts.ts';
import { fits, type ModuleSpec } from './spec.ts';

const ChangeRecord: z.ZodType<Change> = z.discriminatedUnion('action', [
  z.object({ action: z.literal('none') }),
  z.object({ action: z.literal('create') }),
  z.object({ action: z.literal('update'), fields: z.array(z.string()) }),
  z.object({ action: z.literal('replace'), because: z.string() }),
  z.object({ action: z.literal('delete') }),
]);

const Touched = z.object({ address: z.string(), action: z.string() });

const KeptPlan = z.object({
  id: z.string(),
  /** Of all that it was made from beside the state; see `inputsOf`. */
  inputs: z.string(),
  /** Of the state that it was made from; absent where that is a backend's. */
  state: z.string().optional(),
  change: ChangeRecord,
  resources: z.array(Touched).readonly(),
  /** The tool's own file, in base64; absent while a variable was not known. */
  file: z.string().optional(),
  /** The versions of providers that it was made with, in base64. */
  lock: z.string().optional(),
  /** The variables as far as they were known, where some were not. */
  partly: z.record(z.string(), z.unknown()).optional(),
});
export type KeptPlan = z.output<typeof KeptPlan>;

const Begun = z.object({ plan: z.string(), resources: z.array(Touched).readonly() });
export type Begun = z.output<typeof Begun>;

const KeptOutputs = z.record(z.string(), z.string());

export const readKeptPlan = (artifacts: Artifacts, key: string): Promise<KeptPlan | undefined> =>
  readJson(artifacts, key, KeptPlan);
export const readBegun = (artifacts: Artifacts, key: string): Promise<Begun | undefined> =>
  readJson(artifacts, key, Begun);
export const readKeptOutputs = (
  artifacts: Artifacts,
  key: string,
): Promise<Record<string, string> | undefined> => readJson(artifacts, key, KeptOutputs);

/** What cannot be read is as good as not there: it is made again from the world. */
async function readJson<T>(artifacts: Artifacts, key: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const bytes = await artifacts.read(key);
  if (!bytes) return undefined;
  try {
    return schema.safeParse(JSON.parse(bytes.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

export function writeJson(
  artifacts: Artifacts,
  key: string,
  value: KeptPlan | Begun | object,
): Promise<void> {
  return artifacts.write(key, Buffer.from(JSON.stringify(value)));
}

/** Whether a change made ready again is the one that was planned. */
export function sameChange(one: Change, other: Change): boolean {
  if (one.action !== other.action) return false;
  if (one.action !== 'update' || other.action !== 'update') return true;
  return (
    one.fields.length === other.fields.length &&
    new Set([...one.fields, ...other.fields]).size === one.fields.length
  );
}

export interface Fresh {
  readonly change: Change;
  readonly resources: readonly ResourceChange[];
}

/** What made ready anew may be applied in the name of a plan. */
export interface Mandate {
  readonly planned: Change;
  readonly kept: KeptPlan | undefined;
  /** Of an apply that was cut short. */
  readonly begun: Begun | undefined;
  readonly inputs: string;
  readonly spec: ModuleSpec;
}

/** Why what would be done now is not what was planned; undefined where it is. */
export function strayFrom({ planned, kept, begun, inputs, spec }: Mandate, fresh: Fresh): string | undefined {
  // Nobody knew then what it would be; whoever approved it approved that.
  if (kept?.partly && sameChange(kept.change, planned) && fits(kept.partly, spec.variables)) return undefined;
  const acts = fresh.resources.filter(({ action }) => action !== 'read');
  if (begun) {
    // What was half made is made anew, so the action may differ; the resources may not.
    const known = new Set(begun.resources.map(({ address }) => address));
    return acts.find(({ address }) => !known.has(address))?.address;
  }
  if (!kept || kept.inputs !== inputs || !sameChange(kept.change, planned))
    return sameChange(fresh.change, planned) ? undefined : (acts[0]?.address ?? 'nothing');
  const [then, now] = [keysOf(kept.resources), keysOf(acts)];
  return [...now].find((key) => !then.has(key)) ?? [...then].find((key) => !now.has(key));
}

function keysOf(resources: readonly { readonly address: string; readonly action: string }[]): Set<string> {
  return new Set(
    resources.flatMap(({ address, action }) => (action === 'read' ? [] : [`${address} (${action})`])),
  );
}
