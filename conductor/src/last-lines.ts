/** Why a program ended at its start it says itself: the last lines of services that did not come up, out of Cloud Logging. */
import type { RunContext } from './context.ts';
import type { ConductorEvent } from './event.ts';
import { Failure } from './failure.ts';
import { type LogLine, tellLogs } from './logs.ts';

/** So many are told of each; more are read, for an older revision may still be writing beside it. */
const LINES = 20;
const READ = 200;
/** Lines arrive late: how often they are asked for again, and after how long. Milliseconds. */
const TRIES = 6;
const AGAIN_MS = 1_000;

export interface FailedServices {
  see(event: ConductorEvent): void;
  /** Tells the last lines of those that were seen to fail. Never rejects: the failure itself is what matters. */
  tell(context: RunContext): Promise<void>;
}

export function failedServices(): FailedServices {
  /** With the reason, which names the revision. */
  const failed = new Map<string, string>();
  return {
    see(event) {
      const end = event.type === 'director' ? event.event : event;
      if (end.type !== 'unit-finished' && end.type !== 'task-finished') return;
      const [kind, name] = (end.type === 'unit-finished' ? end.unit : end.task).split('/');
      if (kind !== 'service' || name === undefined) return;
      if (end.result === 'failed') failed.set(name, end.because ?? '');
      else failed.delete(name);
    },
    async tell(context) {
      await Promise.all(
        [...failed].map(async ([service, because]) => {
          const lines = await lastLines(service, because, context);
          if (lines.length > 0) context.emit({ type: 'service-log', service, lines });
        }),
      );
    },
  };
}

/** Of the revision that the reason names; none where it names none. */
async function lastLines(service: string, because: string, context: RunContext): Promise<LogLine[]> {
  const { clock, signal } = context;
  if (!because.includes(`${service}-`)) return [];
  for (let tries = 1; tries <= TRIES && !signal.aborted; tries++) {
    const lines = await readLines(service, context);
    const own = lines.filter(({ revision }) => revision !== '' && because.includes(revision));
    if (own.length > 0) return own.slice(-LINES);
    if (tries < TRIES) await clock.sleep(AGAIN_MS, signal).catch(() => {});
  }
  return [];
}

/** Of a program that nobody names a revision of. Never rejects for what it cannot read. */
export async function tellLastLines(service: string, context: RunContext): Promise<void> {
  const lines = (await readLines(service, context)).slice(-LINES);
  if (lines.length > 0) context.emit({ type: 'service-log', service, lines });
}

async function readLines(service: string, context: RunContext): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  try {
    await tellLogs(service, context, { limit: READ, onLine: (line) => lines.push(line) });
  } catch (error) {
    // Who may deploy need not be one who may read the log, and a run that has ended asks nobody.
    if (!(error instanceof Failure) && !context.signal.aborted) throw error;
  }
  return lines;
}
