/** What following a deployment costs: its journal at each look, itself only where it can have become another one. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditWrites, type Fact } from '../store/audit.ts';
import { type DeploymentRecord, type JournalEntry, keys } from '../store/records.ts';
import { sqliteStore } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { follow, type News } from './follow.ts';

const at = '2026-01-01T00:00:00.000Z';
const QUEUED: DeploymentRecord = {
  ...{ id: 'd', command: 'c', correlationId: 'c', stack: 'a/b', scope: 'a', dataflow: 'b' },
  ...{ operation: 'deploy', status: 'queued', dryRun: false, createdAt: at },
};
const APPLYING: DeploymentRecord = {
  ...QUEUED,
  status: 'applying',
  plan: {
    ...{ stack: 'a/b', operation: 'deploy', units: [], grants: [], warnings: [], externals: [] },
    ...{ seconds: 0, criticalPath: [], hash: 'h' },
  },
};
const waiting = (because: string): JournalEntry => ({
  ...{ at, type: 'waiting', unit: unitId('topic', 'a'), because },
});
const status = (is: DeploymentRecord['status']): JournalEntry => ({ at, type: 'status', status: is });

let store: Store;
/** How often the deployment was read. */
let reads = 0;
let lines = 0;

beforeEach(() => {
  store = sqliteStore({ path: ':memory:' });
  const { get } = store;
  reads = 0;
  lines = 0;
  store.get = (key) => {
    if (key.collection === 'deployments') reads++;
    return get(key);
  };
});
afterEach(() => store.close());

/** One commit of a director. */
async function write(record: DeploymentRecord | undefined, ...entries: JournalEntry[]): Promise<void> {
  const key = keys.deployment('d');
  await store.commit([
    record ? { type: 'put', key, value: record, if: 'any' } : { type: 'delete', key, if: 'any' },
    ...entries.map((value) => {
      lines++;
      return { type: 'put', key: keys.journal('d', lines), value, if: 'absent' } as const;
    }),
  ]);
}

/** What is heard, in short. `steps`: what happens between one look and the next; where there is nothing left, it is followed no more. */
async function followed(...steps: (() => Promise<void>)[]): Promise<string[]> {
  const enough = new AbortController();
  const clock: Clock = {
    now: () => 0,
    after: () => () => {},
    async sleep(_ms, signal) {
      const step = steps.shift();
      if (!step) enough.abort(new Error('enough'));
      signal?.throwIfAborted();
      await step?.();
    },
  };
  const pace = { shortestMs: 1, longestMs: 8 };
  const heard: string[] = [];
  try {
    for await (const news of follow({ id: 'd' }, 0, { store, clock, pace, signal: enough.signal }))
      heard.push(inShort(news));
    heard.push('over');
  } catch (error) {
    if (!enough.signal.aborted) throw error;
  }
  return heard;
}

function inShort(news: News): string {
  if (news.type === 'quiet') return 'quiet';
  if (news.type === 'end') return `end ${news.sequence} ${news.record.status}`;
  return `${news.line.sequence} ${news.line.entry.type} ${news.line.record.status}`;
}

const nothing = async (): Promise<void> => {};

test('what is at work is read once, and again with each status', async () => {
  await write(APPLYING, waiting('1'));
  const heard = await followed(
    () => write(APPLYING, waiting('2')),
    () => write(APPLYING, waiting('3')),
    nothing,
    () => write({ ...APPLYING, status: 'succeeded' }, waiting('4'), status('succeeded')),
  );
  expect(heard).toEqual([
    '1 waiting applying',
    '2 waiting applying',
    '3 waiting applying',
    'quiet',
    '4 waiting succeeded',
    '5 status succeeded',
    'end 5 succeeded',
    'over',
  ]);
  expect(reads).toBe(2);
});

test('what was written between the journal and the deployment is told before the end', async () => {
  await write(APPLYING, status('applying'));
  const { list } = store;
  let isLate = false;
  store.list = async <T>(query: Parameters<typeof list>[0]) => {
    const rows = await list<T>(query);
    if (!isLate) {
      isLate = true;
      await write({ ...APPLYING, status: 'failed' }, waiting('late'), status('failed'));
    }
    return rows;
  };
  expect(await followed()).toEqual([
    '1 status failed',
    '2 waiting failed',
    '3 status failed',
    'end 3 failed',
    'over',
  ]);
});

test('while nothing happens it is read at every tenth look, and so it is noticed that it was removed', async () => {
  await write(APPLYING, status('applying'));
  const quiet = Array.from({ length: 25 }, () => nothing);
  expect(await followed(...quiet)).toHaveLength(25);
  // At first, with its status, and at the tenth and twentieth look.
  expect(reads).toBe(4);
  expect((await followed(() => write(undefined), ...quiet)).at(-1)).toBe('over');
});

/** Somebody says something on the stack, which is written with what it is about. */
async function say(record: DeploymentRecord): Promise<void> {
  const fact: Fact = { what: 'cancelled', by: 'me', at, command: 'c' };
  const key = keys.deployment('d');
  await store.commit([
    { type: 'put', key, value: record, if: 'any' },
    ...(await auditWrites('a/b', [fact], store)),
  ]);
}

test.each(['queued', 'awaiting_approval'] as const)(
  'what is %s ends without a line, is seen to have, and is not read before',
  async (is) => {
    const record: DeploymentRecord = { ...APPLYING, status: is };
    await say(record);
    const quiet = Array.from({ length: 7 }, () => nothing);
    expect(await followed(...quiet, () => say({ ...record, status: 'cancelled' }))).toEqual([
      ...Array.from({ length: 8 }, () => 'quiet'),
      'end 0 cancelled',
      'over',
    ]);
    // At first, at the first look that found nothing, and at its end.
    expect(reads).toBe(3);
  },
);

test('a long journal comes whole, and of it no more than a page at a time', async () => {
  const entries = Array.from({ length: 399 }, (_, place) => waiting(String(place)));
  await write({ ...APPLYING, status: 'succeeded' }, ...entries, status('succeeded'));
  const heard = await followed();
  expect(heard).toHaveLength(402);
  expect(heard.slice(-2)).toEqual(['end 400 succeeded', 'over']);
});
