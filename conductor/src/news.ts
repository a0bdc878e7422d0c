/** What a director did, out of its ledger; and what it does, as it tells it. */
import { isCommandType } from '@service-director/shared/contract/command.ts';
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import type { BareContext, RunContext } from './context.ts';
import { openDesk } from './desk.ts';
import { type CommandDetail, directorHttp, type JournalLine } from './director-http.ts';
import { demandReachable, directorStatus } from './director-status.ts';
import { Failure } from './failure.ts';
import { type Heard, type Listening, listenToDirector } from './listening.ts';

/** One thing that happened, in the words in which the director tells it. */
export interface News {
  /** RFC 3339. */
  readonly time: string;
  /** What it is about, where it is about one stack. */
  readonly stack?: string;
  readonly event: DirectorEvent;
}

export interface NewsOptions {
  /** Goes on as it happens, until the signal of the look is aborted. */
  readonly follow?: boolean;
  /** How many commands, the newest. Default 50. */
  readonly limit?: number;
  readonly onNews: (news: News) => void;
}

/** All that the director did, of other architectures too, oldest first. */
export async function tellNews(context: RunContext | BareContext, options: NewsOptions): Promise<void> {
  const { follow = false, limit = 50, onNews } = options;
  const url = demandReachable(await directorStatus(context));
  if (!context.architecture) return tellFromLedger(context, options);
  // Listened first, so that nothing falls between what was and what comes.
  const live = follow ? await listen(context) : undefined;
  try {
    const past = await history(url, limit, context);
    for (const news of past) onNews(news);
    await live?.tell(past, onNews);
  } finally {
    await live?.close();
  }
}

async function history(url: string, limit: number, context: RunContext): Promise<News[]> {
  const director = directorHttp(url, context);
  const { commands, hasOlder } = await director.commands(limit);
  if (hasOlder) context.emit(OLDER);
  return newsOfAll(await Promise.all(commands.map(({ id }) => director.command(id))));
}

const OLDER = {
  type: 'note',
  message: 'older commands are not shown: a larger --limit shows them',
} as const;

function newsOfAll(details: readonly CommandDetail[]): News[] {
  // Sorting keeps the order of what happened in the same millisecond.
  return details.flatMap(newsOf).sort(byTime);
}

/** How often the ledger is read where nothing is listened to, in milliseconds. */
const READ_MS = 1_000;

/** By asking alone, for whoever has no more than the director's URL: its topic is known to its project only. */
async function tellFromLedger(
  context: BareContext,
  { follow = false, limit = 50, onNews }: NewsOptions,
): Promise<void> {
  const { clock, signal, emit } = context;
  const desk = await openDesk(context);
  /** What was told of each command that has not ended; those that have are not read again. */
  const open = new Map<string, Set<string>>();
  const ended = new Set<string>();
  let isFirst = true;

  const tellNew = async (): Promise<void> => {
    const { commands, hasOlder } = await desk.ask((director) => director.commands(limit));
    if (hasOlder && isFirst) emit(OLDER);
    isFirst = false;
    for (const { id } of commands.toReversed()) if (!ended.has(id) && !open.has(id)) open.set(id, new Set());
    const fresh = await Promise.all([...open].map(([id, told]) => readNew(id, told)));
    for (const news of fresh.flat().sort(byTime)) onNews(news);
  };

  async function readNew(id: string, told: Set<string>): Promise<News[]> {
    const detail = await desk.ask((director) => director.command(id));
    if (detail.ended_at !== undefined) {
      ended.add(id);
      open.delete(id);
    }
    return newsOf(detail).filter((news) => {
      const fact = JSON.stringify(news);
      return !told.has(fact) && told.add(fact);
    });
  }

  await tellNew();
  while (follow) {
    await clock.sleep(READ_MS, signal);
    await tellNew();
  }
}

function byTime(a: News, b: News): number {
  return a.time < b.time ? -1 : Number(a.time > b.time);
}

