/**
 * How one director carries one deployment: a pure state machine over the store's documents.
 *
 *   look → claim → work ──────────────→ gather → conclude → over
 *     └─ busy        │ note: intents, finishes, the plan      │
 *                    │ beat: reread, then the lease anew      └─ somebody wrote in between: gather
 *                    └─ park: left until somebody approves
 *
 * The lease keeps order and saves work; safety does not rest on it. Every commit is conditional on the stack's
 * document as this run wrote it last: whoever took over has changed it, and then nothing of ours is written any
 * more. At most one commit is under way; what is noted meanwhile goes into the next, so that a wide walk costs
 * few of them. The machine decides and remembers, a driver (`drive-run.ts`) does; production, the simulation and
 * the exhaustive checker run this same function.
 */
import { never } from '@service-director/shared/kit/never.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { StackId, UnitId } from '@service-director/shared/model/unit.ts';
import {
  type DeploymentRecord,
  type Holder,
  isEnded,
  type JournalEntry,
  keys,
  type Lease,
  type LockRecord,
  type StackRecord,
  sentenceOf,
  type Word,
} from '../store/records.ts';
import type { Durability, Key, Stored, Write } from '../store/store.ts';

/** How long a lease holds without a heartbeat, and how often it beats. Milliseconds. */
export const LEASE_MS = 20_000;
export const HEARTBEAT_MS = 5_000;

export interface Identity {
  readonly holder: Holder;
  readonly deployment: string;
  readonly stack: StackId;
  readonly scope: string;
  readonly dataflow: string;
}

/** What the store has of all that a claim depends on. */
export interface Looked {
  readonly stack: Stored<StackRecord> | undefined;
  readonly record: Stored<DeploymentRecord> | undefined;
  readonly lock: Stored<LockRecord> | undefined;
  readonly entries: readonly Stored<JournalEntry>[];
  /** Whether the process that holds the lease is known to be gone: then nobody has to wait for it to run out. */
  readonly holderIsGone: boolean;
  /** Milliseconds since 1970, as in all events. */
  readonly now: number;
}

/** Something to be made durable; told by its ticket once it is. */
export interface Note {
  readonly ticket: number;
  readonly entries: readonly JournalEntry[];
  /** What is known of units from now on; undefined for one that is gone. */
  readonly units?: readonly { readonly unit: UnitId; readonly state: UnitState | undefined }[];
  readonly record?: Partial<DeploymentRecord>;
}

/** How a run that works is to end. */
export type Ending =
  /** The deployment has ended so: what `gather` finds is concluded into one commit. */
  | { readonly type: 'conclude'; readonly record: Partial<DeploymentRecord> }
  /** It waits for somebody; whoever wakes it puts it back into the queue. */
  | {
      readonly type: 'park';
      readonly record: Partial<DeploymentRecord>;
      readonly entries: readonly JournalEntry[];
      /** Beside its record, journal, lease and place in the queue. */
      readonly writes: readonly Write[];
    }
  /** This process stops; somebody else goes on. */
  | { readonly type: 'leave' };

/** What the conclusion of a deployment writes beside its own record, journal and lease. */
export interface Conclusion {
  readonly record: DeploymentRecord;
  readonly entries: readonly JournalEntry[];
  /** Each with the condition under which it still holds. */
  readonly writes: readonly Write[];
  readonly stack: Partial<StackRecord>;
}

export type RunEvent =
  | ({ readonly type: 'looked' } & Looked)
  | { readonly type: 'written' }
  | { readonly type: 'conflict'; readonly key: Key }
  /** The store failed; whether the commit is there is not known. */
  | { readonly type: 'unwritable' }
  | { readonly type: 'noted'; readonly note: Note }
  | { readonly type: 'beat'; readonly now: number }
  | { readonly type: 'reread'; readonly record: Stored<DeploymentRecord> | undefined }
  | { readonly type: 'ending'; readonly ending: Ending }
  | { readonly type: 'gathered'; readonly conclusion: Conclusion };

export type RunAsk =
  | { readonly type: 'look' }
  /** `soon`: nothing was promised with it that the loss of the machine would break. */
  | { readonly type: 'commit'; readonly writes: readonly Write[]; readonly durability: Durability }
  | { readonly type: 'reread' }
  /** Nothing, until something is noted, beats or ends. */
  | { readonly type: 'idle' }
  /** All that the conclusion of this record depends on. */
  | { readonly type: 'gather'; readonly record: DeploymentRecord }
  | { readonly type: 'over'; readonly how: Over };

