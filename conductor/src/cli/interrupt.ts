/** Ctrl-C, or a polite end from outside: the first begins an orderly end, another that is meant ends at once. */
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { EXIT } from '../failure.ts';

/** One key press arrives several times under npm: from the terminal, and from each program that hands it on. Milliseconds. */
const ECHO_MS = 1_000;

export interface Signals {
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  off(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown;
  exit(code: number): void;
}

/** Returns what stops listening: after a key press its echoes are still heard, which would else end us before we have spoken. */
export function onInterrupt(
  act: () => void,
  { signals = process, clock = systemClock }: { signals?: Signals; clock?: Clock } = {},
): () => void {
  let since: number | undefined;
  const listener = (): void => {
    if (since !== undefined && clock.now() - since > ECHO_MS) signals.exit(EXIT.interrupted);
    if (since !== undefined) return;
    since = clock.now();
    act();
  };
  signals.on('SIGINT', listener);
  signals.on('SIGTERM', listener);
  return () => {
    if (since !== undefined) return;
    signals.off('SIGINT', listener);
    signals.off('SIGTERM', listener);
  };
}
