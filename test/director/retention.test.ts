/** What ended long ago goes, and what is still of use stays. */
import { readConfig } from '@service-director/director/config.ts';
import { readsOfStack } from '@service-director/director/http/stacks.ts';
import { readWrites } from '@service-director/director/store/audit.ts';
import { keys } from '@service-director/director/store/records.ts';
import type { Store } from '@service-director/director/store/store.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { afterEach, expect, test, vi } from 'vitest';
import { BEGINNING, DAY_MS, described, NESTOR_ID, NOW, RUN, SK } from './support/history.ts';
import { contentsOf, setClock } from './support/old-state.ts';
import { mortal, namesIn, retainedOn } from './support/retained.ts';
import { demandReadable, wrongIn } from './support/sound-state.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const clock = setClock();
const { before, filled, directorOf, doorOf, upkeepOf, closeAll } = retainedOn(clock);

afterEach(closeAll);

test('what ended long ago goes; what is still of use stays, and can be read', async () => {
  expect(await wrongIn(await filled())).toEqual([]);
  const store = await filled();
  const removed = await upkeepOf(store).round();
  const [contents, after] = [await before(), await contentsOf(store)];
  expect(removed).toBeGreaterThan(400);
  expect(contents.size - after.size).toBe(removed - 2);
  expect(await wrongIn(store)).toEqual([]);

  expect(namesIn(after, 'deployments')).toEqual(
    [
      // Of each stack the newest, the newest that succeeded, and those of the versions that are kept.
      ...['a3.orders', 'back.orders', 'a4.orders', 'a5.orders', 'e2.extra', 'e3.extra', 'e4.extra'],
      ...[
        'w3.one',
        'w4.one',
        'w5.one',
        'l1.locked',
        'f1.broken',
        'f3.broken',
        's1.twice',
        's3.twice',
        's5.twice',
        'both-2.left',
        'both-2.right',
      ],
      ...[1, 2, 3].flatMap((n) => [`nd-${n}.main`, `bp-${n}.main`]),
      // What a build names, and what undid it; what has not ended; what is still to be told; what ended lately.
      ...[
        `build:${RUN}1.extra`,
        'undo-run.extra',
        'stays.locked',
        'unpublished.one',
        'untold.one',
        'recent.news',
      ],
    ].sort(),
  );
  // The journal goes with its deployment, and stays with it.
  const journals = new Set(namesIn(after, 'journal').map((id) => id.slice(0, id.lastIndexOf('/'))));
  expect([...journals].filter((id) => !after.has(`deployments/${id}`))).toEqual([]);
  expect(journals).toContain('a3.orders');
  expect(namesIn(after, 'commands')).not.toContain('wrong');
  expect(namesIn(after, 'commands')).not.toContain('lock-1');
  expect(namesIn(after, 'locks')).toEqual(['held/locked']);
  expect(namesIn(after, 'outbox')).toEqual(['unpublished.completed']);
  expect(namesIn(after, 'versions')).toEqual(namesIn(contents, 'versions'));
  expect(namesIn(after, 'units')).toEqual(namesIn(contents, 'units'));
  // The audit trail stays whole; the trail of reads is shorter, and a trail of old reads is empty.
  const trails = namesIn(after, 'audit');
  expect(trails.filter((id) => !id.startsWith('reads:'))).toEqual(
    namesIn(contents, 'audit').filter((id) => !id.startsWith('reads:')),
  );
  expect(trails.filter((id) => id.startsWith('reads:'))).toEqual([
    'reads:shop/orders/00000121',
    'reads:shop/orders/00000122',
  ]);
  expect(namesIn(after, 'deliveries').filter((id) => !id.includes('.recent.'))).toEqual([
    'due//wh_000000000000000000000001.untold.one.succeeded',
  ]);
  const builds = namesIn(after, 'builds').filter((id) => id.startsWith('of//'));
  expect(builds.map((id) => id.split('/').slice(2, 4).join('/')).sort()).toEqual([
    ...['dev/open', 'dev/other', 'dev/run', 'prd/other', 'qa/other', 'stg/run'],
  ]);
  expect(namesIn(after, 'builds')).toContain(`execution//${RUN}1`);
  expect(namesIn(after, 'builds')).not.toContain(`execution//${RUN}0`);

  await demandReadable(await doorOf(store));
});

