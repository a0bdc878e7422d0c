/**
 * How one resource is brought to where it shall be: a pure state machine.
 *
 *   begin → observe ─┬─ as desired ────────────────────────────→ finish
 *      ↑             ├─ differs → record the intent → act ─┬─ (poll until the operation ends) → observe
 *      │             │                                      └─ answer lost, lost race, told to wait ─┐
 *      └──── wait ←──┴─ busy, stale, not propagated yet ←───────────────────────────────────────────┘
 *
 * It is *observed*, then *ensured* to exist, then *synced* field by field. What was observed decides; what we
 * did last time is never evidence. A mutating call starts only after its intent is durable. An answer that got
 * lost is neither success nor failure: it is resolved by looking again. The machine decides and remembers, the
 * driver (`drive.ts`) does; production, the simulation and the exhaustive checker run this same function.
 */
import { CloudError, type Reason } from '../cloud/error.ts';
import { never } from '../kit/never.ts';
import { type Change, NONE } from '../model/change.ts';
import type { ResourceState } from '../model/state.ts';
import type { Outputs, Owner } from '../model/unit.ts';

export interface Goal {
  /** As it is called in messages: `topic/orders`. */
  readonly id: string;
  readonly want: 'present' | 'absent';
  readonly owner: Owner;
  /** Whether the plan that is applied said that it is replaced. */
  readonly mayReplace: boolean;
  /** What is in it would be lost: it is never replaced, whatever was planned. */
  readonly holdsData?: boolean;
  /** Why it is never deleted, where that is so: then it is never replaced either. */
  readonly protection?: string;
  /** Changed so lately that a read may still be older: that it is absent is believed only after a while. */
  readonly isYoung?: boolean;
  /** How long to wait for one reason or another where it is not the usual time, in milliseconds. */
  readonly patience?: Patience;
}

export type Patience = Readonly<Partial<Record<Wait, number>>>;

/** What an observation tells. */
export interface Seen {
  readonly owner: Owner | 'foreign' | 'unmarked';
  readonly busy: string | undefined;
  /** Nothing of ours is in it: as good as absent. */
  readonly gone: boolean;
  readonly change: Change;
  readonly outputs: Outputs;
}

export type Action = 'create' | 'update' | 'remove';

export type Event =
  | { readonly type: 'observed'; readonly seen: Seen | undefined }
  | { readonly type: 'recorded' }
  | { readonly type: 'acted'; readonly operation?: string }
  /** An error here is how the operation ended. */
  | { readonly type: 'polled'; readonly result: Polled }
  | { readonly type: 'failed'; readonly error: CloudError }
  | { readonly type: 'waited'; readonly ms: number }
  | { readonly type: 'cancelled' };

export type Polled = 'running' | 'done' | CloudError;

export type Request =
  | { readonly type: 'observe' }
  | { readonly type: 'record'; readonly action: Action }
  | { readonly type: 'act'; readonly action: Action; readonly fields: readonly string[] }
  | { readonly type: 'poll'; readonly operation: string }
  /** Anything from nothing to `ms`, but at least `leastMs`. */
  | { readonly type: 'wait'; readonly ms: number; readonly leastMs: number; readonly because: string }
  | { readonly type: 'finish'; readonly outcome: Outcome };

export type Outcome =
  | {
      readonly status: 'done';
      readonly change: Change;
      readonly outputs: Outputs;
      /** Of those that are no texts, what they are. */
      readonly values?: Readonly<Record<string, unknown>>;
      /** Of a unit that is a tool's: what it is made of from now on. */
      readonly resources?: readonly ResourceState[];
    }
  /** Left as it is although it was to go. */
  | { readonly status: 'kept'; readonly because: string }
  | { readonly status: 'failed'; readonly error: CloudError }
  | { readonly status: 'cancelled' };

export interface State {
  readonly goal: Goal;
  readonly asked: Request;
  /** What is to happen once its intent is durable. */
  readonly intended: { readonly action: Action; readonly fields: readonly string[] } | undefined;
  /** The newest call that may have had an effect, and whether Google said that it had. */
  readonly last: { readonly action: Action; readonly sure: boolean } | undefined;
  /** How often each call was made and answered well. */
  readonly rounds: Readonly<Partial<Record<Action, number>>>;
  /** What it amounts to when it ends well. */
  readonly change: Change;
  /** How often each reason made us wait without any progress since. */
  readonly tries: Readonly<Partial<Record<Wait, number>>>;
  /** How long we have waited for each reason altogether, in milliseconds. */
  readonly waited: Readonly<Partial<Record<Wait, number>>>;
  /** Why the machine waits now. */
  readonly waiting: Wait | undefined;
  readonly operation: string | undefined;
}

