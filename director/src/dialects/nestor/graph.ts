/** The resources of a deployment as a graph: their order, the circles in it, and whom a change of one concerns. */
import { circlesOf } from '@service-director/shared/model/check.ts';

/** `from` is deployed before `to`. */
export interface Edge {
  readonly from: string;
  readonly to: string;
}

export interface Graph {
  readonly names: readonly string[];
  readonly edges: readonly Edge[];
}

/** Each circle along its edges, and back to its first: `a, b, a`. */
export function circlesIn({ names, edges }: Graph): string[][] {
  const next = Map.groupBy(edges, ({ from }) => from);
  const after = new Map(names.map((name) => [name, (next.get(name) ?? []).map(({ to }) => to)]));
  return circlesOf(after).map((circle) => [...circle, ...circle.slice(0, 1)]);
}

/** Those of one level need nothing of each other, and all of their needs are in levels before. Of a graph without circles. */
export function levelsOf({ names, edges }: Graph): string[][] {
  const needs = Map.groupBy(edges, ({ to }) => to);
  const known = new Map<string, number>();
  const levelOf = (name: string): number => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const before = (needs.get(name) ?? []).map(({ from }) => levelOf(from) + 1);
    const level = Math.max(0, ...before);
    known.set(name, level);
    return level;
  };
  const byLevel = Map.groupBy([...names].sort(), levelOf);
  return [...byLevel].sort(([a], [b]) => a - b).map(([, level]) => level);
}

/** All that have to wait, or go without, when that one changes or fails: in the order in which they come. */
export function affectedBy(name: string, graph: Graph): string[] {
  const reached = new Set<string>([name]);
  const order = levelsOf(graph).flat();
  const needs = Map.groupBy(graph.edges, ({ to }) => to);
  for (const one of order) if ((needs.get(one) ?? []).some(({ from }) => reached.has(from))) reached.add(one);
  return order.filter((one) => one !== name && reached.has(one));
}

/** The same without doubles, in an order that does not depend on how they were written. */
export function distinct(edges: readonly Edge[]): Edge[] {
  const all = new Map(edges.map((edge) => [`${edge.from} ${edge.to}`, edge]));
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, edge]) => edge);
}

/** As it is told: what comes when, and who is affected by whom. */
export function graphView(graph: Graph): object {
  const levels = levelsOf(graph);
  return {
    levels,
    order: levels.flat(),
    edges: graph.edges,
    resources: levels.flatMap((names, level) =>
      names.map((name) => ({
        name,
        level,
        dependsOn: graph.edges.flatMap(({ from, to }) => (to === name ? [from] : [])),
        affects: affectedBy(name, graph),
      })),
    ),
  };
}
