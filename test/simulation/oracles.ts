/**
 * What must hold in a simulated world, checked as it happens: at every commit, effect, message and receipt.
 *
 * They read the store and the cloud as they are, not as any director sees them. The first that does not hold ends
 * the run, and names the invariant.
 */
import { verifyChain } from '@service-director/director/store/audit.ts';
import {
  type AuditHead,
  type AuditRecord,
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
  keys,
  type OutboxRecord,
  type StackRecord,
  type VersionRecord,
} from '@service-director/director/store/records.ts';
import { DirectorEvent, isTerminal, type UnitLine } from '@service-director/shared/contract/event.ts';
import { canonicalJson } from '@service-director/shared/kit/hash.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { StackId, UnitId } from '@service-director/shared/model/unit.ts';
import type { SimBroker } from './sim-bus.ts';
import type { Audit, SimCloud } from './sim-cloud.ts';
import type { Commit, Row, SimDatabase } from './sim-store.ts';

/** Paths that a run takes seldom, and that some run must have taken. */
export const RARE = [
  'told to stop at work',
  'cancelled while nobody worked on it',
  'approved',
  'rejected',
  'nobody approved it in time',
  'parked for an approval',
  'a stale plan was refused',
  'rolled back',
  'rolled back by itself',
  'failed in part',
  'kept for another stack',
  'taken over',
  'a lease was taken by force',
  'a late writer was refused',
  'a command came twice',
  'answered again',
  'given back',
  'found to exist already, and adopted',
  'a conflict was tried again',
  'an unknown outcome was found to be a success',
  'an unknown outcome was found to be none',
  'waited as it was told to',
  'refused for the moment, and then let through',
  "left what is a stranger's",
  'an old version was let go',
  'a create came after its removal',
] as const;
export type Rare = (typeof RARE)[number];

/** A call that takes longer is one that its caller does not wait for. Milliseconds. */
const LATE_MS = 2_000;

/** An invariant does not hold. */
export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.name = 'Violation';
    this.invariant = invariant;
  }
}

export interface Oracles {
  /** How often each rare path was taken. */
  readonly sometimes: ReadonlyMap<Rare, number>;
  /** What holds when nobody is at work any more. */
  checkAtRest(): void;
  /** Things that nobody can be blamed for: their create came so late that they had been removed already. */
  readonly late: ReadonlySet<string>;
  /** Every version's units, as they were when it was written: what a way back must lead to. */
  snapshot(stack: StackId, version: number): ReadonlyMap<UnitId, UnitState> | undefined;
}

export interface Watched {
  readonly database: SimDatabase;
  readonly broker: SimBroker;
  readonly cloud: SimCloud;
  /** Ids of things that are never to be removed. */
  readonly protectedPaths: ReadonlySet<string>;
}

