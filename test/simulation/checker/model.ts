/**
 * The smallest world in which the director's protocol can go wrong, as data: a store, a cloud of two things, a
 * broker, two directors.
 *
 * The directors are the product's own machines (`stepInbox`, `stepRun`, `stepRelay`, the unit's `step`); what is
 * modelled is only what they ask for. Every ask is one atomic move, in each way in which it can go.
 */
import type { Admission } from '@service-director/director/protocol/inbox.ts';
import {
  beginInbox,
  type Inbox,
  type InboxEvent,
  stepInbox,
} from '@service-director/director/protocol/inbox.ts';
import {
  beginRelay,
  type Relay,
  type RelayEvent,
  stepRelay,
} from '@service-director/director/protocol/relay.ts';
import {
  beginRun,
  type Conclusion,
  type Run,
  type RunEvent,
  stepRun,
} from '@service-director/director/protocol/run.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type JournalEntry,
  keys,
  type StackRecord,
} from '@service-director/director/store/records.ts';
import type { Key, Stored, Write } from '@service-director/director/store/store.ts';
import { CloudError } from '@service-director/shared/cloud/error.ts';
import {
  begin,
  type Event,
  type Goal,
  type Seen,
  type State,
  step,
} from '@service-director/shared/engine/reconcile.ts';
import { NONE } from '@service-director/shared/model/change.ts';
import type { Owner, StackId, UnitId } from '@service-director/shared/model/unit.ts';

const STACK: StackId = 'scope/flow';
const OWNER: Owner = { scope: 'scope', dataflow: 'flow' };
const COMMAND = 'c1';
const DEPLOYMENT = 'c1.flow';
const AT = '2026-01-01T00:00:00.000Z';
/** Time stands still: that a lease has run out is a choice of its own. */
const NOW = Date.parse(AT);

/** What one unit has to become, and what there is of it before. */
export interface UnitCase {
  readonly name: 'create' | 'update' | 'replace' | 'delete';
  /** The unit that has to be finished first. */
  readonly after?: number;
}

/** How often each misfortune may happen, over the whole history. */
export interface Budget {
  readonly deliveries: number;
  readonly crashes: number;
  /** A lease is taken over while its holder lives. */
  readonly thefts: number;
  /** The store fails: before a commit, or after it. */
  readonly storeFailures: number;
  /** The answer of a call to the cloud is lost: before its effect, or after it. */
  readonly lostAnswers: number;
  /** A read shows what was there before the last write. */
  readonly staleReads: number;
}

export interface Scenario {
  readonly name: string;
  readonly units: readonly UnitCase[];
  readonly directors: number;
  readonly budget: Budget;
}

/** One thing in the cloud; undefined when it is not there. */
type Thing = { readonly spec: 'old' | 'new'; readonly fixed: 'old' | 'new' } | undefined;

interface UnitWork {
  readonly state: State;
  /** The note whose durability it awaits. */
  readonly ticket: number | undefined;
  readonly ended: boolean;
  /** What the last observation showed: an update and a removal are calls on that. */
  readonly seen: Thing;
}

interface Work {
  readonly phase: 'planning' | 'applying' | 'over';
  readonly ticket: number | undefined;
  readonly units: readonly (UnitWork | undefined)[];
  readonly nextTicket: number;
}

export interface Director {
  readonly alive: boolean;
  readonly inbox: Inbox | undefined;
  readonly run: Run | undefined;
  readonly work: Work | undefined;
  readonly relay: Relay | undefined;
}

export interface World {
  readonly docs: Readonly<Record<string, { readonly version: number; readonly value: object }>>;
  readonly things: readonly Thing[];
  /** What was there before the last write, while that may still be read. */
  readonly before: readonly (Thing | 'fresh')[];
  /** How often each was created and removed. */
  readonly made: readonly number[];
  readonly removed: readonly number[];
  readonly deliveries: number;
  readonly acknowledged: boolean;
  readonly published: readonly string[];
  readonly directors: readonly Director[];
  readonly left: Budget;
  /** What must never be, in a sentence. */
  readonly violation: string | undefined;
}

const IDLE: Director = { alive: true, inbox: undefined, run: undefined, work: undefined, relay: undefined };

