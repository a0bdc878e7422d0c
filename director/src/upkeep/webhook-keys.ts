/**
 * Keys under which webhooks were made: they hold for as long as history is kept, as each Idempotency-Key does.
 *
 * None says when it came: it counts from when it was first seen here, a day later at most.
 */
import type { Write } from '../store/store.ts';
import { batchOf, deletion, pagesOf, type Round } from './round.ts';

interface KeyRow {
  /** RFC 3339. */
  readonly seenAt?: string;
}

export async function removeWebhookKeys(round: Round): Promise<void> {
  const batch = batchOf(round);
  const all = { collection: 'artifacts', prefix: 'webhooks/keys/' } as const;
  for await (const rows of pagesOf<KeyRow>(round, all, ({ id }) => id))
    for (const { id, value, version } of rows) {
      const seen: Write = {
        type: 'put',
        key: { collection: 'artifacts', id },
        value: { ...value, seenAt: round.now },
        if: version,
      };
      if (value.seenAt === undefined) await batch.add([seen]);
      else if (value.seenAt < round.before) await batch.add([deletion('artifacts', { id, value, version })]);
    }
  await batch.flush();
}
