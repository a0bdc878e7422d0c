/** What goes wrong between us and Google, at every call of every kind: answers lost, told to wait, refused for a while. */
import type { FaultRule } from '@service-director/localcloud';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import type { Action } from '@service-director/shared/engine/reconcile.ts';
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Bench, type Done, openBench, PROJECT, unitOf } from './bench.ts';
import { type Fields, specOf } from './cases/case.ts';
import { cases } from './cases/index.ts';

interface Fault {
  readonly what: string;
  readonly rule: FaultRule;
  /** How often the call is made until all is well. */
  readonly calls: number;
  /** Whether the wait is worth a word. */
  readonly tells: boolean;
}

const RETRY_AFTER = 5;
const DISABLED = `The API has not been used in project ${PROJECT} before or it is disabled.`;

/** What a call that asks may end with. */
const PASSING: readonly Fault[] = [
  {
    what: 'three times unavailable',
    rule: { error: 'UNAVAILABLE', count: 3 },
    calls: 4,
    tells: true,
  },
  {
    what: 'too many calls, with a time to wait',
    rule: { error: 'RESOURCE_EXHAUSTED', retryAfter: RETRY_AFTER, count: 1 },
    calls: 2,
    tells: true,
  },
  {
    what: 'denied for a while',
    rule: { error: 'PERMISSION_DENIED', message: "Permission 'a.b.c' denied", count: 2 },
    calls: 3,
    tells: true,
  },
  {
    what: 'the API disabled for a while',
    rule: { error: 'PERMISSION_DENIED', message: DISABLED, count: 2 },
    calls: 3,
    tells: true,
  },
];

/** What a call that changes something may end with. */
const FAULTS: readonly Fault[] = [
  {
    what: 'an answer lost after the effect',
    rule: { error: 'UNAVAILABLE', effect: 'after', count: 1 },
    calls: 1,
    tells: false,
  },
  {
    what: 'a call lost before its effect',
    rule: { error: 'UNAVAILABLE', count: 1 },
    calls: 2,
    tells: false,
  },
  { what: 'a conflict', rule: { error: 'ABORTED', count: 1 }, calls: 2, tells: false },
  ...PASSING,
];

let bench: Bench;
let made = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterEach(() => bench.fault());
afterAll(async () => {
  await bench.end();
});

