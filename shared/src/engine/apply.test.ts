/** What an apply remembers: of calls that failed, were cut short, or were another's to make. */
import { expect, test } from 'vitest';
import { CloudError } from '../cloud/error.ts';
import { systemClock } from '../kit/clock.ts';
import { bindingsOf, stateOf, type UnitState } from '../model/state.ts';
import type { Unit, UnitId } from '../model/unit.ts';
import { type ApplyRequest, apply, type UnitOutcome } from './apply.ts';
import type { Engine } from './engine.ts';
import { makePlan } from './plan.ts';
import type { Outcome } from './reconcile.ts';

const OWNER = { scope: 'shop', dataflow: 'front' };
const context = { clock: systemClock } as ReturnType<ApplyRequest['context']>;

const ids = (...names: string[]): UnitId[] => names as UnitId[];

function unit(id: string, more: Partial<Unit> = {}): Unit {
  const [kind = ''] = id.split('/');
  const spec = { name: id, ...more.spec };
  return { id: id as UnitId, engine: 'gcp', kind, owner: OWNER, stage: 'setup', needs: [], ...more, spec };
}

const grants = (on: string, ...members: string[]): Unit =>
  unit(`grants/${on}`, {
    needs: ids(on),
    spec: { name: on, bindings: members.map((member) => ({ role: 'roles/viewer', member })) },
  });

/** An engine whose calls all have their effect, and end as they are told to. */
function engineOf(ends: Readonly<Record<string, Outcome | Error>>): Engine & { readonly calls: string[] } {
  const calls: string[] = [];
  const end = (id: string, otherwise: Outcome): Outcome => {
    const told = ends[id] ?? otherwise;
    if (told instanceof Error) throw told;
    return told;
  };
  return {
    calls,
    plan: async ({ unit: { kind }, prior }) => ({
      change: prior
        ? kind === 'grants'
          ? { action: 'update', fields: ['bindings'] }
          : { action: 'none' }
        : { action: 'create' },
      outputs: {},
      seconds: 1,
    }),
    async apply({ unit: { id } }, change, { record }) {
      await record('create');
      calls.push(`apply ${id}`);
      return end(id, { status: 'done', change, outputs: {} });
    },
    async destroy({ id }, { record }) {
      await record('remove');
      calls.push(`destroy ${id}`);
      return end(id, { status: 'done', change: { action: 'delete' }, outputs: {} });
    },
    stays: () => undefined,
    removalSeconds: () => 1,
  };
}

interface Run {
  readonly desired?: readonly Unit[];
  readonly priors?: readonly UnitState[];
  readonly engine: Engine;
  readonly begun?: readonly string[];
  readonly letGo?: ApplyRequest['letGo'];
  readonly finish?: (id: string) => Promise<void>;
}

interface Done {
  readonly outcomes: ReadonlyMap<string, UnitOutcome>;
  /** What is known afterwards, by unit; what was forgotten is undefined. */
  readonly states: ReadonlyMap<string, UnitState | undefined>;
}

async function run({ desired = [], priors = [], engine, begun = [], letGo, finish }: Run): Promise<Done> {
  const known = new Map(priors.map((state) => [state.id, state]));
  const obsolete = priors.filter(({ id }) => !desired.some((one) => one.id === id));
  const inputs = { desired, obsolete, externals: [], priors: known, engine };
  const plan = await makePlan({
    ...inputs,
    stack: 'shop/front',
    operation: 'deploy',
    keep: new Map(),
    context: { ...context, record: async () => {} },
  });
  const states = new Map<string, UnitState | undefined>();
  const outcomes = await apply({
    ...inputs,
    plan,
    journal: {
      begun: () => ids(...begun),
      intend: async () => {},
      async finish(id, _outcome, state) {
        await finish?.(id);
        states.set(id, state);
      },
    },
    isComing: async () => false,
    ...(letGo ? { letGo } : {}),
    context: () => context,
    clock: systemClock,
    emit: () => {},
  });
  return { outcomes, states };
}

const REFUSED: Outcome = { status: 'failed', error: new CloudError('refused', 'no') };
const members = (state: UnitState | undefined): string[] =>
  state ? bindingsOf(state).map(({ member }) => member) : [];

