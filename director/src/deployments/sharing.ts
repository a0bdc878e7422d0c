/** What several stacks use: accounts and grants stay for as long as one of them does, and what one awaits another may be making. */
import type { LettingGo } from '@service-director/shared/engine/apply.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import {
  bindingKey,
  bindingsOf,
  type UnitState,
  withoutBindings,
} from '@service-director/shared/model/state.ts';
import type { StackId, Unit, UnitId } from '@service-director/shared/model/unit.ts';
import type { Tenure } from '../protocol/drive-run.ts';
import { listAll } from '../store/list-all.ts';
import { type DeploymentRecord, keys, type ShareRecord, type StackRecord } from '../store/records.ts';
import type { Store, Write } from '../store/store.ts';
import type { Inputs } from './blueprints.ts';

/** Whether a deployment that would make it has not ended yet. */
export async function isComing(
  unit: UnitId,
  inputs: Inputs,
  { scope, dataflow }: DeploymentRecord,
  store: Store,
): Promise<boolean> {
  for (const maker of inputs.makers.get(unit) ?? []) {
    // What would make it in this stack stands in the queue behind us.
    if (maker === dataflow) continue;
    const stack: StackId = `${scope}/${maker}`;
    const waiting = await store.list({ collection: 'queue', prefix: `${stack}//`, limit: 1 });
    if (waiting.length > 0) return true;
  }
  return false;
}

/** What several stacks of a scope may use at once. */
function isShared({ kind }: Pick<Unit, 'kind'>): boolean {
  return kind === 'service-account' || kind === 'grants';
}

/** How often whoever gives it up is looked at. Milliseconds. */
const LOOK_AGAIN_MS = 500;

export interface JoinOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  waiting(unit: UnitId, because: string): void;
}

/**
 * Says that a stack is about to use what it shares, and then waits for those who are giving it up at this moment.
 * They say so before they count the others: so either they find this, and leave it, or this finds them. Without
 * it, what was seen to be there could be removed a moment later.
 */
export async function join(
  desired: readonly Unit[],
  states: ReadonlyMap<UnitId, UnitState>,
  record: DeploymentRecord,
  { store, clock, signal, waiting }: JoinOptions,
): Promise<void> {
  const { stack } = record;
  const joining = desired.filter((unit) => {
    const mine = states.get(unit.id);
    return isShared(unit) && (!mine || mine.leaving !== undefined);
  });
  if (joining.length === 0) return;
  await store.commit(
    joining.map(({ id: unit }) => ({
      type: 'put' as const,
      key: keys.share(stack, unit),
      value: { stack, unit } satisfies ShareRecord,
      if: 'any' as const,
    })),
  );
  const ids = joining.map(({ id }) => id);
  for (let told = false; ; told = true) {
    const [first] = await leavers(ids, record, store);
    if (!first) return;
    if (!told) waiting(first.unit, `${first.stack} is giving it up`);
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }
}

/** Who is giving up some of these at this moment. */
async function leavers(
  units: readonly UnitId[],
  { scope, stack }: DeploymentRecord,
  store: Store,
): Promise<ShareRecord[]> {
  const others = await otherStacks(scope, stack, store);
  const atWork = others.filter(({ current }) => current !== undefined);
  const rows = units.flatMap((unit) => atWork.map(({ stack, token }) => ({ stack, unit, token })));
  const leaving = await Promise.all(
    rows.map(async ({ stack, unit, token }) => {
      const state = await store.get<UnitState>(keys.unit(stack, unit));
      // A mark of an earlier tenure is nobody at work: whoever goes on with that marks it anew, and then finds us.
      return state?.value.leaving === token ? [{ stack, unit }] : [];
    }),
  );
  return leaving.flat();
}

async function otherStacks(scope: string, stack: StackId, store: Store): Promise<StackRecord[]> {
  const rows = await listAll<StackRecord>(store, { collection: 'stacks', prefix: `${scope}/` });
  return rows.map(({ value }) => value).filter((other) => other.stack !== stack);
}

/** What no longer needs to be said, once the stack has it in its state, or will not use it. */
export async function joined(stack: StackId, store: Store): Promise<Write[]> {
  const rows = await listAll<ShareRecord>(store, { collection: 'shares', prefix: `${stack}//` });
  return rows.map(({ value }) => ({ type: 'delete', key: keys.share(stack, value.unit), if: 'any' }));
}

/**
 * Gives up a stack's share in something that several may use: an account stays while somebody else uses it, of
 * grants goes what nobody else gives. The share is given up before the others are counted: of two that let go at
 * once, at least one finds that nobody is left. `note` makes durable what is known of the unit.
 */
export async function letGo(
  state: UnitState,
  { record, stack }: Pick<Tenure, 'record' | 'stack'>,
  store: Store,
  note: (unit: UnitId, state: UnitState) => Promise<void>,
): Promise<LettingGo> {
  if (!isShared(state)) return { goes: state };
  const leaving = stack.token;
  const mine = await store.get<UnitState>(keys.unit(record.stack, state.id));
  // Marked, not forgotten: whoever goes on after a crash must still know of it.
  if (mine) await note(state.id, { ...mine.value, leaving });
  const others = (await otherStacks(record.scope, record.stack, store)).map(({ stack }) => stack);
  const [shares, users] = await Promise.all([
    Promise.all(others.map((other) => store.get<ShareRecord>(keys.share(other, state.id)))),
    heldBy(others, state.id, store),
  ]);
  const joiner = shares.find((share) => share !== undefined);
  // It may still come to nothing there, and then somebody has to own it.
  if (joiner) return { staysWithUs: `${joiner.value.stack} is about to use it` };
  const goes = { ...state, leaving };
  if (state.kind === 'grants') return { goes: withoutBindings(goes, [...users.values()]) };
  const [user] = users.keys();
  return user ? { staysWithOthers: `${user} uses it too` } : { goes };
}

/** Which of these stacks have it and do not give it up, and what each has of it. */
async function heldBy(
  stacks: readonly StackId[],
  unit: UnitId,
  store: Store,
): Promise<Map<StackId, UnitState>> {
  const held = new Map<StackId, UnitState>();
  await Promise.all(
    stacks.map(async (stack) => {
      const state = (await store.get<UnitState>(keys.unit(stack, unit)))?.value;
      if (state && state.leaving === undefined) held.set(stack, state);
    }),
  );
  return held;
}

/** What we applied, without the grants that we give no more and others do: those are not ours to take back. */
export async function withoutShared(
  priors: ReadonlyMap<UnitId, UnitState>,
  desired: readonly Unit[],
  record: DeploymentRecord,
  store: Store,
): Promise<ReadonlyMap<UnitId, UnitState>> {
  const shrinking = desired.flatMap((unit) => {
    const prior = priors.get(unit.id);
    if (unit.kind !== 'grants' || !prior) return [];
    const wanted = new Set(bindingsOf(unit).map(bindingKey));
    return bindingsOf(prior).every((binding) => wanted.has(bindingKey(binding))) ? [] : [prior];
  });
  if (shrinking.length === 0) return priors;
  const others = (await otherStacks(record.scope, record.stack, store)).map(({ stack }) => stack);
  const kept = await Promise.all(
    shrinking.map(async (prior): Promise<[UnitId, UnitState]> => {
      const held = await heldBy(others, prior.id, store);
      return [prior.id, withoutBindings(prior, [...held.values()])];
    }),
  );
  return new Map([...priors, ...kept]);
}
