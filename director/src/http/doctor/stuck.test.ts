/** However much history there is, only what has not ended is looked at, and little of it at a time. */
import { systemClock, timestamp } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DeploymentRecord, keys } from '../../store/records.ts';
import { sqliteStore } from '../../store/sqlite.ts';
import type { Query, Store } from '../../store/store.ts';
import { stuckOf } from './stuck.ts';

const NOW = Date.parse('2026-05-01T00:00:00.000Z');
const MINUTE_MS = 60_000;
const clock = { ...systemClock, now: () => NOW };

let store: Store;
const queries: (Query & { readonly rows: number })[] = [];
beforeEach(() => {
  queries.length = 0;
  const whole = sqliteStore({ path: ':memory:' });
  store = {
    ...whole,
    async list<T>(query: Query) {
      const rows = await whole.list<T>(query);
      queries.push({ ...query, rows: rows.length });
      return rows;
    },
  };
});
afterEach(() => store.close());

/** One for each of so many minutes ago, the newest first. */
async function put(status: DeploymentRecord['status'], count: number, name: string): Promise<void> {
  const records = Array.from({ length: count }, (_, at): DeploymentRecord => {
    const id = `${name}-${String(at).padStart(5, '0')}.flow`;
    return {
      ...{ id, status, command: id, correlationId: id, stack: `s/${name}`, scope: 's', dataflow: name },
      ...{ operation: 'deploy', dryRun: false, createdAt: timestamp(NOW - at * MINUTE_MS) },
    };
  });
  await store.commit(
    records.map((value) => ({ type: 'put', key: keys.deployment(value.id), value, if: 'absent' })),
  );
  await store.commit(
    records.map((value) => ({
      type: 'put',
      key: keys.journal(value.id, 1),
      value: { at: value.createdAt, type: 'status', status },
      if: 'absent',
    })),
  );
}

test('all that waits is counted, the longest are told, and of history nothing is read (D176)', async () => {
  await put('succeeded', 3_000, 'done');
  await put('waiting_for_lock', 120, 'waiting');
  await put('applying', 61, 'busy');
  const [summary, ...told] = await stuckOf({ store, clock });
  expect(summary).toMatchObject({
    status: 'warning',
    // More than 15 minutes ago: all but sixteen of each.
    detail: `181 under way; to ${104 + 45} of them nothing happened for 15 minutes`,
  });
  expect(told).toHaveLength(50);
  expect(told.map(({ check }) => check).slice(0, 2)).toEqual([
    'deployment waiting-00119.flow',
    'deployment waiting-00118.flow',
  ]);
  expect(queries.reduce((most, { rows }) => Math.max(most, rows), 0)).toBeLessThanOrEqual(50);
  expect(queries.filter(({ collection }) => collection === 'journal')).toHaveLength(181);
  expect(queries.some(({ prefix }) => prefix?.startsWith('done'))).toBe(false);
});

test('where nothing is under way there is nothing to tell', async () => {
  await put('succeeded', 10, 'done');
  expect(await stuckOf({ store, clock })).toEqual([
    { check: 'deployments', status: 'ok', detail: expect.stringContaining('0 under way; to 0 of them') },
  ]);
});