export function watch({ database, broker, cloud, protectedPaths }: Watched): Oracles {
  const sometimes = new Map<Rare, number>();
  const intents = new Map<string, Set<string>>();
  const lastWords = new Map<string, string>();
  const snapshots = new Map<string, ReadonlyMap<UnitId, UnitState>>();
  const heard = callsHeard(cloud);
  /** Of each stack: the deployments that were begun and have not ended. */
  const begun = new Map<StackId, Set<string>>();
  /** Of each deployment and token: the units that were begun and have not ended. */
  const open = new Map<string, Set<UnitId>>();
  const late = new Set<string>();
  const removals = new Map<string, number>();
  /** Removed by hand, by a call that its sender had given up, or in a way that shows late: who looks then, errs. */
  const taken = new Set<string>();
  const count = (what: Rare): void => void sometimes.set(what, (sometimes.get(what) ?? 0) + 1);
  const demand = (holds: boolean, invariant: string, detail: string): void => {
    if (!holds) throw new Violation(invariant, detail);
  };

  database.onCommit((commit) => {
    for (const row of commit.rows) {
      CHECKS[row.key.collection]?.(row, commit);
    }
  });

  const CHECKS: Readonly<Record<string, (row: Row, commit: Commit) => void>> = {
    commands: commandChanged,
    deployments: deploymentChanged,
    journal: journalGrew,
    units: (row, commit) => heldBy(commit, stackOfUnit(row.key.id), row),
    versions: versionMade,
    stacks: stackChanged,
    outbox: outboxChanged,
    audit: ({ key, type, version }) =>
      demand(type === 'put' && version === 1, 'the audit trail is only added to', key.id),
  };

  function commandChanged({ key, type, value, before }: Row): void {
    demand(type === 'put', 'the ledger forgets nothing', `${key.id} was removed`);
    const [now, then] = [value as CommandRecord, before as CommandRecord | undefined];
    if (!then) return;
    demand(now.bodyHash === then.bodyHash, 'a command stays what it is', key.id);
    if (then.answer)
      demand(
        JSON.stringify(now.answer) === JSON.stringify(then.answer),
        'a command has one last word',
        `${key.id} got another one`,
      );
  }

  function deploymentChanged({ key, type, value, before }: Row, commit: Commit): void {
    demand(type === 'put', 'no deployment is forgotten', key.id);
    const [now, then] = [value as DeploymentRecord, before as DeploymentRecord | undefined];
    if (then && isEnded(then.status)) {
      stayedAsItEnded(now, then);
      return;
    }
    demandWord(now, then);
    demandAlone(now);
    if (now.status === 'succeeded' && now.operation === 'rollback' && !now.dryRun) demandBack(now, commit);
    for (const path of pathsOf(now, then)) count(path);
  }

  function stayedAsItEnded(now: DeploymentRecord, then: DeploymentRecord): void {
    const { rolledBackBy: _now, ...rest } = now;
    const { rolledBackBy: _then, ...old } = then;
    demand(
      JSON.stringify(rest) === JSON.stringify(old),
      'a deployment that has ended stays as it ended',
      now.id,
    );
  }

  /** What somebody said of it holds: a cancel, an approval. */
  function demandWord(now: DeploymentRecord, then: DeploymentRecord | undefined): void {
    demand(
      !then?.cancel || now.cancel !== undefined,
      'a cancel is not overwritten by a late success',
      `${now.id} forgot it`,
    );
    if (then?.cancel && isEnded(now.status))
      demand(
        now.status === 'cancelled',
        'a cancel is not overwritten by a late success',
        `${now.id} ${now.status}`,
      );
    if (then?.approval?.state === 'approved' && now.status === 'succeeded')
      demand(
        now.plan?.hash === then.approval.planHash,
        'the plan that was approved is the plan that was applied',
        `${now.id}: ${now.plan?.hash} beside ${then.approval.planHash}`,
      );
  }

  /** Half of one deployment is never under another. */
  function demandAlone({ id, stack, status }: DeploymentRecord): void {
    const all = begun.get(stack) ?? new Set();
    begun.set(stack, all);
    if (status === 'planning' || status === 'applying' || status === 'cancelling') all.add(id);
    else all.delete(id);
    demand(all.size <= 1, 'a stack has one deployment at a time', [...all].join(' and '));
  }

  /** After a rollback each unit is as it was at that version; what that version did not have is there only if it is kept. */
  function demandBack({ id, stack, toVersion, units = [] }: DeploymentRecord, { rows }: Commit): void {
    const row = rows.find(({ key }) => key.collection === 'stacks' && key.id === stack);
    const version = toVersion ?? ((row?.before as StackRecord | undefined)?.version ?? 0) - 1;
    const then = version === 0 ? new Map<UnitId, UnitState>() : snapshots.get(`${stack}@${version}`);
    const kept = new Set(units.flatMap(({ unit, result }) => (result === 'kept' ? [unit as UnitId] : [])));
    const now = unitsOf(stack);
    for (const unit of new Set([...now.keys(), ...(then?.keys() ?? [])])) {
      const [is, was] = [now.get(unit), then?.get(unit)];
      // What several stacks share follows them all.
      if (kept.has(unit) || (is ?? was)?.kind === 'grants' || (is ?? was)?.kind === 'service-account')
        continue;
      demand(
        canonicalJson(is?.spec ?? null) === canonicalJson(was?.spec ?? null),
        'a rollback brings back what there was',
        `${id}: ${unit} is ${canonicalJson(is?.spec ?? null)} and was ${canonicalJson(was?.spec ?? null)} at ${version}`,
      );
    }
  }

  function journalGrew(row: Row, commit: Commit): void {
    const deployment = row.key.id.slice(0, row.key.id.lastIndexOf('/'));
    demand(row.type === 'put' && row.version === 1, 'the journal is only added to', row.key.id);
    const record = database.get<DeploymentRecord>(keys.deployment(deployment))?.value;
    if (!record) throw new Violation('the journal is of a deployment', row.key.id);
    heldBy(commit, record.stack, row);
    const entry = row.value as JournalEntry;
    if (entry.type === 'intend') intended(entry, record, commit.process);
    if (entry.type !== 'finish') return;
    const { token = 0 } = database.get<StackRecord>(keys.stack(record.stack))?.value ?? {};
    open.get(`${record.id}@${token}`)?.delete(entry.unit);
    if (entry.line.result === 'kept' && entry.line.because?.includes('uses it too'))
      count('kept for another stack');
    for (const path of heard(commit.process, entry.unit, entry.line.result)) count(path);
  }

  function intended(
    { unit, token }: Extract<JournalEntry, { type: 'intend' }>,
    { id, plan }: DeploymentRecord,
    process: string,
  ): void {
    const by = intents.get(unit) ?? new Set();
    by.add(process);
    intents.set(unit, by);
    const tenure = `${id}@${token}`;
    const others = open.get(tenure) ?? new Set();
    open.set(tenure, others);
    for (const need of plan?.units.find((one) => one.id === unit)?.after ?? [])
      demand(!others.has(need), 'a unit is begun after what it needs has ended', `${unit} before ${need}`);
    others.add(unit);
  }

  /** Only who holds the lease of a stack writes its state. */
  function heldBy(commit: Commit, stack: StackId, { key }: Row): void {
    const row = commit.rows.find((one) => one.key.collection === 'stacks' && one.key.id === stack);
    const now = database.get<StackRecord>(keys.stack(stack))?.value;
    const before = row ? (row.before as StackRecord | undefined) : now;
    const holders = [before?.lease?.holder.id, now?.lease?.holder.id];
    demand(
      holders.includes(commit.process),
      'nobody writes the state after the lease was lost',
      `${commit.process} wrote ${key.collection}/${key.id}; ${holders.join(' and ')} held ${stack}`,
    );
  }

  function stackChanged({ value, before, key, type }: Row, { process }: Commit): void {
    demand(type === 'put', 'no stack is forgotten', key.id);
    const [now, then] = [value as StackRecord, before as StackRecord | undefined];
    demand(now.token >= (then?.token ?? 0), 'fencing tokens never go back', key.id);
    demand((now.serial ?? 0) >= (then?.serial ?? 0), 'serials never go back', key.id);
    demand(!then || now.lineage === then.lineage, 'a state keeps its lineage', key.id);
    demand(now.version - (then?.version ?? 0) <= 1, 'state versions are continuous', key.id);
    const taken = then?.lease && now.token > then.token && now.lease && then.lease.holder.id !== process;
    if (taken) count('taken over');
    if (then?.lease && !now.lease && now.token > then.token) count('a lease was taken by force');
  }

  function versionMade({ key, type, value }: Row): void {
    if (type === 'delete') {
      count('an old version was let go');
      return;
    }
    const { stack, version } = value as VersionRecord;
    demand(Number(key.id.split('/').at(-1)) === version, 'state versions are continuous', key.id);
    demand(
      version === 1 || snapshots.has(`${stack}@${version - 1}`),
      'state versions are continuous',
      `${stack} has ${version} and never had the one before`,
    );
    snapshots.set(`${stack}@${version}`, unitsOf(stack));
  }

  function outboxChanged({ key, type, value }: Row): void {
    if (type === 'delete') return;
    const known = lastWords.get(key.id);
    const { body, attributes } = value as OutboxRecord;
    const word = canonicalJson({ body, attributes });
    demand(
      known === undefined || known === word,
      'one fact has one event',
      `${key.id} was ${known} and then ${word}`,
    );
    if (known !== undefined) count('answered again');
    lastWords.set(key.id, word);
  }

  function unitsOf(stack: StackId): ReadonlyMap<UnitId, UnitState> {
    const rows = database.list<UnitState>({ collection: 'units', prefix: `${stack}//` });
    return new Map(rows.map(({ value }) => [value.id, value]));
  }

  /** Paths of things that directors made. */
  const ours = new Set<string>();
  database.onConflict(({ process, key }) => {
    if (key.collection === 'commands') count('a command came twice');
    const lease = key.collection === 'stacks' && database.get<StackRecord>(key)?.value.lease;
    if (lease && lease.holder.id !== process) count('a late writer was refused');
  });

  cloud.onEffect((call, thing) => {
    const { verb, path, unit, process, uid } = call;
    noteRemoval(call);
    if (process === 'hand') return;
    if (verb === 'create') ours.add(path);
    // A policy has no owner: somebody who takes the place of our own thing in between is given what it was to be given.
    const isInItsPlace = verb === 'grant' && ours.has(path);
    demand(
      thing?.owner !== 'foreign' || isInItsPlace,
      "what is a stranger's is left alone",
      `${process} ${verb} ${path} of a stranger`,
    );
    demand(
      intents.get(unit)?.has(process) === true,
      'each call that changes anything has a durable intent before it',
      `${process} ${verb} ${unit}`,
    );
    if (verb === 'remove')
      demand(
        !protectedPaths.has(path),
        'what is protected is never deleted',
        `${process} removed ${path} ${uid}`,
      );
    if (verb === 'create' && thing && thing.uid !== uid)
      throw new Violation('nothing is made twice', `${path} is there as ${thing.uid} and as ${uid}`);
  });

  /** A create that was under way for so long that the thing was made, and removed, by others: no condition stops it. */
  function noteRemoval({ verb, path, process, sentAt, effectAt = 0 }: Audit): void {
    if (verb === 'remove') {
      removals.set(path, effectAt);
      late.delete(path);
      const isBlameless = process === 'hand' || effectAt - sentAt >= LATE_MS || cloud.isShownLate(path);
      if (isBlameless) taken.add(path);
    }
    if (verb !== 'create' || effectAt - sentAt < LATE_MS || (removals.get(path) ?? -1) < sentAt) return;
    late.add(path);
    count('a create came after its removal');
  }

  broker.onPublish(({ topic, attributes, body }) => {
    if (topic !== 'director-events') return;
    const event = DirectorEvent.parse(JSON.parse(body));
    if (!isTerminal(event)) return;
    const id = attributes['ce-id'] ?? '';
    const record = database.get<CommandRecord>(keys.command(id.slice(0, id.lastIndexOf('.'))))?.value;
    demand(record?.answer !== undefined, 'an event tells what is committed', id);
    demand(
      JSON.stringify(record?.answer) === body,
      'an event tells what is committed',
      `${id} tells another thing`,
    );
  });

  broker.onReceipt(({ type, delivery }) => {
    if (type === 'nack') {
      count('given back');
      return;
    }
    const id = delivery.attributes['ce-id'] ?? '';
    demand(
      database.get(keys.command(id)) !== undefined,
      'nothing is acknowledged that is not in the ledger',
      `${id} was acknowledged by ${delivery.topic}`,
    );
  });

  return {
    ...{ sometimes, late },
    snapshot: (stack, version) => (version === 0 ? new Map() : snapshots.get(`${stack}@${version}`)),

    checkAtRest() {
      for (const { value } of database.list<CommandRecord>({ collection: 'commands' }))
        demand(
          value.answer !== undefined,
          'every command gets its last word',
          `${value.id} is ${value.status}`,
        );
      for (const { value } of database.list<DeploymentRecord>({ collection: 'deployments' }))
        demand(isEnded(value.status), 'every deployment ends', `${value.id} is ${value.status}`);
      for (const { value } of database.list<StackRecord>({ collection: 'stacks' })) {
        demand(value.lease === undefined, 'no lock is left', value.stack);
        demandTrail(value.stack);
      }
      demand(database.list({ collection: 'queue' }).length === 0, 'the queue gets empty', 'it is not');
      demand(database.list({ collection: 'outbox' }).length === 0, 'the outbox gets empty', 'it is not');
      const told = new Set(broker.published.map(({ attributes }) => attributes['ce-id']));
      for (const [id] of lastWords) demand(told.has(id), 'every last word is published', id);
      demandOwners();
      demandShared();
    },
  };

  function demandTrail(stack: StackId): void {
    const rows = database.list<AuditRecord>({ collection: 'audit', prefix: `${stack}/`, limit: 100_000 });
    const head = database.get<AuditHead>(keys.auditHead(stack))?.value;
    const broken = verifyChain(
      rows.map((row) => row.value),
      head,
    );
    demand(broken === undefined, 'the audit trail is whole', `${stack} at ${broken}`);
  }

  /** What a stack found, or made, and others may give up, is still there. */
  function demandShared(): void {
    for (const { id, value } of database.list<UnitState>({ collection: 'units', limit: 100_000 })) {
      // A stack that was giving it up may have removed it, and not have lived to say so.
      const isMade =
        value.kind === 'service-account' && value.outputs.uid !== undefined && value.leaving === undefined;
      if (isMade && !taken.has(value.id))
        demand(cloud.thing(value.id) !== undefined, 'what another stack uses is not removed', id);
    }
  }

  function demandOwners(): void {
    const owned = new Set(
      database.list<UnitState>({ collection: 'units', limit: 100_000 }).map(({ value }) => value.id),
    );
    for (const { path, owner } of cloud.things())
      if (owner !== 'foreign' && !late.has(path))
        demand(owned.has(path as UnitId), 'nothing exists that no state owns', path);
  }
}

