/**
 * Until when history may be gone, and what that means for a command that comes again: of one that was sent before, its
 * row may be gone as well, and nobody knows any more whether it was done.
 */
import type { Command } from '@service-director/shared/contract/command.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { type CommandRecord, keys } from '../store/records.ts';
import type { Key, Store, Write } from '../store/store.ts';

/** History is never kept for less, in days: a month and more than Pub/Sub holds a message, which is 31. */
export const LEAST_HISTORY_DAYS = 35;
const DAY_MS = 86_400_000;

/** Whatever ended before it may be gone; what came after it is there. */
interface ForgottenRecord {
  /** RFC 3339. */
  readonly before: string;
}

const KEY: Key = { collection: 'store', id: 'forgotten' };

/** What is said, and durable, before anything goes. Undefined where more was said already. */
export async function forgettingWrite(before: string, store: Store): Promise<Write | undefined> {
  const found = await store.get<ForgottenRecord>(KEY);
  if (found && found.value.before >= before) return undefined;
  const value: ForgottenRecord = { before };
  return { type: 'put', key: KEY, value, if: found?.version ?? 'absent' };
}

/** Sent so long ago that nobody knows any more whether it came before. */
export class TooOld extends Error {
  constructor(sent: string, before: string) {
    super(`It was sent at ${sent}, and of what came before ${before} nothing may be known any more`);
    this.name = 'TooOld';
  }
}

/**
 * What is written with a command, so that nobody forgets the first of its id at the same moment. Throws TooOld. Asks
 * nothing for one that was sent a moment ago, as nearly all are.
 */
export async function freshnessWrites(
  { id, time }: Command,
  bodyHash: string,
  { store, now }: { readonly store: Store; readonly now: number },
): Promise<Write[]> {
  if (now - Date.parse(time) < LEAST_HISTORY_DAYS * DAY_MS) return [];
  const found = await store.get<ForgottenRecord>(KEY);
  const isKnown = (await store.get<CommandRecord>(keys.command(id)))?.value.bodyHash === bodyHash;
  if (found && timestamp(Date.parse(time)) < found.value.before && !isKnown)
    throw new TooOld(time, found.value.before);
  return [{ type: 'check', key: KEY, if: found?.version ?? 'absent' }];
}
