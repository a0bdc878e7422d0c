/** What three years of deployments leave in a state: what is old, what is old and still of use, and what is not old. */
import { buildsIn } from '@service-director/director/dialects/builds/builds.ts';
import { makeOnce, newBuild, promote } from '@service-director/director/dialects/builds/making.ts';
import type { BuildRecord } from '@service-director/director/dialects/builds/records.ts';
import { readWrites } from '@service-director/director/store/audit.ts';
import { listAll } from '@service-director/director/store/list-all.ts';
import {
  type DeploymentRecord,
  type DueRecord,
  keys,
  type OutboxRecord,
  type WebhookRecord,
} from '@service-director/director/store/records.ts';
import type { Store, Write } from '@service-director/director/store/store.ts';
import { given } from '@service-director/director/webhooks/delivery.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { expect } from 'vitest';
import { START } from './builds.ts';
import { documentOf, ephemeral } from './documents.ts';
import { type SetClock, type SmallDirector, smallDirector } from './old-state.ts';

export const DAY_MS = 86_400_000;
export const NOW = Date.parse('2029-06-01T12:00:00.000Z');
export const BEGINNING = NOW - 1_100 * DAY_MS;
/** Of the builds of `run` in `dev`, without their last digit; and of their executions. */
export const SK = '000000000000000';
export const RUN = `run-dev-${SK}`;
export const NESTOR_ID = '0190a5c2-7e3b-7c51-8f4e-2b1d9c6a7e10';

/** The architecture with one dataflow, whose topic is another for each number. */
export function described(scope: string, dataflow: string, number: number): object {
  const topic = { name: `${dataflow}-topic`, message_retention_duration: `${600 + number}s` };
  return { document: documentOf(scope, { [dataflow]: ephemeral({ resources: { topics: [topic] } }) }) };
}

/** What three years left, told by a director that was there. */
export async function makeHistory(store: Store, clock: SetClock): Promise<void> {
  clock.set(BEGINNING);
  const hook: WebhookRecord = {
    ...{ id: 'wh_000000000000000000000001', url: 'https://hooks.example/', scopes: ['*'], stacks: ['*'] },
    ...{ events: ['deployment.succeeded'], dryRuns: false, active: true, secrets: [], createdBy: 'ada' },
    createdAt: timestamp(BEGINNING),
  };
  await store.commit([{ type: 'put', key: keys.webhook(hook.id), value: hook, if: 'absent' }]);
  const director = await smallDirector(store, clock);
  try {
    await deployFor3Years(director, store, clock);
  } finally {
    await director.stop();
  }
  await leaveBehind(store, clock);
}

async function deployFor3Years(director: SmallDirector, store: Store, clock: SetClock): Promise<void> {
  let days = 0;
  const setUp = async (
    id: string,
    [scope, dataflow]: [string, string],
    more: object = {},
  ): Promise<string> => {
    days++;
    clock.set(BEGINNING + days * DAY_MS);
    const architecture = described(scope, dataflow, days);
    const { result } = await director.send('dataflow-setup', id, { dataflow, architecture, ...more });
    expect(result).toBe('accepted');
    return `${id}.${dataflow}`;
  };
  const done = async (...asked: Parameters<typeof setUp>): Promise<DeploymentRecord> =>
    director.ended(await setUp(...asked));
  const orders: [string, string] = ['shop', 'orders'];

  for (const id of ['a1', 'a2', 'a3']) await done(id, orders);
  days++;
  await director.send('rollback', 'back', { scope: 'shop', dataflow: 'orders' });
  await director.ended('back.orders');
  await done('a4', orders);
  await done('a5', orders, { dry_run: true });

  // What a build names, and what undid that.
  await done(`build:${RUN}0`, ['lines', 'extra']);
  await done(`build:${RUN}1`, ['lines', 'extra']);
  await director.send('rollback', 'undo-run', { scope: 'lines', dataflow: 'extra' });
  await director.ended('undo-run.extra');
  for (const id of ['e1', 'e2', 'e3', 'e4']) await done(id, ['lines', 'extra']);

  director.paper.fail('broken-topic', 'it broke');
  for (const id of ['f1', 'f2', 'f3'])
    expect(await done(id, ['fails', 'broken'])).toMatchObject({ status: 'failed' });

  for (const id of ['w1', 'unpublished', 'untold', 'w2', 'w3', 'w4', 'w5']) await done(id, ['wide', 'one']);

  // What found all as it should be made no version, and is still the newest that did anything.
  const same = { architecture: described('same', 'twice', 1) };
  for (const id of ['s1', 's2', 's3']) await done(id, ['same', 'twice'], same);
  for (const id of ['s4', 's5']) await done(id, ['same', 'twice'], { ...same, dry_run: true });

  await done('l1', ['held', 'locked']);
  await director.send('lock', 'lock-1', { scope: 'held', dataflow: 'locked', operation: 'by hand' });
  await setUp('stays', ['held', 'locked']);

  await done(`nestor:${NESTOR_ID}`, ['nd', 'main'], {
    about: { dialect: 'nestor', composer: 'team', name: 'x', environment: 'dev' },
  });
  await done('d1', ['bp', 'main'], {
    about: {
      blueprintId: 'web',
      environment: 'dev',
      generationJobId: 'job-1',
      targetCloud: 'aws',
      format: 'terraform',
    },
  });
  for (const scope of ['nd', 'bp']) for (const n of [1, 2, 3]) await done(`${scope}-${n}`, [scope, 'main']);
  const both = {
    document: documentOf('both', {
      ...{ left: ephemeral({ resources: { topics: [{ name: 'left-topic' }] } }) },
      ...{ right: ephemeral({ resources: { topics: [{ name: 'right-topic' }] } }) },
    }),
  };
  for (const id of ['both-1', 'both-2']) {
    await director.send('dataflow-setup', id, { dataflow: 'all', architecture: both, dry_run: true });
    for (const flow of ['left', 'right']) await director.ended(`${id}.${flow}`);
  }
  await director.send('dataflow-setup', 'wrong', { dataflow: 7 });
  await director.send('unlock', 'unlock-0', { scope: 'shop', dataflow: 'orders', lock_id: 'none' });

  const long = Array.from({ length: 250 }, (_, place): Write => {
    const value = { at: timestamp(clock.now()), type: 'log', unit: 'topic/a', level: 'info', message: 'x' };
    return { type: 'put', key: keys.journal('a1.orders', 1_000 + place), value, if: 'absent' };
  });
  await store.commit(long);

  clock.set(NOW - 10 * DAY_MS);
  const architecture = described('shop', 'news', 1);
  await director.send('dataflow-setup', 'recent', { dataflow: 'news', architecture });
  await director.ended('recent.news');
}