/**
 * `ended`: concluded, now or before; `parked` and `left`: somebody will go on; `busy`: somebody else has the stack, or
 * something else comes first; `fenced`: somebody else took over; `unwritable`: the store failed, and whoever looks again
 * finds out what is there.
 */
export type Over = 'ended' | 'parked' | 'left' | 'busy' | 'fenced' | 'unwritable';

/** What the driver is to know beside what it is asked. */
export type RunEffect =
  | { readonly type: 'claimed'; readonly record: DeploymentRecord; readonly stack: StackRecord }
  | { readonly type: 'durable'; readonly ticket: number }
  /** Somebody told it to stop. */
  | { readonly type: 'cancelled'; readonly word: Word };

export interface Run {
  readonly identity: Identity;
  readonly asked: RunAsk;
  /** Undefined until the claim is asked for. */
  readonly held: Held | undefined;
  /** To be written with the next commit, and with the one under way. */
  readonly noted: readonly Note[];
  readonly writing: readonly Note[];
  readonly beatAt: number | undefined;
  readonly ending: Ending | undefined;
  readonly conclusion: Conclusion | undefined;
}

/** What we wrote last, and the versions that it has in the store as long as nobody else writes. */
export interface Held {
  readonly stack: StackRecord;
  readonly stackVersion: number;
  readonly record: DeploymentRecord;
  readonly recordVersion: number;
  /** Of the newest journal entry. */
  readonly sequence: number;
  /** As the commit under way leaves them. */
  readonly next: Pick<Held, 'stack' | 'record' | 'sequence'> & {
    readonly writesStack: boolean;
    readonly writesRecord: boolean;
  };
}

export interface Stepped {
  readonly run: Run;
  readonly effects: readonly RunEffect[];
}

export function beginRun(identity: Identity): Run {
  return {
    identity,
    asked: { type: 'look' },
    held: undefined,
    noted: [],
    writing: [],
    beatAt: undefined,
    ending: undefined,
    conclusion: undefined,
  };
}

/** The next state after an event. `run.asked` is what to do now, if it is not being done already. */
export function stepRun(run: Run, event: RunEvent): Stepped {
  switch (event.type) {
    case 'looked':
      return still(claim(run, event));
    case 'noted':
      return still(goOn({ ...run, noted: [...run.noted, event.note] }));
    case 'beat':
      return still(goOn({ ...run, beatAt: event.now }));
    case 'ending':
      return still(goOn({ ...run, ending: heeding(event.ending, run.held?.record.cancel) }));
    case 'gathered':
      return still(conclude(run, event.conclusion));
    case 'reread':
      return reread(run, event.record);
    case 'written':
      return written(run);
    case 'conflict':
      return still(lostRace(run, event.key));
    case 'unwritable':
      return still(over(run, 'unwritable'));
    default:
      return never(event);
  }
}

/** Whether somebody else has the stack, or something else comes first. */
function isBusy({ holder, deployment }: Identity, record: DeploymentRecord, looked: Looked): boolean {
  const { stack, lock, holderIsGone, now } = looked;
  const lease = stack?.value.lease;
  if (lease && lease.expiresAt > now && lease.holder.id !== holder.id && !holderIsGone) return true;
  // Half of one deployment under another would be nobody's state: what was begun is ended first.
  const current = stack?.value.current ?? lease?.deployment;
  if (current !== undefined) return current !== deployment;
  // A lock by hand keeps what begins; what was begun goes on.
  return lock !== undefined && !record.dryRun && lock.value.id !== record.lockId;
}

function claim(run: Run, looked: Looked): Run {
  const { stack, record, lock, entries, now } = looked;
  const { holder, deployment } = run.identity;
  if (!record || isEnded(record.value.status)) return over(run, 'ended');
  if (record.value.status === 'awaiting_approval') return over(run, 'parked');
  if (isBusy(run.identity, record.value, looked)) return over(run, 'busy');

  const at = new Date(now).toISOString();
  const before = stack?.value ?? newStack(run.identity, at);
  const fresh: Lease = { holder, deployment, claimedAt: now, heartbeatAt: now, expiresAt: now + LEASE_MS };
  const isResumed = record.value.status === 'applying' || record.value.status === 'cancelling';
  const status = isResumed || record.value.approval?.state === 'approved' ? 'applying' : 'planning';
  const ours: DeploymentRecord = {
    ...record.value,
    status: record.value.status === 'cancelling' ? 'cancelling' : status,
    startedAt: record.value.startedAt ?? at,
    // Its time runs while it is worked on, not while it waits for its turn.
    ...(isResumed || record.value.startedAt === undefined ? {} : { resumedAt: at }),
  };
  const held: Held = {
    stack: before,
    stackVersion: stack?.version ?? 0,
    record: record.value,
    recordVersion: record.version,
    sequence: sequenceOf(entries),
    next: { stack: before, record: record.value, sequence: 0, writesStack: false, writesRecord: false },
  };
  const note: JournalEntry[] =
    ours.status === record.value.status ? [] : [{ at, type: 'status', status: ours.status }];
  return commit(
    { ...run, held },
    {
      stack: { ...before, token: before.token + 1, lease: fresh, current: deployment },
      record: ours,
      entries: note,
      // Nobody may have locked it by hand in the meantime.
      writes: [{ type: 'check', key: keys.lock(run.identity.stack), if: lock ? lock.version : 'absent' }],
    },
  );
}