export function initial({ units, directors, budget }: Scenario): World {
  return {
    docs: {},
    things: units.map(({ name }) => (name === 'create' ? undefined : { spec: 'old', fixed: 'old' })),
    before: units.map(() => 'fresh'),
    made: units.map(() => 0),
    removed: units.map(() => 0),
    deliveries: budget.deliveries,
    acknowledged: false,
    published: [],
    directors: Array.from({ length: directors }, () => IDLE),
    left: budget,
    violation: undefined,
  };
}

/**
 * Every world that can come next, with what happened. What a director does in its own memory alone commutes with
 * whatever the others do, and is lost with it when it dies: it is done at once, and not interleaved.
 */
export function successors(world: World, scenario: Scenario): Move[] {
  const moves: Move[] = [];
  const add: Add = (move, next) => {
    moves.push({ move, next: settle(next, scenario) });
  };
  for (const [at, director] of world.directors.entries()) {
    if (!director.alive) continue;
    const name = `director ${at + 1}`;
    if (world.left.crashes > 0 && !isIdle(director))
      add(`${name} dies`, spend(put(world, at, { ...IDLE, alive: false }), 'crashes'));
    if (!director.inbox && world.deliveries > 0)
      add(`${name} gets the command`, put(world, at, { ...director, inbox: beginInbox(LETTER) }));
    // To begin is a director's own affair: nothing can come between that and its first look.
    if (!director.run && queued(world)) {
      const run = beginRun(identity(at));
      runMoves(put(world, at, { ...director, run }), at, run, name, scenario, add);
    }
    for (const id of director.relay ? [] : outbox(world)) {
      const relay = beginRelay(id);
      relayMoves(put(world, at, { ...director, relay }), at, relay, name, add);
    }
    ownMoves(world, at, scenario, add, 'shared');
  }
  return moves;
}

interface Move {
  readonly move: string;
  readonly next: World;
}

/** All that directors do in their own memory, done. */
function settle(world: World, scenario: Scenario): World {
  let settled = world;
  for (let at = 0; at < world.directors.length; at++) {
    for (;;) {
      const found: World[] = [];
      ownMoves(settled, at, scenario, (_move, next) => void found.push(next), 'local');
      const [next] = found;
      if (!next) break;
      settled = next;
    }
  }
  return settled;
}

/** What is asked of one director's own machines: with the world, or only with itself. */
function ownMoves(
  world: World,
  at: number,
  scenario: Scenario,
  add: Add,
  which: 'local' | 'shared',
): undefined {
  const { inbox, run, work, relay } = directorAt(world, at);
  const name = `director ${at + 1}`;
  const isWanted = (asked: { readonly type: string }): boolean =>
    LOCAL.has(asked.type) === (which === 'local');
  if (inbox && isWanted(inbox.asked)) inboxMoves(world, at, inbox, name, add);
  if (relay && isWanted(relay.asked)) relayMoves(world, at, relay, name, add);
  if (run && isWanted(run.asked)) runMoves(world, at, run, name, scenario, add);
  if (!work) return;
  if (which === 'local') planMoves(world, at, work, name, scenario, add);
  for (const [unit, one] of work.units.entries()) {
    const isOpen = one && !one.ended && one.ticket === undefined;
    if (isOpen && isWanted(one.state.asked)) unitMoves(world, at, unit, one, name, scenario, add);
  }
}

/** What touches nothing but the director's memory. */
const LOCAL: ReadonlySet<string> = new Set(['admit', 'give-back', 'over', 'wait', 'record', 'finish']);

function isIdle({ inbox, run, relay }: Director): boolean {
  return !inbox && !run && !relay;
}

type Add = (move: string, next: World) => undefined;

const LETTER = { id: COMMAND, bodyHash: 'hash' };

