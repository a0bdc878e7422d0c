import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CloudError, type Reason } from '../cloud/error.ts';
import { type Change, NONE } from '../model/change.ts';
import { begin, type Event, type Goal, type Outcome, type Seen, type State, step } from './reconcile.ts';

const OURS = { scope: 'shop', dataflow: 'orders' };
const goal = (want: Goal['want'] = 'present', more: Partial<Goal> = {}): Goal => ({
  id: 'topic/orders',
  want,
  owner: OURS,
  mayReplace: false,
  ...more,
});

function seen(change: Change, more: Partial<Seen> = {}): Seen {
  return { owner: OURS, busy: undefined, gone: false, outputs: { name: 'orders' }, change, ...more };
}

const failed = (reason: Reason): Event => ({ type: 'failed', error: new CloudError(reason, reason) });
const observed = (of: Seen | undefined): Event => ({ type: 'observed', seen: of });
const RECORDED: Event = { type: 'recorded' };
const ACTED: Event = { type: 'acted' };
const WAITED: Event = { type: 'waited', ms: 1_000 };

/** The requests that the events lead to, in short; the first is the one before any. */
function story(of: Goal, ...events: Event[]): string[] {
  let state = begin(of);
  const told = [short(state)];
  for (const event of events) {
    state = step(state, event);
    told.push(short(state));
  }
  return told;
}

function short({ asked }: State): string {
  switch (asked.type) {
    case 'record':
    case 'act':
      return `${asked.type} ${asked.action}`;
    case 'finish':
      return `finish ${outcomeIn(asked.outcome)}`;
    default:
      return asked.type;
  }
}

function outcomeIn(outcome: Outcome): string {
  if (outcome.status === 'done') return `done ${outcome.change.action}`;
  return outcome.status === 'failed' ? `failed ${outcome.error.reason}` : outcome.status;
}

test('what is as desired is not touched', () => {
  expect(story(goal(), observed(seen(NONE)))).toEqual(['observe', 'finish done none']);
});

test('what is missing is created after its intent is durable, and looked at again', () => {
  expect(story(goal(), observed(undefined), RECORDED, ACTED, observed(seen(NONE)))).toEqual([
    'observe',
    'record create',
    'act create',
    'observe',
    'finish done create',
  ]);
});

test('an operation is followed to its end', () => {
  const events = [
    observed(undefined),
    RECORDED,
    { type: 'acted', operation: 'op' },
    { type: 'polled', result: 'running' },
    WAITED,
    { type: 'polled', result: 'done' },
    observed(seen(NONE)),
  ] as const;
  expect(story(goal(), ...events).slice(3)).toEqual([
    'poll',
    'wait',
    'poll',
    'observe',
    'finish done create',
  ]);
  const error = new CloudError('precondition', 'The container failed to start');
  expect(
    story(
      goal(),
      observed(undefined),
      RECORDED,
      { type: 'acted', operation: 'op' },
      { type: 'polled', result: error },
    ).at(-1),
  ).toBe('finish failed precondition');
});

test('a lost answer is resolved by looking: found is adopted, absent is made again', () => {
  const lost = [observed(undefined), RECORDED, failed('unknown-outcome'), WAITED] as const;
  expect(story(goal(), ...lost, observed(seen(NONE))).at(-1)).toBe('finish done create');
  expect(story(goal(), ...lost, observed(undefined)).at(-1)).toBe('record create');
});

test('a lost race is no failure', () => {
  expect(
    story(goal(), observed(undefined), RECORDED, failed('already-exists'), WAITED, observed(seen(NONE))).at(
      -1,
    ),
  ).toBe('finish done create');
});

