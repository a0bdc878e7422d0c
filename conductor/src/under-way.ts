/** What a director is at, and what it did last: the newest first is asked for, and no more than is shown. */
import { ENDED_STATUSES, OPEN_STATUSES } from '@service-director/shared/contract/status.ts';
import type { CommandDetail, DirectorHttp, JournalLine } from './director-http.ts';

/** How much is told where nothing else was said. */
export const MOST_SHOWN = 50;

export interface LastCommand {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  /** RFC 3339. */
  readonly endedAt: string;
}

/** A deployment that has not ended; or a command that has none yet. */
export interface Running {
  readonly command: string;
  readonly type: string;
  readonly stack?: string;
  /** `accepted`, `queued`, `waiting_for_lock`, `planning`, `applying`. */
  readonly status: string;
  /** Since when it has had this status, RFC 3339. */
  readonly since: string;
  /** What is being worked on, and what it waits for. */
  readonly units: readonly { readonly unit: string; readonly waiting?: string }[];
}

const ENDED: ReadonlySet<string> = new Set(ENDED_STATUSES);

export interface UnderWay {
  /** Oldest first. */
  readonly running: readonly Running[];
  /** Whether there are more than these, which are the newest. */
  readonly hasMore: boolean;
}

/** At most so many commands. */
export async function runningAt(director: DirectorHttp, limit: number): Promise<UnderWay> {
  const [newest, ...pages] = await Promise.all([
    // What it has only just taken has no deployment yet.
    director.commands(limit),
    ...OPEN_STATUSES.map((status) => director.deployments({ status, limit })),
  ]);
  const received = new Map<string, string>();
  for (const { id, received_at, ended_at } of newest.commands)
    if (ended_at === undefined) received.set(id, received_at);
  for (const { command, created_at } of pages.flatMap(({ deployments }) => deployments))
    received.set(command, received.get(command) ?? created_at);
  const ids = [...received].sort(([, a], [, b]) => (a < b ? 1 : -1)).map(([id]) => id);
  const details = await Promise.all(ids.slice(0, limit).map((id) => director.command(id)));
  const running = details.flatMap(runningOf).sort((a, b) => (a.since < b.since ? -1 : 1));
  return { running, hasMore: ids.length > limit || pages.some(({ next }) => next !== undefined) };
}

/** How many of a stack's newest are looked through for one that has ended, and was no dry run. */
const LOOKED_AT = 50;

/** Undefined where there is none among the newest. */
export async function newestOf(stack: string, director: DirectorHttp): Promise<LastCommand | undefined> {
  const { deployments } = await director.deployments({ stack, limit: LOOKED_AT });
  for (const { command: id, operation: type, status, dry_run, ended_at: endedAt } of deployments)
    if (endedAt !== undefined && !dry_run) return { id, type, status, endedAt };
  return undefined;
}

function runningOf({
  id,
  type = 'command',
  status: now,
  received_at,
  deployments,
  events,
}: CommandDetail): Running[] {
  if (deployments.length === 0) return [{ command: id, type, status: now, since: received_at, units: [] }];
  return deployments
    .filter((deployment) => !ENDED.has(deployment.status))
    .map(({ stack, status: step }) => {
      const mine = events.filter((event) => event.stack === stack);
      const since = mine.findLast((event) => event.type === 'status')?.at ?? received_at;
      return { command: id, type, stack, status: step, since, units: underWay(mine) };
    });
}

/** What was begun, or waits to begin, and has not been finished. */
function underWay(events: readonly JournalLine[]): Running['units'] {
  const units = new Map<string, string | undefined>();
  for (const event of events) {
    if (event.type === 'intend') units.set(event.unit, undefined);
    if (event.type === 'waiting') units.set(event.unit, event.because);
    if (event.type === 'finish') units.delete(event.unit);
  }
  return [...units].map(([unit, waiting]) => (waiting === undefined ? { unit } : { unit, waiting }));
}