function inboxMoves(world: World, at: number, inbox: Inbox, name: string, add: Add): undefined {
  const director = directorAt(world, at);
  const feed = (next: World, event: InboxEvent): World =>
    put(next, at, { ...director, inbox: stepInbox(inbox, event) });
  const over = (next: World): World => put(next, at, { ...director, inbox: undefined });
  const { asked } = inbox;
  switch (asked.type) {
    case 'admit':
      return add(
        `${name} reads what the command means`,
        feed(world, { type: 'admitted', admission: ADMISSION }),
      );
    case 'commit':
      return commits(world, asked.writes, `${name} writes the ledger`, add, (next, how) => feed(next, how));
    case 'known': {
      const record = read<CommandRecord>(world, keys.command(COMMAND))?.value;
      return add(`${name} finds the command in the ledger`, feed(world, { type: 'known', record }));
    }
    case 'answer-again': {
      const { record } = asked;
      const rows = record.answer ? [row(record.answer.type)] : [];
      return commits(world, rows, `${name} answers again`, add, (next, how) => feed(next, how));
    }
    case 'acknowledge': {
      const known = read(world, keys.command(COMMAND));
      const next = over({ ...world, deliveries: world.deliveries - 1, acknowledged: true });
      return add(`${name} acknowledges`, known ? next : wrong(next, 'acknowledged, and not in the ledger'));
    }
    case 'give-back':
      return add(`${name} gives the command back`, over(world));
    case 'refuse':
      return add(`${name} refuses`, wrong(over(world), 'the same command was refused'));
  }
}

function runMoves(world: World, at: number, run: Run, name: string, scenario: Scenario, add: Add): undefined {
  const feed = (next: World, event: RunEvent): World => feedRun(next, at, event, scenario);
  const { asked } = run;
  switch (asked.type) {
    case 'idle':
      return;
    case 'look': {
      const looked = look(world, at);
      add(`${name} looks at the stack`, feed(world, looked));
      const holder = looked.stack?.value.lease?.holder.id;
      const isOther = holder !== undefined && holder !== `d${at}` && !looked.holderIsGone;
      if (isOther && world.left.thefts > 0)
        add(
          `${name} takes the lease of ${holder}`,
          feed(spend(world, 'thefts'), { ...looked, holderIsGone: true }),
        );
      return;
    }
    case 'commit': {
      const stale = isStale(world, run);
      return commits(world, asked.writes, `${name} commits ${told(asked.writes)}`, add, (next, how) => {
        const after =
          how.type === 'written' && stale
            ? wrong(next, 'a write went through after the lease was lost')
            : next;
        return feed(after, how);
      });
    }
    case 'reread':
      return add(
        `${name} reads its deployment again`,
        feed(world, { type: 'reread', record: read<DeploymentRecord>(world, keys.deployment(DEPLOYMENT)) }),
      );
    case 'gather':
      return add(
        `${name} gathers the end`,
        feed(world, { type: 'gathered', conclusion: conclusion(asked.record, world) }),
      );
    case 'over': {
      const director = directorAt(world, at);
      return add(
        `${name} is done with the stack: ${asked.how}`,
        put(world, at, { ...director, run: undefined, work: undefined }),
      );
    }
  }
}

/** Whether the stack's token has moved on since this run claimed it. */
function isStale(world: World, { held }: Run): boolean {
  if (!held || held.next.stack.token !== held.stack.token) return false;
  return (read<StackRecord>(world, keys.stack(STACK))?.value.token ?? 0) !== held.stack.token;
}

function feedRun(world: World, at: number, event: RunEvent, scenario: Scenario): World {
  const director = directorAt(world, at);
  if (!director.run) return world;
  const { run, effects } = stepRun(director.run, event);
  let next = put(world, at, { ...director, run });
  for (const effect of effects) {
    if (effect.type === 'claimed') next = startWork(next, at, scenario);
    if (effect.type === 'durable') next = durable(next, at, effect.ticket, scenario);
  }
  return next;
}

/** What the journal tells of is gone on with, as `openDeployment` does. */
function startWork(world: World, at: number, scenario: Scenario): World {
  const director = directorAt(world, at);
  const record = director.run?.held?.record;
  const work: Work = {
    phase: record?.plan ? 'applying' : 'planning',
    ticket: undefined,
    units: scenario.units.map(() => undefined),
    nextTicket: 1,
  };
  const next = put(world, at, { ...director, work });
  return work.phase === 'applying' ? startUnits(next, at, scenario) : next;
}

function note(
  world: World,
  at: number,
  entries: readonly JournalEntry[],
  scenario: Scenario,
  record?: Partial<DeploymentRecord>,
): { world: World; ticket: number } {
  const director = directorAt(world, at);
  const { work } = director;
  if (!work) throw new Error('a note without work');
  const ticket = work.nextTicket;
  const next = put(world, at, { ...director, work: { ...work, nextTicket: ticket + 1 } });
  return {
    world: feedRun(
      next,
      at,
      { type: 'noted', note: { ticket, entries, ...(record ? { record } : {}) } },
      scenario,
    ),
    ticket,
  };
}

