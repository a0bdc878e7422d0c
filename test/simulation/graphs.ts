/** Random graphs of things, and the blueprints by which simulated directors know what a command wants. */
import {
  type Blueprints,
  type Inputs,
  Unplannable,
} from '@service-director/director/deployments/blueprints.ts';
import type { Command } from '@service-director/shared/contract/command.ts';
import type { Random } from '@service-director/shared/kit/clock.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import type { ApprovalGate } from '@service-director/shared/model/architecture.ts';
import { output, type Unit, type UnitId, unitId } from '@service-director/shared/model/unit.ts';

export const SCOPE = 'sim';

/** What a stack shall be, from one command on. */
export interface Graph {
  readonly dataflow: string;
  readonly units: readonly Unit[];
  readonly approval: ApprovalGate;
}

/** Graphs by the command that brought them; a command without one goes by the newest of its dataflow. */
export interface Library {
  readonly graphs: ReadonlyMap<string, Graph>;
  readonly dataflows: readonly string[];
}

const KINDS = ['thing', 'thing', 'slow', 'fixed', 'data', 'loose'] as const;

/** Between one and `most` units, each needing some of those before it. */
export function randomGraph(dataflow: string, most: number, approval: ApprovalGate, random: Random): Graph {
  const count = 1 + Math.floor(random() * most);
  const units: Unit[] = [];
  for (let at = 0; at < count; at++) units.push(randomUnit(dataflow, at, units, random));
  return { dataflow, units: [...units, ...shared(dataflow, units, random)], approval };
}

/** The same graph, changed here and there: values, members, edges. */
export function changed(graph: Graph, random: Random): Graph {
  const own = graph.units.filter(({ kind }) => kind !== 'grants' && kind !== 'service-account');
  const kept = own.filter(() => random() < 0.85);
  const ids = new Set(kept.map(({ id }) => id));
  const again = kept.map((unit): Unit => {
    const isChanged = random() < 0.4;
    const spec = {
      ...unit.spec,
      ...(isChanged ? { size: Math.floor(random() * 1_000) } : {}),
      // Only what may be replaced is asked to be: what holds data or is protected would refuse for ever.
      ...(unit.kind === 'fixed' && unit.protection === undefined && random() < 0.3
        ? { place: Math.floor(random() * 1_000) }
        : {}),
    };
    const { after, ...rest } = spec as typeof spec & { after?: { $output: { unit: UnitId } } };
    const isCut = after !== undefined && !ids.has(after.$output.unit);
    return { ...unit, spec: isCut ? rest : spec, needs: unit.needs.filter((id) => ids.has(id)) };
  });
  const more = Math.floor(random() * 3);
  for (let at = 0; at < more; at++) {
    const unit = randomUnit(graph.dataflow, 100 + Math.floor(random() * 1_000), again, random);
    if (again.every(({ id }) => id !== unit.id)) again.push(unit);
  }
  return { ...graph, units: [...again, ...shared(graph.dataflow, again, random)] };
}

function randomUnit(dataflow: string, at: number, before: readonly Unit[], random: Random): Unit {
  const kind = KINDS[Math.floor(random() * KINDS.length)] ?? 'thing';
  const name = `${dataflow}-${at}`;
  const needs = before.filter(() => random() < 2 / (before.length + 1)).map(({ id }) => id);
  const [first] = needs;
  return {
    id: unitId(kind, name),
    engine: 'gcp',
    kind,
    spec: {
      name,
      size: Math.floor(random() * 1_000),
      ...(kind === 'fixed' || kind === 'data' ? { place: 0 } : {}),
      ...(first !== undefined && random() < 0.5 ? { after: output(first, 'path') } : {}),
    },
    needs,
    owner: { scope: SCOPE, dataflow },
    stage: 'setup',
    ...(random() < 0.05 ? { protection: 'it is protected' } : {}),
  };
}

/** An account that every dataflow may use, and grants on the dataflow's own. */
function shared(dataflow: string, units: readonly Unit[], random: Random): Unit[] {
  if (random() < 0.5) return [];
  const account = unitId('service-account', 'everybody');
  const target = units.find(({ kind }) => kind === 'thing');
  const accountUnit: Unit = {
    id: account,
    engine: 'gcp',
    kind: 'service-account',
    spec: { name: 'everybody' },
    needs: [],
    owner: { scope: SCOPE, dataflow: 'accounts' },
    stage: 'identity',
  };
  if (!target) return [accountUnit];
  const members = ['a', 'b', 'c'].filter(() => random() < 0.6);
  const grants: Unit = {
    id: unitId('grants', target.id),
    engine: 'gcp',
    kind: 'grants',
    spec: {
      name: target.id,
      bindings: members.map((member) => ({ role: 'roles/use', member, reason: 'it uses it' })),
    },
    needs: [target.id, account],
    owner: { scope: SCOPE, dataflow },
    stage: 'setup',
  };
  return members.length === 0 ? [accountUnit] : [accountUnit, grants];
}

export function blueprintsOf({ graphs, dataflows }: Library): Blueprints {
  const graphOf = (command: Command): Graph | undefined => graphs.get(command.id);
  return {
    async subjectOf(command) {
      const { dataflow } = command.data;
      if (dataflow !== 'all' && !dataflows.includes(dataflow))
        throw new Unplannable(`There is no dataflow ${dataflow}`);
      return { scope: SCOPE, dataflows: dataflow === 'all' ? dataflows : [dataflow], writes: [] };
    },

    async scopesWith(dataflow) {
      return dataflows.includes(dataflow) ? [SCOPE] : [];
    },

    async describe(_scope, command) {
      const graph = graphOf(command);
      return {
        digest: fingerprint(graph ?? null),
        approval: graph?.approval,
        isPermanent: () => false,
        inputs({ operation, priors }): Inputs {
          const desired = operation === 'teardown' ? [] : (graph?.units ?? []);
          const wanted = new Set(desired.map(({ id }) => id));
          return {
            desired,
            obsolete: [...priors.values()].filter(({ id }) => !wanted.has(id)),
            keep: new Map(),
            externals: [],
            makers: new Map(),
          };
        },
      };
    },
  };
}
