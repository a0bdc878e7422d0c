/** Answers that are given again while nobody has written anything: whoever watches asks the same again and again. */
import type { Request } from 'express';
import type { Store } from '../../store/store.ts';
import { whoCalls } from '../authenticate.ts';

/** As it goes out. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; undefined for none. */
  readonly bytes: Buffer | undefined;
}

export interface Recent {
  /** What the same caller got for the same question, unless the state has changed since; else what `make` makes. */
  answer(request: Request, make: () => Promise<Answer>): Promise<Answer>;
}

/** How many are kept, and how long one may be, in bytes. */
const MOST_KEPT = 200;
const LONGEST_KEPT = 64 * 1024;

/** For answers that depend on nothing but the state, the question and the caller, and that are made without effects. */
export function recentAnswers(store: Store): Recent {
  const kept = new Map<string, Answer>();
  let generation: string | undefined;

  return {
    async answer(request, make) {
      const before = store.generation?.();
      if (before === undefined) return make();
      if (before !== generation) kept.clear();
      generation = before;
      const question = questionOf(request);
      const known = kept.get(question);
      if (known) return known;
      const made = await make();
      const isKept = made.status === 200 && (made.bytes?.length ?? 0) <= LONGEST_KEPT;
      // What was written while it was made may be in it, or not.
      if (!isKept || store.generation?.() !== before || generation !== before) return made;
      kept.set(question, made);
      const [oldest] = kept.keys();
      if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
      return made;
    },
  };
}

function questionOf(request: Request): string {
  return JSON.stringify([whoCalls(request).name, request.originalUrl, request.get('if-none-match') ?? '']);
}
