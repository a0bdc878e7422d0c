/** Several engines as one: each unit goes to its own, which is loaded when a unit first asks for it. */
import type { EngineName } from '../model/unit.ts';
import type { Engine } from './engine.ts';

/**
 * Only a weight, by which the longest path is found: of a module its tool says afterwards how long its removal took.
 * Nobody is told it as a time.
 */
const MODULE_SECONDS = 60;

/** `native` answers for all that is asked without a unit, for it alone has kinds of its own. */
export function enginesOf(
  native: Engine,
  others: Readonly<Record<Exclude<EngineName, 'gcp'>, () => Promise<Engine>>>,
): Engine {
  const loaded = new Map<EngineName, Promise<Engine>>();

  async function engineFor(name: EngineName): Promise<Engine> {
    if (name === 'gcp') return native;
    const known = loaded.get(name) ?? others[name]();
    loaded.set(name, known);
    return known;
  }

  return {
    async plan(work, context) {
      return (await engineFor(work.unit.engine)).plan(work, context);
    },
    async look(work, context) {
      const engine = await engineFor(work.unit.engine);
      return engine.look ? engine.look(work, context) : engine.plan(work, context);
    },
    async apply(work, planned, context) {
      return (await engineFor(work.unit.engine)).apply(work, planned, context);
    },
    async destroy(state, context) {
      return (await engineFor(state.engine)).destroy(state, context);
    },
    stays: (kind) => (kind === 'module' ? undefined : native.stays(kind)),
    removalSeconds: (kind) => (kind === 'module' ? MODULE_SECONDS : native.removalSeconds(kind)),
  };
}
