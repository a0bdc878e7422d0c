/** How deployments and commands end: each in one commit, with the one last word on a command among it. */
import { isOperating, type Operating } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { legacyAnswer } from '@service-director/shared/contract/legacy.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { UnitId } from '@service-director/shared/model/unit.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  keys,
  type QueueRecord,
} from '../store/records.ts';
import type { Store, Write } from '../store/store.ts';
import type { Unplannable } from './blueprints.ts';
import { answerRows, type Speaker } from './outbox.ts';
import { appliedIam, failureOf, reportOf } from './report.ts';

export interface ConclusionContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly speaker: Speaker;
}

/**
 * What is written with the end of deployments of one command: where they were its last, the last word on it. A
 * deployment that `follows` from them is its command's as well, and keeps the last word back. Of two siblings that
 * end at once one sees the other: both change the command's row.
 */
export async function endingWrites(
  ended: readonly DeploymentRecord[],
  { store, clock, speaker }: ConclusionContext,
  follows?: DeploymentRecord,
): Promise<Write[]> {
  const [{ command: id } = { command: '' }] = ended;
  const found = await store.get<CommandRecord>(keys.command(id));
  const command = found?.value.command;
  if (!found || !command || !isOperating(command)) throw new Error(`The command ${id} is not in the ledger`);
  const { deployments: ids, status } = found.value;
  const known = new Map(ended.map((record) => [record.id, record]));
  const all = await Promise.all(
    ids.map(
      async (one) => known.get(one) ?? (await store.get<DeploymentRecord>(keys.deployment(one)))?.value,
    ),
  );
  const records = all.flatMap((record) => record ?? []);
  const isLast = !follows && status === 'running' && records.every((record) => isEnded(record.status));
  const record = isLast
    ? await concluded(found.value, records, command, store, clock)
    : { ...found.value, ...(follows ? { deployments: [...ids, follows.id] } : {}) };
  const rows = isLast ? answerRows(record, speaker, clock.now()) : [];
  return [
    { type: 'put', key: keys.command(id), value: record, if: found.version },
    ...rows.map(({ write }) => write),
    ...(follows ? enqueued(follows) : []),
  ];
}

/** A new deployment and its place in the queue. */
export function enqueued(record: DeploymentRecord): Write[] {
  return [{ type: 'put', key: keys.deployment(record.id), value: record, if: 'absent' }, inQueue(record)];
}

export function inQueue(record: DeploymentRecord): Write {
  const { stack, id, command, lockId, dryRun } = record;
  const value: QueueRecord = {
    stack,
    deployment: id,
    command,
    ...(lockId === undefined ? {} : { lockId }),
    ...(dryRun ? { dryRun } : {}),
  };
  return { type: 'put', key: keys.queue(record), value, if: 'any' };
}

/** Of the rows of the outbox among these. */
export function outboxIds(writes: readonly Write[]): string[] {
  return writes.flatMap(({ type, key }) => (type === 'put' && key.collection === 'outbox' ? [key.id] : []));
}

/** The record of a command whose deployments have all ended. */
export async function concluded(
  record: CommandRecord,
  deployments: readonly DeploymentRecord[],
  command: Operating,
  store: Store,
  clock: Clock,
): Promise<CommandRecord> {
  const about = { ...subject(command), deployments: deployments.map(reportOf) };
  const isGood = deployments.every(({ status }) => status === 'succeeded');
  const answer: TerminalEvent = isGood
    ? { type: 'completed', ...about }
    : { type: 'failed', ...about, ...failureOf(deployments) };
  const ended: CommandRecord = {
    ...record,
    status: isGood ? 'succeeded' : 'failed',
    endedAt: timestamp(clock.now()),
    answer,
  };
  if (!command.legacy) return ended;
  const states = await Promise.all(deployments.map(({ stack }) => statesOf(store, stack)));
  const granted = appliedIam(states.flatMap((map) => [...map.values()]));
  return { ...ended, legacyAnswer: legacyAnswer(command.legacy.value, answer, granted) };
}

/** The record of a command that could not even become a deployment. */
export function refused(
  record: CommandRecord,
  command: Operating,
  { message, fix }: Unplannable,
  clock: Clock,
): CommandRecord {
  const answer: TerminalEvent = {
    type: 'failed',
    ...subject(command),
    deployments: [],
    error: message,
    ...(fix === undefined ? {} : { fix }),
  };
  const old = command.legacy ? { legacyAnswer: legacyAnswer(command.legacy.value, answer, undefined) } : {};
  return { ...record, status: 'failed', endedAt: timestamp(clock.now()), answer, ...old };
}

function subject(command: Operating) {
  const { dataflow, dry_run } = command.data;
  return {
    command: command.id,
    command_type: command.type,
    ...(dataflow === undefined ? {} : { dataflow }),
    dry_run,
  };
}

export async function statesOf(store: Store, stack: string): Promise<Map<UnitId, UnitState>> {
  const rows = await listAll<UnitState>(store, { collection: 'units', prefix: `${stack}//` });
  return new Map(rows.map(({ value }) => [value.id, value]));
}
