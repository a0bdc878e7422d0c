/**
 * Somebody who works by hand beside the director: changes fields, removes things, takes a name first.
 *
 * At moments that the seed draws, and as often as it says (`hand-edit`, `hand-remove`, `hand-plant`); stops when
 * the world heals.
 */

import type { Simulation } from './scheduler.ts';
import type { SimCloud } from './sim-cloud.ts';
import { traitsOf } from './sim-kinds.ts';

export interface HandOptions {
  /** About how often he looks. Default 30 s. */
  readonly everyMs?: number;
  /** Paths that are not there yet and that he may take first, with the kind that he makes; a director cannot get past these. Default none. */
  readonly names?: readonly { readonly path: string; readonly kind: string }[];
}

export function workByHand(
  sim: Simulation,
  cloud: SimCloud,
  { everyMs = 30_000, names = [] }: HandOptions = {},
): void {
  const random = sim.random('hand');
  const site = sim.faults.site('by hand', ['hand-edit', 'hand-remove', 'hand-plant']);
  const one = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];

  function act(): void {
    const ours = cloud.things().filter(({ owner }) => owner !== 'foreign');
    const fault = site.draw();
    if (fault === 'hand-plant') {
      const name = one(names);
      if (name) cloud.plant(name.path, name.kind);
      return;
    }
    const thing = fault && one(ours);
    if (!thing) return;
    if (fault === 'hand-remove') {
      cloud.take(thing.path);
      return;
    }
    // What cannot be changed in place cannot be changed by hand either.
    const { immutable = [] } = traitsOf(thing.kind);
    const fields = Object.keys(thing.spec).filter((field) => !immutable.includes(field));
    const field = one(fields.sort());
    if (field !== undefined) cloud.edit(thing.path, { [field]: 'by hand' });
  }

  function wait(): void {
    sim.at(everyMs * (0.5 + random()), () => {
      if (sim.faults.isHealed()) return;
      act();
      wait();
    });
  }
  wait();
}
