/** What is asked again at `/api/v1` because its answer got lost: nothing is begun twice, and the answer is the same. */
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import { clientOf, type DeploymentsClient } from '@service-director/shared/contract/client.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answered, type Door, type Ground, openDoor, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { codeKeptAs, seenAs } from './support/rest.ts';
import { PROJECT, REGION } from './support/world.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const DIGEST = 'a'.repeat(64);
const paper = paperEngine();
let ground: Ground;
let door: Door;

beforeAll(async () => {
  ground = await openGround({ engine: () => paper, sources: () => codeKeptAs(DIGEST) });
  door = await openDoor(
    ground.log,
    nestorRoutes({
      ...{ ...ground, clock: systemClock, project: PROJECT, region: REGION, timeoutSeconds: 600 },
      engines: { terraform: { health: async () => ({ status: 'healthy' }), capabilities: ['plan'] } },
      readiness: () => ({ ready: true, problems: {} }),
    }),
  );
});
afterAll(async () => {
  await door.close();
  await ground.stop();
});

const PATH = '/api/v1/deployments';
const wish = (id: string, ...names: string[]) => ({
  ...{ id, composer: 'team-again', environment: 'dev' },
  resources: names.map((name) => ({
    name,
    config: { source: { digest: DIGEST }, variables: { of: id } },
  })),
});
const reached = (id: string, status: string): Promise<Answered['body']> =>
  seenAs(door, `${PATH}/${id}`, status);
const under = (key: string): Record<string, string> => ({ 'idempotency-key': key });

async function deployed(id: string, ...names: string[]): Promise<void> {
  expect((await door.ask('POST', PATH, wish(id, ...names))).status).toBe(202);
  await reached(id, 'ready');
}

/** The ids of all that was asked for whose id begins so, oldest first. */
async function begun(prefix: string): Promise<string[]> {
  const { body } = await door.ask('GET', `${PATH}?limit=100`);
  const ids: string[] = body.deployments.map(({ id }: { id: string }) => id);
  return ids.filter((id) => id.startsWith(prefix)).toReversed();
}

/** A client the first answers of whose are lost: each once `until` resolves. */
function forgetful(until: (answer: Answered['body']) => Promise<unknown>): {
  readonly client: DeploymentsClient;
  readonly keys: (string | null)[];
} {
  const keys: (string | null)[] = [];
  const losing: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (init?.method === 'GET') return response;
    keys.push(new Headers(init?.headers).get('idempotency-key'));
    if (keys.length % 2 === 0) return response;
    await until(await response.json());
    throw new TypeError('terminated');
  };
  return { client: clientOf({ url: door.url, fetch: losing }), keys };
}

describe('the client', () => {
  test('begins one way back for one call, and another for the next (N29, NX1)', async () => {
    for (const n of [1, 2]) await deployed(`way-v${n}`, 'way');
    const { client, keys } = forgetful(({ rollback }) => reached(rollback, 'ready'));
    const first = await client.rollback('way-v2', { targetVersion: 1 });
    expect(await begun('way-v2.')).toEqual([first]);
    const second = await client.rollback('way-v2', { targetVersion: 2 });
    const third = await client.rollback('way-v2', { targetVersion: 1 });
    expect(await begun('way-v2.')).toEqual([first, second, third]);
    // One for each call, and not for each try.
    expect(keys).toHaveLength(6);
    expect(new Set(keys).size).toBe(3);
    expect([keys[0], keys[2], keys[4]]).toEqual([keys[1], keys[3], keys[5]]);
    expect(keys).not.toContain(null);
  });

  test('begins none anew where its own has failed meanwhile (N29, NX1)', async () => {
    for (const n of [1, 2]) await deployed(`fails-v${n}`, 'fails');
    paper.fail('fails', 'no way');
    const { client } = forgetful(({ rollback }) => reached(rollback, 'failed'));
    const lost = await client.rollback('fails-v2');
    expect(await begun('fails-v2.')).toEqual([lost]);
    paper.fail('fails', undefined);
    const plain = clientOf({ url: door.url });
    const next = await plain.rollback('fails-v2');
    expect(next).not.toBe(lost);
    await reached(next, 'ready');
    // Once is enough, whoever asks.
    expect(await plain.rollback('fails-v2')).toBe(next);
    const { body } = await door.ask('POST', `${PATH}/fails-v2/rollback`, {});
    expect(body.rollback).toBe(next);
  });

  test('is told of what it stopped, whether it still stops or has (N29, N34)', async () => {
    const release = paper.hold('stops');
    await door.ask('POST', PATH, wish('stops-v1', 'stops'));
    await vi.waitFor(
      async () => expect((await door.ask('GET', `${PATH}/stops-v1`)).body.phase).toBe('deploying'),
      {
        timeout: 20_000,
      },
    );
    const { client, keys } = forgetful(() => reached('stops-v1', 'cancelled'));
    expect(await client.cancel('stops-v1')).toMatchObject({ id: 'stops-v1', status: 'cancelled' });
    expect(keys).toHaveLength(2);
    release();
    // Somebody else too, who brings no key.
    expect(await door.ask('DELETE', `${PATH}/stops-v1?mode=cancel`)).toMatchObject({
      status: 202,
      body: { status: 'cancelled', operation: { mode: 'cancel' } },
    });
  });
});

