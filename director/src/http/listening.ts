/** Journals told while they are written, as events or as lines of JSON; whose words they are told in is a voice’s. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Request, Response } from 'express';
import type { DeploymentRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { type FollowContext, follow, type Line, type News, type Pace } from './follow.ts';
import { type StreamLimits, type Streams, streams } from './streams.ts';

export interface Listening extends Omit<FollowContext, 'signal'> {
  readonly streams: Streams;
  /** How long a stream may be silent, in milliseconds. */
  readonly heartbeatMs: number;
}

/** Milliseconds. */
export interface Streaming extends Pace, StreamLimits {
  /** How long a stream may be silent: what stands between closes connections that are. */
  readonly heartbeatMs: number;
}

export const STREAMING: Streaming = {
  shortestMs: 250,
  longestMs: 2_000,
  heartbeatMs: 15_000,
  patienceMs: 30_000,
  most: 200,
  mostEach: 50,
};

export interface ListeningContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly streaming: Streaming;
  /** Aborted when the director stops: then they all end. */
  readonly stopping: AbortSignal;
}

/** Of one director: all that are told by it count as one. */
export function listeningTo({ store, clock, streaming, stopping }: ListeningContext): Listening {
  const { heartbeatMs } = streaming;
  return {
    store,
    clock,
    pace: streaming,
    heartbeatMs,
    streams: streams({ clock, limits: streaming, stopping }),
  };
}

/** How one API tells a journal. */
export interface Voice {
  /** The event that a line is, and what it holds; undefined for a line that this API does not tell. */
  event(line: Line): { readonly name: string; readonly data: object } | undefined;
  /** What the last event holds. */
  end(record: DeploymentRecord): object;
  /** The same as the last line of JSON. */
  lastLine(record: DeploymentRecord, sequence: number): object;
}

export const JSON_TYPE = 'application/json';
export const EVENTS = 'text/event-stream';
export const LINES = 'application/x-ndjson';
export type StreamType = typeof EVENTS | typeof LINES;

/** What is asked for; the first where that is all the same, undefined where it is something else. */
export function typeAsked(request: Request): typeof JSON_TYPE | StreamType | undefined {
  const types = [JSON_TYPE, EVENTS, LINES] as const;
  const accepted = request.accepts([...types]);
  // Who only asks what would come is told of the page.
  if (request.method === 'HEAD' && accepted !== false) return JSON_TYPE;
  return types.find((type) => type === accepted);
}

/** The id of an event: its place, or that of the last line with this behind it, which says that the end was told. */
const END = '-end';
export const EVENT_ID = /^\d{1,8}(-end)?$/;

export interface Told {
  readonly record: DeploymentRecord;
  readonly type: StreamType;
  readonly voice: Voice;
  /** The line behind which it begins. */
  readonly after: number;
  /** The newest event that was received, which counts for more. */
  readonly lastEventId: string | undefined;
}

/** Resolves when it has ended, however. Throws a Problem when too many listen. */
export async function listen(response: Response, told: Told, listening: Listening): Promise<void> {
  const { type, lastEventId } = told;
  if (lastEventId?.endsWith(END) === true) {
    // What tells a browser that it need not come again.
    response.status(204).end();
    return;
  }
  const after = lastEventId === undefined ? told.after : Number(lastEventId);
  await listening.streams.speak(response, type, (signal) => spoken({ ...told, after }, listening, signal));
}

async function* spoken(told: Told, listening: Listening, signal: AbortSignal): AsyncGenerator<string> {
  const { clock, heartbeatMs } = listening;
  const beat = told.type === EVENTS ? ':\n\n' : '\n';
  let spokenAt = clock.now();
  // At once, so that whoever listens knows that somebody speaks.
  yield beat;
  for await (const news of follow(told.record, told.after, { ...listening, signal })) {
    const text = news.type === 'quiet' ? undefined : textOf(news, told);
    if (text === undefined && clock.now() - spokenAt < heartbeatMs) continue;
    spokenAt = clock.now();
    yield text ?? beat;
  }
}

function textOf(news: Exclude<News, { type: 'quiet' }>, { type, voice }: Told): string | undefined {
  if (news.type === 'end') {
    const { sequence, record } = news;
    return type === EVENTS
      ? eventText(`${sequence}${END}`, 'end', voice.end(record))
      : lineText(voice.lastLine(record, sequence));
  }
  const event = voice.event(news.line);
  if (!event) return undefined;
  return type === EVENTS
    ? eventText(String(news.line.sequence), event.name, event.data)
    : lineText(event.data);
}

function eventText(id: string, name: string, data: object): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function lineText(data: object): string {
  return `${JSON.stringify(data)}\n`;
}
