/** A watch as its reader sees it: one, over as many connections as it takes. */
import { type Clock, systemRandom } from '../kit/clock.ts';
import { backoffMs } from '../kit/retry.ts';
import { serverSentEvents } from '../kit/server-sent-events.ts';
import { BACKOFF, jsonIn, refusalIn, waitAfter } from './client-answers.ts';
import { Watched } from './rest/nestor-answers.ts';

export interface Watching {
  /** Asks for the events behind that one. */
  open(lastEventId: string | undefined, signal: AbortSignal): Promise<Response>;
  readonly clock: Clock;
  /** How many connections may come to nothing, one after the other. */
  readonly attempts: number;
  readonly signal: AbortSignal;
}

/** A director says something every 15 seconds. */
const LONGEST_SILENCE_MS = 60_000;
const EVENTS = 'text/event-stream';

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
  const silence = new AbortController();
  const hush = (): void => silence.abort(new Error('The director says nothing'));
  let forget = clock.after(LONGEST_SILENCE_MS, hush);
  const heard = (): void => {
    place.failures = 0;
    forget();
    forget = clock.after(LONGEST_SILENCE_MS, hush);
  };
  try {
    const got = await open(place.id, AbortSignal.any([silence.signal, signal]));
    if (got.status === 204) return true;
    const isTold = got.ok && got.headers.get('content-type')?.startsWith(EVENTS);
    if (!isTold || !got.body) throw await refusalIn(got);
    for await (const { id, name, data } of serverSentEvents(noticed(got.body, heard))) {
      place.id = id;
      const change = Watched.safeParse(jsonIn(data));
      // What a newer director tells beside it is not known here.
      if (change.success) yield change.data;
      if (name === 'end') return true;
    }
    return false;
  } finally {
    forget();
    hush();
  }
}

async function* noticed(chunks: AsyncIterable<Uint8Array>, notice: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    notice();
    yield chunk;
  }
}