test('what was stopped before it changed anything has nothing to undo: DELETE tells of it, as often as it comes (N34)', async () => {
  await door.ask('POST', PATH, { ...wish('gated-v1', 'gated'), environment: 'production' });
  for (let time = 0; time < 3; time++)
    expect(await door.ask('DELETE', `${PATH}/gated-v1`)).toMatchObject({
      status: 202,
      body: { operation: { mode: 'cancel' } },
    });
  await reached('gated-v1', 'cancelled');
  expect((await door.ask('DELETE', `${PATH}/gated-v1`)).status).toBe(202);
  expect(await begun('gated-v1.')).toEqual([]);
});

test('of several who stop it at the same time none is refused (N34)', async () => {
  await door.ask('POST', PATH, { ...wish('crowd-v1', 'crowd'), environment: 'production' });
  const stops = Array.from({ length: 8 }, () => door.ask('DELETE', `${PATH}/crowd-v1?mode=cancel`));
  expect((await Promise.all(stops)).map(({ status }) => status)).toEqual(stops.map(() => 202));
});

describe('a key', () => {
  test('says what DELETE without a mode meant, whatever has become of it since (N34)', async () => {
    const release = paper.hold('second');
    await door.ask('POST', PATH, wish('half-v1', 'first', 'second'));
    await vi.waitFor(
      async () => {
        const { body } = await door.ask('GET', `${PATH}/half-v1`);
        expect(body.resources[0].status).toBe('ready');
        expect(body.resources[1].status).toBe('in_progress');
      },
      { timeout: 20_000 },
    );
    const stop = () => door.ask('DELETE', `${PATH}/half-v1`, undefined, under('stop'));
    expect(await stop()).toMatchObject({ status: 202, body: { operation: { mode: 'cancel' } } });
    const { version } = await reached('half-v1', 'cancelled');
    release();
    // What it did is kept, and could be undone: that is not what was meant.
    expect(version).toBe(1);
    expect((await stop()).body).toMatchObject({ version: 1, operation: { mode: 'cancel' } });
    expect(await begun('half-v1.')).toEqual([]);
    const undo = () => door.ask('DELETE', `${PATH}/half-v1`, undefined, under('undo'));
    const { body } = await undo();
    expect(body.operation.mode).toBe('rollback');
    await reached(body.operation.id, 'ready');
    // By now the stack is at a version after it.
    expect((await undo()).body.operation).toEqual(body.operation);
    expect((await stop()).body.operation).toEqual({ mode: 'cancel' });
    expect(await begun('half-v1.')).toEqual([body.operation.id]);
  });

  test('holds for a destruction too, and is its caller’s own (N34)', async () => {
    await deployed('gone-v1', 'gone');
    const destroy = (key: string) =>
      door.ask('DELETE', `${PATH}/gone-v1?mode=destroy`, undefined, under(key));
    const { id } = (await destroy('one')).body.operation;
    await reached(id, 'deleted');
    expect((await destroy('one')).body.operation).toEqual({ mode: 'destroy', id });
    const owner: Caller = {
      name: 'somebody@example.com',
      grants: [{ role: 'admin', environments: undefined, mayApproveOwn: true }],
    };
    door.as(owner);
    const other = (await destroy('one')).body.operation.id;
    door.as(undefined);
    expect(await begun('gone-v1.')).toEqual([id, other]);
    await reached(other, 'deleted');
  });

  test('that is none is refused before anything is begun (N34)', async () => {
    await deployed('keyless-v1', 'keyless');
    for (const key of ['a b', 'x'.repeat(201)]) {
      expect(await door.ask('POST', `${PATH}/keyless-v1/rollback`, {}, under(key))).toMatchObject({
        status: 400,
        body: { error: { code: 'VALIDATION_FAILED', message: expect.stringContaining('Idempotency-Key') } },
      });
      expect((await door.ask('DELETE', `${PATH}/keyless-v1`, undefined, under(key))).status).toBe(400);
    }
    expect(await begun('keyless-v1.')).toEqual([]);
  });

  test('or none: whoever may not stop it is refused, though it is stopped (N12, N34)', async () => {
    door.as({
      name: 'viewer@example.com',
      grants: [{ role: 'viewer', environments: undefined, mayApproveOwn: true }],
    });
    const refused = await door.ask('DELETE', `${PATH}/stops-v1?mode=cancel`);
    door.as(undefined);
    expect(refused.status).toBe(403);
  });
});