/** What is no deployment: messages, reads and builds. */
async function leaveBehind(store: Store, clock: SetClock): Promise<void> {
  const due = await listAll<DueRecord>(store, { collection: 'deliveries', prefix: keys.due('').id });
  for (const { id, value } of due) {
    if (value.deployment === 'untold.one') continue;
    await store.commit([
      { type: 'delete', key: { collection: 'deliveries', id }, if: 'any' },
      { type: 'put', key: keys.delivery(value.id), value: given(value, undefined, 'dropped'), if: 'any' },
    ]);
  }
  const row: OutboxRecord = { id: 'unpublished.completed', topic: 'e', attributes: {}, body: '{}' };
  await store.commit([{ type: 'put', key: keys.outbox(row.id), value: row, if: 'any' }]);

  const read = async (stack: 'shop/orders' | 'fails/broken', at: number): Promise<void> =>
    store.commit(await readWrites(stack, [{ what: 'state', by: 'eve', at: timestamp(at) }], store));
  for (let day = 0; day < 120; day++) await read('shop/orders', BEGINNING + day * DAY_MS);
  for (let day = 0; day < 3; day++) await read('fails/broken', BEGINNING + day * DAY_MS);
  for (const day of [3, 2]) await read('shop/orders', NOW - day * DAY_MS);
  await leaveBuilds(store, clock);
}

async function leaveBuilds(store: Store, clock: SetClock): Promise<void> {
  const builds = buildsIn(store, clock);
  const context = { store, clock, builds };
  let days = 0;
  const make = async (more: Partial<BuildRecord>): Promise<BuildRecord> => {
    clock.set(BEGINNING + ++days * DAY_MS);
    const start = { ...START, s3_key: 'a/b', auto_approve: false, build_number: undefined, sk: undefined };
    const { build } = await makeOnce(
      { ...newBuild(start, 'ada', clock), ...more },
      ['ada', String(days)],
      context,
    );
    return build;
  };
  const finish = async (build: BuildRecord, how?: 'run'): Promise<void> => {
    if (how === undefined) return builds.failToStart(build, 'it could not be');
    const { execution_name: name } = await builds.reserve(build);
    await builds.started(build, name, 'arn');
    await builds.finish(build, name, { status: 'SUCCESS' });
  };
  const first = await make({ repo: 'run', env: 'dev', version: '0', sk: `${SK}0` });
  await finish(first, 'run');
  const [promoted] = await promote(first, ['stg'], 'ada', context);
  if (promoted) await finish(promoted.build);
  await finish(await make({ repo: 'run', env: 'dev', version: '1', sk: `${SK}1` }), 'run');
  const newest = await make({ repo: 'run', env: 'stg', version: '2' });
  await finish(newest);
  // Promoted, and the newest there, while what it was made of goes.
  const source = await make({ repo: 'other', env: 'dev', version: '3' });
  await finish(source);
  const [kept] = await promote(source, ['prd'], 'ada', context);
  if (kept) await finish(kept.build);
  const last = await make({ repo: 'other', env: 'dev', version: '4' });
  await finish(last);
  // The newest, and what it was promoted to is not.
  const [passed] = await promote(last, ['qa'], 'ada', context);
  if (passed) await finish(passed.build);
  await finish(await make({ repo: 'other', env: 'qa', version: '5' }));
  await make({ repo: 'open', env: 'dev', version: '5' });
}
