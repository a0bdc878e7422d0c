/** An answer that is dear to find out, for whoever asks meanwhile and shortly after. */
import type { Clock } from '@service-director/shared/kit/clock.ts';

/** Asks once for all that call while it is asked, and for `ms` milliseconds after that. What rejects is not remembered. */
export function remembered<T>(ms: number, clock: Clock, ask: () => Promise<T>): () => Promise<T> {
  let known: { readonly answer: Promise<T>; until?: number } | undefined;
  return () => {
    if (known && (known.until === undefined || clock.now() < known.until)) return known.answer;
    const mine: { readonly answer: Promise<T>; until?: number } = { answer: ask() };
    known = mine;
    mine.answer.then(
      () => {
        mine.until = clock.now() + ms;
      },
      () => {
        if (known === mine) known = undefined;
      },
    );
    return mine.answer;
  };
}
