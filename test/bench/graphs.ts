/** Graphs of the kinds that deployments have, by chance from a seed: of each node the places of those before it. */
import type { Random } from '@service-director/shared/kit/clock.ts';

export type Graph = readonly (readonly number[])[];

type Shape = (size: number, random: Random) => Graph;

/** At most three before each, none further away than 200. */
const localRandom: Shape = (size, random) =>
  graph(size, (place) => {
    const window = Math.min(place, 200);
    const before = Array.from({ length: whole(random, 4) }, () => place - 1 - whole(random, window));
    return window === 0 ? [] : [...new Set(before)];
  });

/** Each after one of those before it. */
const tree: Shape = (size, random) => graph(size, (place) => (place === 0 ? [] : [whole(random, place)]));

/** Tens that have nothing to do with each other; in each, one after the other. */
export const stacksOfTen: Shape = (size) => graph(size, (place) => (place % 10 === 0 ? [] : [place - 1]));

/** One in twenty in one long chain, begun among many that nothing depends on. */
const chainInSea: Shape = (size, random) => {
  const start = whole(random, size / 20);
  const isLink = (place: number): boolean => place >= start && (place - start) % 20 === 0;
  return graph(size, (place) => (isLink(place) && place !== start ? [place - 20] : []));
};

export const SHAPES: Readonly<Record<string, Shape>> = {
  'local random': localRandom,
  tree,
  'stacks of ten': stacksOfTen,
  'chain in a sea': chainInSea,
};

function graph(size: number, before: (place: number) => number[]): Graph {
  return Array.from({ length: size }, (_, place) => before(place));
}

/** From 0 to under `under`. */
function whole(random: Random, under: number): number {
  return Math.floor(random() * under);
}
