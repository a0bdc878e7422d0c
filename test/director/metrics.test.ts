/** What a director counts, who may ask for it, and that it names nobody. */
import { request as openRequest } from 'node:http';
import { remembered } from '@service-director/director/http/remembered.ts';
import { readFacts } from '@service-director/director/observability/facts.ts';
import { createMetrics, type Metrics } from '@service-director/director/observability/metrics.ts';
import { watchedStore } from '@service-director/director/observability/watched-store.ts';
import { type DeploymentRecord, type JournalEntry, keys } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Store, Write } from '@service-director/director/store/store.ts';
import { systemClock, timestamp } from '@service-director/shared/kit/clock.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { freePort, openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** Values by series, as they are written: `name{label="value"}`. */
function seriesIn(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))] as const;
    }),
  );
}

/** Names and values of all labels of our own metrics. */
function labelsIn(text: string): [string, string][] {
  return [...seriesIn(text).keys()]
    .filter((series) => series.startsWith('director_'))
    .flatMap((series) =>
      [...series.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
    );
}

describe('what is written is what is counted', () => {
  const AT = Date.parse('2026-03-01T12:00:00Z');
  const later = (seconds: number): string => timestamp(AT + seconds * 1000);
  let metrics: Metrics;
  let store: Store;
  let plain: Store;

  beforeAll(() => {
    plain = sqliteStore({ path: ':memory:' });
  });
  afterAll(() => plain.close());

  const metricsOf = (): Metrics => {
    const onTrouble = (error: unknown): void => expect.unreachable(String(error));
    return createMetrics({ facts: () => readFacts(plain), clock: systemClock, onTrouble });
  };
  const anew = (): void => {
    metrics = metricsOf();
    store = watchedStore(plain, metrics.committed);
  };
  const told = async (series: string): Promise<number | undefined> =>
    seriesIn(await metrics.text()).get(series);

  const planOf = (count: number): NonNullable<DeploymentRecord['plan']> => ({
    stack: 'shop/orders',
    operation: 'deploy',
    units: Array.from({ length: count }, (_, at) => ({
      id: unitId('topic', `t${at}`),
      kind: 'topic',
      change: { action: 'create' },
      after: [],
      seconds: 1,
      outputs: {},
    })),
    externals: [],
    grants: [],
    seconds: 1,
    criticalPath: [],
    warnings: [],
    hash: 'abc',
  });
  const recordOf = (id: string, more: Partial<DeploymentRecord> = {}): DeploymentRecord => ({
    id,
    command: 'a-command',
    correlationId: 'a-run',
    stack: 'shop/orders',
    scope: 'shop',
    dataflow: 'orders',
    operation: 'deploy',
    status: 'queued',
    dryRun: false,
    requester: 'ada@example.com',
    createdAt: later(0),
    ...more,
  });
  const put = (record: DeploymentRecord): Write => ({
    type: 'put',
    key: keys.deployment(record.id),
    value: record,
    if: 'any',
  });

  test.each([
    [0, 'none'],
    [1, '1-5'],
    [5, '1-5'],
    [6, '6-20'],
    [20, '6-20'],
    [21, '21-50'],
    [50, '21-50'],
    [51, '51+'],
  ])('D169, D170: a deployment of %i units ends in its place: %s', async (count, units) => {
    anew();
    const times = { startedAt: later(7), endedAt: later(50) };
    const plan = count === 0 ? {} : { plan: planOf(count) };
    await store.commit([put(recordOf('sized', { status: 'failed', ...times, ...plan }))]);
    expect(await told('director_deployments_total{operation="deploy",result="failed"}')).toBe(1);
    const of = `operation="deploy",units="${units}"`;
    expect(await told(`director_deployment_duration_seconds_sum{${of}}`)).toBe(43);
    expect(await told(`director_deployment_duration_seconds_bucket{le="30",${of}}`)).toBe(0);
    expect(await told(`director_deployment_duration_seconds_bucket{le="60",${of}}`)).toBe(1);
  });

  test('waiting for an approval is not time that it took; what only plans is counted as that', async () => {
    anew();
    const approved = { startedAt: later(1), resumedAt: later(3_600), endedAt: later(3_604), plan: planOf(1) };
    const dry = { startedAt: later(1), endedAt: later(3), dryRun: true, plan: planOf(1) };
    await store.commit([
      put(recordOf('approved', { status: 'succeeded', ...approved })),
      put(recordOf('dry', { status: 'succeeded', ...dry })),
    ]);
    const sum = 'director_deployment_duration_seconds_sum';
    expect(await told(`${sum}{operation="deploy",units="1-5"}`)).toBe(4);
    expect(await told(`${sum}{operation="dry-run",units="1-5"}`)).toBe(2);
    expect(await told('director_deployments_total{operation="deploy",result="succeeded"}')).toBe(1);
  });

  test('one that ends before it begins took no time; one that is undone later has not ended twice', async () => {
    anew();
    const ended = recordOf('undone', { status: 'cancelled', endedAt: later(5) });
    await store.commit([put(ended)]);
    await store.commit([put({ ...ended, rolledBackBy: 'another' })]);
    const series = seriesIn(await metrics.text());
    expect(series.get('director_deployments_total{operation="deploy",result="cancelled"}')).toBe(1);
    expect([...series.keys()].filter((name) => name.startsWith('director_deployment_duration'))).toEqual([]);
  });

  test('what is not committed is not counted', async () => {
    anew();
    const write = put(recordOf('lost', { status: 'failed', endedAt: later(5) }));
    await expect(store.commit([{ ...write, if: 99 }])).rejects.toThrow();
    expect(await told('director_deployments_total{operation="deploy",result="failed"}')).toBe(0);
  });

  test('N152: how long it waited is told when it is begun, and once', async () => {
    anew();
    const claimedAt = AT + 12_000;
    const holder = { id: 'me', host: 'here', pid: 1 };
    const lease = { holder, deployment: 'begun', claimedAt, heartbeatAt: claimedAt, expiresAt: claimedAt };
    const stack = { stack: 'shop/orders', scope: 'shop', dataflow: 'orders', permanent: true };
    const claim = (at: number): Write => ({
      type: 'put',
      key: keys.stack('shop/orders'),
      value: { ...stack, version: 3, token: 1, lease: { ...lease, claimedAt: at } },
      if: 'any',
    });
    const record = recordOf('begun', { status: 'planning', startedAt: later(12) });
    await store.commit([claim(claimedAt), put(record)]);
    await store.commit([put({ ...record, status: 'applying' })]);
    // Somebody else takes it up.
    await store.commit([claim(claimedAt + 60_000), put({ ...record, status: 'applying' })]);
    expect(await told('director_queue_wait_seconds_count{operation="deploy"}')).toBe(1);
    expect(await told('director_queue_wait_seconds_sum{operation="deploy"}')).toBe(12);
  });

  test('N85, N151: units are told by who makes them, what they are and how it went', async () => {
    anew();
    const finish = (unit: string, result: string, seconds: number, more: object = {}): JournalEntry => {
      const [kind = '', ...name] = unit.split('/');
      const id = unitId(kind, name.join('/'));
      return { at: later(0), type: 'finish', unit: id, line: { unit, result }, seconds, ...more };
    };
    const entries = [
      finish('topic/orders', 'created', 2),
      finish('topic/others', 'created', 4),
      finish('grants/topic/orders', 'updated', 1),
      finish('module/net', 'failed', 61),
      finish('topic/kept', 'kept', 0),
      finish('topic/skipped', 'skipped', 0),
    ];
    await store.commit(
      entries.map((value, at) => ({ type: 'put', key: keys.journal('x', at), value, if: 'any' })),
    );
    const series = seriesIn(await metrics.text());
    const sums = [...series].filter(([name]) => name.startsWith('director_unit_duration_seconds_sum'));
    expect(Object.fromEntries(sums)).toEqual({
      'director_unit_duration_seconds_sum{engine="gcp",kind="topic",result="created"}': 6,
      'director_unit_duration_seconds_sum{engine="gcp",kind="grants",result="updated"}': 1,
      'director_unit_duration_seconds_sum{engine="terraform",kind="module",result="failed"}': 61,
    });
  });

  test('D172: a lease that somebody else has counts once, however often it is looked at; one that is lost counts', async () => {
    anew();
    const event = (name: string) => told(`director_lock_contention_total{event="${name}"}`);
    expect([await event('lease_held'), await event('lease_lost')]).toEqual([0, 0]);
    const one = { stack: 'shop/orders', deployment: 'one' } as const;
    for (const how of ['busy', 'busy', 'busy'] as const) metrics.carried(one, how);
    metrics.carried({ stack: 'shop/others', deployment: 'other' }, 'busy');
    expect(await event('lease_held')).toBe(2);
    metrics.carried(one, 'fenced');
    metrics.carried(one, 'busy');
    expect([await event('lease_held'), await event('lease_lost')]).toEqual([3, 1]);
  });

  test('D168, D171: what is there is read from the store, so that all directors of it agree', async () => {
    anew();
    await store.commit([
      put(recordOf('waits', { status: 'awaiting_approval' })),
      put(recordOf('waits too', { status: 'awaiting_approval' })),
      put(recordOf('over', { status: 'succeeded', endedAt: later(1) })),
    ]);
    const gauges = (text: string): [string, number][] =>
      [...seriesIn(text)].filter(([name]) =>
        /^director_(deployments_active|queue|stacks|state|store)/.test(name),
      );
    const mine = gauges(await metrics.text());
    expect(gauges(await metricsOf().text())).toEqual(mine);
    expect(Object.fromEntries(mine)).toMatchObject({
      director_store_up: 1,
      'director_deployments_active{status="awaiting_approval"}': 2,
      'director_deployments_active{status="cancelling"}': 0,
      director_queue_depth: 0,
      director_stacks: 1,
      director_state_versions: 3,
    });
  });

  test('a store that cannot be read is told as that, and no old number as a new one', async () => {
    let isUp = true;
    const troubles: unknown[] = [];
    const failing = createMetrics({
      facts: () => (isUp ? readFacts(plain) : Promise.reject(new Error('no store today'))),
      clock: systemClock,
      onTrouble: (error) => troubles.push(error),
    });
    failing.answered('/health', 'GET', 200);
    expect(seriesIn(await failing.text()).get('director_stacks')).toBe(1);
    isUp = false;
    const series = seriesIn(await failing.text());
    expect(series.get('director_store_up')).toBe(0);
    expect(
      [...series.keys()].filter((name) => /^director_(deployments_active|queue|stacks|state)/.test(name)),
    ).toEqual([]);
    expect(series.get('director_http_requests_total{route="/health",method="GET",status="2xx"}')).toBe(1);
    expect(troubles).toMatchObject([{ message: 'no store today' }]);
  });

  test('the store is read once for all who ask within some seconds, and again after a failure', async () => {
    let [reads, now] = [0, 0];
    const ask = remembered(10_000, { ...systemClock, now: () => now }, async () => {
      reads++;
      if (reads === 2) throw new Error('not this time');
      return reads;
    });
    expect(await Promise.all([ask(), ask()])).toEqual([1, 1]);
    now = 9_999;
    expect(await ask()).toBe(1);
    now = 10_000;
    await expect(ask()).rejects.toThrow('not this time');
    expect(await ask()).toBe(3);
  });

  test('what nobody can count does not fail the write', async () => {
    const troubles: unknown[] = [];
    const odd = createMetrics({
      facts: () => readFacts(plain),
      clock: systemClock,
      onTrouble: (error) => troubles.push(error),
    });
    odd.committed([{ type: 'put', key: keys.journal('x', 1), value: { type: 'finish' }, if: 'any' }]);
    expect(troubles).toHaveLength(1);
  });
});

describe('of a director at work', () => {
  let world: World;
  let director: DirectorProcess;
  const text = async (): Promise<string> => {
    const answer = await director.get('/metrics');
    expect(answer).toMatchObject({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' });
    return answer.body;
  };
  const flow = (name: string): object => ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } });
  const send = (type: string, id: string, data: object) =>
    director.post(type, JSON.stringify(data), { 'idempotency-key': id });

  beforeAll(async () => {
    world = await openWorld();
    director = await startDirector(world);
    await director.ready();
  });
  afterAll(() => world.stop());

  test('D168 to D172, N84 to N86, N149 to N152: it tells of deployments, units, queues, locks, requests and itself', async () => {
    const document = documentOf('secretive', { flow: flow('secretive') });
    expect((await send('dataflow-setup', 'hush.1', { architecture: { document } })).status).toBe(202);
    await world.recorder.answerTo('hush.1');
    expect((await send('lock', 'hush.lock', { dataflow: 'flow', reason: 'mine' })).status).toBe(202);
    await send('lock', 'hush.lock2', { dataflow: 'flow', reason: 'mine too' });
    await send('dataflow-setup', 'hush.2', { architecture: { document } });
    await until(async () => {
      expect((await director.get('/v1/deployments/hush.2.flow')).body.status).toBe('waiting_for_lock');
    });
    await director.get('/v1/deployments/hush.1.flow');
    await director.get('/v1/deployments/nobody');
    await director.get('/nothing/of/that/name');
    const series = await until(async () => {
      const found = seriesIn(await text());
      expect(found.get('director_deployments_active{status="waiting_for_lock"}')).toBe(1);
      return found;
    });
    expect(series.get('director_deployments_total{operation="dataflow-setup",result="succeeded"}')).toBe(1);
    const of = 'operation="dataflow-setup",units="1-5"';
    expect(series.get(`director_deployment_duration_seconds_count{${of}}`)).toBe(1);
    expect(
      series.get('director_unit_duration_seconds_count{engine="gcp",kind="topic",result="created"}'),
    ).toBe(1);
    expect(series.get('director_queue_wait_seconds_count{operation="dataflow-setup"}')).toBe(1);
    expect(series.get('director_queue_depth')).toBe(1);
    expect(series.get('director_stacks')).toBe(1);
    expect(series.get('director_state_versions')).toBe(1);
    expect(series.get('director_store_up')).toBe(1);
    expect(series.get('director_lock_contention_total{event="waiting"}')).toBe(1);
    expect(series.get('director_lock_contention_total{event="lock_refused"}')).toBe(1);
    const requests = (route: string, status: string): number | undefined =>
      series.get(`director_http_requests_total{route="${route}",method="GET",status="${status}"}`);
    expect(requests('/v1/deployments/:id', '2xx')).toBeGreaterThan(0);
    expect(requests('/v1/deployments/:id', '4xx')).toBe(1);
    expect(requests('none', '4xx')).toBe(1);
    expect(requests('/ready', '2xx')).toBeGreaterThan(0);
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_seconds',
    ])
      expect(series.has(name), name).toBe(true);
  });

  test('no label is an id, a name that somebody chose, or a person', async () => {
    const body = await text();
    expect(body).not.toMatch(/hush|secretive|nobody|of\/that\/name|local"|@|example\.com/);
    expect(body).not.toContain(PROJECT);
    const names = new Set(labelsIn(body).map(([name]) => name));
    const known = 'status operation result units engine kind event route method le'.split(' ');
    expect([...names].filter((name) => !known.includes(name))).toEqual([]);
  });

  test('a cancelled one that nobody had begun is counted, and the depth goes down', async () => {
    await send('cancel', 'hush.cancel', { deployment: 'hush.2.flow' });
    await world.recorder.answerTo('hush.2');
    await until(async () => {
      const series = seriesIn(await text());
      expect(series.get('director_deployments_total{operation="dataflow-setup",result="cancelled"}')).toBe(1);
      expect(series.get('director_queue_depth')).toBe(0);
    });
  });

  test('it stands in the OpenAPI document', async () => {
    const { body } = await director.get('/openapi.json');
    expect(Object.keys(body.paths['/metrics'].get.responses['200'].content)).toEqual(['text/plain']);
  });
});