describe.each(Object.entries(cases))('%s', (kind, of) => {
  const { api, create, update, remove, poll, observe } = of.methods;
  const unit = async (...more: Fields[]): Promise<Unit> =>
    unitOf(kind, specOf(await of.spec(`${kind}-f${++made}`, bench), ...more));

  /** Notes what was made durable before each call. */
  function journal(more: Partial<EngineContext> = {}): {
    intents: Action[];
    context: Partial<EngineContext>;
  } {
    const intents: Action[] = [];
    const record = async (action: Action): Promise<void> => {
      intents.push(action);
      await more.record?.(action);
    };
    return { intents, context: { ...more, record } };
  }

  /** That the fault was met, waited out as it wants, and nothing done that was not intended. */
  function expectOvercome(
    { calls, waits, told }: Pick<Done, 'calls' | 'waits' | 'told'>,
    intents: readonly Action[],
    method: string,
    fault: Fault,
  ): void {
    expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: fault.rule.count }]);
    expect(calls).toEqual(Array(fault.calls).fill(method));
    expect(intents).toHaveLength(fault.calls);
    expect(waits.length).toBeGreaterThan(0);
    if (fault.tells) expect(told).not.toEqual([]);
    if (fault.rule.retryAfter !== undefined)
      expect(Math.max(...waits)).toBeGreaterThanOrEqual(RETRY_AFTER * 1_000);
  }

  if (create) {
    test.each(FAULTS)('is made once, whatever comes between: $what', async (fault) => {
      const desired = await unit();
      bench.fault({ api, method: create, ...fault.rule });
      const { intents, context } = journal();
      const done = await bench.apply(desired, { context });
      expect(done.outcome).toMatchObject({ status: 'done', change: { action: 'create' } });
      expectOvercome(done, intents, create, fault);
      expect((await bench.plan(desired, { prior: done.state })).change).toEqual({ action: 'none' });
    });

    test('is made once when the connection breaks after the effect', async () => {
      const desired = await unit();
      let isCut = false;
      const cutting: typeof fetch = async (url, init) => {
        const answer = await fetch(url, init);
        if (isCut || init?.method === undefined || init.method === 'GET') return answer;
        isCut = true;
        throw new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } });
      };
      const { origin } = bench.running;
      const cloud = googleCloud({
        project: PROJECT,
        endpoint: origin,
        credentials: noCredentials,
        fetch: cutting,
      });
      const { outcome, calls } = await bench.apply(desired, { context: { cloud } });
      expect(isCut).toBe(true);
      expect(outcome).toMatchObject({ status: 'done', change: { action: 'create' } });
      expect(calls).toEqual([create]);
    });
  }

  const [change] = of.changes;
  if (!change || typeof change.to === 'function')
    throw new Error(`${kind} needs a first change that is plain`);
  const { to } = change;

  test.each(FAULTS)('is updated, whatever comes between: $what', async (fault) => {
    const before = await unit();
    const { state } = await bench.apply(before);
    const after = unitOf(kind, specOf(before.spec, to));
    bench.fault({ api, method: update, ...fault.rule });
    const { intents, context } = journal();
    const done = await bench.apply(after, { prior: state, context });
    expect(done.outcome).toMatchObject({ status: 'done', change: { action: 'update' } });
    expectOvercome(done, intents, update, fault);
    expect((await bench.plan(after, { prior: done.state })).change).toEqual({ action: 'none' });
  });

  if (remove) {
    test.each(FAULTS)('is removed, whatever comes between: $what', async (fault) => {
      const desired = await unit();
      await bench.apply(desired);
      bench.fault({ api, method: remove, ...fault.rule });
      const { intents, context } = journal();
      const done = await bench.destroy(desired, { context });
      expect(done.outcome).toMatchObject({ status: 'done', change: { action: 'delete' } });
      expectOvercome(done, intents, remove, fault);
      expect(await of.look(desired.spec.name, bench)).toBeUndefined();
    });
  }

  test.each(PASSING)('is planned, whatever comes between: $what', async (fault) => {
    const desired = await unit();
    bench.fault({ api, method: observe, ...fault.rule });
    const { change } = await bench.plan(desired);
    expect(change.action).toBe(create ? 'create' : 'update');
    expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: fault.rule.count }]);
  });

  test.each(PASSING)('is looked at after the call, whatever comes between: $what', async (fault) => {
    const desired = await unit();
    const { context, intents } = journal({
      record: async () => bench.fault({ api, method: observe, ...fault.rule }),
    });
    const { outcome, calls } = await bench.apply(desired, { context });
    expect(outcome).toMatchObject({ status: 'done', change: { action: create ? 'create' : 'update' } });
    expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: fault.rule.count }]);
    expect([calls, intents]).toEqual([[create ?? update], [create ? 'create' : 'update']]);
  });

  if (poll) {
    test('is looked at when its operation is forgotten', async () => {
      const desired = await unit();
      bench.fault({ api: 'operations', method: poll, error: 'NOT_FOUND', count: 1 });
      const { outcome, calls } = await bench.apply(desired);
      expect(outcome).toMatchObject({ status: 'done', change: { action: create ? 'create' : 'update' } });
      expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: 1 }]);
      expect(calls).toEqual([create ?? update]);
    });

    test.each(PASSING)('has its operation followed, whatever comes between: $what', async (fault) => {
      const desired = await unit();
      bench.fault({ api: 'operations', method: poll, ...fault.rule });
      const { outcome, calls } = await bench.apply(desired);
      expect(outcome).toMatchObject({ status: 'done', change: { action: create ? 'create' : 'update' } });
      expect(bench.running.cloud.faults.rules()).toMatchObject([{ hits: fault.rule.count }]);
      expect(calls).toEqual([create ?? update]);
    });
  }

  const { host } = of;
  if (host !== undefined) {
    test('is made once its API is enabled', async () => {
      const desired = await unit();
      const { projects } = bench.running.cloud;
      projects.disable(PROJECT, host);
      try {
        const told: string[] = [];
        const waiting = (because: string): void => {
          told.push(because);
          projects.enable(PROJECT, host);
        };
        const { outcome } = await bench.apply(desired, { context: { waiting } });
        expect(outcome).toMatchObject({ status: 'done' });
        expect(told[0]).toMatch(/has not been used in project \d+ before or it is disabled/);
      } finally {
        projects.enable(PROJECT, host);
      }
    });
  }

  test('fails with what Google says once patience is over: denied for good', async () => {
    const desired = await unit();
    const message = `Permission 'a.b.c' denied on resource '${kind}' (or it may not exist).`;
    bench.fault({ api, method: create ?? update, error: 'PERMISSION_DENIED', message });
    const { outcome, calls } = await bench.apply(desired, { context: { patience: { denied: 1_000 } } });
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { reason: 'denied', message, permission: 'a.b.c' },
    });
    expect(calls.length).toBeGreaterThan(1);
    bench.fault();
    expect((await bench.apply(desired)).outcome.status).toBe('done');
  });

  test('fails at once when the request itself is wrong', async () => {
    const desired = await unit();
    bench.fault({ api, method: create ?? update, error: 'INVALID_ARGUMENT', message: 'Bad value' });
    const { outcome, calls, waits } = await bench.apply(desired);
    expect(outcome).toMatchObject({ status: 'failed', error: { reason: 'invalid', message: 'Bad value' } });
    expect(calls).toEqual([create ?? update]);
    expect(waits).toEqual([]);
  });

  test('begins nothing after a cancel, and finishes when it is applied again', async () => {
    const desired = await unit();
    const abort = new AbortController();
    bench.fault({ api, method: create ?? update, error: 'RESOURCE_EXHAUSTED' });
    const { outcome, calls } = await bench.apply(desired, {
      context: { signal: abort.signal, waiting: () => abort.abort(new Error('cancelled')) },
    });
    expect(outcome).toEqual({ status: 'cancelled' });
    expect(calls).toEqual([create ?? update]);
    bench.fault();
    expect((await bench.apply(desired)).outcome.status).toBe('done');
  });
});
