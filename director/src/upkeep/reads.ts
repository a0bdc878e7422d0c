/** Trails of who read: their oldest rows go, and where they began then is noted beside their end, so that the rest is still whole. */
import { trimmedTrail } from '../store/audit.ts';
import { type AuditHead, READS } from '../store/records.ts';
import { MOST_AT_ONCE, pagesOf, type Round } from './round.ts';

/** How often it is tried again to shorten a trail that somebody writes at the same time; the next round has more time. */
const ATTEMPTS = 5;

export async function removeReads(round: Round): Promise<void> {
  const trails = { collection: 'audits', prefix: READS } as const;
  for await (const heads of pagesOf<AuditHead>(round, trails, ({ id }) => id))
    for (const { id } of heads) await shorten(id, round);
}

async function shorten(trail: string, round: Round): Promise<void> {
  for (let failed = 0; failed < ATTEMPTS; ) {
    await round.goOn();
    const writes = await trimmedTrail(trail, round.before, MOST_AT_ONCE, round.store);
    if (writes.length === 0) return;
    if (!(await round.remove(writes))) failed++;
  }
}