function setWork(world: World, at: number, change: Partial<Work>): World {
  const director = directorAt(world, at);
  return director.work ? put(world, at, { ...director, work: { ...director.work, ...change } }) : world;
}

function setUnit(world: World, at: number, unit: number, change: Partial<UnitWork>): World {
  const { work } = directorAt(world, at);
  const before = work?.units[unit];
  if (!work || !before) return world;
  return setWork(world, at, { units: work.units.with(unit, { ...before, ...change }) });
}

function durable(world: World, at: number, ticket: number, scenario: Scenario): World {
  const { work } = directorAt(world, at);
  if (!work) return world;
  if (work.ticket === ticket) {
    const next = setWork(world, at, { ticket: undefined, phase: 'applying' });
    return startUnits(next, at, scenario);
  }
  const unit = work.units.findIndex((one) => one?.ticket === ticket);
  const found = work.units[unit];
  if (!found) return world;
  const cleared = setUnit(world, at, unit, { ticket: undefined });
  if (found.state.asked.type === 'finish')
    return startUnits(setUnit(cleared, at, unit, { ended: true }), at, scenario);
  return setUnit(cleared, at, unit, { state: step(found.state, { type: 'recorded' }) });
}

/** Starts what may start, as the walk does; ends the work when all has ended. */
function startUnits(world: World, at: number, scenario: Scenario): World {
  const { work } = directorAt(world, at);
  if (!work) return world;
  const units = work.units.map((unit, place): UnitWork | undefined => {
    const first = scenario.units[place]?.after;
    const isReady = first === undefined || work.units[first]?.ended === true;
    if (unit || !isReady) return unit;
    return { state: begin(goalOf(scenario, place)), ticket: undefined, ended: false, seen: undefined };
  });
  const next = setWork(world, at, { units });
  if (!units.every((unit) => unit?.ended)) return next;
  const failed = units.some(
    (unit) => unit?.state.asked.type === 'finish' && unit.state.asked.outcome.status !== 'done',
  );
  return feedRun(
    setWork(next, at, { phase: 'over' }),
    at,
    { type: 'ending', ending: { type: 'conclude', record: { status: failed ? 'failed' : 'succeeded' } } },
    scenario,
  );
}

function planMoves(
  world: World,
  at: number,
  work: Work,
  name: string,
  scenario: Scenario,
  add: Add,
): undefined {
  if (work.phase !== 'planning' || work.ticket !== undefined) return;
  const entry: JournalEntry = { at: AT, type: 'status', status: 'applying' };
  const noted = note(world, at, [entry], scenario, { plan: PLAN, status: 'applying' });
  add(`${name} plans`, setWork(noted.world, at, { ticket: noted.ticket }));
}

function unitMoves(
  world: World,
  at: number,
  unit: number,
  one: UnitWork,
  name: string,
  scenario: Scenario,
  add: Add,
): undefined {
  const { asked } = one.state;
  const feed = (next: World, event: Event): World =>
    setUnit(next, at, unit, { state: step(one.state, event) });
  const about = `${name}, unit ${unit + 1}:`;
  switch (asked.type) {
    case 'observe': {
      const thing = world.things[unit];
      add(`${about} sees ${thing?.spec ?? 'nothing'}`, observe(world, thing));
      const before = world.before[unit];
      if (before !== 'fresh' && world.left.staleReads > 0)
        add(`${about} sees what was before`, observe(spend(world, 'staleReads'), before));
      return;
    }
    case 'record': {
      const entry: JournalEntry = {
        at: AT,
        type: 'intend',
        unit: idOf(unit),
        action: asked.action,
        token: 1,
      };
      const noted = note(world, at, [entry], scenario);
      return add(
        `${about} notes that it will ${asked.action}`,
        setUnit(noted.world, at, unit, { ticket: noted.ticket }),
      );
    }
    case 'act': {
      const { next, error } = act(world, unit, asked.action, one.seen);
      const guarded = intended(world, unit) ? next : wrong(next, `${asked.action} without an intent`);
      add(`${about} ${asked.action}s`, feed(guarded, error ? { type: 'failed', error } : { type: 'acted' }));
      if (world.left.lostAnswers === 0) return;
      const lost: Event = { type: 'failed', error: new CloudError('unknown-outcome', 'the answer was lost') };
      add(`${about} ${asked.action}s, and the answer is lost`, feed(spend(guarded, 'lostAnswers'), lost));
      return add(`${about} ${asked.action} never arrives`, feed(spend(world, 'lostAnswers'), lost));
    }
    case 'wait':
      return add(`${about} waits`, feed(world, { type: 'waited', ms: asked.ms }));
    case 'finish': {
      const line = { unit: idOf(unit), result: asked.outcome.status };
      const entry: JournalEntry = { at: AT, type: 'finish', unit: idOf(unit), line, seconds: 0 };
      const noted = note(world, at, [entry], scenario);
      return add(
        `${about} is ${asked.outcome.status}`,
        setUnit(noted.world, at, unit, { ticket: noted.ticket }),
      );
    }
    case 'poll':
      return;
  }

  function observe(next: World, thing: Thing): World {
    const seen = thing && seenOf(thing, scenario, unit);
    return setUnit(next, at, unit, { state: step(one.state, { type: 'observed', seen }), seen: thing });
  }
}

