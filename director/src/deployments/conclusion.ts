/** The last word on a command: exactly one, made of how its deployments ended. */
import type { Command } from '@service-director/shared/contract/command.ts';
import type { TerminalEvent } from '@service-director/shared/contract/event.ts';
import { legacyAnswer } from '@service-director/shared/contract/legacy.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { CommandRecord, DeploymentRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { statesOf } from './deployment.ts';
import type { Unplannable } from './inputs.ts';
import { appliedIam, failureOf, reportOf } from './report.ts';

/** The record of a command whose deployments have all ended. */
export async function concluded(
  record: CommandRecord,
  deployments: readonly DeploymentRecord[],
  command: Command,
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
  command: Command,
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

function subject(command: Command) {
  const { dataflow, dry_run } = command.data;
  return { command: command.id, command_type: command.type, dataflow, dry_run };
}