/** The longest wait before try number `tries` (1 is the first), in milliseconds. */
export function longestWaitMs(kind: Wait, tries: number): number {
  const { firstMs, longestMs } = WAITS[kind];
  return Math.min(longestMs, firstMs * 1.7 ** (tries - 1));
}

/** When waiting for this is given up, in milliseconds. */
export function budgetMs(kind: Wait, patience: Patience | undefined): number {
  return patience?.[kind] ?? WAITS[kind].budgetMs;
}

/** Why one waits, with the longest first wait, the longest single wait, and when one gives up. Milliseconds. */
const WAITS = {
  busy: { firstMs: 200, longestMs: 10_000, budgetMs: 20 * 60_000 },
  polling: { firstMs: 50, longestMs: 5_000, budgetMs: 60 * 60_000 },
  /** After each call anew. */
  stale: { firstMs: 100, longestMs: 5_000, budgetMs: 30_000 },
  conflict: { firstMs: 100, longestMs: 5_000, budgetMs: 120_000 },
  'unknown-outcome': { firstMs: 250, longestMs: 15_000, budgetMs: 5 * 60_000 },
  'rate-limited': { firstMs: 1_000, longestMs: 30_000, budgetMs: 20 * 60_000 },
  propagating: { firstMs: 500, longestMs: 10_000, budgetMs: 10 * 60_000 },
  'api-disabled': { firstMs: 500, longestMs: 10_000, budgetMs: 10 * 60_000 },
  denied: { firstMs: 500, longestMs: 10_000, budgetMs: 90_000 },
} as const satisfies Record<string, { firstMs: number; longestMs: number; budgetMs: number }>;

export type Wait = keyof typeof WAITS;

/** So often the same call may succeed and not show before we say that it does not hold. */
const MOST_ROUNDS = 3;
/** So often a race may be lost in a row to somebody who removes what we update. */
const MOST_RACES = 3;
/** So many calls may succeed altogether before we say that somebody works against us. */
const MOST_CALLS = 10;

export function begin(goal: Goal): State {
  return {
    goal,
    asked: { type: 'observe' },
    intended: undefined,
    last: undefined,
    rounds: {},
    change: NONE,
    tries: {},
    waited: {},
    waiting: undefined,
    operation: undefined,
  };
}

/** The next state after an event that answers what was asked. `next.asked` is what to do now. */
export function step(state: State, event: Event): State {
  switch (event.type) {
    case 'observed':
      return state.goal.want === 'present' ? wantPresent(state, event.seen) : wantAbsent(state, event.seen);
    case 'recorded':
      return state.intended ? act(state, state.intended) : ask(state, { type: 'observe' });
    case 'acted':
      return afterAct(answered(state), event.operation);
    case 'polled':
      if (event.result === 'running') return wait(state, 'polling', 'the operation is still running');
      if (event.result === 'done') return ask({ ...calm(state), operation: undefined }, { type: 'observe' });
      return afterFailure({ ...state, operation: undefined }, event.result, state.last?.action);
    case 'failed':
      return afterFailure(state, event.error, state.asked.type === 'act' ? state.asked.action : undefined);
    case 'waited':
      return afterWait(state, event.ms);
    case 'cancelled':
      return finish(state, { status: 'cancelled' });
    default:
      return never(event);
  }
}

function wantPresent(state: State, seen: Seen | undefined): State {
  const { goal } = state;
  if (!seen) {
    // A read that is older than our own write: the name is ours, so looking again costs nothing but time.
    const stale = awaitShowing(state, 'create', `${goal.id} was created and does not show`);
    if (stale) return stale;
    return intend(state, 'create', [], { action: 'create' });
  }
  const stranger = strangerTo(goal, seen);
  if (stranger !== undefined) return fail(state, stranger);
  if (seen.busy !== undefined) return wait(state, 'busy', `${goal.id}: ${seen.busy}`);

  const { change } = seen;
  switch (change.action) {
    case 'none':
      return finish(state, { status: 'done', change: state.change, outputs: seen.outputs });
    case 'update':
      return sync(state, change.fields);
    case 'replace':
      return replace(state, change.because);
    case 'create':
    case 'delete':
      return fail(
        state,
        new CloudError('internal', `${goal.id} was seen, and its change was ${change.action}`),
      );
    default:
      return never(change);
  }
}

function sync(state: State, fields: readonly string[]): State {
  const { goal, change } = state;
  const stale = awaitShowing(
    state,
    'update',
    `${goal.id} was updated and still differs in ${fields.join(', ')}`,
  );
  if (stale) return stale;
  const first: Change = change.action === 'none' ? { action: 'update', fields } : change;
  return intend(state, 'update', fields, first);
}