function newStack({ stack, scope, dataflow, deployment }: Identity, at: string): StackRecord {
  // Told apart from an earlier state of the same name by the deployment that began it.
  const lineage = `${deployment}@${at}`;
  return { stack, scope, dataflow, lineage, permanent: true, version: 0, serial: 0, token: 0 };
}

function sequenceOf(entries: readonly Stored<JournalEntry>[]): number {
  return Number(entries.at(-1)?.id.split('/').at(-1) ?? 0);
}

/** What comes next when nothing is under way. */
function goOn(run: Run): Run {
  const { held, asked, noted, beatAt, ending } = run;
  if (!held || asked.type !== 'idle') return run;
  if (noted.length > 0) return commit(run, {});
  // Whoever told it to stop has written that into the record.
  if (beatAt !== undefined) return ask(run, { type: 'reread' });
  if (!ending) return run;
  switch (ending.type) {
    case 'conclude':
      return ask(run, { type: 'gather', record: { ...held.record, ...ending.record } });
    case 'park': {
      const { lease: _lease, current: _current, ...free } = held.stack;
      return commit(run, {
        stack: free,
        record: { ...held.record, ...ending.record },
        entries: ending.entries,
        lasts: true,
        writes: [{ type: 'delete', key: keys.queue(held.record), if: 'any' }, ...ending.writes],
      });
    }
    case 'leave': {
      const { lease: _, ...free } = held.stack;
      return commit(run, { stack: free });
    }
    default:
      return never(ending);
  }
}

function conclude(run: Run, conclusion: Conclusion): Run {
  const { held } = run;
  if (!held) return run;
  const { lease: _lease, current: _current, ...free } = held.stack;
  return commit(
    { ...run, conclusion },
    {
      stack: { ...free, ...conclusion.stack },
      record: conclusion.record,
      entries: conclusion.entries,
      writes: conclusion.writes,
      lasts: true,
    },
  );
}

interface Commit {
  /** As the stack's document shall be; else it is only checked. */
  readonly stack?: StackRecord;
  readonly record?: DeploymentRecord;
  readonly entries?: readonly JournalEntry[];
  readonly writes?: readonly Write[];
  /** Whether somebody is told of it. */
  readonly lasts?: true;
}

/** All that was noted, and this, under the condition that the lease is still ours. */
function commit(run: Run, more: Commit): Run {
  const { identity, noted, held } = run;
  if (!held) return run;
  const stackKey = keys.stack(identity.stack);
  const condition = held.stackVersion === 0 ? 'absent' : held.stackVersion;
  const stack: Write = more.stack
    ? { type: 'put', key: stackKey, value: more.stack, if: condition }
    : { type: 'check', key: stackKey, if: condition };
  const entries = [...noted.flatMap((note) => note.entries), ...(more.entries ?? [])];
  const changes = noted.flatMap((note) => note.record ?? []);
  const writesRecord = more.record !== undefined || changes.length > 0;
  const record = more.record ?? Object.assign({}, held.record, ...changes);
  const own: Write = {
    type: 'put',
    key: keys.deployment(identity.deployment),
    value: record,
    if: held.recordVersion,
  };
  const writes = [
    stack,
    ...entries.map((value, at): Write => {
      const key = keys.journal(identity.deployment, held.sequence + at + 1);
      return { type: 'put', key, value, if: 'absent' };
    }),
    ...unitWrites(identity.stack, noted),
    ...(writesRecord ? [own] : []),
    ...(more.writes ?? []),
  ];
  const next = {
    stack: more.stack ?? held.stack,
    record,
    sequence: held.sequence + entries.length,
    writesStack: more.stack !== undefined,
    writesRecord,
  };
  // A claim, a heartbeat, or what a tool says: lost with the machine, so is the process that it was for.
  const durability = noted.every(isTalk) && !more.lasts ? 'soon' : 'now';
  return {
    ...run,
    held: { ...held, next },
    writing: noted,
    noted: [],
    asked: { type: 'commit', writes, durability },
  };
}