test('a second round the same day does nothing, one the next day finds nothing, and one years later the rest', async () => {
  const store = await filled();
  const one = upkeepOf(store);
  await one.round();
  const counted = mortal(store, Number.POSITIVE_INFINITY);
  expect(await upkeepOf(counted).round()).toBe(0);
  expect(counted.commits()).toBe(0);
  clock.set(NOW + 2 * DAY_MS);
  expect(await one.round()).toBe(0);
  expect(await wrongIn(store)).toEqual([]);
  clock.set(NOW + 1_000 * DAY_MS);
  await one.round();
  expect(await wrongIn(store)).toEqual([]);
  expect(namesIn(await contentsOf(store), 'deployments')).toContain('recent.news');
});

test('a read of what is gone is answered as one of what never was, in each form', async () => {
  const store = await filled();
  const door = await doorOf(store);
  const gone: readonly [string, string, string][] = [
    ['/v1/deployments/', 'a1.orders', 'a0.orders'],
    ['/v1/commands/', 'a1', 'a0'],
    ['/api/v1/deployments/', NESTOR_ID, NESTOR_ID.replace('e10', 'e11')],
    ['/api/deployments/', 'd1', 'd0'],
    ['/api/builds/run/dev/', `${SK}0`, `${SK}9`],
  ];
  for (const [root, id] of gone) expect((await door.ask('GET', root + id)).status, root).toBe(200);
  await upkeepOf(store).round();
  for (const [root, id, unknown] of gone) {
    const [was, never] = [await door.ask('GET', root + id), await door.ask('GET', root + unknown)];
    const said = (body: object): string => JSON.stringify({ ...body, error: undefined, trace_id: undefined });
    expect(was.status, root).toBe(404);
    expect(never.status, root).toBe(404);
    expect(said(was.body).replaceAll(id, 'ID')).toBe(said(never.body).replaceAll(unknown, 'ID'));
    expect(Object.keys(was.body)).toEqual(Object.keys(never.body));
  }
  expect((await door.ask('GET', '/v1/deployments/a1.orders/logs')).status).toBe(404);
});

test('a cursor that stands at what is gone goes on', async () => {
  const store = await filled();
  const door = await doorOf(store);
  for (const path of ['/v1/deployments', '/v1/commands']) {
    const whole = (await door.ask('GET', `${path}?limit=100&sort=id`)).body;
    const first = (await door.ask('GET', `${path}?limit=2&sort=id`)).body;
    expect(first.next).toBeDefined();
    expect(Object.values(whole).flat().length).toBeGreaterThan(20);
  }
  const deployments = (await door.ask('GET', '/v1/deployments?limit=2&sort=id')).body;
  expect(deployments.deployments.map(({ id }: { id: string }) => id)).toEqual(['a1.orders', 'a2.orders']);
  const nestor = (await door.ask('GET', '/api/v1/deployments?limit=100')).body;
  await upkeepOf(store).round();
  const next = await door.ask('GET', `/v1/deployments?limit=2&sort=id&cursor=${deployments.next}`);
  expect(next.status).toBe(200);
  expect(next.body.deployments.map(({ id }: { id: string }) => id)).toEqual(['a3.orders', 'a4.orders']);
  expect(nestor.deployments).toBeDefined();
});

test('a trail of reads that was shortened goes on, and is whole (D158)', async () => {
  const store = await filled();
  await upkeepOf(store).round();
  for (const stack of ['shop/orders', 'fails/broken'] as const)
    for (const by of ['eve', 'ada']) {
      const at = timestamp(clock.now());
      await store.commit(await readWrites(stack, [{ what: 'history', by, at }], store));
      expect(await readsOfStack(stack, 10, store)).toMatchObject({ intact: true });
    }
  expect((await readsOfStack('shop/orders', 10, store)).entries.map(({ sequence }) => sequence)).toEqual([
    ...[121, 122, 123, 124],
  ]);
  // What is taken out by anybody else shows.
  await store.commit([{ type: 'delete', key: keys.audit(keys.reads('shop/orders'), 121), if: 'any' }]);
  expect(await readsOfStack('shop/orders', 10, store)).toMatchObject({ intact: false, broken_at: 121 });
});