/**
 * After a call that succeeded and does not show: looks again for a while, then lets it be made again, and in the end
 * says that it does not hold. Undefined when the call is to be made.
 */
function awaitShowing(state: State, action: Action, because: string): State | undefined {
  if (state.last?.action !== action || !state.last.sure) return undefined;
  if (!spent(state, 'stale')) return wait(state, 'stale', because);
  if ((state.rounds[action] ?? 0) < MOST_ROUNDS) return undefined;
  return fail(
    state,
    new CloudError('refused', because, { fix: 'see who else writes it, or what Google makes of the value' }),
  );
}

function replace(state: State, because: string): State {
  const { goal } = state;
  // What shows may be the old one, read before our own write: the new one must not be removed for it.
  const stale = awaitShowing(state, 'create', `${goal.id} was replaced and still shows as it was`);
  if (stale) return stale;
  const old = awaitShowing(state, 'remove', `${goal.id} was removed to be replaced and still shows`);
  if (old) return old;
  if (goal.holdsData) return fail(state, dataWouldBeLost(goal.id, because));
  if (goal.protection !== undefined) return fail(state, protectedFrom(goal.id, goal.protection, because));
  if (!goal.mayReplace) {
    const fix = 'plan again; the plan that is applied did not say so';
    return fail(state, new CloudError('refused', `${goal.id} would be replaced: ${because}`, { fix }));
  }
  return intend(state, 'remove', [], { action: 'replace', because });
}

function wantAbsent(state: State, seen: Seen | undefined): State {
  const { goal } = state;
  const isOurDoing = state.last?.action === 'remove' && state.last.sure;
  if (!seen && goal.isYoung && !isOurDoing && !spent(state, 'stale'))
    return wait(state, 'stale', `${goal.id} was made a moment ago and does not show`);
  if (!seen || seen.gone) return finish(state, { status: 'done', change: state.change, outputs: {} });
  if (strangerTo(goal, seen)) return finish(state, { status: 'kept', because: 'it does not bear our mark' });
  if (seen.busy !== undefined) return wait(state, 'busy', `${goal.id}: ${seen.busy}`);
  const stale = awaitShowing(state, 'remove', `${goal.id} was removed and still shows`);
  if (stale) return stale;
  return intend(state, 'remove', [], { action: 'delete' });
}

/** Why what was seen will not be brought to where it shall be, whatever the plan says: a plan can say so beforehand. */
export function refusalOf(
  goal: Pick<Goal, 'id' | 'owner' | 'holdsData' | 'protection'>,
  seen: Seen,
): CloudError | undefined {
  const stranger = strangerTo(goal, seen);
  if (stranger) return stranger;
  if (seen.change.action !== 'replace') return undefined;
  const { because } = seen.change;
  if (goal.holdsData) return dataWouldBeLost(goal.id, because);
  return goal.protection === undefined ? undefined : protectedFrom(goal.id, goal.protection, because);
}

function protectedFrom(id: string, protection: string, because: string): CloudError {
  return new CloudError('refused', `${id} would be deleted and made anew: ${because}; ${protection}`, {
    fix: 'give the new one another name, or take its protection away first',
  });
}

function dataWouldBeLost(id: string, because: string): CloudError {
  return new CloudError('refused', `${id} would be replaced: ${because}`, {
    fix: 'give the new one another name, and move what is in this one: it is not removed with its data',
  });
}

/** Why a thing of that name is not ours to touch. */
function strangerTo(
  goal: Pick<Goal, 'id' | 'owner'>,
  { owner }: Pick<Seen, 'owner'>,
): CloudError | undefined {
  if (owner === 'unmarked') return undefined;
  if (owner === 'foreign') {
    return new CloudError('refused', `${goal.id} exists already and does not bear our mark`, {
      fix: 'rename ours, delete the other, or label it managed-by=service-director, sd-scope and sd-dataflow to hand it over',
    });
  }
  if (owner.scope === goal.owner.scope && owner.dataflow === goal.owner.dataflow) return undefined;
  return new CloudError('refused', `${goal.id} belongs to ${owner.scope}/${owner.dataflow}`, {
    fix: `remove it there first, or give ours in ${goal.owner.scope}/${goal.owner.dataflow} another name`,
  });
}

function intend(state: State, action: Action, fields: readonly string[], change: Change): State {
  const calls = Object.values(state.rounds).reduce((sum, count) => sum + count, 0);
  if (calls >= MOST_CALLS) {
    const message = `${state.goal.id} does not come to rest: ${calls} calls succeeded and it still differs`;
    return fail(state, new CloudError('refused', message, { fix: 'see who else writes it' }));
  }
  const merged = state.change.action === 'replace' ? state.change : change;
  return ask({ ...state, intended: { action, fields }, change: merged }, { type: 'record', action });
}