describe('who may ask', () => {
  const AUDIENCE = 'https://director.example';
  const emailOf = (id: string): string => `${id}@${PROJECT}.iam.gserviceaccount.com`;
  let world: World;
  let director: DirectorProcess;
  let port: number;

  beforeAll(async () => {
    world = await openWorld();
    for (const accountId of ['everywhere-viewer', 'dev-viewer', 'just-approver', 'total-stranger']) {
      await world.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
      await world.call('POST', `/v1/projects/${PROJECT}/serviceAccounts/${emailOf(accountId)}:setIamPolicy`, {
        policy: {
          bindings: [
            { role: 'roles/iam.serviceAccountTokenCreator', members: ['user:developer@example.com'] },
          ],
        },
      });
    }
    port = await freePort();
    const roles = [
      { principal: emailOf('everywhere-viewer'), role: 'viewer' },
      { principal: emailOf('dev-viewer'), role: 'viewer', environments: ['dev'] },
      { principal: emailOf('just-approver'), role: 'approver' },
    ];
    director = await startDirector(world, {
      env: {
        DIRECTOR_ACCESS: 'verified',
        DIRECTOR_AUDIENCE: AUDIENCE,
        DIRECTOR_ROLES: JSON.stringify(roles),
        DIRECTOR_METRICS_PORT: String(port),
      },
    });
  });
  afterAll(() => world.stop());

  async function headersOf(id: string): Promise<Record<string, string>> {
    const path = `/v1/projects/-/serviceAccounts/${emailOf(id)}:generateIdToken`;
    const said = { audience: AUDIENCE, includeEmail: true };
    const { token } = (await world.call('POST', path, said)) as { token: string };
    return { authorization: `Bearer ${token}` };
  }

  test('whoever may read everywhere, and nobody without a name', async () => {
    expect((await director.get('/metrics')).status).toBe(401);
    for (const [id, status] of [
      ['everywhere-viewer', 200],
      ['just-approver', 200],
      ['dev-viewer', 403],
      ['total-stranger', 403],
    ] as const)
      expect((await director.get('/metrics', await headersOf(id))).status, id).toBe(status);
    const { body } = await director.get('/metrics', await headersOf('everywhere-viewer'));
    expect(body).not.toMatch(/viewer|stranger|approver|@/);
    expect(
      seriesIn(body).get('director_http_requests_total{route="/metrics",method="GET",status="4xx"}'),
    ).toBe(1);
  });

  /** `host`: as a page could have it that has turned a name of its own to this address. */
  const knock = (path: string, host = `127.0.0.1:${port}`): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const asked = openRequest({ host: '127.0.0.1', port, path, headers: { host } }, (message) => {
        let body = '';
        message.setEncoding('utf8').on('data', (part) => (body += part));
        message.on('end', () => resolve({ status: message.statusCode ?? 0, body }));
      });
      asked.on('error', reject).end();
    });

  test('a collector beside it asks at a door of this machine, behind which there is nothing else', async () => {
    const { status, body } = await until(() => knock('/metrics'));
    expect(status).toBe(200);
    expect(seriesIn(body).get('director_store_up')).toBe(1);
    expect((await knock('/metrics', 'evil.example')).status).toBe(403);
    // So Google's collector calls it.
    expect((await knock('/metrics', `0.0.0.0:${port}`)).status).toBe(200);
    for (const path of ['/v1/stacks', '/health', '/']) expect((await knock(path)).status, path).toBe(404);
  });
});
