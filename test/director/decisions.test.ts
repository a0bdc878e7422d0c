/** What is decided under /v1 about deployments and stacks: once, about what was read, and by whoever says why. */
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

describe('what is done to a deployment', () => {
  const HASH = 'abcdef0123456789';

  /** One that waits for an approval of the plan with that hash. */
  async function parked(name: string): Promise<string> {
    await setUp(director, name, `${name}.1`);
    const id = `${name}.1.flow`;
    const approval = { state: 'pending', planHash: HASH, expiresAt: Date.now() + 3_600_000 } as const;
    await director.write(id, { status: 'awaiting_approval', approval });
    return id;
  }
  const statusOf = async (id: string): Promise<string> =>
    (await director.get(`/v1/deployments/${id}`)).body.status;

  test('it is approved by the hash of its plan, and by that alone', async () => {
    const id = await parked('approved');
    const path = `/v1/deployments/${id}/approve`;
    for (const other of ['"0000000000000000"', `W/"${HASH}"`, HASH])
      expect(await director.post(path, {}, { 'if-match': other }), other).toMatchObject(
        isProblem(412, 'precondition-failed', { detail: expect.stringContaining(HASH) }),
      );
    expect(await statusOf(id)).toBe('awaiting_approval');
    const headers = { 'if-match': `"${HASH}"`, 'idempotency-key': 'approve.1' };
    expect(await director.post(path, { reason: 'as agreed' }, headers)).toMatchObject({
      status: 202,
      headers: { location: '/v1/commands/approve.1' },
      body: { status: 'succeeded', note: expect.stringContaining('approved') },
    });
    const { body } = await director.get(`/v1/deployments/${id}`);
    expect(body).toMatchObject({
      status: 'queued',
      approval: { state: 'approved', by: 'local', reason: 'as agreed' },
    });
    // The answer may have been lost: the same again, though the deployment has gone on.
    expect(await director.post(path, { reason: 'as agreed' }, headers)).toMatchObject({
      status: 200,
      body: { duplicate: true, status: 'succeeded' },
    });
    expect(await director.post(path)).toMatchObject(isProblem(409, 'conflict'));
  });

  test('or by the ETag of what was read', async () => {
    const id = await parked('tagged');
    const { headers } = await director.get(`/v1/deployments/${id}`);
    const reading = { 'if-match': String(headers.etag) };
    await director.write(id, { reason: 'somebody wrote' });
    expect((await director.post(`/v1/deployments/${id}/reject`, {}, reading)).status).toBe(412);
    const { headers: now } = await director.get(`/v1/deployments/${id}`);
    const rejected = await director.post(
      `/v1/deployments/${id}/reject`,
      { reason: 'no' },
      { 'if-match': String(now.etag) },
    );
    expect(rejected.status).toBe(202);
    expect(await statusOf(id)).toBe('cancelled');
  });

  test('it is cancelled once, and that it has ended is said', async () => {
    await setUp(director, 'cancelled', 'cancelled.1');
    const path = '/v1/deployments/cancelled.1.flow/cancel';
    expect((await director.post(path, { reason: 'too slow' })).status).toBe(202);
    expect(await statusOf('cancelled.1.flow')).toBe('cancelled');
    expect(await director.post(path)).toMatchObject(
      isProblem(409, 'conflict', { detail: expect.stringContaining('nothing to cancel') }),
    );
    expect(await director.post(path, { because: 'x' })).toMatchObject(
      isProblem(400, 'invalid', {
        errors: [{ in: 'body', pointer: '/because', detail: 'there is no such field' }],
      }),
    );
    expect(await director.post('/v1/deployments/nobody/cancel')).toMatchObject(isProblem(404, 'not-found'));
  });

  test('it is undone by a deployment of its own, which says why', async () => {
    await setUp(director, 'undone', 'undone.1');
    const path = '/v1/deployments/undone.1.flow/rollback';
    expect(await director.post(path, {})).toMatchObject(
      isProblem(400, 'invalid', { errors: [expect.objectContaining({ pointer: '/reason' })] }),
    );
    expect(await director.post(path, { reason: 'no good' })).toMatchObject(
      isProblem(409, 'conflict', { detail: expect.stringContaining('changed nothing') }),
    );
    await director.write('undone.1.flow', { status: 'succeeded', version: 1 });
    const sent = await director.post(path, { reason: 'no good' }, { 'idempotency-key': 'undo.1' });
    expect(sent).toMatchObject({ status: 202, body: { deployments: ['undo.1.flow'] } });
    expect((await director.get('/v1/deployments/undo.1.flow')).body).toMatchObject({
      operation: 'rollback',
      report: { to_version: 0 },
    });
  });
});

