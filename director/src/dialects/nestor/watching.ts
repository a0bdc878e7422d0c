/** How a deployment is watched at `/api/v1`: each change of its status and of its resources', while it happens. */
import type { Watched } from '@service-director/shared/contract/rest/nestor-answers.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { Request, Response } from 'express';
import { type FollowContext, rowsOf } from '../../http/follow.ts';
import { EVENT_ID, EVENTS, LINES, type Listening, listen, type Voice } from '../../http/listening.ts';
import type { Streams } from '../../http/streams.ts';
import type { JournalEntry } from '../../store/records.ts';
import type { Known } from '../known.ts';
import { idOf } from './document.ts';
import { Refused } from './refused.ts';
import { begunStatus, finishedStatus, nameOf, standingOf, statusView } from './views.ts';

/** How many lines are looked through at a time. */
const PAGE = 200;

/** Resolves when it is over, however. Throws Refused for what cannot be told so. */
export async function watch(
  request: Request,
  response: Response,
  known: Known,
  listening: Listening,
): Promise<void> {
  const accepted = request.accepts([EVENTS, LINES]);
  const type = ([EVENTS, LINES] as const).find((one) => one === accepted);
  if (type === undefined) throw new Refused(406, 'VALIDATION_FAILED', `It is told as ${EVENTS} or ${LINES}`);
  const lastEventId = request.get('last-event-id');
  if (lastEventId !== undefined && !EVENT_ID.test(lastEventId))
    throw new Refused(400, 'VALIDATION_FAILED', 'Last-Event-ID is no id of an event of this watch');
  if (request.method === 'HEAD') {
    response.type(type).end();
    return;
  }
  const learned: Learned = { complaint: undefined };
  const learn = async (signal: AbortSignal): Promise<void> => {
    const received = lastEventId === undefined ? 0 : Number(lastEventId);
    learned.complaint = await complaintIn(known.record, received, { ...listening, signal });
  };
  const voice = voiceOf(known.command, learned);
  const told = { record: known.record, type, voice, after: 0, lastEventId };
  await listen(response, told, { ...listening, streams: begunWith(learn, listening.streams) });
}

/** What the end is told with. */
interface Learned {
  /** The line of the journal by which a failure is explained; nothing else of it is kept, for it may be long. */
  complaint: JournalEntry | undefined;
}

/** Nothing is learned for whoever is not let in, or has heard it all. */
function begunWith(learn: (signal: AbortSignal) => Promise<void>, streams: Streams): Streams {
  const { speak } = streams;
  return {
    ...streams,
    speak: (response, type, speech) =>
      speak(response, type, async function* (signal) {
        await learn(signal);
        yield* speech(signal);
      }),
  };
}

/** Among the lines that were received, which are not told again: page by page. */
async function complaintIn(
  { id }: Known['record'],
  received: number,
  { store, signal }: Pick<FollowContext, 'store' | 'signal'>,
): Promise<JournalEntry | undefined> {
  for (let last = 0; last < received; ) {
    signal.throwIfAborted();
    const rows = await rowsOf(id, last, Math.min(PAGE, received - last), store);
    const found = rows.find(({ entry }) => isComplaint(entry));
    if (found || rows.length === 0) return found?.entry;
    last = rows.at(-1)?.sequence ?? received;
  }
  return undefined;
}

function voiceOf(command: Known['command'], learned: Learned): Voice {
  const id = idOf(command);

  function watched({ record, entry }: Parameters<Voice['event']>[0]): Watched | undefined {
    const timestamp = entry.at;
    const resource = (unit: string, how: Omit<Resource, 'name'>): Watched => ({
      ...{ type: 'resource', id, timestamp },
      resource: { name: nameOf(unit), ...how },
    });
    switch (entry.type) {
      case 'status':
        return { type: 'status', id, ...standingOf({ ...record, status: entry.status }), timestamp };
      case 'intend':
        return resource(entry.unit, { status: begunStatus(record, entry.unit) });
      case 'finish':
        return resource(entry.unit, finishedStatus(entry.line));
      case 'waiting':
      case 'log':
        return undefined;
      default:
        return never(entry);
    }
  }

  const end = (record: Known['record']): Watched => {
    const entries = learned.complaint ? [learned.complaint] : [];
    // It has no outputs, whoever may read them.
    return { type: 'end', ...statusView({ command, record, entries, mayReadState: false }) };
  };
  return {
    event(line) {
      if (isComplaint(line.entry)) learned.complaint ??= line.entry;
      const data = watched(line);
      return data && { name: data.type, data };
    },
    end,
    lastLine: end,
  };
}

type Resource = Extract<Watched, { type: 'resource' }>['resource'];

function isComplaint(entry: JournalEntry): boolean {
  return entry.type === 'log' && entry.level === 'error';
}