function newsOf({
  id,
  type = '',
  received_at,
  ended_at,
  deployments,
  events,
  answer,
}: CommandDetail): News[] {
  const accepted = deployments.map(
    ({ stack, operation }): News => ({
      time: received_at,
      stack,
      event: {
        type: 'accepted',
        command: id,
        command_type: isCommandType(type) ? type : operation,
        dataflow: stack.slice(stack.indexOf('/') + 1),
      },
    }),
  );
  const done = events.flatMap((line, at): News[] => {
    // What was found as it should be is no news; nor is it told when it happens.
    if (line.type === 'finish' && line.result === 'unchanged') return [];
    const { stack } = line;
    const deployment = deployments.find((one) => one.stack === stack)?.id ?? '';
    const event = eventOf(line, id, deployment, events.slice(0, at));
    return [{ time: line.at, stack, event }];
  });
  const last: News[] = answer ? [{ time: ended_at ?? received_at, ...aboutOne(answer), event: answer }] : [];
  return [...accepted, ...done, ...last];
}

/** A line of the journal as it was told when it happened; `before` are those before it. */
export function eventOf(
  line: JournalLine,
  command: string,
  deployment: string,
  before: readonly JournalLine[],
): DirectorEvent {
  const { stack } = line;
  switch (line.type) {
    case 'status':
      return { type: 'status', command, deployment, stack, status: line.status };
    case 'intend':
      return { type: 'unit-started', command, stack, unit: line.unit, change: line.action };
    case 'waiting':
      return { type: 'unit-waiting', command, stack, unit: line.unit, because: line.because };
    case 'finish': {
      const { unit, result, because } = line;
      const begun = before.find((other) => other.stack === stack && 'unit' in other && other.unit === unit);
      const seconds = begun ? (Date.parse(line.at) - Date.parse(begun.at)) / 1000 : 0;
      const why = because === undefined ? {} : { because };
      return { type: 'unit-finished', command, stack, unit, result, seconds, ...why };
    }
  }
}

function aboutOne(event: DirectorEvent): { stack?: string } {
  if ('stack' in event) return { stack: event.stack };
  const [only, more] = 'deployments' in event ? event.deployments : [];
  return only && !more ? { stack: only.stack } : {};
}

interface Live {
  /** Goes on after `past` until the end of the look. Rejects with a Failure when nothing more can be heard. */
  tell(past: readonly News[], onNews: (news: News) => void): Promise<void>;
  close(): Promise<void>;
}

async function listen(context: RunContext): Promise<Live> {
  const { reach, run, architecture, clock, signal } = context;
  const pubsub = await reach.pubsub();
  const early: Heard[] = [];
  const broken = new AbortController();
  let hear = (heard: Heard): void => void early.push(heard);
  const listening: Listening = await listenToDirector({
    pubsub,
    topic: architecture.director.topics.events,
    name: `conductor-${run}`,
    clock,
    signal,
    hear: (heard) => hear(heard),
    onBroken: (error) => broken.abort(Failure.from(error, 'listening to the director')),
  });
  return {
    async tell(past, onNews) {
      const isTold = toldBefore(past);
      hear = ({ time, subject, event }) => {
        const news: News = { time, ...(subject === undefined ? aboutOne(event) : { stack: subject }), event };
        if (!isTold(news)) onNews(news);
      };
      for (const heard of early.splice(0)) hear(heard);
      await aborted(AbortSignal.any([signal, broken.signal]));
      broken.signal.throwIfAborted();
    },
    async close() {
      await listening.close();
      await pubsub.close().catch(() => {});
    },
  };
}

/** How far what is told may lag behind what was written down. */
const LAG_MS = 10_000;

/** Whether news that were heard stand in the ledger's as well: each there accounts for one here. */
function toldBefore(past: readonly News[]): (news: News) => boolean {
  const times = new Map(past.map(({ time, event }) => [factOf(event), Date.parse(time)]));
  return ({ time, event }) => {
    const fact = factOf(event);
    const written = times.get(fact);
    times.delete(fact);
    return written !== undefined && Math.abs(Date.parse(time) - written) < LAG_MS;
  };
}

/** What happened, whoever tells it: the ledger keeps no more of it than this. */
function factOf(event: DirectorEvent): string {
  const of = (name: string): unknown => (name in event ? Reflect.get(event, name) : '');
  return JSON.stringify(
    ['type', 'command', 'stack', 'dataflow', 'unit', 'status', 'result', 'because'].map(of),
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
