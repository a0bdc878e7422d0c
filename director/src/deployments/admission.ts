/**
 * What a command comes to the moment it is taken: its row in the ledger, with its deployments in the queue; or,
 * where it only decides something, that decision, done.
 *
 * Everything is read first and written under the condition that it has not changed: all of it in one commit.
 */
import {
  type Command,
  type Describing,
  isOperating,
  type Operating,
} from '@service-director/shared/contract/command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { type StackId, stackOf } from '@service-director/shared/model/unit.ts';
import type { Admission } from '../protocol/inbox.ts';
import { auditWrites, type Fact } from '../store/audit.ts';
import { type CommandRecord, type DeploymentRecord, keys, type QueueRecord } from '../store/records.ts';
import { Conflict, StoreFailure, type Write } from '../store/store.ts';
import { tellingOfAll } from '../webhooks/deliveries.ts';
import { mistake, ownerOf, Unplannable } from './blueprints.ts';
import { concluded, enqueued, refused } from './conclusion.ts';
import { type DecisionContext, decide, decided } from './decisions.ts';
import { answerRows } from './outbox.ts';

/** Rejects only when the store fails. `taken` is the row without what it comes to. */
export async function admit(
  taken: CommandRecord,
  command: Command,
  context: DecisionContext,
): Promise<Admission> {
  const admission = isOperating(command)
    ? await operate(taken, command, context)
    : await decision(taken, command, context);
  const rows = answerRows(admission.record, context.speaker, context.clock.now());
  return { ...admission, writes: [...admission.writes, ...rows.map(({ write }) => write)] };
}

/** Whatever keeps it from being done is the answer to it. */
async function orWhyNot<T>(find: () => Promise<T>): Promise<T | Unplannable> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof StoreFailure || error instanceof Conflict) throw error;
    return error instanceof Unplannable ? error : mistake(error);
  }
}

async function operate(
  taken: CommandRecord,
  command: Operating,
  context: DecisionContext,
): Promise<Admission> {
  const { store, clock } = context;
  const made = await orWhyNot(() =>
    command.type === 'rollback' ? rollbackOf(command, context) : deploymentsOf(command, context),
  );
  if (made instanceof Unplannable) return { record: refused(taken, command, made, clock), writes: [] };
  const { deployments, writes } = made;
  if (deployments.length === 0) return { record: await concluded(taken, [], command, store, clock), writes };
  const record: CommandRecord = { ...taken, status: 'running', deployments: deployments.map(({ id }) => id) };
  const trails = await Promise.all(
    deployments.map((one) => auditWrites(one.stack, [asked(one, taken, command)], store)),
  );
  const told = await tellingOfAll(
    deployments.map((after) => ({ before: undefined, after })),
    context,
  );
  return { record, writes: [...writes, ...deployments.flatMap(enqueued), ...trails.flat(), ...told] };
}

interface Made {
  readonly deployments: readonly DeploymentRecord[];
  readonly writes: readonly Write[];
}

async function deploymentsOf(
  command: Describing,
  { store, clock, blueprints }: DecisionContext,
): Promise<Made> {
  const { scope, dataflows, writes } = await blueprints.subjectOf(command, store);
  return {
    deployments: dataflows.map((dataflow) => newDeployment(command, { scope, dataflow }, clock)),
    writes,
  };
}

async function rollbackOf(
  command: Extract<Operating, { type: 'rollback' }>,
  context: DecisionContext,
): Promise<Made> {
  const { store, clock } = context;
  const { deployment: id, dataflow = '', scope, to_version } = command.data;
  if (id === undefined) {
    const owner = await ownerOf({ dataflow, scope }, context.blueprints, store);
    return { deployments: [newDeployment(command, owner, clock, toVersion(to_version))], writes: [] };
  }
  const undone = (await store.get<DeploymentRecord>(keys.deployment(id)))?.value;
  if (!undone) throw new Unplannable(`There is no deployment ${id}`, 'see conductor deployments');
  const { version } = undone;
  if (version === undefined && to_version === undefined)
    throw new Unplannable(
      `${id} changed nothing: there is nothing to bring back`,
      'name a version with "to_version"; see conductor history',
    );
  const target = to_version ?? (version ?? 1) - 1;
  return { deployments: [newDeployment(command, undone, clock, toVersion(target))], writes: [] };
}

function toVersion(version: DeploymentRecord['toVersion']): Partial<DeploymentRecord> {
  return version === undefined ? {} : { toVersion: version };
}

function newDeployment(
  command: Operating,
  { scope, dataflow }: { scope: string; dataflow: string },
  clock: Clock,
  more: Partial<DeploymentRecord> = {},
): DeploymentRecord {
  const { id, correlationId, traceparent, requester, data } = command;
  return {
    id: `${id}.${dataflow}`,
    command: id,
    correlationId,
    ...(traceparent === undefined ? {} : { traceparent }),
    stack: stackOf({ scope, dataflow }),
    scope,
    dataflow,
    operation: command.type,
    status: 'queued',
    dryRun: data.dry_run,
    priority: data.priority,
    requester,
    ...(data.reason === undefined ? {} : { reason: data.reason }),
    ...(data.lock_id === undefined ? {} : { lockId: data.lock_id }),
    ...(data.on_failure === 'keep' ? {} : { onFailure: data.on_failure }),
    createdAt: timestamp(clock.now()),
    ...more,
  };
}

function asked(
  { operation, requester = '', id, command, reason, dryRun }: DeploymentRecord,
  { receivedAt }: CommandRecord,
  { data: { auto_approve } }: Operating,
): Fact {
  const details = [operation, ...(dryRun ? ['dry run'] : []), ...(auto_approve ? ['approved with it'] : [])];
  return {
    what: 'asked',
    by: requester,
    at: receivedAt,
    command,
    deployment: id,
    detail: details.join(', '),
    ...(reason === undefined ? {} : { reason }),
  };
}

async function decision(
  taken: CommandRecord,
  command: Exclude<Command, Operating>,
  context: DecisionContext,
): Promise<Admission> {
  const made = await orWhyNot(() => decide(command, context));
  const record = decided(taken, command, made, context.clock);
  return { record, writes: made instanceof Unplannable ? [] : made.writes };
}

/** The stacks on which there is something to do now, after these writes. */
export function stacksToWake(writes: readonly Write[]): StackId[] {
  const stacks = writes.flatMap((write): StackId[] => {
    if (write.type === 'put' && write.key.collection === 'queue') return [(write.value as QueueRecord).stack];
    // A lock that was given back.
    if (write.type === 'delete' && write.key.collection === 'locks') return [write.key.id as StackId];
    return [];
  });
  return [...new Set(stacks)];
}

/** The deployments among these writes that were told to stop. */
export function toldToStop(writes: readonly Write[]): string[] {
  return recordsIn(writes)
    .filter(({ status }) => status === 'cancelling')
    .map(({ id }) => id);
}

/** The deployments that these writes make. */
export function newDeployments(writes: readonly Write[]): DeploymentRecord[] {
  return recordsIn(writes.filter((write) => write.if === 'absent'));
}

function recordsIn(writes: readonly Write[]): DeploymentRecord[] {
  return writes.flatMap((write) =>
    write.type === 'put' && write.key.collection === 'deployments' ? [write.value as DeploymentRecord] : [],
  );
}
