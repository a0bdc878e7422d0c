/** What a deployment does, line by line, while it does it: the journal is asked again and again, as long as somebody listens. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { readValue } from '../deployments/reading.ts';
import { type DeploymentRecord, isEnded, type JournalEntry, keys } from '../store/records.ts';
import type { Store } from '../store/store.ts';

export type News =
  | { readonly type: 'line'; readonly line: Line }
  /** Nothing happened since it was asked last. */
  | { readonly type: 'quiet' }
  /** The deployment has ended, and all was told; `sequence` is that of the last line. */
  | { readonly type: 'end'; readonly sequence: number; readonly record: DeploymentRecord };

export interface Line {
  /** Its place in the journal. */
  readonly sequence: number;
  readonly entry: JournalEntry;
  /** The deployment, no older than the line. */
  readonly record: DeploymentRecord;
}

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
  { id }: Pick<DeploymentRecord, 'id'>,
  after: number,
  { store, clock, pace, signal }: FollowContext,
): AsyncGenerator<News> {
  let last = after;
  let waitMs = pace.shortestMs;
  for (;;) {
    // First the record and then the journal: what had ended by then says nothing after it.
    const record = await readValue<DeploymentRecord>(keys.deployment(id), store);
    const rows = await rowsOf(id, last, READ, store);
    if (!record) return;
    const about = rows.some(isLast) && !isEnded(record.status) ? await reread(record, store) : record;
    for (const row of rows) {
      yield { type: 'line', line: { ...row, record: about } };
      last = row.sequence;
    }
    if (rows.length === READ) continue;
    if (isEnded(record.status)) {
      yield { type: 'end', sequence: last, record };
      return;
    }
    waitMs = rows.length > 0 ? pace.shortestMs : Math.min(waitMs * 2, pace.longestMs);
    await clock.sleep(waitMs, signal);
    if (rows.length === 0) yield { type: 'quiet' };
  }
}

function isLast({ entry }: Row): boolean {
  return entry.type === 'status' && isEnded(entry.status);
}

/** The end of a deployment and its last line are of one commit. */
async function reread(record: DeploymentRecord, store: Store): Promise<DeploymentRecord> {
  return (await readValue<DeploymentRecord>(keys.deployment(record.id), store)) ?? record;
}

export type Row = Pick<Line, 'sequence' | 'entry'>;

/** So many behind the line `after`, oldest first. */
export async function rowsOf(deployment: string, after: number, limit: number, store: Store): Promise<Row[]> {
  const rows = await store.list<JournalEntry>({
    collection: 'journal',
    prefix: `${deployment}/`,
    after: keys.journal(deployment, after).id,
    limit,
  });
  return rows.map(({ id, value }) => ({ sequence: Number(id.slice(deployment.length + 1)), entry: value }));
}
