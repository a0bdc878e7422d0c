/** How a director is and what it looks after, where nothing but the director is known: no architecture to compare it with. */
import type { BareContext, RunContext } from './context.ts';
import { directorHttp } from './director-http.ts';
import { type DirectorStatus, directorStatus } from './director-status.ts';
import { Failure } from './failure.ts';
import { type LastCommand, MOST_SHOWN, newestOf, type Running, runningAt } from './under-way.ts';

export interface Overview {
  readonly director: DirectorStatus;
  /** By name, no more than were asked for. */
  readonly stacks: readonly StackOverview[];
  readonly hasMoreStacks: boolean;
  /** Oldest first. */
  readonly running: readonly Running[];
  readonly hasMoreRunning: boolean;
  /** What could not be found out. */
  readonly notes: readonly string[];
  readonly isWell: boolean;
}

export interface StackOverview {
  /** `<scope>/<dataflow>`. */
  readonly stack: string;
  readonly version: number;
  readonly units: number;
  readonly last?: LastCommand;
}

/** `limit`: how many stacks, and how much of what is under way. Never rejects but for the end of the look. */
export async function overview(context: RunContext | BareContext, limit = MOST_SHOWN): Promise<Overview> {
  const director = await directorStatus(context);
  const unseen = {
    director,
    stacks: [],
    hasMoreStacks: false,
    running: [],
    hasMoreRunning: false,
    notes: [],
    isWell: false,
  };
  const { state, url } = director;
  if (url === undefined || (state !== 'ready' && state !== 'not-ready')) return unseen;
  const http = directorHttp(url, context);
  try {
    const [all, { running, hasMore }] = await Promise.all([http.stacks(), runningAt(http, limit)]);
    const shown = all.sort((a, b) => (a.stack < b.stack ? -1 : 1)).slice(0, limit);
    const stacks = await Promise.all(
      shown.map(async ({ stack, version, units }) => {
        const last = await newestOf(stack, http);
        return { stack, version, units, ...(last ? { last } : {}) };
      }),
    );
    return {
      ...unseen,
      stacks,
      hasMoreStacks: all.length > shown.length,
      running,
      hasMoreRunning: hasMore,
      isWell: state === 'ready',
    };
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    return { ...unseen, notes: [Failure.from(error, 'asking the director').message] };
  }
}
