/** What goes with its command, and how soon whoever looks stops when it is told to. What goes at all: test/director/retention.test.ts. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keys } from '../store/records.ts';
import { sqliteStore } from '../store/sqlite.ts';
import type { Query, Store } from '../store/store.ts';
import { removeCommands } from './commands.ts';
import type { Round } from './round.ts';

const DAY_MS = 86_400_000;
const at = (day: number): string => timestamp(day * DAY_MS);

let store: Store;
beforeEach(async () => {
  store = sqliteStore({ path: ':memory:' });
  const failed = Array.from({ length: 60 }, (_, day) => ({ day, id: `c${String(day).padStart(2, '0')}` }));
  await store.commit(
    failed.flatMap(({ day, id }) => [
      {
        type: 'put' as const,
        key: keys.command(id),
        value: { id, status: 'failed', receivedAt: at(day), endedAt: at(day), deployments: [`${id}.flow`] },
        if: 'absent' as const,
      },
      {
        type: 'put' as const,
        key: keys.deployment(`${id}.flow`),
        value: {
          id: `${id}.flow`,
          status: 'failed',
          stack: 'shop/flow',
          createdAt: at(day),
          endedAt: at(day),
        },
        if: 'absent' as const,
      },
    ]),
  );
});
afterEach(() => store.close());

/** A round that is told to stop once it has asked that; with all that it asks from then on. */
function stoppedOn(isLast: (query: Query) => boolean): { round: Round; asked: string[] } {
  const asked: string[] = [];
  let isStopped = false;
  const ask = (what: string): void => void (isStopped && asked.push(what));
  const round: Round = {
    now: at(1_000),
    before: at(500),
    store: {
      ...store,
      get(key) {
        ask(`${key.collection}/${key.id}`);
        return store.get(key);
      },
      list(query) {
        ask(query.collection);
        isStopped ||= isLast(query);
        return store.list(query);
      },
    },
    remove: async () => true,
    async goOn() {
      if (isStopped) throw new Error('The director stops');
    },
  };
  return { round, asked };
}

test('told to stop, it begins with no further command', async () => {
  const { round, asked } = stoppedOn(({ collection }) => collection === 'commands');
  await expect(removeCommands(new Set(), round)).rejects.toThrow('The director stops');
  expect(asked).toEqual([]);
});

test('told to stop, it looks through no further page of a stack', async () => {
  const { round, asked } = stoppedOn(({ collection }) => collection === 'deployments');
  await expect(removeCommands(new Set(), round)).rejects.toThrow('The director stops');
  expect(asked).toEqual([]);
});
