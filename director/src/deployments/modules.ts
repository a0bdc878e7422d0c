/** The code of modules: a plan is for the very code that it was made from, whatever lies where it came from later. */
import type { ToolLine } from '@service-director/shared/engine/engine.ts';
import { BundleSource } from '@service-director/shared/model/bundle-source.ts';
import type { Unit, UnitId } from '@service-director/shared/model/unit.ts';
import type { Sources } from '../bundles/sources.ts';
import { StoreFailure } from '../store/store.ts';
import { Unplannable } from './blueprints.ts';

export type Digests = Readonly<Record<UnitId, string>>;

export interface CodeOptions {
  readonly sources: Sources | undefined;
  readonly signal: AbortSignal;
  say(unit: UnitId, line: ToolLine): void;
}

/** The units, each module with the digest of its code; `known` are those that were fetched before. Throws Unplannable. */
export async function withCode(
  units: readonly Unit[],
  known: Digests,
  options: CodeOptions,
): Promise<Unit[]> {
  return Promise.all(
    units.map(async (unit) => {
      if (unit.engine === 'gcp') return unit;
      const source = await codeOf(unit, known[unit.id], options);
      return { ...unit, spec: { ...unit.spec, source } };
    }),
  );
}

interface Code {
  readonly digest: string;
  /** The folder in it. */
  readonly path?: string;
}

async function codeOf(
  { id, spec }: Unit,
  known: string | undefined,
  { sources, signal, say }: CodeOptions,
): Promise<Code> {
  const source = BundleSource.safeParse(spec.source);
  if (!source.success)
    throw new Unplannable(
      `The code of ${id} is in a folder, and the director has none`,
      'deploy it with conductor up, which sends it; or name an object in Cloud Storage or a Git repository',
    );
  const path = source.data.path === undefined ? {} : { path: source.data.path };
  if (known !== undefined) return { digest: known, ...path };
  if (!sources)
    throw new Unplannable(
      `${id} is a module, and this director cannot keep what tools leave: their states hold secrets`,
      'set DIRECTOR_STATE_KEY, which encrypts them',
    );
  const isBrought = !['digest', 'module', 'configuration'].some((key) => key in source.data);
  if (isBrought) say(id, { level: 'info', message: 'Fetching its code' });
  try {
    const { digest } = await sources.resolve(source.data, signal);
    return { digest, ...path };
  } catch (error) {
    if (error instanceof StoreFailure || signal.aborted) throw error;
    throw new Unplannable(error instanceof Error ? error.message : String(error));
  }
}

export function digestsOf(units: readonly Unit[]): Digests {
  return Object.fromEntries(
    units.flatMap(({ id, spec }) => {
      const { digest } = Object(spec.source) as { digest?: unknown };
      return typeof digest === 'string' ? [[id, digest]] : [];
    }),
  );
}
