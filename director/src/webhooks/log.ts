/** What was told to webhooks, and how that went. */
import type { DeliveryView } from '@service-director/shared/contract/webhook.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { listAll } from '../store/list-all.ts';
import { type DeliveryRecord, type DueRecord, keys } from '../store/records.ts';
import type { Store, Write } from '../store/store.ts';
import { messageIdOf } from './signature.ts';

/** Of a webhook so many deliveries are kept, beside those that have not ended. */
export const KEPT = 200;
/** Writes in one commit. */
const AT_ONCE = 100;

/** Newest first, with those that were not tried yet. */
export async function deliveriesOf(webhook: string, store: Store): Promise<DeliveryRecord[]> {
  const [due, log] = await Promise.all([
    listAll<DueRecord>(store, { collection: 'deliveries', prefix: duePrefix(webhook) }),
    listAll<DeliveryRecord>(store, { collection: 'deliveries', prefix: logPrefix(webhook) }),
  ]);
  const known = new Set(log.map(({ value }) => value.id));
  const untried = due.flatMap(({ value: { body: _, ...head } }): DeliveryRecord[] =>
    known.has(head.id) ? [] : [{ ...head, state: 'pending', attempts: 0, tries: [] }],
  );
  return [...untried, ...log.map(({ value }) => value)].sort(byAge);
}

/** Forgets the oldest of those that have ended. */
export async function pruneLog(webhook: string, store: Store): Promise<void> {
  const log = await listAll<DeliveryRecord>(store, { collection: 'deliveries', prefix: logPrefix(webhook) });
  const ended = log.map(({ value }) => value).filter(({ state }) => state !== 'pending');
  const old = ended.sort(byAge).slice(KEPT);
  await removeAll(
    old.map(({ id }) => keys.delivery(id).id),
    store,
  );
}

/** Forgets all that was told to a webhook that is gone, and what was to be told. */
export async function removeLog(webhook: string, store: Store): Promise<void> {
  const found = await Promise.all(
    [duePrefix(webhook), logPrefix(webhook)].map((prefix) =>
      listAll(store, { collection: 'deliveries', prefix }),
    ),
  );
  await removeAll(
    found.flat().map(({ id }) => id),
    store,
  );
}

async function removeAll(ids: readonly string[], store: Store): Promise<void> {
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const writes = ids
      .slice(from, from + AT_ONCE)
      .map((id): Write => ({ type: 'delete', key: { collection: 'deliveries', id }, if: 'any' }));
    await store.commit(writes, 'soon');
  }
}

/** Where it stands in the list: later ones sort behind, and no two are in one place. */
export function placeOf({ createdAt, id }: DeliveryRecord): string {
  return `${createdAt}/${id}`;
}

function byAge(one: DeliveryRecord, other: DeliveryRecord): number {
  return placeOf(one) < placeOf(other) ? 1 : -1;
}

export function deliveryView(delivery: DeliveryRecord): DeliveryView {
  const { id, type, deployment, stack, createdAt, state, attempts, nextAt, tries } = delivery;
  return {
    id,
    message: messageIdOf(id),
    type,
    deployment,
    stack,
    created_at: createdAt,
    state,
    attempts,
    next_at: state === 'pending' && nextAt !== undefined ? timestamp(nextAt) : undefined,
    tries: tries.map((one) => ({ ...one })),
  };
}

/** No id of a webhook is the beginning of another's with its full stop. */
function duePrefix(webhook: string): string {
  return keys.due(`${webhook}.`).id;
}

function logPrefix(webhook: string): string {
  return keys.delivery(`${webhook}.`).id;
}
