/** The director's own API under /v1: what it takes, what it refuses and how, what it answers twice. Every answer is checked against the document. */
import type { DeploymentRecord } from '@service-director/director/store/records.ts';
import { keys } from '@service-director/director/store/records.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type NativeDirector, openNative } from './support/native.ts';
import { isProblem, pages, setUp } from './support/rest.ts';

let director: NativeDirector;

beforeAll(async () => {
  director = await openNative();
});
afterAll(async () => {
  await director.close();
  expect(director.mistakes).toEqual([]);
});

describe('commands', () => {
  test('one is taken, and its path is where it can be read', async () => {
    const sent = await setUp(director, 'taken', 'taken.1', { reason: 'to see' });
    expect(sent).toMatchObject({
      status: 202,
      headers: { location: '/v1/commands/taken.1' },
      body: { id: 'taken.1', status: 'running', duplicate: false, deployments: ['taken.1.flow'] },
    });
    expect((await director.get(String(sent.headers.location))).body).toMatchObject({
      id: 'taken.1',
      type: 'dataflow-setup',
      requester: 'local',
      correlation_id: 'run-of-taken',
      deployments: [{ id: 'taken.1.flow', status: 'queued' }],
    });
  });

  test('the same again has no second effect; another under its id is refused', async () => {
    await setUp(director, 'again', 'again.1');
    expect(await setUp(director, 'again', 'again.1')).toMatchObject({
      status: 200,
      headers: { location: '/v1/commands/again.1' },
      body: { id: 'again.1', duplicate: true, deployments: ['again.1.flow'] },
    });
    expect(await setUp(director, 'again', 'again.1', { priority: 'high' })).toMatchObject(
      isProblem(409, 'id-taken'),
    );
    const { body } = await director.get('/v1/deployments?scope=again');
    expect(body.deployments).toHaveLength(1);
  });

  test('without an id each is a new one', async () => {
    const ids = new Set<string>();
    for (let time = 0; time < 3; time++) {
      const { body } = await director.post('/v1/commands/cancel', { command: 'nothing' });
      ids.add(body.id);
      expect(body).toMatchObject({ status: 'failed', error: 'There is no command nothing' });
    }
    expect(ids.size).toBe(3);
  });

  test('all that is wrong with one is said at once, with its places; its id stays free', async () => {
    const wrong = { dataflow: 7, priority: 'urgent', colour: 'red', 'a/b~c': 1, images: { api: 'latest' } };
    const refused = await director.post('/v1/commands/deploy', wrong, { 'idempotency-key': 'wrong.1' });
    expect(refused).toMatchObject(isProblem(400, 'invalid'));
    const { errors } = refused.body;
    expect(errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      '/a~1b~0c',
      '/colour',
      '/dataflow',
      '/images/api',
      '/priority',
    ]);
    expect(errors).toContainEqual({ in: 'body', pointer: '/colour', detail: 'there is no such field' });
    expect(refused.body.detail).toContain('an image is named by its digest');
    expect(await director.get('/v1/commands/wrong.1')).toMatchObject(isProblem(404, 'not-found'));
    const right = await director.post(
      '/v1/commands/cancel',
      { command: 'x' },
      { 'idempotency-key': 'wrong.1' },
    );
    expect(right.status).toBe(202);
  });

  test('what one may be called, and what there is, is said where it is not so', async () => {
    expect(
      await director.post('/v1/commands/cancel', { command: 'x' }, { 'idempotency-key': 'a/b c' }),
    ).toMatchObject(
      isProblem(400, 'invalid', {
        errors: [expect.objectContaining({ in: 'header', pointer: '/idempotency-key' })],
      }),
    );
    const unknown = await director.post('/v1/commands/destroy', {});
    expect(unknown).toMatchObject(isProblem(404, 'not-found'));
    expect(unknown.body.fix).toContain('teardown');
    expect(await director.post('/v1/commands', {})).toMatchObject({
      ...isProblem(405, 'method-not-allowed'),
      headers: { allow: 'GET, HEAD' },
    });
    expect(await director.get('/v1/unheard-of')).toMatchObject(isProblem(404, 'not-found'));
  });

  test('they come page by page, by what they belong to and how they stand', async () => {
    for (const id of ['paged.c', 'paged.a', 'paged.b']) await setUp(director, 'paged', id);
    const query = 'correlation_id=run-of-paged';
    expect(await pages(director, '/v1/commands', 'commands', `${query}&limit=2`)).toEqual([
      ['paged.b', 'paged.a'],
      ['paged.c'],
    ]);
    expect(await pages(director, '/v1/commands', 'commands', `${query}&sort=id&limit=1`)).toEqual([
      ['paged.a'],
      ['paged.b'],
      ['paged.c'],
    ]);
    expect(await pages(director, '/v1/commands', 'commands', `${query}&status=failed`)).toEqual([[]]);
  });
});