test('a version that is kept can be brought back', async () => {
  const store = await filled();
  await upkeepOf(store).round();
  const director = await directorOf(store);
  await director.send('rollback', 'later', { scope: 'shop', dataflow: 'orders', to_version: 3 });
  expect(await director.ended('later.orders')).toMatchObject({ status: 'succeeded', version: 6 });
  await director.send('rollback', 'much-later', { deployment: 'e4.extra' });
  expect(await director.ended('much-later.extra')).toMatchObject({ status: 'succeeded' });
  // What is not kept any more says so, as before.
  await director.send('rollback', 'too-far', { scope: 'lines', dataflow: 'extra', to_version: 1 });
  expect((await director.ended('too-far.extra')).error).toContain('is not kept any more');
  expect(await wrongIn(store)).toEqual([]);
});

test('an old command that comes again: known where it is kept, refused where nobody knows, and nothing is done twice', async () => {
  const store = await filled();
  await upkeepOf(store).round();
  const director = await directorOf(store);
  const again = (id: string, days: number, more: object = {}, sentAt = BEGINNING + days * DAY_MS) => {
    const architecture = described('shop', 'orders', days);
    return director.send(
      'dataflow-setup',
      id,
      { dataflow: 'orders', architecture, ...more },
      timestamp(sentAt),
    );
  };
  const known = await contentsOf(store);
  for (let time = 0; time < 2; time++) {
    const refused = await again('a1', 1);
    expect(refused).toMatchObject({
      result: 'rejected',
      id: 'a1',
      fix: expect.stringContaining('under a new id'),
    });
    expect(refused).toMatchObject({ error: expect.stringContaining('It was sent at') });
  }
  // It is still there, and so is its answer.
  expect(await again('a3', 3)).toMatchObject({ result: 'duplicate', record: { status: 'succeeded' } });
  const after = await contentsOf(store);
  expect([...after.keys()].filter((id) => !known.has(id) && !id.startsWith('outbox/'))).toEqual([
    'commands/a1',
  ]);
  // Nobody has ever forgotten what was sent after that: a late one is done.
  expect(await again('late', 7, {}, NOW - 100 * DAY_MS)).toMatchObject({ result: 'accepted' });
  await director.ended('late.orders');
});

test('a command that comes while it is forgotten is refused, or known', async () => {
  const store = await filled();
  const reading = Promise.withResolvers<void>();
  const going = Promise.withResolvers<void>();
  let waits = true;
  // Whoever takes it has seen that nothing is forgotten, and writes when all is.
  const slow: Store = {
    get: (key) => store.get(key),
    list: (query) => store.list(query),
    close: async () => {},
    async commit(writes, durability) {
      if (waits && writes.some(({ key }) => key.id === 'a1')) {
        waits = false;
        reading.resolve();
        await going.promise;
      }
      await store.commit(writes, durability);
    },
  };
  const director = await directorOf(slow);
  const data = { dataflow: 'orders', architecture: described('shop', 'orders', 1) };
  const taken = director.send('dataflow-setup', 'a1', data, timestamp(BEGINNING + DAY_MS));
  await reading.promise;
  await upkeepOf(store).round();
  going.resolve();
  expect(await taken).toMatchObject({ result: 'rejected', id: 'a1' });
});

test('history is kept for 400 days, for ever, or for longer than a message may come again', () => {
  const read = (days?: string) =>
    readConfig({ PROJECT_ID: 'p', DIRECTOR_ACCESS: 'loopback', DIRECTOR_HISTORY_DAYS: days }).historyDays;
  expect([read(), read('0'), read('35'), read('3650')]).toEqual([400, 0, 35, 3650]);
  for (const days of ['34', '1', '-1', 'x', '0.5']) expect(() => read(days)).toThrow('DIRECTOR_HISTORY_DAYS');
});