/** The effect of a call, as the cloud does it: under the name that the unit has, and under no condition else. */
function act(
  world: World,
  unit: number,
  action: 'create' | 'update' | 'remove',
  seen: Thing,
): { next: World; error?: CloudError } {
  const thing = world.things[unit];
  const change = (to: Thing, more: Partial<World> = {}): World => ({
    ...world,
    ...more,
    things: world.things.with(unit, to),
    before: world.before.with(unit, thing),
  });
  switch (action) {
    case 'create':
      if (thing) return { next: world, error: new CloudError('already-exists', 'it exists') };
      return { next: change({ spec: 'new', fixed: 'new' }, { made: plus(world.made, unit) }) };
    case 'update':
      if (!thing) return { next: world, error: new CloudError('not-found', 'it is gone') };
      // Written under the condition of what was read, as etags are.
      if (seen && seen.fixed !== thing.fixed)
        return { next: world, error: new CloudError('conflict', 'it changed') };
      return { next: change({ ...thing, spec: 'new' }) };
    case 'remove':
      if (!thing) return { next: world, error: new CloudError('not-found', 'it is gone') };
      if (seen && seen.fixed !== thing.fixed)
        return { next: world, error: new CloudError('conflict', 'it changed') };
      return { next: change(undefined, { removed: plus(world.removed, unit) }) };
  }
}

function seenOf(thing: NonNullable<Thing>, { units }: Scenario, unit: number): Seen {
  const common = { owner: OWNER, busy: undefined, gone: false, outputs: {} };
  const { name } = units[unit] ?? { name: 'create' };
  if (name === 'replace' && thing.fixed === 'old')
    return { ...common, change: { action: 'replace', because: 'a field is fixed' } };
  if (thing.spec === 'old') return { ...common, change: { action: 'update', fields: ['spec'] } };
  return { ...common, change: NONE };
}

function relayMoves(world: World, at: number, relay: Relay, name: string, add: Add): undefined {
  const director = directorAt(world, at);
  const feed = (next: World, event: RelayEvent): World =>
    put(next, at, { ...director, relay: stepRelay(relay, event) });
  const { asked, id } = relay;
  switch (asked.type) {
    case 'read':
      return add(`${name} reads ${id}`, feed(world, { type: 'read', row: read(world, keys.outbox(id)) }));
    case 'publish': {
      const ended = read<CommandRecord>(world, keys.command(COMMAND))?.value.answer;
      const published = world.published.includes(id) ? world.published : [...world.published, id];
      const next = feed({ ...world, published }, { type: 'published' });
      return add(`${name} publishes ${id}`, ended ? next : wrong(next, 'published before it was committed'));
    }
    case 'forget':
      return commits(world, [asked.write], `${name} forgets ${id}`, add, (next, how) =>
        feed(
          next,
          how.type === 'written'
            ? { type: 'forgotten' }
            : how.type === 'conflict'
              ? { type: 'conflict' }
              : { type: 'failed' },
        ),
      );
    case 'wait':
      return add(`${name} waits to publish`, feed(world, { type: 'waited' }));
    case 'over':
      return add(`${name} is done with ${id}`, put(world, at, { ...director, relay: undefined }));
  }
}

type Committed =
  | { readonly type: 'written' }
  | { readonly type: 'conflict'; readonly key: Key }
  | { readonly type: 'unwritable' };

