/** A cloud in memory: values by name, each made in one call that takes as long as it is told. */
import type { Engine } from '@service-director/shared/engine/engine.ts';
import { compare } from '@service-director/shared/model/change.ts';
import { type Unit, type UnitId, type UnitSpec, unitId } from '@service-director/shared/model/unit.ts';

export interface MemoryCloud {
  readonly engine: Engine;
  /** What is there, by unit. */
  readonly values: ReadonlyMap<UnitId, string>;
  /** How many calls changed something. */
  readonly calls: number;
}

export interface MemoryCloudOptions {
  /** What is there before anything is made. */
  readonly values?: ReadonlyMap<UnitId, string>;
  /** About how long a unit takes, as a plan is told it. Seconds; default 1. */
  seconds?(id: UnitId): number;
  /** What the call waits for; default nothing. */
  work?(id: UnitId): Promise<unknown>;
}

/** A call counts against one of three APIs, by the place of its unit. */
export function apiOf(id: UnitId): string {
  return `api ${Number(id.slice(`${KIND}/u`.length)) % 3}`;
}

export function memoryCloud({ values: before, seconds, work }: MemoryCloudOptions = {}): MemoryCloud {
  const values = new Map(before);
  let calls = 0;
  const engine: Engine = {
    async plan({ unit, spec }) {
      const value = values.get(unit.id);
      const took = seconds?.(unit.id) ?? 1;
      if (value === undefined) return { change: { action: 'create' }, outputs: {}, seconds: took };
      const change = compare({ value: [textOf(spec), value] });
      return { change, outputs: { value }, seconds: change.action === 'none' ? 0 : took };
    },
    async apply({ unit, spec }, change, context) {
      const value = textOf(spec);
      await context.record('create');
      await context.limit(apiOf(unit.id), async () => {
        await work?.(unit.id);
        values.set(unit.id, value);
        calls++;
      });
      return { status: 'done', change, outputs: { value } };
    },
    async destroy({ id }, context) {
      await context.record('remove');
      await context.limit(apiOf(id), async () => {
        values.delete(id);
        calls++;
      });
      return { status: 'done', change: { action: 'delete' }, outputs: {} };
    },
    stays: () => undefined,
    removalSeconds: () => 1,
  };
  return {
    engine,
    values,
    get calls() {
      return calls;
    },
  };
}

/** As many units as `after` has entries, each after the places that stand there. The first value goes through references wherever there is one to follow. */
export function unitsOf(after: readonly (readonly number[])[], value = 'v'): Unit[] {
  return after.map((before, place) => {
    const [source] = before;
    const reference = source === undefined ? value : { $output: { unit: idOf(source), name: 'value' } };
    return {
      id: idOf(place),
      engine: 'gcp',
      kind: KIND,
      spec: { name: `u${place}`, value: reference },
      needs: before.map(idOf),
      owner: OWNER,
      stage: 'setup',
    };
  });
}

const KIND = 'value';
export const OWNER = { scope: 'bench', dataflow: 'units' };

export function idOf(place: number): UnitId {
  return unitId(KIND, `u${place}`);
}

function textOf(spec: UnitSpec): string {
  return String(spec.value);
}
