/** What a plan says beforehand: that the apply will refuse a unit, and why. */
import { native } from '@service-director/shared/engine/native.ts';
import { makePlan, type Operation, type Plan } from '@service-director/shared/engine/plan.ts';
import type { Unit } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bench, openBench, unitOf } from './bench.ts';
import { bucket } from './cases/bucket.ts';
import { specOf } from './cases/case.ts';
import { subscription } from './cases/subscription.ts';
import { topic } from './cases/topic.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
});
afterAll(async () => {
  await bench.end();
});

function planOf(desired: Unit, operation: Operation = 'dataflow-setup'): Promise<Plan> {
  return makePlan({
    stack: 'shop/orders',
    operation,
    desired: [desired],
    obsolete: [],
    keep: new Map(),
    priors: new Map(),
    externals: [],
    engine: native,
    context: bench.context(),
  });
}

test('a stranger in the way is told, and not planned as an update of its labels', async () => {
  await topic.stranger?.('taken', bench);
  const { units } = await planOf(unitOf('topic', specOf(await topic.spec('taken', bench))));
  expect(units[0]).toMatchObject({
    change: { action: 'none' },
    refused: { because: expect.stringContaining('does not bear our mark') },
  });
});

test('a bucket that would move is told to be refused, and not that its data is lost', async () => {
  const spec = await bucket.spec('moving', bench);
  await bench.apply(unitOf('bucket', specOf(spec)));
  const { warnings, units } = await planOf(unitOf('bucket', specOf(spec, { location: 'US' })));
  expect(units[0]?.refused).toMatchObject({
    because: expect.stringContaining('it moves from'),
    fix: expect.stringContaining('another name'),
  });
  expect(warnings).not.toContainEqual(expect.stringContaining('is deleted and made anew'));
});

test('what is protected is not replaced either', async () => {
  const spec = await subscription.spec('guarded', bench);
  await bench.apply(unitOf('subscription', specOf(spec)));
  const moved = {
    ...unitOf('subscription', specOf(spec, { filter: 'attributes.kind = "x"' })),
    protection: 'it is protected',
  };
  const { units } = await planOf(moved);
  expect(units[0]).toMatchObject({
    change: { action: 'none' },
    refused: {
      because: expect.stringContaining('it is protected'),
      fix: expect.stringContaining('protection'),
    },
  });
});

test('a way back says what it does not bring back', async () => {
  const spec = await bucket.spec('lost', bench);
  const back = await planOf(unitOf('bucket', specOf(spec)), 'rollback');
  expect(back.warnings).toEqual([expect.stringContaining('comes back empty')]);
  expect((await planOf(unitOf('bucket', specOf(spec)))).warnings).toEqual([]);
});
