/** Commands that decide something about what is there already: approve, cancel, lock, unlock. Done the moment they come in. */
import type { Deciding } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { stackOf } from '@service-director/shared/model/unit.ts';
import { auditWrites, type Fact } from '../store/audit.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  keys,
  type LockRecord,
  type StackRecord,
  sentenceOf,
  type Word,
} from '../store/records.ts';
import type { Store, Stored, Write } from '../store/store.ts';
import { tellingOfAll, tellingWrites } from '../webhooks/deliveries.ts';
import { type Blueprints, ownerOf, Unplannable } from './blueprints.ts';
import { type ConclusionContext, endingWrites, inQueue } from './conclusion.ts';

export interface DecisionContext extends ConclusionContext {
  readonly blueprints: Blueprints;
}

/** What a decision came to. */
export interface Decided {
  readonly writes: readonly Write[];
  /** In a sentence. */
  readonly note: string;
  readonly lockId?: string;
}

type CommandOf<Type extends Deciding['type']> = Extract<Deciding, { type: Type }>;

/** Throws Unplannable when it cannot be done, and why. */
export async function decide(command: Deciding, context: DecisionContext): Promise<Decided> {
  switch (command.type) {
    case 'approve':
      return approve(command, context);
    case 'cancel':
      return cancel(command, context);
    case 'lock':
      return lock(command, context);
    case 'unlock':
      return unlock(command, context);
    default:
      return never(command);
  }
}

/** The row of a decision, which ends with it. */
export function decided(
  taken: CommandRecord,
  { id, type }: Deciding,
  made: Decided | Unplannable,
  clock: Clock,
): CommandRecord {
  const about = { command: id, command_type: type, dry_run: false, deployments: [] };
  const endedAt = timestamp(clock.now());
  if (made instanceof Unplannable) {
    const fix = made.fix === undefined ? {} : { fix: made.fix };
    const answer: TerminalEvent = { type: 'failed', ...about, error: made.message, ...fix };
    return { ...taken, status: 'failed', endedAt, answer };
  }
  const lockId = made.lockId === undefined ? {} : { lock_id: made.lockId };
  const answer: TerminalEvent = { type: 'completed', ...about, note: made.note, ...lockId };
  return { ...taken, status: 'succeeded', endedAt, answer };
}

async function approve(command: CommandOf<'approve'>, context: DecisionContext): Promise<Decided> {
  const { store, clock } = context;
  const { deployment: id, decision, plan_hash } = command.data;
  const found = await demandDeployment(id, store);
  const { approval, status, stack } = found.value;
  if (status !== 'awaiting_approval' || approval?.state !== 'pending')
    throw new Unplannable(`${id} waits for no approval: it is ${status}`);
  if (plan_hash !== undefined && plan_hash !== approval.planHash)
    throw new Unplannable(
      `The plan of ${id} is another one: its hash is ${approval.planHash}`,
      'read the plan again, and approve it by its hash',
    );
  if (approval.expiresAt <= clock.now())
    throw new Unplannable(`Nobody approved ${id} in time`, 'run it again');
  const word = wordOf(command, clock);
  if (decision === 'reject') {
    return {
      writes: await endParked([found], word, 'rejected', context),
      note: `${id} is rejected; it changed nothing`,
    };
  }
  const value: DeploymentRecord = {
    ...found.value,
    status: 'queued',
    approval: { state: 'approved', planHash: approval.planHash, ...word },
  };
  const fact: Fact = {
    what: 'approved',
    ...word,
    command: command.id,
    deployment: id,
    detail: approval.planHash,
  };
  return {
    writes: [
      { type: 'put', key: keys.deployment(id), value, if: found.version },
      inQueue(value),
      ...(await auditWrites(stack, [fact], store)),
      ...(await tellingWrites(found.value, value, context)),
    ],
    note: `${id} is approved and goes on`,
  };
}