describe('deployments', () => {
  beforeAll(async () => {
    for (const id of ['many.c', 'many.a', 'many.d', 'many.b', 'many.e']) await setUp(director, 'many', id);
    await director.write('many.a.flow', { status: 'failed', endedAt: '2026-01-01T00:00:00.000Z' });
  });

  test('they come newest first or by id, each once, whatever the page', async () => {
    const newest = ['many.e.flow', 'many.b.flow', 'many.d.flow', 'many.a.flow', 'many.c.flow'];
    for (const limit of [1, 2, 3, 5, 500]) {
      expect(
        (await pages(director, '/v1/deployments', 'deployments', `stack=many/flow&limit=${limit}`)).flat(),
      ).toEqual(newest);
      const query = `scope=many&sort=id&limit=${limit}`;
      expect((await pages(director, '/v1/deployments', 'deployments', query)).flat()).toEqual(
        newest.toSorted(),
      );
    }
  });

  test('a page costs what a page costs, and nothing while nobody has written', async () => {
    const { store } = director;
    const value = (await store.get<DeploymentRecord>(keys.deployment('many.a.flow')))?.value;
    if (!value) throw new Error('It is not there');
    const ids = Array.from({ length: 1_000 }, (_, place) => `zz.${String(place).padStart(4, '0')}`);
    await store.commit(
      ids.map((id) => ({ type: 'put', key: keys.deployment(id), value: { ...value, id }, if: 'absent' })),
    );
    const read: number[] = [];
    const { list } = store;
    store.list = async <T>(query: Parameters<typeof list>[0]) => {
      const rows = await list<T>(query);
      if (query.collection === 'deployments') read.push(rows.length);
      return rows;
    };
    for (const sort of ['id', '-created_at']) {
      const first = await director.get(`/v1/deployments?sort=${sort}&limit=10`);
      await director.get(`/v1/deployments?sort=${sort}&limit=10&cursor=${first.body.next}`);
      expect(await director.get(`/v1/deployments?sort=${sort}&limit=10`)).toMatchObject({ body: first.body });
      expect(read.splice(0)).toEqual([11, 11]);
      await store.commit([
        { type: 'put', key: keys.deployment('zz.0000'), value: { ...value, id: 'zz.0000' }, if: 'any' },
      ]);
      await director.get(`/v1/deployments?sort=${sort}&limit=10`);
      expect(read.splice(0)).toEqual([11]);
    }
    store.list = list;
    await store.commit(ids.map((id) => ({ type: 'delete', key: keys.deployment(id), if: 'any' })));
  });

  test('what is rare among many is looked for a stretch at a time: a page may be short or empty, and not the last', async () => {
    const { store } = director;
    const value = (await store.get<DeploymentRecord>(keys.deployment('many.a.flow')))?.value;
    if (!value) throw new Error('It is not there');
    const rare = new Set(['zz.1000', 'zz.4500']);
    const ids = Array.from({ length: 5_000 }, (_, place) => `zz.${String(place).padStart(4, '0')}`);
    await store.commit(
      ids.map((id) => {
        const operation = rare.has(id) ? 'teardown' : 'dataflow-setup';
        return { type: 'put', key: keys.deployment(id), value: { ...value, id, operation }, if: 'absent' };
      }),
    );
    let read = 0;
    const { list } = store;
    store.list = async <T>(query: Parameters<typeof list>[0]) => {
      const rows = await list<T>(query);
      if (query.collection === 'deployments') read += rows.length;
      return rows;
    };
    for (const sort of ['id', '-created_at']) {
      const found: string[][] = [];
      for (let cursor = ''; ; ) {
        read = 0;
        const { status, body } = await director.get(
          `/v1/deployments?operation=teardown&scope=many&limit=5&sort=${sort}${cursor}`,
        );
        expect(status).toBe(200);
        expect(read).toBeLessThanOrEqual(2_000);
        found.push(body.deployments.map(({ id }: { id: string }) => id));
        if (body.next === undefined) break;
        cursor = `&cursor=${body.next}`;
      }
      expect(found.length).toBeGreaterThanOrEqual(3);
      expect(found.some((page) => page.length === 0)).toBe(true);
      expect(found.flat().toSorted()).toEqual([...rare]);
    }
    store.list = list;
    await store.commit(ids.map((id) => ({ type: 'delete', key: keys.deployment(id), if: 'any' })));
  });

  test('by stack, scope, status and operation, one or all', async () => {
    const found = async (query: string): Promise<string[]> =>
      (await pages(director, '/v1/deployments', 'deployments', query)).flat();
    expect(await found('scope=many&status=failed')).toEqual(['many.a.flow']);
    expect(await found('stack=many/flow&status=failed&operation=dataflow-setup&scope=many')).toEqual([
      'many.a.flow',
    ]);
    expect(await found('scope=many&operation=teardown')).toEqual([]);
    expect(await found('stack=many/other')).toEqual([]);
  });

  test('what cannot be asked is refused, all of it at once', async () => {
    const { body } = await director.get('/v1/deployments?status=done&limit=0&colour=red&sort=up');
    expect(
      body.errors.map(({ in: place, pointer }: { in: string; pointer: string }) => place + pointer).sort(),
    ).toEqual(['query/colour', 'query/limit', 'query/sort', 'query/status']);
    for (const query of ['limit=ten', 'limit=1&limit=2', 'limit=501', 'limit=1.5', 'limit=', 'scope='])
      expect(await director.get(`/v1/deployments?${query}`), query).toMatchObject(isProblem(400, 'invalid'));
  });

  test('a cursor is good for the list that it came from, and nothing else', async () => {
    const first = await director.get('/v1/deployments?scope=many&limit=2');
    const { next } = first.body;
    expect((await director.get(`/v1/deployments?scope=many&limit=3&cursor=${next}`)).status).toBe(200);
    const made = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const wrong = [
      `cursor=${next}`,
      `scope=many&sort=id&cursor=${next}`,
      'scope=many&cursor=nonsense',
      `scope=many&cursor=${next.slice(0, -4)}`,
      `scope=many&cursor=${made(['x'])}`,
      `scope=many&cursor=${made({ place: 'x' })}`,
      `scope=many&cursor=${'A'.repeat(5_000)}`,
      'scope=many&cursor=%00',
    ];
    for (const query of wrong) {
      const answer = await director.get(`/v1/deployments?${query}`);
      expect(answer, query).toMatchObject(isProblem(400, 'invalid'));
      expect(answer.body.errors, query).toMatchObject([{ in: 'query', pointer: '/cursor' }]);
    }
  });

  test('one is told with its ETag, and not again while nothing is new', async () => {
    const first = await director.get('/v1/deployments/many.c.flow');
    const etag = String(first.headers.etag);
    expect(first).toMatchObject({ status: 200, body: { id: 'many.c.flow', report: { status: 'queued' } } });
    expect(etag).toMatch(/^"[0-9a-f]+"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*'])
      expect(
        await director.get('/v1/deployments/many.c.flow', {
          'if-none-match': known,
          'cache-control': 'no-cache',
        }),
      ).toMatchObject({ status: 304, headers: { etag }, body: '' });
    expect((await director.get('/v1/deployments/many.c.flow', { 'if-none-match': '"x"' })).status).toBe(200);
    await director.write('many.c.flow', { status: 'planning' });
    const changed = await director.get('/v1/deployments/many.c.flow', { 'if-none-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  test('paths lead nowhere else', async () => {
    const names = [
      '..',
      '.',
      '%2e%2e',
      '%2E%2E%2Fcommands',
      '..%2fmany.c.flow',
      'many.c.flow%00',
      '%00',
      '%2f',
      'a%2fb',
      '%5c..%5c',
    ];
    const long = ['x'.repeat(5_000), '%C3%BC'.repeat(1_000)];
    for (const name of [...names, ...long, 'nobody', 'many.c.flow%0a'])
      for (const tail of ['', '/logs', '/approve']) {
        const method = tail === '/approve' ? 'POST' : 'GET';
        const answer = await director.ask(method, `/v1/deployments/${name}${tail}`);
        expect([404, 405], `${name}${tail}`).toContain(answer.status);
        expect(answer.type).toContain('problem+json');
      }
    for (const path of [
      '/v1/stacks/../commands',
      '/v1/stacks/%2e%2e/flow',
      '/v1/stacks/many%2fflow/history',
      '/v1/stacks/many/%00',
    ])
      expect((await director.ask('GET', path)).status, path).toBe(404);
    expect(await director.get('/v1/deployments/%E0%A4%A')).toMatchObject(isProblem(400, 'bad-request'));
  });
});

test('whoever has a role for some sees those, and does what the role permits', async () => {
  await setUp(director, 'mine', 'mine.1');
  await setUp(director, 'yours', 'yours.1');
  const grant = { role: 'viewer', environments: ['mine'], mayApproveOwn: true } as const;
  director.callAs({ name: 'ada@example.com', grants: [grant] });
  const forbidden = isProblem(403, 'forbidden');
  expect((await pages(director, '/v1/deployments', 'deployments', 'limit=1')).flat()).toEqual([
    'mine.1.flow',
  ]);
  expect((await pages(director, '/v1/deployments', 'deployments', 'limit=1&sort=id')).flat()).toEqual([
    'mine.1.flow',
  ]);
  expect((await pages(director, '/v1/commands', 'commands', 'limit=1')).flat()).toEqual(['mine.1']);
  expect((await director.get('/v1/deployments/mine.1.flow')).status).toBe(200);
  expect((await director.get('/v1/deployments/mine.1.flow/logs')).status).toBe(200);
  for (const path of [
    '/v1/deployments/yours.1.flow',
    '/v1/deployments/yours.1.flow/logs',
    '/v1/commands/yours.1',
  ])
    expect(await director.get(path), path).toMatchObject(forbidden);
  for (const id of ['mine.1.flow', 'yours.1.flow'])
    expect(await director.post(`/v1/deployments/${id}/cancel`), id).toMatchObject(forbidden);
  expect(await director.post('/v1/commands/teardown', { dataflow: 'flow', scope: 'mine' })).toMatchObject(
    forbidden,
  );
  director.callAs(undefined);
  expect((await director.get('/v1/deployments/mine.1.flow')).body.status).toBe('queued');
});
