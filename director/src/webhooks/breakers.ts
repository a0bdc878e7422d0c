/** The breakers of one process, one for each of those that it calls: only of those that fail is anything remembered. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { afterCall, askToCall, type Breaker, type BreakerRules, CLOSED, type Outcome } from './breaker.ts';

export interface Breakers {
  /** Undefined: call it, and tell what came of it. Else when to ask again, milliseconds since 1970. */
  ask(name: string): number | undefined;
  /** When to ask, milliseconds since 1970; 0: whenever one likes. Changes nothing. */
  heldUntil(name: string): number;
  tell(name: string, outcome: Outcome): void;
  /** There is nobody to be called any more. */
  forget(name: string): void;
}

export interface BreakersOptions {
  readonly clock: Pick<Clock, 'now'>;
  readonly rules: BreakerRules;
  /** One stands otherwise than before. */
  readonly onTurn: (name: string, state: Breaker['state']) => void;
}

export function breakersBy({ clock, rules, onTurn }: BreakersOptions): Breakers {
  const breakers = new Map<string, Breaker>();
  const of = (name: string): Breaker => breakers.get(name) ?? CLOSED;

  function become(name: string, after: Breaker): void {
    const before = of(name);
    if (after === CLOSED) breakers.delete(name);
    else breakers.set(name, after);
    if (before.state !== after.state) onTurn(name, after.state);
  }

  return {
    ask(name) {
      const asked = askToCall(of(name), clock.now(), rules);
      if (!asked.mayCall) return asked.again;
      become(name, asked.breaker);
      return undefined;
    },
    heldUntil(name) {
      const asked = askToCall(of(name), clock.now(), rules);
      return asked.mayCall ? 0 : asked.again;
    },
    tell: (name, outcome) => become(name, afterCall(of(name), outcome, clock.now(), rules)),
    forget: (name) => void breakers.delete(name),
  };
}
