/** What is told of records: whose turn it is, who has the lock, which versions can be brought back. */
import type { UnitState } from '@service-director/shared/model/state.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { describe, expect, test } from 'vitest';
import type { DeploymentRecord, LockRecord, StackRecord, VersionRecord } from '../store/records.ts';
import {
  auditLineOf,
  briefOf,
  journalLineOf,
  lockOf,
  type Surroundings,
  stateOf,
  versionsOf,
} from './views.ts';

const STACK = 'shop/orders';
const AT = '2026-01-31T12:00:00.000Z';
const record: DeploymentRecord = {
  id: 'up-1.orders',
  command: 'up-1',
  correlationId: 'up-1',
  stack: STACK,
  scope: 'shop',
  dataflow: 'orders',
  operation: 'deploy',
  status: 'queued',
  dryRun: false,
  requester: 'jo@example.com',
  createdAt: AT,
};
const stack: StackRecord = {
  stack: STACK,
  scope: 'shop',
  dataflow: 'orders',
  permanent: false,
  lineage: 'the-first',
  version: 3,
  serial: 17,
  token: 5,
};
const leased: StackRecord = {
  ...stack,
  lease: {
    holder: { id: 'd', host: 'h', pid: 1 },
    deployment: 'up-0.orders',
    claimedAt: Date.parse(AT),
    heartbeatAt: Date.parse(AT) + 5_000,
    expiresAt: Date.parse(AT) + 25_000,
  },
};
const lock: LockRecord = {
  id: 'lock-1',
  stack: STACK,
  operation: 'maintenance',
  by: 'ann@example.com',
  at: AT,
  reason: 'the disks',
};
const free: Surroundings = { stack, lock: undefined, queue: [] };
const queued = (...ids: string[]): Surroundings['queue'] =>
  ids.map((deployment) => ({ stack: STACK, deployment, command: 'c' }));

describe('a deployment', () => {
  test('that waits has a place behind whoever has the turn, and says for whom it waits', () => {
    const queue = queued('up-0.orders', 'up-9.orders', 'up-1.orders');
    expect(briefOf(record, { ...free, stack: leased, queue })).toMatchObject({
      position: 2,
      waiting_for: 'the deployment up-0.orders',
      priority: 'normal',
      requester: 'jo@example.com',
    });
    expect(briefOf(record, { ...free, queue })).toMatchObject({
      position: 3,
      waiting_for: 'the deployment up-9.orders',
    });
    const next = briefOf(record, { ...free, queue: queued('up-1.orders') });
    expect(next.position).toBe(1);
    expect(next.waiting_for).toBeUndefined();
  });

  test('that a lock keeps waiting names the lock, but for who holds it', () => {
    const around = { ...free, lock, queue: queued('up-1.orders') };
    expect(briefOf({ ...record, status: 'waiting_for_lock' }, around).waiting_for).toBe(
      'the lock lock-1 of ann@example.com (maintenance)',
    );
    expect(briefOf({ ...record, lockId: 'lock-1' }, around).waiting_for).toBeUndefined();
  });

  test('that has ended has no place and waits for nothing', () => {
    const ended = briefOf(
      { ...record, status: 'succeeded', version: 3, endedAt: AT, rolledBackBy: 'back-1.orders' },
      { ...free, lock, queue: queued('up-1.orders') },
    );
    expect(ended).toMatchObject({ status: 'succeeded', version: 3, rolled_back_by: 'back-1.orders' });
    expect([ended.position, ended.waiting_for]).toEqual([undefined, undefined]);
  });

  test('that awaits approval tells of which plan, and until when; approved, by whom', () => {
    const pending = { state: 'pending', planHash: 'abc', expiresAt: Date.parse(AT) } as const;
    expect(briefOf({ ...record, status: 'awaiting_approval', approval: pending }, free)).toMatchObject({
      waiting_for: 'an approval',
      approval: { state: 'pending', plan_hash: 'abc', expires_at: AT },
    });
    const approved = { state: 'approved', planHash: 'abc', by: 'ann', at: AT, reason: 'read it' } as const;
    expect(briefOf({ ...record, approval: approved }, free).approval).toEqual({
      state: 'approved',
      plan_hash: 'abc',
      by: 'ann',
      at: AT,
      reason: 'read it',
    });
  });
});

