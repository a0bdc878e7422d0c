/** The life of every kind of resource, through the native engine and Google's clients, on the local cloud. */

import type { Unit } from '@service-director/shared/model/unit.ts';
import { type KindName, kinds } from '@service-director/shared/resources/index.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Bench, type Done, OTHERS, OURS, openBench, unitOf } from './bench.ts';
import type { Fields } from './cases/case.ts';
import { specOf } from './cases/case.ts';
import { cases } from './cases/index.ts';

let bench: Bench;
let made = 0;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

test('every kind stands in the table', () => {
  expect(Object.keys(cases).sort()).toEqual(Object.keys(kinds).sort());
});

describe.each(Object.entries(cases))('%s', (kind, of) => {
  const nextName = (): string => `${kind}-${++made}`;
  const unit = async (name: string, ...more: Fields[]): Promise<Unit> =>
    unitOf(kind, specOf(await of.spec(name, bench), ...more));

  async function brought(desired: Unit, before?: Done): Promise<Done> {
    const done = await bench.apply(desired, before ? { prior: before.state } : {});
    expect(done.outcome).toMatchObject({ status: 'done', change: done.planned.change });
    await expectRest(desired, done);
    return done;
  }

  /** Nothing is left to do, and so nothing is done. */
  async function expectRest(desired: Unit, { state }: Done): Promise<void> {
    const again = await bench.apply(desired, { prior: state });
    expect(again.planned.change).toEqual({ action: 'none' });
    expect(again.outcome).toMatchObject({ status: 'done', change: { action: 'none' } });
    expect(again.calls).toEqual([]);
  }

  test('is made from nothing by one call; a second apply makes none', async () => {
    const desired = await unit(nextName());
    const { planned, calls, outcome } = await brought(desired);
    expect(planned.change.action).toBe(of.methods.create ? 'create' : 'update');
    expect(calls).toEqual([of.methods.create ?? of.methods.update]);
    expect(outcome).not.toMatchObject({ outputs: expect.objectContaining({ path: '' }) });
    expect(await of.look(desired.spec.name, bench)).toBeDefined();
  });

  test('each field of the spec has a change in the table', async () => {
    const { name: _, ...fields } = await of.spec(nextName(), bench);
    const changes = await Promise.all(
      of.changes.map(({ to }) => (typeof to === 'function' ? to(bench) : to)),
    );
    const tried = [...changes, ...(of.replacements ?? []).map(({ to }) => to)].flatMap(Object.keys);
    expect([...new Set(['name', ...of.fixed, ...tried])].sort()).toEqual(
      ['name', ...Object.keys(fields)].sort(),
    );
  });

  test.each(of.changes)('is updated in place, and back again: $what', async ({ from = {}, to, shows }) => {
    const name = nextName();
    const before = await unit(name, from);
    const after = unitOf(kind, specOf(before.spec, typeof to === 'function' ? await to(bench) : to));
    const first = await brought(before);
    const changed = await brought(after, first);
    expect(changed.planned.change).toEqual({ action: 'update', fields: shows });
    expect(changed.calls).toEqual([of.methods.update]);
    const back = await brought(before, changed);
    expect(back.planned.change.action).toBe(kind === 'apis' ? 'none' : 'update');
  });

  test.each(of.drifts)('is mended: $what', async ({ by, shows }) => {
    const desired = await unit(nextName());
    const first = await brought(desired);
    await by(desired.spec.name, bench);
    const { planned, calls } = await brought(desired, first);
    expect(planned.change).toEqual({ action: 'update', fields: shows });
    expect(calls).toEqual([of.methods.update]);
  });

  const { stranger, label } = of;
  if (stranger) {
    test('refuses a stranger of its name, and leaves it as it is', async () => {
      const desired = await unit(nextName());
      const { name } = desired.spec;
      await stranger(name, bench);
      const before = await of.look(name, bench);
      const { outcome, calls } = await bench.apply(desired);
      expect(outcome).toMatchObject({
        status: 'failed',
        error: {
          reason: 'refused',
          message: `${kind}/${name} exists already and does not bear our mark`,
          fix: expect.stringContaining('rename ours'),
        },
      });
      const removal = await bench.destroy(desired);
      expect(removal.outcome).toEqual({ status: 'kept', because: 'it does not bear our mark' });
      expect([...calls, ...removal.calls]).toEqual([]);
      expect(await of.look(name, bench)).toEqual(before);
    });

    test("refuses what is another stack's, and leaves it as it is", async () => {
      const desired = await unit(nextName());
      const { name } = desired.spec;
      await brought({ ...desired, owner: OTHERS });
      const before = await of.look(name, bench);
      const { outcome, calls } = await bench.apply(desired);
      expect(outcome).toMatchObject({
        status: 'failed',
        error: {
          reason: 'refused',
          message: `${kind}/${name} belongs to ${OTHERS.scope}/${OTHERS.dataflow}`,
          fix: `remove it there first, or give ours in ${OURS.scope}/${OURS.dataflow} another name`,
        },
      });
      const removal = await bench.destroy(desired);
      expect(removal.outcome.status).toBe('kept');
      expect([...calls, ...removal.calls]).toEqual([]);
      expect(await of.look(name, bench)).toEqual(before);
    });
  }

  if (label) {
    test("leaves Google's own labels alone", async () => {
      const desired = await unit(nextName());
      const { name } = desired.spec;
      const first = await brought(desired);
      await label(name, 'goog-drz', bench);
      await expectRest(desired, first);
      await brought(await unit(name, { labels: { team: 'red' } }), first);
      expect(await of.look(name, bench)).toMatchObject({ labels: { team: 'red', 'goog-drz': 'yes' } });
    });
  }

  test.each(of.replacements ?? [])(
    'is replaced only when that was planned: $what',
    async ({ to, because }) => {
      const before = await unit(nextName());
      const after = unitOf(kind, specOf(before.spec, to));
      const first = await brought(before);
      if (kind === 'bucket') {
        const { outcome, calls, planned } = await bench.apply(after, { prior: first.state });
        const refused = {
          because: expect.stringMatching(because),
          fix: expect.stringContaining('give the new one another name'),
        };
        expect(planned).toMatchObject({ change: { action: 'none' }, refused });
        expect(outcome).toMatchObject({ status: 'failed', error: { reason: 'refused', fix: refused.fix } });
        expect(calls).toEqual([]);
        return;
      }
      const unplanned = await bench.apply(after, { prior: first.state, planned: { action: 'none' } });
      expect(unplanned.planned.change).toEqual({
        action: 'replace',
        because: expect.stringMatching(because),
      });
      expect(unplanned.outcome).toMatchObject({
        status: 'failed',
        error: { reason: 'refused', message: expect.stringMatching(because), fix: expect.any(String) },
      });
      expect(unplanned.calls).toEqual([]);

      const { outcome, calls } = await bench.apply(after, { prior: first.state });
      expect(outcome).toMatchObject({ status: 'done', change: unplanned.planned.change });
      expect(calls).toEqual([of.methods.remove, of.methods.create]);
      expect((await bench.plan(after)).change).toEqual({ action: 'none' });
    },
  );

  test('is removed by one call; to remove what is missing is success', async () => {
    const desired = await unit(nextName());
    await brought(desired);
    const { outcome, calls } = await bench.destroy(desired);
    if (of.methods.remove === undefined) {
      expect(outcome).toEqual({ status: 'kept', because: kinds[kind as KindName].stays });
      expect(calls).toEqual([]);
      return;
    }
    expect(outcome).toEqual({ status: 'done', change: { action: 'delete' }, outputs: {} });
    expect(calls).toEqual([of.methods.remove]);
    expect(await of.look(desired.spec.name, bench)).toBeUndefined();
    const again = await bench.destroy(desired);
    expect(again.outcome).toEqual({ status: 'done', change: { action: 'none' }, outputs: {} });
    expect(again.calls).toEqual([]);
  });
});
