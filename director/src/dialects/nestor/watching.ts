/** How a deployment is watched at `/api/v1`: each change of its status and of its resources', while it happens. */
import type { Watched } from '@service-director/shared/contract/rest/nestor-answers.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { Request, Response } from 'express';
import { EVENT_ID, EVENTS, LINES, type Listening, listen, type Voice } from '../../http/listening.ts';
import type { JournalEntry } from '../../store/records.ts';
import type { Known, Reach } from '../known.ts';
import { idOf } from './document.ts';
import { told } from './reading.ts';
import { Refused } from './refused.ts';
import { begunStatus, finishedStatus, nameOf, standingOf, statusView, type Told } from './views.ts';

/** Resolves when it is over, however. Throws Refused for what cannot be told so. */
export async function watch(
  request: Request,
  response: Response,
  known: Known,
  { listening, ...reach }: Reach & { readonly listening: Listening },
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
  const voice = voiceOf(await told(known, request, reach));
  await listen(response, { record: known.record, type, voice, after: 0, lastEventId }, listening);
}

/** Of the journal only that line is kept by which a failure is explained: it may be long. */
function voiceOf({ command, entries, mayReadState }: Told): Voice {
  const id = idOf(command);
  let complaint = entries.find(isComplaint);

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

  const end = (record: Told['record']): Watched => {
    const lines = complaint ? [complaint] : [];
    return { type: 'end', ...statusView({ command, record, entries: lines, mayReadState }) };
  };
  return {
    event(line) {
      if (isComplaint(line.entry)) complaint ??= line.entry;
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
