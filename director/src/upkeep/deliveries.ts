/** What webhooks were told, once nobody asks any more. */
import { listAll } from '../store/list-all.ts';
import { type DeliveryRecord, type DueRecord, keys } from '../store/records.ts';
import { batchOf, deletion, pagesOf, type Round } from './round.ts';

/** Resolves with the deployments of which somebody has yet to be told. */
export async function removeDeliveries(round: Round): Promise<ReadonlySet<string>> {
  const due = await listAll<DueRecord>(round.store, { collection: 'deliveries', prefix: keys.due('').id });
  const awaited = new Set(due.flatMap(({ value }) => value.deployment ?? []));
  const untold = new Set(due.map(({ value }) => value.id));
  const batch = batchOf(round);
  const log = { collection: 'deliveries', prefix: keys.delivery('').id } as const;
  for await (const rows of pagesOf<DeliveryRecord>(round, log, ({ id }) => id))
    for (const row of rows) {
      const { id, state, createdAt, deployment } = row.value;
      // What is pending and not due nobody will ever try.
      const hasEnded = state !== 'pending' || !untold.has(id);
      if (hasEnded && createdAt < round.before) await batch.add([deletion('deliveries', row)]);
      else if (state === 'pending' && deployment !== undefined) awaited.add(deployment);
    }
  await batch.flush();
  return awaited;
}