describe('the lock of a stack', () => {
  const holding = {
    record: { ...record, id: 'up-0.orders', status: 'applying' },
    entries: [
      { at: AT, type: 'intend', unit: unitId('topic', 'a'), action: 'create', token: 5 },
      { at: AT, type: 'intend', unit: unitId('topic', 'b'), action: 'create', token: 5 },
      {
        at: AT,
        type: 'finish',
        unit: unitId('topic', 'a'),
        line: { unit: 'topic/a', result: 'created' },
        seconds: 1,
      },
    ],
  } as const;

  test('is the deployment that has the lease, with its heartbeat and what it is at', () => {
    expect(lockOf({ ...free, stack: leased }, holding)).toEqual({
      id: 'up-0.orders',
      held_by: 'deployment',
      operation: 'deploy',
      who: 'jo@example.com',
      created: AT,
      heartbeat_at: '2026-01-31T12:00:05.000Z',
      expires_at: '2026-01-31T12:00:25.000Z',
      step: 'applying: topic/b',
      version: '1.0',
    });
  });

  test('taken by hand outlasts the deployment that runs under it', () => {
    expect(lockOf({ ...free, stack: leased, lock }, holding)).toEqual({
      id: 'lock-1',
      held_by: 'manual',
      operation: 'maintenance',
      who: 'ann@example.com',
      created: AT,
      reason: 'the disks',
      step: 'applying: topic/b',
      version: '1.0',
    });
    expect(lockOf(free, undefined)).toBeUndefined();
  });
});

const unit: UnitState = {
  id: unitId('topic', 'orders'),
  engine: 'gcp',
  kind: 'topic',
  spec: { name: 'orders' },
  needs: [],
  owner: { scope: 'shop', dataflow: 'orders' },
  stage: 'setup',
  outputs: { id: 'orders' },
};

test('a state tells version, serial, lineage, lock, queue and units', () => {
  const state = stateOf(
    leased,
    { ...free, stack: leased, queue: queued('up-0.orders', 'up-1.orders') },
    undefined,
    [unit],
  );
  expect(state).toMatchObject({
    stack: STACK,
    lineage: 'the-first',
    serial: 17,
    version: 3,
    locked: true,
    queue: ['up-1.orders'],
    units: [
      { id: 'topic/orders', spec: { name: 'orders' }, fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) },
    ],
  });
  const { lineage: _, serial: __, ...older } = stack;
  expect(stateOf(older, free, undefined, [])).toMatchObject({ lineage: '', serial: 0, locked: false });
});

describe('a history', () => {
  const row = (version: number, changes: VersionRecord['changes'] = []): VersionRecord => ({
    stack: STACK,
    version,
    serial: version * 2,
    deployment: `up-${version}.orders`,
    operation: 'deploy',
    at: AT,
    by: 'jo@example.com',
    changes,
  });

  test('flags the current version; the others can be restored as far back as none is missing', () => {
    const views = versionsOf(5, [row(5), row(4), row(3), row(1)], new Map());
    expect(views.map(({ version, current, restorable }) => [version, current, restorable])).toEqual([
      [5, true, false],
      [4, false, true],
      [3, false, true],
      [1, false, false],
    ]);
  });

  test('sorts units by what happened to them; what came and went within one deployment is none of them', () => {
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => unitId('topic', name));
    const [view] = versionsOf(
      1,
      [
        row(1, [
          { unit: a, after: unit },
          { unit: b, before: unit, after: unit },
          { unit: c, before: unit },
          { unit: d },
        ] as VersionRecord['changes']),
      ],
      new Map(),
    );
    expect(view).toMatchObject({ added: ['topic/a'], changed: ['topic/b'], removed: ['topic/c'] });
  });

  test('what rows of the first release do not tell is known of their deployments', () => {
    const { operation: _, serial: __, ...older } = row(1);
    const made = new Map([['up-1.orders', { ...record, operation: 'teardown', reason: 'old' } as const]]);
    expect(versionsOf(1, [older], made)).toMatchObject([{ operation: 'teardown', reason: 'old', serial: 0 }]);
    expect(versionsOf(1, [older], new Map())).toMatchObject([{ operation: 'unknown' }]);
  });
});

test('the journal is told without the states, which may be large', () => {
  const entry = {
    at: AT,
    type: 'finish',
    unit: unit.id,
    line: { unit: unit.id, result: 'created' },
    seconds: 1.5,
    after: unit,
  } as const;
  expect(journalLineOf(entry, STACK)).toEqual({
    at: AT,
    stack: STACK,
    type: 'finish',
    unit: 'topic/orders',
    result: 'created',
    seconds: 1.5,
  });
});

test('a row of the audit trail says who, and keeps its hash', () => {
  const row = {
    stack: STACK,
    sequence: 1,
    what: 'asked',
    by: 'jo',
    at: AT,
    command: 'up-1',
    hash: 'h',
  } as const;
  expect(auditLineOf(row)).toEqual({
    sequence: 1,
    what: 'asked',
    who: 'jo',
    at: AT,
    command: 'up-1',
    hash: 'h',
  });
});
