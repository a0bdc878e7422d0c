/** What was told to webhooks goes in time, and with it what says that it is still to be told and is not. */
import { expect, onTestFinished, test } from 'vitest';
import { type DeliveryRecord, keys } from '../store/records.ts';
import { sqliteStore } from '../store/sqlite.ts';
import type { Write } from '../store/store.ts';
import { removeDeliveries } from './deliveries.ts';
import type { Round } from './round.ts';

const BEFORE = '2026-03-01T00:00:00.000Z';
const OLD = '2026-02-01T00:00:00.000Z';
const YOUNG = '2026-03-02T00:00:00.000Z';

test('what is pending and not due any more goes as what has ended does; what is due stays, however old', async () => {
  const store = sqliteStore({ path: ':memory:' });
  onTestFinished(() => store.close());
  const delivery = (name: string, createdAt: string, state: DeliveryRecord['state']): DeliveryRecord => ({
    ...{ id: `wh_1.${name}.failed`, webhook: 'wh_1', type: 'deployment.failed', deployment: name },
    ...{ createdAt, state, attempts: 1, tries: [] },
  });
  const logged = [
    delivery('left', OLD, 'pending'),
    delivery('awaited', OLD, 'pending'),
    delivery('told', OLD, 'delivered'),
    delivery('lately', YOUNG, 'pending'),
    delivery('news', YOUNG, 'delivered'),
  ];
  const [, awaited] = logged;
  await store.commit([
    ...logged.map((value): Write => ({ type: 'put', key: keys.delivery(value.id), value, if: 'absent' })),
    {
      type: 'put',
      key: keys.due(awaited?.id ?? ''),
      value: { ...awaited, body: '{}' },
      if: 'absent',
    },
  ]);
  const round: Round = {
    store,
    now: BEFORE,
    before: BEFORE,
    async goOn() {},
    async remove(writes) {
      await store.commit(writes);
      return true;
    },
  };
  expect([...(await removeDeliveries(round))].sort()).toEqual(['awaited', 'lately']);
  const rows = await store.list<{ deployment: string }>({ collection: 'deliveries' });
  expect(rows.map(({ id }) => id)).toEqual([
    'due//wh_1.awaited.failed',
    'log//wh_1.awaited.failed',
    'log//wh_1.lately.failed',
    'log//wh_1.news.failed',
  ]);
});