test('what does not bear our mark, or the mark of another stack, is refused by name', () => {
  expect(story(goal(), observed(seen(NONE, { owner: 'foreign' }))).at(-1)).toBe('finish failed refused');
  expect(story(goal(), observed(seen(NONE, { owner: { scope: 'shop', dataflow: 'billing' } }))).at(-1)).toBe(
    'finish failed refused',
  );
  expect(story(goal('absent'), observed(seen(NONE, { owner: 'foreign' }))).at(-1)).toBe('finish kept');
  expect(story(goal(), observed(seen(NONE, { owner: 'unmarked' }))).at(-1)).toBe('finish done none');
});

test('a stale read after a create is waited out, and never makes a second one at once', () => {
  const told = story(
    goal(),
    observed(undefined),
    RECORDED,
    ACTED,
    observed(undefined),
    WAITED,
    observed(seen(NONE)),
  );
  expect(told.slice(3)).toEqual(['observe', 'wait', 'observe', 'finish done create']);
});

test('a difference that comes back is written a few times, then told', () => {
  const differs = observed(seen({ action: 'update', fields: ['labels'] }));
  let state = begin(goal());
  let writes = 0;
  for (let i = 0; i < 2_000 && state.asked.type !== 'finish'; i++) {
    const { asked } = state;
    if (asked.type === 'act') writes++;
    state = step(
      state,
      asked.type === 'observe'
        ? differs
        : asked.type === 'record'
          ? RECORDED
          : asked.type === 'act'
            ? ACTED
            : WAITED,
    );
  }
  expect(short(state)).toBe('finish failed refused');
  expect(writes).toBe(3);
});

test('a replacement happens only if the plan said so, and a stale read of the old does not remove the new', () => {
  const replace = observed(seen({ action: 'replace', because: 'its filter changes' }));
  expect(story(goal(), replace).at(-1)).toBe('finish failed refused');
  const may = goal('present', { mayReplace: true });
  const told = story(
    may,
    replace,
    RECORDED,
    ACTED,
    observed(undefined),
    RECORDED,
    ACTED,
    replace,
    WAITED,
    observed(seen(NONE)),
  );
  expect(told).toEqual([
    'observe',
    'record remove',
    'act remove',
    'observe',
    'record create',
    'act create',
    'observe',
    'wait',
    'observe',
    'finish done replace',
  ]);
});

test('what holds data is never replaced, whatever was planned', () => {
  const replace = observed(seen({ action: 'replace', because: 'it moves' }));
  expect(story(goal('present', { mayReplace: true, holdsData: true }), replace).at(-1)).toBe(
    'finish failed refused',
  );
});

test('what is protected is never deleted to be made anew, whatever was planned', () => {
  const replace = observed(seen({ action: 'replace', because: 'it moves' }));
  expect(story(goal('present', { mayReplace: true, protection: 'it is protected' }), replace).at(-1)).toBe(
    'finish failed refused',
  );
});

test('not found is a lost race of a call, and what is referred to when an operation says it', () => {
  const differs = observed(seen({ action: 'update', fields: ['image'] }));
  const missing = new CloudError('not-found', 'Image not found');
  const begun = [differs, RECORDED, { type: 'acted', operation: 'op' }] as const;
  expect(story(goal(), ...begun, { type: 'polled', result: missing }).at(-1)).toBe('finish failed not-found');
  // The question after the operation is not the operation: it may be forgotten.
  expect(story(goal(), ...begun, failed('not-found')).at(-1)).toBe('observe');
  const lost = [differs, RECORDED, failed('not-found'), WAITED];
  expect(story(goal(), ...lost).at(-1)).toBe('observe');
  expect(story(goal(), ...lost, ...lost, ...lost, ...lost.slice(0, 3)).at(-1)).toBe(
    'finish failed not-found',
  );
});

test('what an update or a removal is said to meet already is a race', () => {
  const differs = observed(seen({ action: 'update', fields: ['labels'] }));
  expect(story(goal(), differs, RECORDED, failed('already-exists')).at(-1)).toBe('wait');
  expect(story(goal('absent'), observed(seen(NONE)), RECORDED, failed('already-exists')).at(-1)).toBe('wait');
});