/** A commit, in every way in which it can go. */
function commits(
  world: World,
  writes: readonly Write[],
  move: string,
  add: Add,
  feed: (next: World, how: Committed) => World,
): undefined {
  const failed = writes.find((write) => !holds(world, write));
  if (failed) return add(`${move}: conflict`, feed(world, { type: 'conflict', key: failed.key }));
  const docs = { ...world.docs };
  for (const { type, key, ...rest } of writes) {
    const name = nameOf(key);
    if (type === 'put')
      docs[name] = { version: (docs[name]?.version ?? 0) + 1, value: (rest as { value: object }).value };
    else if (type === 'delete') delete docs[name];
  }
  const next = { ...world, docs };
  add(move, feed(next, { type: 'written' }));
  if (world.left.storeFailures === 0) return;
  add(`${move}, and the answer is lost`, feed(spend(next, 'storeFailures'), { type: 'unwritable' }));
  add(`${move}: the store fails`, feed(spend(world, 'storeFailures'), { type: 'unwritable' }));
}

function holds({ docs }: World, { key, if: condition }: Write): boolean {
  const version = docs[nameOf(key)]?.version;
  if (condition === 'any') return true;
  return condition === 'absent' ? version === undefined : version === condition;
}

function read<T>({ docs }: World, key: Key): Stored<T> | undefined {
  const found = docs[nameOf(key)];
  return found && { id: key.id, value: found.value as T, version: found.version };
}

function look(world: World, at: number): Extract<RunEvent, { type: 'looked' }> {
  const stack = read<StackRecord>(world, keys.stack(STACK));
  const holder = stack?.value.lease?.holder.id;
  const prefix = `journal ${DEPLOYMENT}/`;
  const entries = Object.entries(world.docs)
    .filter(([name]) => name.startsWith(prefix))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { value, version }]) => ({
      id: name.slice('journal '.length),
      value: value as JournalEntry,
      version,
    }));
  const other = holder === undefined ? undefined : world.directors[Number(holder.slice(1))];
  return {
    type: 'looked',
    stack,
    record: read<DeploymentRecord>(world, keys.deployment(DEPLOYMENT)),
    lock: undefined,
    entries,
    // A process that lost its run has given up its lease as well, whatever the store says.
    holderIsGone: holder !== undefined && holder !== `d${at}` && (!other?.alive || !other.run),
    now: NOW,
  };
}

function conclusion(record: DeploymentRecord, world: World): Conclusion {
  const command = read<CommandRecord>(world, keys.command(COMMAND));
  if (!command) throw new Error('the command is not in the ledger');
  const type = record.status === 'succeeded' ? 'completed' : 'failed';
  const ended: CommandRecord = {
    ...command.value,
    status: type === 'completed' ? 'succeeded' : 'failed',
    answer: { type, command: COMMAND, dry_run: false, deployments: [], error: '' },
  };
  return {
    record,
    entries: [{ at: AT, type: 'status', status: record.status }],
    writes: [
      { type: 'put', key: keys.command(COMMAND), value: ended, if: command.version },
      { type: 'put', key: keys.version(STACK, 1), value: { version: 1 }, if: 'absent' },
      { type: 'delete', key: keys.queue(RECORD), if: 'any' },
      row(type),
    ],
    stack: { version: 1 },
  };
}

const RECORD: DeploymentRecord = {
  id: DEPLOYMENT,
  command: COMMAND,
  correlationId: COMMAND,
  stack: STACK,
  scope: 'scope',
  dataflow: 'flow',
  operation: 'deploy',
  status: 'queued',
  dryRun: false,
  createdAt: AT,
};

const PLAN: NonNullable<DeploymentRecord['plan']> = {
  stack: STACK,
  operation: 'deploy',
  units: [],
  externals: [],
  grants: [],
  seconds: 0,
  criticalPath: [],
  warnings: [],
  hash: 'plan',
};

const ADMISSION: Admission = {
  record: {
    id: COMMAND,
    status: 'running',
    correlationId: COMMAND,
    receivedAt: AT,
    bodyHash: LETTER.bodyHash,
    deployments: [DEPLOYMENT],
  },
  writes: [
    { type: 'put', key: keys.deployment(DEPLOYMENT), value: RECORD, if: 'absent' },
    {
      type: 'put',
      key: keys.queue(RECORD),
      value: { stack: STACK, deployment: DEPLOYMENT, command: COMMAND },
      if: 'any',
    },
  ],
};