function act(state: State, intended: { readonly action: Action; readonly fields: readonly string[] }): State {
  const last = { action: intended.action, sure: false };
  return ask({ ...state, intended: undefined, last }, { type: 'act', ...intended });
}

function afterAct(state: State, operation: string | undefined): State {
  if (operation === undefined) return ask(state, { type: 'observe' });
  return ask({ ...state, operation }, { type: 'poll', operation });
}

/** `during` is the mutating call, or the operation that it began, that failed; undefined for a question. */
function afterFailure(state: State, error: CloudError, during: Action | undefined): State {
  const { goal } = state;
  // A lost race, or our own first try whose answer got lost: look, and go on from what is there.
  if (during === 'create' && error.reason === 'already-exists')
    return wait(state, 'conflict', `${goal.id} exists already`);
  if (during === 'remove' && error.reason === 'not-found') return ask(answered(state), { type: 'observe' });
  if (isGone(state, error, during)) return wait(state, 'conflict', `${goal.id} is gone`);
  // The operation is forgotten: what is there tells how it ended.
  if (state.asked.type === 'poll' && during === undefined && error.reason === 'not-found')
    return ask({ ...state, operation: undefined }, { type: 'observe' });
  // Nothing new was asked for: what is said to exist is somebody's write in between. Cloud Storage says it so.
  const isRace = during !== undefined && error.reason === 'already-exists';
  const kind = isRace ? 'conflict' : waitFor(error.reason);
  if (kind === undefined || spent(state, kind)) return fail(state, error);
  const calmer = during === undefined || kind === 'unknown-outcome' ? state : { ...state, last: undefined };
  return wait(calmer, kind, error.message, error.retryAfterMs);
}

/**
 * Whether it vanished before it was updated. An operation that has begun, and a call that says so again and again, do
 * not find what it refers to: an image, a topic.
 */
function isGone(state: State, error: CloudError, during: Action | undefined): boolean {
  const isCall = during === 'update' && state.asked.type === 'act';
  return isCall && error.reason === 'not-found' && (state.tries.conflict ?? 0) < MOST_RACES;
}

/** What to wait for after an error of this kind; undefined when waiting cannot help. */
export function waitFor(reason: Reason): Wait | undefined {
  switch (reason) {
    case 'conflict':
    case 'unknown-outcome':
    case 'rate-limited':
    case 'propagating':
    case 'api-disabled':
    case 'denied':
      return reason;
    default:
      return undefined;
  }
}

function afterWait(state: State, ms: number): State {
  const { waiting, waited, operation } = state;
  if (waiting === undefined) return ask(state, { type: 'observe' });
  const next = {
    ...state,
    waiting: undefined,
    waited: { ...waited, [waiting]: (waited[waiting] ?? 0) + ms },
  };
  // An operation that we know of is asked again, whatever made us wait.
  return ask(next, operation === undefined ? { type: 'observe' } : { type: 'poll', operation });
}

function wait(state: State, kind: Wait, because: string, leastMs = 0): State {
  if (spent(state, kind)) {
    const seconds = Math.round(budgetMs(kind, state.goal.patience) / 1_000);
    return fail(state, new CloudError('unknown-outcome', `gave up after ${seconds} s: ${because}`));
  }
  const tries = (state.tries[kind] ?? 0) + 1;
  const ms = Math.max(leastMs, longestWaitMs(kind, tries));
  return ask(
    { ...state, waiting: kind, tries: { ...state.tries, [kind]: tries } },
    { type: 'wait', ms, leastMs, because },
  );
}

function spent(state: State, kind: Wait): boolean {
  return (state.waited[kind] ?? 0) >= budgetMs(kind, state.goal.patience);
}

/** There was progress: the next wait is short again. */
function calm(state: State): State {
  return { ...state, tries: {} };
}

/** The call was answered well: what it did may take a while to show. */
function answered(state: State): State {
  const { last, rounds, tries, waited } = state;
  if (!last) return state;
  const { stale: _tries, ...otherTries } = tries;
  const { stale: _waited, ...otherWaits } = waited;
  return {
    ...state,
    last: { ...last, sure: true },
    rounds: { ...rounds, [last.action]: (rounds[last.action] ?? 0) + 1 },
    tries: otherTries,
    waited: otherWaits,
  };
}

function ask(state: State, asked: Request): State {
  return { ...state, asked };
}

function fail(state: State, error: CloudError): State {
  return finish(state, { status: 'failed', error });
}

function finish(state: State, outcome: Outcome): State {
  return ask(state, { type: 'finish', outcome });
}