test('removal: missing is success, gone in between too, and what is busy is waited for', () => {
  expect(story(goal('absent'), observed(undefined)).at(-1)).toBe('finish done none');
  expect(
    story(goal('absent'), observed(seen(NONE)), RECORDED, failed('not-found'), observed(undefined)).at(-1),
  ).toBe('finish done delete');
  expect(story(goal('absent'), observed(seen(NONE, { busy: 'it is being made' }))).at(-1)).toBe('wait');
  expect(story(goal('absent'), observed(seen(NONE, { owner: 'unmarked', gone: true }))).at(-1)).toBe(
    'finish done none',
  );
});

test('refusals that pass are waited for until patience ends, others are told at once', () => {
  expect(story(goal(), failed('propagating')).at(-1)).toBe('wait');
  expect(story(goal(), failed('invalid')).at(-1)).toBe('finish failed invalid');
  const impatient = goal('present', { patience: { denied: 1_500 } });
  expect(story(impatient, failed('denied'), WAITED, failed('denied'), WAITED, failed('denied')).at(-1)).toBe(
    'finish failed denied',
  );
});

test('what Google asks us to wait is waited at least', () => {
  const error = new CloudError('rate-limited', 'slow down', { retryAfterMs: 45_000 });
  const { asked } = step(begin(goal()), { type: 'failed', error });
  expect(asked).toMatchObject({ type: 'wait', leastMs: 45_000 });
});

/** Answers to whatever is asked, drawn at random: a cloud that misbehaves in every way the types allow. */
const anyAnswer = fc.record({
  seen: fc.oneof(
    fc.constant(undefined),
    fc.constant(seen(NONE)),
    fc.constant(seen({ action: 'update', fields: ['labels'] })),
    fc.constant(seen({ action: 'replace', because: 'so' })),
    fc.constant(seen(NONE, { busy: 'working' })),
  ),
  failure: fc.option(
    fc.constantFrom<Reason>(
      'unknown-outcome',
      'conflict',
      'rate-limited',
      'already-exists',
      'not-found',
      'denied',
      'propagating',
    ),
    { nil: undefined },
  ),
  operation: fc.boolean(),
  ms: fc.integer({ min: 1, max: 20_000 }),
});

test('whatever the cloud answers: no call without a durable intent, one call per intent, and it ends', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Goal['want']>('present', 'absent'),
      fc.boolean(),
      fc.array(anyAnswer, { minLength: 1, maxLength: 50 }),
      (want, mayReplace, answers) => {
        let state = begin(goal(want, { mayReplace }));
        let intents = 0;
        let calls = 0;
        let at = 0;
        for (let steps = 0; state.asked.type !== 'finish'; steps++) {
          if (steps > 20_000) throw new Error('it does not end');
          const answer = answers[at++ % answers.length] ?? answers[0];
          if (!answer) return;
          const { asked } = state;
          if (asked.type === 'record') intents++;
          if (asked.type === 'act') {
            calls++;
            expect(calls).toBe(intents);
          }
          state = step(state, eventFor(state, answer));
        }
      },
    ),
    { numRuns: 500 },
  );
});

function eventFor(
  { asked }: State,
  {
    seen: what,
    failure,
    operation,
    ms,
  }: { seen: Seen | undefined; failure: Reason | undefined; operation: boolean; ms: number },
): Event {
  switch (asked.type) {
    case 'record':
      return RECORDED;
    case 'wait':
      return { type: 'waited', ms: Math.max(asked.ms / 2, asked.leastMs, ms / 1_000) };
    case 'observe':
      return failure ? failed(failure) : observed(what);
    case 'act':
      if (failure) return failed(failure);
      return operation ? { type: 'acted', operation: 'op' } : ACTED;
    case 'poll':
      return { type: 'polled', result: failure ? 'running' : 'done' };
    case 'finish':
      throw new Error('it has ended');
  }
}
