/** One connection over which server-sent events are heard; whoever listens makes the next where it breaks. */
import type { Clock } from './clock.ts';
import { type ServerSentEvent, serverSentEvents } from './server-sent-events.ts';

export interface Listener {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called for whatever comes, signs of life too. */
  readonly onSign?: () => void;
}

export interface Connection {
  /** For the request: aborted with the listener's, when nothing came for too long, and by `end`. */
  readonly signal: AbortSignal;
  /** The events in an answer, which reject where it breaks off; undefined for what is no stream of them. */
  eventsIn(answer: Response): AsyncGenerator<ServerSentEvent> | undefined;
  /** Whatever is left of it is not waited for. */
  end(): void;
}

/** A director gives a sign of life four times as often. Milliseconds. */
const SILENT_MS = 60_000;
const EVENTS = 'text/event-stream';

/** What asks for the events behind that one; from the beginning without one. */
export function headersBehind(lastEventId: string | undefined): Record<string, string> {
  return { accept: EVENTS, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) };
}

/** It is waited for from now on. */
export function connectionOf({ clock, signal, onSign = () => {} }: Listener): Connection {
  const own = new AbortController();
  const alarm = (): (() => void) =>
    clock.after(SILENT_MS, () => own.abort(new Error('The director says nothing')));
  let forget = alarm();

  async function* signsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      forget();
      forget = alarm();
      onSign();
      yield chunk;
    }
  }

  return {
    signal: AbortSignal.any([signal, own.signal]),
    eventsIn({ ok, headers, body }) {
      const isStream = ok && headers.get('content-type')?.startsWith(EVENTS);
      return isStream && body ? serverSentEvents(signsOf(body)) : undefined;
    },
    end() {
      forget();
      own.abort();
    },
  };
}