/** Whether it tells nothing but what a tool said. */
function isTalk({ units, record, entries }: Note): boolean {
  return units === undefined && record === undefined && entries.every(({ type }) => type === 'log');
}

/** Of several states of one unit the last counts. */
function unitWrites(stack: StackId, noted: readonly Note[]): Write[] {
  const last = new Map(
    noted.flatMap(({ units = [] }) => units.map(({ unit, state }) => [unit, state] as const)),
  );
  return [...last].map(([unit, state]): Write => {
    const key = keys.unit(stack, unit);
    return state ? { type: 'put', key, value: state, if: 'any' } : { type: 'delete', key, if: 'any' };
  });
}

function written(run: Run): Stepped {
  const { held, writing, ending } = run;
  if (!held) return still(run);
  const { next } = held;
  const wasClaim = held.stack.token !== next.stack.token;
  const now: Held = {
    ...held,
    stack: next.stack,
    stackVersion: held.stackVersion + (next.writesStack ? 1 : 0),
    record: next.record,
    recordVersion: held.recordVersion + (next.writesRecord ? 1 : 0),
    sequence: next.sequence,
  };
  const effects: RunEffect[] = writing.map(({ ticket }) => ({ type: 'durable', ticket }));
  // Told to stop while nobody had it: whoever takes it up knows that before it begins.
  if (wasClaim && now.record.cancel) effects.push({ type: 'cancelled', word: now.record.cancel });
  if (wasClaim) effects.push({ type: 'claimed', record: now.record, stack: now.stack });
  const settled: Run = { ...run, held: now, writing: [], asked: { type: 'idle' } };
  if (next.stack.lease === undefined) {
    const how = { conclude: 'ended', park: 'parked', leave: 'left' } as const;
    return { run: over(settled, ending ? how[ending.type] : 'left'), effects };
  }
  return { run: goOn(settled), effects };
}

/** Somebody else wrote what this commit depends on: nothing of it is there. */
function lostRace(run: Run, key: Key): Run {
  const { held, writing, noted } = run;
  if (!held) return over(run, 'fenced');
  const again: Run = { ...run, writing: [], noted: [...writing, ...noted], conclusion: undefined };
  const isClaim = held.next.stack.token !== held.stack.token;
  if (isClaim) return ask({ ...again, held: undefined, noted: run.noted }, { type: 'look' });
  if (key.collection === 'stacks' || key.collection === 'journal') return over(again, 'fenced');
  // A word to stop may stand in our record now; whatever else it was, the conclusion is made anew.
  return ask(again, { type: 'reread' });
}

function reread(run: Run, found: Stored<DeploymentRecord> | undefined): Stepped {
  const { held, beatAt } = run;
  if (!held) return still(run);
  // Nobody removes or ends what we hold: then it is not ours any more.
  if (!found || isEnded(found.value.status)) return still(over(run, 'fenced'));
  const isNews = found.version !== held.recordVersion;
  const cancel = found.value.cancel;
  const record: DeploymentRecord =
    isNews && cancel ? { ...held.record, cancel, status: 'cancelling' } : held.record;
  const effects: RunEffect[] = cancel && !held.record.cancel ? [{ type: 'cancelled', word: cancel }] : [];
  const settled: Run = {
    ...run,
    held: { ...held, record, recordVersion: found.version },
    ending: run.ending && heeding(run.ending, cancel),
    asked: { type: 'idle' },
  };
  const { lease } = held.stack;
  if (beatAt === undefined || !lease) return { run: goOn(settled), effects };
  const beaten: Lease = { ...lease, heartbeatAt: beatAt, expiresAt: beatAt + LEASE_MS };
  return {
    run: commit({ ...settled, beatAt: undefined }, { stack: { ...held.stack, lease: beaten } }),
    effects,
  };
}

/** Told to stop before it was over: what it did is told, and it is no success. What waits for an approval waits no more. */
function heeding(ending: Ending, cancel: Word | undefined): Ending {
  if (!cancel || ending.type === 'leave') return ending;
  // Nobody is asked any more.
  const { approval, ...rest } = ending.record;
  const decided = approval && approval.state !== 'pending' ? { approval } : {};
  return {
    type: 'conclude',
    record: { ...rest, ...decided, status: 'cancelled', cancel, error: sentenceOf(cancel, 'cancelled') },
  };
}

function ask(run: Run, asked: RunAsk): Run {
  return { ...run, asked };
}

function over(run: Run, how: Over): Run {
  return ask(run, { type: 'over', how });
}

function still(run: Run): Stepped {
  return { run, effects: [] };
}
