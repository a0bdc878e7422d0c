import { afterEach, expect, test } from 'vitest';
import { type Clock, systemClock } from './clock.ts';
import type { ServerSentEvent } from './server-sent-events.ts';
import { type Connection, connectionOf, headersBehind } from './server-sent-events-connection.ts';

const open: Connection[] = [];
afterEach(() => {
  for (const connection of open.splice(0)) connection.end();
});

/** An alarm that goes off when it is told to. */
function alarms(): { readonly clock: Clock; readonly set: Set<() => void> } {
  const made = {
    set: new Set<() => void>(),
    clock: {
      ...systemClock,
      after(_ms: number, task: () => void) {
        made.set.add(task);
        return () => void made.set.delete(task);
      },
    },
  };
  return made;
}

function connect(clock: Clock, signal: AbortSignal, onSign?: () => void): Connection {
  const connection = connectionOf({ clock, signal, ...(onSign ? { onSign } : {}) });
  open.push(connection);
  return connection;
}

const never = new AbortController().signal;
const headers = { 'content-type': 'text/event-stream; charset=utf-8' };

function answer(...chunks: string[]): Response {
  return new Response(ReadableStream.from(chunks).pipeThrough(new TextEncoderStream()), { headers });
}

test('whatever comes puts the alarm off; what never comes again sets it off', async () => {
  const { clock, set } = alarms();
  let signs = 0;
  const connection = connect(clock, never, () => signs++);
  const first = [...set];
  const events: ServerSentEvent[] = [];
  for await (const event of connection.eventsIn(answer(':\n\n', 'id: 1\ndata: a\n\n')) ?? [])
    events.push(event);
  expect(events).toEqual([{ id: '1', name: 'message', data: 'a' }]);
  expect(signs).toBe(2);
  const left = [...set];
  expect(left).toHaveLength(1);
  expect(left).not.toEqual(first);
  expect(connection.signal.aborted).toBe(false);
  for (const task of left) task();
  expect(connection.signal.reason).toMatchObject({ message: 'The director says nothing' });
});

test('what was asked for and never answered sets it off too', () => {
  const { clock, set } = alarms();
  const connection = connect(clock, never);
  for (const task of [...set]) task();
  expect(connection.signal.aborted).toBe(true);
});

test('it ends with whoever listens, and then nothing is waited for', () => {
  const { clock, set } = alarms();
  const stopping = new AbortController();
  const connection = connect(clock, stopping.signal);
  stopping.abort(new Error('enough'));
  expect(connection.signal.reason).toMatchObject({ message: 'enough' });
  connection.end();
  expect(set.size).toBe(0);
});

test('what is no stream of events has none', () => {
  const connection = connect(systemClock, never);
  expect(connection.eventsIn(new Response('{}', { headers: { 'content-type': 'application/json' } }))).toBe(
    undefined,
  );
  expect(connection.eventsIn(new Response('data: a\n\n', { status: 503, headers }))).toBe(undefined);
  expect(connection.eventsIn(new Response(null, { headers }))).toBe(undefined);
});

test('behind an event is asked for by its id', () => {
  expect(headersBehind(undefined)).toEqual({ accept: 'text/event-stream' });
  expect(headersBehind('7')).toEqual({ accept: 'text/event-stream', 'last-event-id': '7' });
});
