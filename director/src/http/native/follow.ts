/** What a deployment does, line by line, while it does it: the journal is asked again and again, as long as somebody listens. */
import type { DeploymentReport } from '@service-director/shared/contract/event.ts';
import type { LogLine } from '@service-director/shared/contract/rest/schemas.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import { readValue } from '../../deployments/reading.ts';
import { reportOf } from '../../deployments/report.ts';
import { journalLineOf } from '../../deployments/views.ts';
import { type DeploymentRecord, isEnded, type JournalEntry, keys } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';

export type News =
  | { readonly type: 'line'; readonly line: LogLine }
  /** Nothing happened since it was asked last. */
  | { readonly type: 'quiet' }
  /** The deployment has ended, and all was told; `sequence` is that of the last line. */
  | { readonly type: 'end'; readonly sequence: number; readonly report: DeploymentReport };

/** Milliseconds between two looks: the shorter while something happens, longer and longer while nothing does. */
export interface Pace {
  readonly shortestMs: number;
  readonly longestMs: number;
}

export interface FollowContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

/** How many lines are read at a time: no more than these are ever held. */
const READ = 200;

/** Behind the line `after`. Ends with the deployment; rejects with the signal's reason when that is aborted. */
export async function* follow(
  { id, stack }: Pick<DeploymentRecord, 'id' | 'stack'>,
  after: number,
  { store, clock, pace, signal }: FollowContext,
): AsyncGenerator<News> {
  let last = after;
  let waitMs = pace.shortestMs;
  for (;;) {
    // First the record and then the journal: what had ended by then says nothing after it.
    const record = await readValue<DeploymentRecord>(keys.deployment(id), store);
    const lines = await linesOf({ id, stack }, last, READ, store);
    for (const line of lines) {
      yield { type: 'line', line };
      last = line.sequence;
    }
    if (lines.length === READ) continue;
    if (!record) return;
    if (isEnded(record.status)) {
      yield { type: 'end', sequence: last, report: reportOf(record) };
      return;
    }
    waitMs = lines.length > 0 ? pace.shortestMs : Math.min(waitMs * 2, pace.longestMs);
    await clock.sleep(waitMs, signal);
    if (lines.length === 0) yield { type: 'quiet' };
  }
}

/** So many behind the line `after`, oldest first. */
export async function linesOf(
  { id, stack }: { readonly id: string; readonly stack: StackId },
  after: number,
  limit: number,
  store: Store,
): Promise<LogLine[]> {
  const rows = await store.list<JournalEntry>({
    collection: 'journal',
    prefix: `${id}/`,
    after: keys.journal(id, after).id,
    limit,
  });
  return rows.map((row) => ({
    ...journalLineOf(row.value, stack),
    sequence: Number(row.id.slice(id.length + 1)),
  }));
}