describe('stacks', () => {
  /** As it is once something was deployed to it. */
  async function stackOf(scope: string): Promise<void> {
    await setUp(director, scope, `${scope}.1`);
    const value = { stack: `${scope}/flow`, scope, dataflow: 'flow', permanent: false, version: 0, token: 0 };
    await director.store.commit([{ type: 'put', key: keys.stack(`${scope}/flow`), value, if: 'any' }]);
  }

  test('they come by name, page by page', async () => {
    for (const scope of ['shelf-b', 'shelf-a', 'shelf-c']) await stackOf(scope);
    expect(await pages(director, '/v1/stacks', 'stacks', 'limit=1&scope=shelf-b')).toEqual([
      ['shelf-b/flow'],
    ]);
    const all = (await pages(director, '/v1/stacks', 'stacks', 'limit=2')).flat();
    expect(all.filter((one) => one.startsWith('shelf'))).toEqual([
      'shelf-a/flow',
      'shelf-b/flow',
      'shelf-c/flow',
    ]);
  });

  test('one is told in full, with its ETag; what it is not is refused', async () => {
    await stackOf('whole');
    const { headers, body } = await director.get('/v1/stacks/whole/flow');
    expect(body).toMatchObject({
      stack: 'whole/flow',
      version: 0,
      locked: false,
      units: [],
      queue: ['whole.1.flow'],
    });
    const again = await director.get('/v1/stacks/whole/flow', { 'if-none-match': String(headers.etag) });
    expect(again.status).toBe(304);
    expect((await director.get('/v1/stacks/whole/flow/history')).body).toEqual({
      stack: 'whole/flow',
      versions: [],
    });
    expect((await director.get('/v1/stacks/whole/flow/audit')).body).toMatchObject({
      intact: true,
      entries: [{ what: 'asked', command: 'whole.1' }],
    });
    expect(await director.get('/v1/stacks/whole/flaw')).toMatchObject(
      isProblem(404, 'not-found', { fix: expect.stringContaining('whole/flow') }),
    );
    expect(await director.get('/v1/stacks/whole/flow/history?limit=0')).toMatchObject(
      isProblem(400, 'invalid'),
    );
  });

  test('one is locked, once, and unlocked by whoever has the id, or by force with a reason', async () => {
    await stackOf('locked');
    const path = '/v1/stacks/locked/flow';
    const taken = await director.post(
      `${path}/lock`,
      { operation: 'maintenance' },
      { 'idempotency-key': 'lock.1' },
    );
    expect(taken).toMatchObject({ status: 202, body: { lock_id: 'lock.1', status: 'succeeded' } });
    expect((await director.get(path)).body).toMatchObject({
      locked: true,
      lock: { id: 'lock.1', who: 'local' },
    });
    expect(await director.post(`${path}/lock`)).toMatchObject(
      isProblem(409, 'conflict', { detail: expect.stringContaining('locked by local') }),
    );
    expect(await director.post(`${path}/unlock`, { lock_id: 'another' })).toMatchObject(
      isProblem(409, 'conflict'),
    );
    expect(await director.post(`${path}/unlock`, { force: true })).toMatchObject(
      isProblem(400, 'invalid', { detail: expect.stringContaining('say with "reason"') }),
    );
    expect((await director.post(`${path}/unlock`, { lock_id: 'lock.1' })).status).toBe(202);
    expect((await director.get(path)).body.locked).toBe(false);
    expect(await director.post('/v1/stacks/locked/flaw/lock')).toMatchObject(isProblem(404, 'not-found'));
  });
});
