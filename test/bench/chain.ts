/**
 * The longest chain of an `up`'s own builds, starts and calls: what it would take if nothing ever waited for
 * anything but what it needs.
 *
 *   local cloud ─▶ calls ─┬▶ image of a service ───────────────────┬▶ start of the service
 *                         ├▶ image of the director ─▶ start ─▶ calls ─┤
 *                         └▶ … start of each that it depends on ──────┘
 *
 * Every time in it is the local cloud's own, of the same run: a build from its start to its finish (not the
 * queue before it), a start from the creation of the service until it is ready, a call for as long as it was
 * being answered. So nothing that we add counts: no way to the cloud and back, no waiting between two looks at
 * a build, no plan, no commit, no looking whether a grant is in effect. Of the calls of one step those on one
 * resource come one after the other, and the resource that took longest counts.
 */
import { criticalPath } from '@service-director/shared/engine/walk.ts';

/** Seconds, by what took them. */
export interface Facts {
  /** From the start of its process until it answers. */
  readonly localCloud: number;
  /** The conductor's calls before the first build. */
  readonly foundation: number;
  /** Of a service or the director: sent, and built. */
  readonly images: Readonly<Record<string, number>>;
  /** Of a service or the director. */
  readonly starts: Readonly<Record<string, number>>;
  /** The director's calls before the first start of a service. */
  readonly setup: number;
  /** The name of the director's service. */
  readonly director: string;
  readonly services: readonly {
    readonly name: string;
    /** Other services, which are there before it starts. */
    readonly dependencies: readonly string[];
  }[];
}

export interface Chain {
  readonly seconds: number;
  /** From the first to the last. */
  readonly links: readonly { readonly what: string; readonly seconds: number }[];
}

export function longestChain(facts: Facts): Chain {
  const { director, images, starts, services } = facts;
  const node = (id: string, seconds: number | undefined, after: readonly string[]) => ({
    id,
    seconds: demand(seconds, id),
    after,
  });
  const nodes = [
    node('local cloud', facts.localCloud, []),
    node('calls', facts.foundation, ['local cloud']),
    node(`image ${director}`, images[director], ['calls']),
    node(`start ${director}`, starts[director], [`image ${director}`]),
    node('setup', facts.setup, [`start ${director}`]),
    ...services.map(({ name }) => node(`image ${name}`, images[name], ['calls'])),
    ...services.map(({ name, dependencies }) =>
      node(`start ${name}`, starts[name], [
        `image ${name}`,
        'setup',
        ...dependencies.map((other) => `start ${other}`),
      ]),
    ),
  ];
  const { path, seconds } = criticalPath(nodes);
  const took = new Map(nodes.map(({ id, seconds: one }) => [id, one]));
  return { seconds, links: path.map((what) => ({ what, seconds: took.get(what) ?? 0 })) };
}

function demand(seconds: number | undefined, what: string): number {
  if (seconds === undefined || !(seconds >= 0)) throw new Error(`How long it took is not known: ${what}`);
  return seconds;
}
