/**
 * The way back: a stack's state as it was at an earlier version, as something to be deployed.
 *
 * A rollback goes forward: it is a deployment like any other, and makes a new version with the old one's content.
 */
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { StackId, Unit, UnitId } from '@service-director/shared/model/unit.ts';
import { listAll } from '../store/list-all.ts';
import type { VersionRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type Inputs, Unplannable } from './blueprints.ts';

export interface Past {
  /** What the stack had then. */
  readonly states: ReadonlyMap<UnitId, UnitState>;
  /** The deployments that it undoes, newest first. */
  readonly undoes: readonly string[];
}

/**
 * Of a stack that has `current` at version `now`. Throws Unplannable for a version that is not kept, or is yet to come;
 * which stack it is, whoever tells it says.
 */
export async function pastOf(
  stack: StackId,
  current: ReadonlyMap<UnitId, UnitState>,
  now: number,
  version: number,
  store: Store,
): Promise<Past> {
  if (version > now) throw new Unplannable(`the stack has no version ${version} yet; it is at ${now}`);
  if (version === now) return { states: current, undoes: [] };
  // Each version tells what it changed: read backwards, the newest first.
  const rows = await listAll<VersionRecord>(store, { collection: 'versions', prefix: `${stack}/` });
  const kept = new Map(rows.map(({ value }) => [value.version, value]));
  if (!isRestorable(version, now, new Set(kept.keys()))) {
    const oldest = [...kept.keys()].find((one) => isRestorable(one, now, new Set(kept.keys())));
    throw new Unplannable(
      `Version ${version} of the stack is not kept any more`,
      oldest === undefined ? 'see conductor history' : `the oldest that can be brought back is ${oldest}`,
    );
  }
  const states = new Map(current);
  const undoes: string[] = [];
  for (let at = now; at > version; at--) {
    const record = kept.get(at);
    if (!record) continue;
    undoes.push(record.deployment);
    for (const { unit, before } of record.changes) {
      if (before) states.set(unit, before);
      else states.delete(unit);
    }
  }
  return { states, undoes };
}

/** Throws Unplannable where a deployment that failed has left what nobody knows to be this, or what was asked for. */
export function demandSure(stack: StackId, current: ReadonlyMap<UnitId, UnitState>): void {
  const unsure = [...current.values()].filter((state) => state.unsure).map(({ id }) => id);
  if (unsure.length === 0) return;
  throw new Unplannable(
    `${stack} has what a deployment began and did not end: ${unsure.join(', ')}`,
    'deploy again, or roll back to one of its versions; then look for drift',
  );
}

/** Whether that version is kept, and with it all that lead back to it. */
export function isRestorable(version: number, now: number, kept: ReadonlySet<number>): boolean {
  if (version > 0 && !kept.has(version)) return false;
  for (let at = now; at > version; at--) if (!kept.has(at)) return false;
  return true;
}

/** What brings a stack from what it has to what it had. */
export function rollbackInputs(
  past: ReadonlyMap<UnitId, UnitState>,
  current: ReadonlyMap<UnitId, UnitState>,
): Inputs {
  return {
    desired: [...past.values()].map(unitOf),
    obsolete: [...current.values()].filter(({ id }) => !past.has(id)),
    keep: new Map(),
    externals: [],
    makers: new Map(),
  };
}

/** What had been applied, to be applied again: its references are resolved already. */
function unitOf({ id, engine, kind, spec, needs, owner, stage, protection }: UnitState): Unit {
  return {
    id,
    engine,
    kind,
    spec,
    needs,
    owner,
    stage,
    ...(protection === undefined ? {} : { protection }),
  };
}