test('of grants that were written and never seen in effect, the old ones and the new ones are remembered', async () => {
  const before = stateOf(grants('topic/t', 'a', 'b'), {});
  const { states } = await run({
    desired: [unit('topic/t'), grants('topic/t', 'b', 'c')],
    priors: [stateOf(unit('topic/t'), {}), before],
    engine: engineOf({ 'grants/topic/t': REFUSED }),
  });
  const after = states.get('grants/topic/t');
  expect(members(after)).toEqual(['a', 'b', 'c']);
  expect(after?.effective).toBe(false);
});

test('what a process that died had begun is remembered, also when it is not come to again', async () => {
  const desired = [unit('topic/base'), unit('topic/new', { needs: ids('topic/base') }), unit('topic/other')];
  const engine = engineOf({ 'topic/base': REFUSED });
  const { states, outcomes } = await run({
    desired: [...desired, unit('topic/last', { needs: ids('topic/base') })],
    engine,
    begun: ['topic/new'],
  });
  expect(outcomes.get('topic/new')).toEqual({ status: 'skipped', because: 'topic/base' });
  expect(states.get('topic/new')).toMatchObject({ id: 'topic/new', spec: { name: 'topic/new' } });
  expect(states.get('topic/last')).toBeUndefined();
  expect(engine.calls).toEqual(['apply topic/base', 'apply topic/other']);
});

test('grants go with what they are on, and are remembered when that does not go', async () => {
  const things = ['bucket/full', 'bucket/free', 'service-account/shared'];
  const priors = things.flatMap((id) => [stateOf(unit(id), {}), stateOf(grants(id, 'a'), {})]);
  // Whatever uses the grants goes before what they are on.
  priors.push(stateOf(unit('service/user', { needs: ids('grants/bucket/free') }), {}));
  const engine = engineOf({ 'bucket/full': REFUSED });
  const { states, outcomes } = await run({
    priors,
    engine,
    letGo: async (state) =>
      state.id === 'service-account/shared' ? { staysWithOthers: 'shop/back uses it too' } : { goes: state },
  });
  expect(outcomes.get('grants/bucket/full')).toEqual({ status: 'skipped', because: 'bucket/full' });
  expect(members(states.get('grants/bucket/full'))).toEqual(['a']);
  expect(outcomes.get('grants/bucket/free')).toMatchObject({ status: 'done' });
  expect(states.get('grants/bucket/free')).toBeUndefined();
  expect(outcomes.get('grants/service-account/shared')).toEqual({
    status: 'kept',
    because: 'shop/back uses it too',
  });
  expect(engine.calls).toHaveLength(3);
  expect(engine.calls.indexOf('destroy service/user')).toBeLessThan(
    engine.calls.indexOf('destroy bucket/free'),
  );
});

test('of grants goes what others do not give', async () => {
  const engine = engineOf({});
  const gone: string[] = [];
  await run({
    desired: [unit('topic/t')],
    priors: [stateOf(unit('topic/t'), {}), stateOf(grants('topic/t', 'a', 'b'), {})],
    engine: {
      ...engine,
      async destroy(state, at) {
        gone.push(...members(state));
        return engine.destroy(state, at);
      },
    },
    letGo: async (state) => ({
      goes: { ...state, spec: { ...state.spec, bindings: [bindingsOf(state)[1]] } },
    }),
  });
  expect(gone).toEqual(['b']);
});

test('what cannot be written down breaks the apply, and is heard once', async () => {
  const desired = [unit('topic/bad'), unit('topic/after', { needs: ids('topic/bad') }), unit('topic/slow')];
  const engine = engineOf({ 'topic/bad': REFUSED });
  const slow: Engine = {
    ...engine,
    async apply(work, change, at) {
      if (work.unit.id === 'topic/slow') await systemClock.sleep(50);
      return engine.apply(work, change, at);
    },
  };
  const full = async (id: string): Promise<void> => {
    if (id === 'topic/after') throw new Error('the disk is full');
  };
  await expect(run({ desired, engine: slow, finish: full })).rejects.toThrow('the disk is full');
  // The walk itself breaks as well: nothing is left to fail unheard.
  const fuller = async (id: string): Promise<void> => {
    if (id !== 'topic/bad') throw new Error(`no room for ${id}`);
  };
  await expect(run({ desired, engine: slow, finish: fuller })).rejects.toThrow('no room for topic/slow');
});