/** The rare paths that a change of a deployment's record shows. */
function pathsOf(now: DeploymentRecord, then: DeploymentRecord | undefined): Rare[] {
  const isNew = then?.status !== now.status;
  const isBack = now.status === 'succeeded' && now.operation === 'rollback';
  const has = (is: (line: UnitLine) => boolean | undefined): boolean => now.units?.some(is) ?? false;
  const shown: readonly (readonly [Rare, boolean])[] = [
    ['told to stop at work', isNew && now.status === 'cancelling'],
    ['parked for an approval', isNew && now.status === 'awaiting_approval'],
    [
      'cancelled while nobody worked on it',
      now.status === 'cancelled' && now.cancel !== undefined && now.startedAt === undefined,
    ],
    ['rolled back', isBack],
    ['rolled back by itself', isBack && now.id.endsWith('.rollback')],
    ['failed in part', now.status === 'failed' && has(({ result }) => result === 'skipped')],
    ['a stale plan was refused', now.error?.includes('stale') ?? false],
    ["left what is a stranger's", has(({ because }) => because?.includes('does not bear our mark'))],
  ];
  return [...shown.flatMap(([path, is]) => (is ? [path] : [])), ...decisionOf(now, then)];
}

function decisionOf(now: DeploymentRecord, then: DeploymentRecord | undefined): Rare[] {
  if (then?.approval?.state !== 'pending') return [];
  switch (now.approval?.state) {
    case 'approved':
      return ['approved'];
    case 'rejected':
      return ['rejected'];
    case 'expired':
      return ['nobody approved it in time'];
    default:
      return [];
  }
}