async function cancel(command: CommandOf<'cancel'>, context: DecisionContext): Promise<Decided> {
  const { store, clock } = context;
  const word = wordOf(command, clock);
  const all = await targetsOf(command, store);
  const open = all.filter(({ value }) => !isEnded(value.status));
  if (open.length === 0) {
    const list = all.map(({ id, value }) => `${id} ${value.status}`).join(', ');
    throw new Unplannable(`There is nothing to cancel: ${list || 'it has no deployments'}`);
  }
  const told = open.filter(({ value }) => isWorkedOn(value.status));
  const ended = open.filter(({ value }) => !isWorkedOn(value.status));
  const words = await Promise.all(
    told.map(({ value, id }) =>
      auditWrites(value.stack, [{ what: 'cancelled', ...word, command: command.id, deployment: id }], store),
    ),
  );
  const stopping = told.map(({ value: before, version }) => {
    const after: DeploymentRecord = { ...before, cancel: word, status: 'cancelling' };
    return { before, after, version };
  });
  const writes: Write[] = [
    ...stopping.map(({ after, version }): Write => {
      return { type: 'put', key: keys.deployment(after.id), value: after, if: version };
    }),
    ...words.flat(),
    ...(await tellingOfAll(stopping, context)),
    ...(await endParked(ended, word, 'cancelled', context)),
  ];
  const notes = open.map(({ id, value }) =>
    isWorkedOn(value.status)
      ? `${id} stops; what it began is finished, and told`
      : `${id} is cancelled; it changed nothing`,
  );
  return { writes, note: notes.join('; ') };
}

async function targetsOf({ data }: CommandOf<'cancel'>, store: Store): Promise<Stored<DeploymentRecord>[]> {
  if (data.deployment !== undefined) return [await demandDeployment(data.deployment, store)];
  const command = await store.get<CommandRecord>(keys.command(data.command ?? ''));
  if (!command) throw new Unplannable(`There is no command ${data.command}`, 'see conductor events');
  const found = await Promise.all(
    command.value.deployments.map((id) => store.get<DeploymentRecord>(keys.deployment(id))),
  );
  return found.flatMap((one) => one ?? []);
}

async function lock(command: CommandOf<'lock'>, context: DecisionContext): Promise<Decided> {
  const { store, clock } = context;
  const { dataflow, scope, operation, who } = command.data;
  const stack = stackOf(await ownerOf({ dataflow, scope }, context.blueprints, store));
  const [held, found] = await Promise.all([
    store.get<LockRecord>(keys.lock(stack)),
    store.get<StackRecord>(keys.stack(stack)),
  ]);
  if (held)
    throw new Unplannable(
      `${stack} is locked by ${held.value.by} for ${held.value.operation} since ${held.value.at}`,
      `ask them, or take it away: conductor unlock ${dataflow} --force --reason …`,
    );
  const begun = found?.value.current ?? found?.value.lease?.deployment;
  if (begun !== undefined)
    throw new Unplannable(`Deployment ${begun} works on ${stack}`, 'wait until it has ended, or cancel it');
  const word = wordOf(command, clock);
  const by = who === undefined ? word.by : who;
  const value: LockRecord = { ...word, by, id: command.id, stack, operation };
  const fact: Fact = { what: 'locked', ...word, command: command.id, detail: `${operation}, for ${by}` };
  return {
    writes: [
      { type: 'put', key: keys.lock(stack), value, if: 'absent' },
      // Nobody has begun in the meantime.
      { type: 'check', key: keys.stack(stack), if: found?.version ?? 'absent' },
      ...(await auditWrites(stack, [fact], store)),
    ],
    note: `${stack} is locked; deployments with "lock_id" ${value.id} go on, others wait`,
    lockId: value.id,
  };
}