function row(type: string): Write {
  const id = `${COMMAND}.${type}`;
  return {
    type: 'put',
    key: keys.outbox(id),
    value: { id, topic: 'events', attributes: {}, body: '{}' },
    if: 'any',
  };
}

/** Whether nothing is left to do, and all is as it shall be; else why not. */
export function unfinished(world: World, { units }: Scenario): string | undefined {
  if (world.deliveries > 0) return 'a command was not acknowledged';
  const command = read<CommandRecord>(world, keys.command(COMMAND))?.value;
  if (command?.status !== 'succeeded') return `the command is ${command?.status ?? 'lost'}`;
  if (outbox(world).length > 0) return 'an event was not published';
  if (world.published.length !== 1) return `${world.published.length} last words were published`;
  if (queued(world)) return 'the queue is not empty';
  if (read<StackRecord>(world, keys.stack(STACK))?.value.lease) return 'a lease is left';
  if (world.directors.some(({ run, inbox, relay }) => run ?? inbox ?? relay)) return 'somebody is at work';
  for (const [at, { name }] of units.entries()) {
    const thing = world.things[at];
    if (name === 'delete' ? thing : thing?.spec !== 'new')
      return `unit ${at + 1} is ${thing?.spec ?? 'absent'}`;
  }
  return undefined;
}

/** What must hold whenever the history stops: nothing is there twice, and nothing that nobody knows of. */
export function broken(world: World, { units }: Scenario): string | undefined {
  if (world.violation !== undefined) return world.violation;
  for (const [at, { name }] of units.entries()) {
    const existed = name === 'create' ? 0 : 1;
    const there = existed + (world.made[at] ?? 0) - (world.removed[at] ?? 0);
    if (there < 0 || there > 1) return `unit ${at + 1} is there ${there} times`;
    const mostMade = name === 'update' || name === 'delete' ? 0 : 1;
    if ((world.made[at] ?? 0) > mostMade) return `unit ${at + 1} was made ${world.made[at]} times`;
    if (name === 'update' && (world.removed[at] ?? 0) > 0) return `unit ${at + 1} was removed`;
  }
  if (world.published.length > 1) return 'a command has two last words';
  return undefined;
}

function goalOf({ units }: Scenario, unit: number): Goal {
  const { name } = units[unit] ?? { name: 'create' };
  return {
    id: idOf(unit),
    want: name === 'delete' ? 'absent' : 'present',
    owner: OWNER,
    mayReplace: name === 'replace',
  };
}

function intended({ docs }: World, unit: number): boolean {
  return Object.entries(docs).some(([name, { value }]) => {
    const entry = value as Partial<Extract<JournalEntry, { type: 'intend' }>>;
    return name.startsWith('journal ') && entry.type === 'intend' && entry.unit === idOf(unit);
  });
}

function outbox({ docs }: World): string[] {
  return Object.keys(docs).flatMap((name) =>
    name.startsWith('outbox ') ? [name.slice('outbox '.length)] : [],
  );
}

function queued({ docs }: World): boolean {
  return Object.keys(docs).some((name) => name.startsWith('queue '));
}

function told(writes: readonly Write[]): string {
  return [...new Set(writes.filter(({ type }) => type !== 'check').map(({ key }) => key.collection))].join(
    ', ',
  );
}

function identity(at: number): Parameters<typeof beginRun>[0] {
  const holder = { id: `d${at}`, host: 'host', pid: at };
  return { holder, deployment: DEPLOYMENT, stack: STACK, scope: 'scope', dataflow: 'flow' };
}

function idOf(unit: number): UnitId {
  return `thing/${unit + 1}` as UnitId;
}

function nameOf({ collection, id }: Key): string {
  return `${collection} ${id}`;
}

function directorAt({ directors }: World, at: number): Director {
  return directors[at] ?? IDLE;
}

function put(world: World, at: number, director: Director): World {
  return { ...world, directors: world.directors.with(at, director) };
}

function spend(world: World, what: keyof Budget): World {
  return { ...world, left: { ...world.left, [what]: world.left[what] - 1 } };
}

function plus(counts: readonly number[], at: number): number[] {
  return counts.with(at, (counts[at] ?? 0) + 1);
}

function wrong(world: World, violation: string): World {
  return { ...world, violation: world.violation ?? violation };
}
