/** A watch as its reader sees it: one, over as many connections as it takes. */
import { type Clock, systemRandom } from '../kit/clock.ts';
import { backoffMs } from '../kit/retry.ts';
import { connectionOf, headersBehind } from '../kit/server-sent-events-connection.ts';
import { BACKOFF, jsonIn, refusalIn, waitAfter } from './client-answers.ts';
import { Watched } from './rest/nestor-answers.ts';

export interface Watching {
  /** Asks for events. */
  open(headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  readonly clock: Clock;
  /** How many connections may come to nothing, one after the other. */
  readonly attempts: number;
  readonly signal: AbortSignal;
}

/** Where a watch is. */
interface Place {
  /** Of the newest event. */
  id: string | undefined;
  /** In a row. */
  failures: number;
}

/** Ends with the deployment. Throws as `open` does, DeploymentRefused, or the signal's reason. */
export async function* watched(watching: Watching): AsyncGenerator<Watched, void, void> {
  const { clock, attempts, signal } = watching;
  const place: Place = { id: undefined, failures: 0 };
  for (;;) {
    let wait: boolean | number = true;
    try {
      if (yield* connection(place, watching)) return;
    } catch (error) {
      signal.throwIfAborted();
      wait = waitAfter(error);
      if (wait === false || place.failures + 1 >= attempts) throw error;
    }
    place.failures++;
    // A director that stops ends what it tells; what never says anything is none.
    if (place.failures >= attempts) throw new Error('Nobody tells how it goes on');
    const own = backoffMs(place.failures, BACKOFF, systemRandom);
    await clock.sleep(Math.max(own, Number(wait)), signal);
  }
}

/** Returns whether the end was told. */
async function* connection(
  place: Place,
  { open, clock, signal }: Watching,
): AsyncGenerator<Watched, boolean, void> {
  const onSign = (): void => {
    place.failures = 0;
  };
  const one = connectionOf({ clock, signal, onSign });
  try {
    const got = await open(headersBehind(place.id), one.signal);
    if (got.status === 204) return true;
    const events = one.eventsIn(got);
    if (!events) throw await refusalIn(got);
    for await (const { id, name, data } of events) {
      place.id = id ?? place.id;
      const change = Watched.safeParse(jsonIn(data));
      // What a newer director tells beside it is not known here.
      if (change.success) yield change.data;
      if (name === 'end') return true;
    }
    return false;
  } finally {
    one.end();
  }
}