/** What each process heard of its calls about each unit since it last ended: which rare paths a good end came by. */
function callsHeard(cloud: SimCloud): (process: string, unit: UnitId, result: string) => Rare[] {
  const calls = new Map<string, Audit[]>();
  let read = 0;
  return (process, unit, result) => {
    for (; read < cloud.audit.length; read++) {
      const call = cloud.audit[read];
      if (!call) continue;
      const key = `${call.process} ${call.unit}`;
      calls.set(key, [...(calls.get(key) ?? []), call]);
    }
    const key = `${process} ${unit}`;
    const own = calls.get(key) ?? [];
    calls.delete(key);
    if (result === 'failed' || result === 'cancelled' || result === 'skipped') return [];
    return [...new Set(own.flatMap((call) => pathOfCall(call) ?? []))];
  };
}

function pathOfCall({ heard, effectAt }: Audit): Rare | undefined {
  switch (heard) {
    case 'already-exists':
      return 'found to exist already, and adopted';
    case 'conflict':
      return 'a conflict was tried again';
    case 'unknown-outcome':
      return effectAt === undefined
        ? 'an unknown outcome was found to be none'
        : 'an unknown outcome was found to be a success';
    case 'rate-limited':
      return 'waited as it was told to';
    case 'denied':
    case 'propagating':
      return 'refused for the moment, and then let through';
    default:
      return undefined;
  }
}

function stackOfUnit(id: string): StackId {
  return id.slice(0, id.indexOf('//')) as StackId;
}
