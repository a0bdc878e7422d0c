/**
 * An engine whose modules are on paper: it makes what it is told to, keeps it in memory, and does as the test says.
 *
 * The outputs of a module are its variables. Instead of the tool, so that what a dialect tells can be looked at while
 * a module is made, and after one failed.
 */
import { CloudError } from '@service-director/shared/cloud/error.ts';
import type { Engine } from '@service-director/shared/engine/engine.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { type Change, NONE } from '@service-director/shared/model/change.ts';
import type { Outputs, UnitSpec } from '@service-director/shared/model/unit.ts';

export interface PaperEngine extends Engine {
  /** In the order in which they were begun, with what was done: `create database`. */
  readonly done: string[];
  /** What there is, by scope and name. */
  readonly things: ReadonlyMap<string, Outputs>;
  /** A module of that name is begun, half made, and then waits until the returned function is called. */
  hold(name: string): () => void;
  /** A module of that name fails from now on; undefined: not any more. */
  fail(name: string, because: string | undefined): void;
}

export function paperEngine(): PaperEngine {
  const things = new Map<string, Outputs>();
  const specs = new Map<string, string>();
  const done: string[] = [];
  const held = new Map<string, Promise<void>>();
  const failing = new Map<string, string>();
  const at = (scope: string, name: string): string => `${scope} ${name}`;

  return {
    done,
    things,
    hold(name) {
      const { promise, resolve } = Promise.withResolvers<void>();
      held.set(name, promise);
      return () => {
        held.delete(name);
        resolve();
      };
    },
    fail(name, because) {
      if (because === undefined) failing.delete(name);
      else failing.set(name, because);
    },

    async plan({ unit, spec }) {
      const key = at(unit.owner.scope, unit.spec.name);
      const before = specs.get(key);
      const change: Change =
        before === undefined
          ? { action: 'create' }
          : before === fingerprint(spec)
            ? NONE
            : { action: 'update', fields: ['variables'] };
      const action = change.action === 'update' ? 'update' : 'create';
      const resources =
        change.action === 'none'
          ? []
          : ['one', 'two'].map((name) => ({ address: `paper.${name}`, type: 'paper', action }) as const);
      return { change, outputs: things.get(key) ?? {}, seconds: 1, resources };
    },

    async apply({ unit, spec }, planned, context) {
      const { name } = unit.spec;
      if (planned.action === 'none') return { status: 'done', change: NONE, outputs: outputsOf(spec) };
      await context.record(planned.action === 'update' ? 'update' : 'create');
      done.push(`${planned.action} ${name}`);
      context.log?.({
        level: 'info',
        message: 'paper.one: Creation complete after 0s',
        resource: 'paper.one',
      });
      const gate = held.get(name);
      const aborted = new Promise<void>((resolve) =>
        context.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      if (gate) await Promise.race([gate, aborted]);
      if (context.signal.aborted) return { status: 'cancelled' };
      const because = failing.get(name);
      if (because !== undefined)
        return { status: 'failed', error: new CloudError('invalid', because, { fix: 'mend it' }) };
      const key = at(unit.owner.scope, name);
      things.set(key, outputsOf(spec));
      specs.set(key, fingerprint(spec));
      return { status: 'done', change: planned, outputs: outputsOf(spec) };
    },

    async destroy(state, context) {
      await context.record('remove');
      done.push(`delete ${state.spec.name}`);
      const key = at(state.owner.scope, state.spec.name);
      things.delete(key);
      specs.delete(key);
      return { status: 'done', change: { action: 'delete' }, outputs: {} };
    },
    stays: () => undefined,
    removalSeconds: () => 1,
  };
}

function outputsOf(spec: UnitSpec): Outputs {
  const variables = typeof spec.variables === 'object' && spec.variables !== null ? spec.variables : {};
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}
