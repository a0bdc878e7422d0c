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
import { listAll } from '../store/list-all.ts';
import { type DeploymentRecord, keys, type ShareRecord, type StackRecord } from '../store/records.ts';
import type { Store, Stored, Write } from '../store/store.ts';
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
    return isShared(unit) && (!mine || mine.leaving);
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
  const ids = new Set(joining.map(({ id }) => id));
  for (let told = false; ; told = true) {
    const [first] = await leavers(ids, record, store);
    if (!first) return;
    if (!told) waiting(first.unit, `${first.stack} is giving it up`);
    await clock.sleep(LOOK_AGAIN_MS, signal);
  }
}

/** Who is giving up some of these at this moment. */
async function leavers(
  units: ReadonlySet<UnitId>,
  { scope, stack }: DeploymentRecord,
  store: Store,
): Promise<ShareRecord[]> {
  const rows = await listAll<UnitState>(store, { collection: 'units', prefix: `${scope}/` });
  const leaving = rows.flatMap(({ id, value }): ShareRecord[] => {
    const other = id.slice(0, id.indexOf('//')) as StackId;
    return value.leaving && other !== stack && units.has(value.id) ? [{ stack: other, unit: value.id }] : [];
  });
  const atWork = await Promise.all(
    leaving.map(async (one) => (await store.get<StackRecord>(keys.stack(one.stack)))?.value.current),
  );
  return leaving.filter((_, at) => atWork[at] !== undefined);
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
  record: DeploymentRecord,
  store: Store,
  note: (unit: UnitId, state: UnitState) => Promise<void>,
): Promise<LettingGo> {
  if (!isShared(state)) return { goes: state };
  const mine = await store.get<UnitState>(keys.unit(record.stack, state.id));
  // Marked, not forgotten: whoever goes on after a crash must still know of it.
  if (mine) await note(state.id, { ...mine.value, leaving: true });
  const [others, shares] = await Promise.all([
    sharedWith(record, store),
    listAll<ShareRecord>(store, { collection: 'shares', prefix: `${record.scope}/` }),
  ]);
  const users = others.filter(({ value }) => value.id === state.id);
  const joiner = shares.find(({ value }) => value.unit === state.id && value.stack !== record.stack);
  // It may still come to nothing there, and then somebody has to own it.
  if (joiner) return { staysWithUs: `${joiner.value.stack} is about to use it` };
  if (state.kind === 'grants') {
    const held = users.map(({ value }) => value);
    return { goes: withoutBindings(state, held) };
  }
  const [user] = users;
  return user ? { staysWithOthers: `${user.id.split('//')[0]} uses it too` } : { goes: state };
}

/** What other stacks of the scope have and do not give up. */
async function sharedWith({ scope, stack }: DeploymentRecord, store: Store): Promise<Stored<UnitState>[]> {
  const rows = await listAll<UnitState>(store, { collection: 'units', prefix: `${scope}/` });
  return rows.filter(({ value, id }) => !value.leaving && !id.startsWith(`${stack}//`));
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
  const others = (await sharedWith(record, store)).map(({ value }) => value);
  const kept = shrinking.map((prior): [UnitId, UnitState] => [
    prior.id,
    withoutBindings(
      prior,
      others.filter(({ id }) => id === prior.id),
    ),
  ]);
  return new Map([...priors, ...kept]);
}
