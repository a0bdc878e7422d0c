/** Answers that go on for as long as something goes on: one client each, none of whom may hold anything up. */
import { once } from 'node:events';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Response } from 'express';
import { whoCalls } from './authenticate.ts';
import { Problem } from './problem.ts';

export interface StreamLimits {
  /** How many there may be at once. */
  readonly most: number;
  /** How many of them one caller may have. */
  readonly mostEach: number;
  /** How long a client may take nothing, in milliseconds, before it is dropped. */
  readonly patienceMs: number;
}

export interface StreamsContext {
  readonly clock: Clock;
  readonly limits: StreamLimits;
  /** Aborted when the director stops: then they all end. */
  readonly stopping: AbortSignal;
}

/** What a stream says, one text at a time; `signal` is aborted when nobody listens any more. */
export type Speech = (signal: AbortSignal) => AsyncIterable<string>;

export interface Streams {
  /** Resolves when it has ended, however. Throws a Problem when there are too many, or too many of one caller. */
  speak(response: Response, type: string, speech: Speech): Promise<void>;
  /** How many there are. */
  readonly count: () => number;
}

export function streams({ clock, limits, stopping }: StreamsContext): Streams {
  let count = 0;
  /** Of each caller who has any. */
  const counts = new Map<string, number>();

  /** Throws a Problem when there are too many; else one more, until what it returns is called. */
  function enter(caller: string): () => void {
    const own = counts.get(caller) ?? 0;
    const parts = { slug: 'too-many-streams', headers: { 'retry-after': '10' } };
    if (own >= limits.mostEach)
      throw new Problem(
        429,
        'Too many requests',
        `${caller} listens ${own} times already`,
        'end one of them, or ask again later',
        parts,
      );
    if (count >= limits.most)
      throw new Problem(503, 'Too many listen', `${count} are listening already`, 'ask again later', parts);
    count++;
    counts.set(caller, own + 1);
    return () => {
      count--;
      const left = (counts.get(caller) ?? 0) - 1;
      if (left > 0) counts.set(caller, left);
      else counts.delete(caller);
    };
  }

  /** Waits until the client has taken it: the next is not even read before. */
  async function write(response: Response, text: string, gone: AbortController): Promise<void> {
    if (response.write(text)) return;
    const forget = clock.after(limits.patienceMs, () => gone.abort(new Error('the client takes nothing')));
    try {
      await once(response, 'drain', { signal: gone.signal });
    } finally {
      forget();
    }
  }

  async function tell(response: Response, speech: Speech): Promise<void> {
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, stopping]);
    response.once('close', () => gone.abort(new Error('the client has gone')));
    try {
      for await (const text of speech(signal)) {
        if (signal.aborted) break;
        await write(response, text, gone);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      // What a slow client has not taken is not kept for it.
      if (gone.signal.aborted) response.destroy();
    }
    if (!gone.signal.aborted) response.end();
  }

  return {
    count: () => count,
    async speak(response, type, speech) {
      const leave = enter(whoCalls(response.req).name);
      try {
        response.status(200).set({ 'content-type': type, 'x-accel-buffering': 'no' }).flushHeaders();
        await tell(response, speech);
      } finally {
        leave();
      }
    },
  };
}