async function unlock(command: CommandOf<'unlock'>, context: DecisionContext): Promise<Decided> {
  const { store, clock } = context;
  const { dataflow, scope, lock_id, force } = command.data;
  const stack = stackOf(await ownerOf({ dataflow, scope }, context.blueprints, store));
  const [held, found] = await Promise.all([
    store.get<LockRecord>(keys.lock(stack)),
    store.get<StackRecord>(keys.stack(stack)),
  ]);
  const word = wordOf(command, clock);
  const fact = (what: Fact['what'], detail: string): Promise<Write[]> =>
    auditWrites(stack, [{ what, ...word, command: command.id, detail }], store);
  if (held && (force || held.value.id === lock_id)) {
    const { by, operation } = held.value;
    const release: Write = { type: 'delete', key: keys.lock(stack), if: held.version };
    const audit = await fact(force ? 'forced' : 'unlocked', `${operation}, of ${by}`);
    return { writes: [release, ...audit], note: `${stack} is not locked any more` };
  }
  if (held)
    throw new Unplannable(
      `${stack} is locked by ${held.value.by} under another id`,
      `ask them, or take it away: conductor unlock ${dataflow} --force --reason …`,
    );
  const lease = found?.value.lease;
  if (!force || !found || !lease) return { writes: [], note: `${stack} was not locked` };
  const { lease: _, ...free } = found.value;
  // What was begun is ended first, by whoever claims next.
  const value: StackRecord = { ...free, current: free.current ?? lease.deployment, token: free.token + 1 };
  return {
    writes: [
      { type: 'put', key: keys.stack(stack), value, if: found.version },
      ...(await fact('forced', `the lease of ${lease.deployment}`)),
    ],
    note: `the lease of ${lease.deployment} is taken away; it goes on from where it was, with whoever claims it next`,
  };
}

type Unworked = 'cancelled' | 'rejected' | 'expired';

/** Ends deployments of one command that nobody works on. */
async function endParked(
  found: readonly Stored<DeploymentRecord>[],
  word: Word,
  how: Unworked,
  context: ConclusionContext,
): Promise<Write[]> {
  if (found.length === 0) return [];
  const ended = found.map(({ value, version }) => ({ record: endedSo(value, word, how), version }));
  const trails = await Promise.all(
    ended.map(({ record: { stack, command, id } }) =>
      auditWrites(stack, [{ what: how, ...word, command, deployment: id }], context.store),
    ),
  );
  const told = await tellingOfAll(
    found.map(({ value }) => ({ before: value, after: endedSo(value, word, how) })),
    context,
  );
  return [
    ...told,
    ...ended.flatMap(({ record, version }): Write[] => [
      { type: 'put', key: keys.deployment(record.id), value: record, if: version },
      { type: 'delete', key: keys.queue(record), if: 'any' },
    ]),
    ...trails.flat(),
    ...(await endingWrites(
      ended.map(({ record }) => record),
      context,
    )),
  ];
}

/** Ends what nobody approved in time. */
export function expire(found: Stored<DeploymentRecord>, context: ConclusionContext): Promise<Write[]> {
  const word: Word = { by: 'nobody', at: timestamp(context.clock.now()) };
  return endParked([found], word, 'expired', context);
}

function endedSo(record: DeploymentRecord, word: Word, how: Unworked): DeploymentRecord {
  const { approval, ...rest } = record;
  const decided =
    how !== 'cancelled' && approval
      ? { approval: { state: how, planHash: approval.planHash, ...word } }
      : { cancel: word };
  return {
    ...rest,
    ...decided,
    status: 'cancelled',
    endedAt: word.at,
    error: how === 'expired' ? 'nobody approved it in time' : sentenceOf(word, how),
    fix: 'run it again',
  };
}

async function demandDeployment(id: string, store: Store): Promise<Stored<DeploymentRecord>> {
  const found = await store.get<DeploymentRecord>(keys.deployment(id));
  if (!found) throw new Unplannable(`There is no deployment ${id}`, 'see conductor deployments');
  return found;
}

/** Whether a director may be at it: then only it can end it. */
function isWorkedOn(status: DeploymentRecord['status']): boolean {
  return status === 'planning' || status === 'applying' || status === 'cancelling';
}

function wordOf({ requester, data }: Deciding, clock: Clock): Word {
  return {
    by: requester,
    at: timestamp(clock.now()),
    ...(data.reason === undefined ? {} : { reason: data.reason }),
  };
}
