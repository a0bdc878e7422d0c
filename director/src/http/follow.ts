/** What a deployment does, line by line, while it does it: the journal is asked again and again, as long as somebody listens. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { readValue } from '../deployments/reading.ts';
import { type AuditHead, type DeploymentRecord, isEnded, type JournalEntry, keys } from '../store/records.ts';
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
  /** The deployment, no older than the newest status that was told up to the line. */
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
/** Every so many quiet looks the deployment is read too: one that was removed says nothing of it. */
const QUIET_LOOKS = 10;

/**
 * Behind the line `after`. Ends with the deployment, or where that was removed; rejects with the signal's reason when
 * that is aborted. The deployment is read with its plan, which may be long: only where it can have become another one.
 */
export async function* follow(
  { id }: Pick<DeploymentRecord, 'id'>,
  after: number,
  { store, clock, pace, signal }: FollowContext,
): AsyncGenerator<News> {
  const read = (): Promise<DeploymentRecord | undefined> => readValue(keys.deployment(id), store);
  let last = after;
  /** Looks in a row that found nothing. */
  let quiet = 0;
  let said: number | undefined;
  let record = await read();
  while (record) {
    const rows = await rowsOf(id, last, READ, store);
    // What had ended before its journal was read says nothing after it.
    const isOver = isEnded(record.status) && rows.length < READ;
    // A status and the record that has it are of one commit.
    if (rows.some(({ entry }) => entry.type === 'status')) record = (await read()) ?? record;
    for (const row of rows) {
      yield { type: 'line', line: { ...row, record } };
      last = row.sequence;
    }
    if (isOver) {
      yield { type: 'end', sequence: last, record };
      return;
    }
    if (rows.length === READ || isEnded(record.status)) continue;
    quiet = rows.length > 0 ? 0 : quiet + 1;
    await clock.sleep(Math.min(pace.shortestMs * 2 ** quiet, pace.longestMs), signal);
    if (quiet === 0) continue;
    yield { type: 'quiet' };
    const word = await lastWordOn(record, store);
    if (word !== said || quiet % QUIET_LOOKS === 0) record = await read();
    said = word;
  }
}

/** What nobody works on ends without a line, but not without somebody's word in the trail of its stack: grows with it. */
async function lastWordOn({ status, stack }: DeploymentRecord, store: Store): Promise<number | undefined> {
  if (status !== 'queued' && status !== 'waiting_for_lock' && status !== 'awaiting_approval')
    return undefined;
  return (await readValue<AuditHead>(keys.auditHead(stack), store))?.sequence;
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
