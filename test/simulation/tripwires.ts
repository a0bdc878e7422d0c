/**
 * Time and chance of the machine, made to throw while simulated code runs.
 *
 * The director's core takes its clock and its chance as arguments; what reaches past them would make a seed
 * unrepeatable. A trip throws where it happens and is remembered, since whoever calls may swallow it.
 */
import nodeCrypto, { webcrypto } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import timerPromises from 'node:timers/promises';

const trips: string[] = [];
let armed = false;
let remove: (() => void) | undefined;

/** While armed, what is installed throws. The scheduler arms while an event runs. */
export function arm(isArmed: boolean): void {
  armed = isArmed;
}

/** The oldest trip that was not taken yet: who was called, and where. */
export function takeTrip(): string | undefined {
  return trips.shift();
}

/** Lays the wires once for this process; the returned function takes them up again. */
export function installTripwires(): () => void {
  if (remove) return remove;
  const undo = [
    ...wires(globalThis, ['setTimeout', 'setInterval', 'setImmediate']),
    ...wires(Date, ['now']),
    ...wires(Math, ['random']),
    ...wires(performance, ['now']),
    ...wires(process, ['hrtime']),
    ...wires(AbortSignal, ['timeout']),
    ...wires(webcrypto, ['randomUUID', 'getRandomValues']),
    ...wires(nodeCrypto, ['randomUUID', 'randomBytes', 'randomInt']),
    ...wires(timers, ['setTimeout', 'setInterval', 'setImmediate']),
    ...wires(timerPromises, ['setTimeout', 'setInterval', 'setImmediate']),
    dateWithout(),
  ];
  // What was imported by name from a built-in module follows its object only when it is told to.
  syncBuiltinESMExports();
  remove = () => {
    for (const one of undo) one();
    syncBuiltinESMExports();
    remove = undefined;
  };
  return remove;
}

function trip(name: string): never {
  const error = new Error(`${name} was called in simulated code`);
  trips.push(error.stack ?? error.message);
  throw error;
}

function wires(target: object, names: readonly string[]): (() => void)[] {
  return names.map((name) => {
    const before = Object.getOwnPropertyDescriptor(target, name);
    const original: unknown = Reflect.get(target, name);
    if (typeof original !== 'function') throw new Error(`There is no ${name} to lay a wire before`);
    const wired = new Proxy(original, {
      apply: (callee, self, args) => (armed ? trip(name) : Reflect.apply(callee, self, args)),
    });
    Object.defineProperty(target, name, { value: wired, configurable: true, writable: true });
    return () => {
      if (before) Object.defineProperty(target, name, before);
      else Reflect.deleteProperty(target, name);
    };
  });
}

/** `new Date(ms)` is arithmetic, `new Date()` asks the machine. */
function dateWithout(): () => void {
  const original = Date;
  globalThis.Date = new Proxy(original, {
    construct: (target, args, as) =>
      armed && args.length === 0 ? trip('new Date()') : Reflect.construct(target, args, as),
    apply: (target, self, args) => (armed ? trip('Date()') : Reflect.apply(target, self, args)),
  });
  return () => {
    globalThis.Date = original;
  };
}
