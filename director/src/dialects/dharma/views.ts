/** Deployments, states and logs as the dialect at `/api` tells them. */
import { createHash } from 'node:crypto';
import type { BlueprintDeployment, BlueprintState } from '@service-director/shared/contract/rest/dharma.ts';
import type { DialectLogLine } from '@service-director/shared/contract/rest/nestor-answers.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import type { Voice } from '../../http/listening.ts';
import type {
  CommandRecord,
  DeploymentRecord,
  JournalEntry,
  LockRecord,
  StackRecord,
} from '../../store/records.ts';
import { plain } from '../plain.ts';
import type { Statuses } from './resources.ts';

type Status = BlueprintDeployment['status'];

/** Their clients know no other words; one that waits for somebody's approval is still planning to them. */
export function statusOf({ status, startedAt, rolledBackBy }: DeploymentRecord): Status {
  switch (status) {
    case 'queued':
      return 'pending';
    case 'waiting_for_lock':
      return startedAt === undefined ? 'pending' : 'planning';
    case 'planning':
    case 'awaiting_approval':
      return 'planning';
    case 'applying':
    case 'cancelling':
      return 'applying';
    case 'succeeded':
      return rolledBackBy === undefined ? 'completed' : 'rolled_back';
    case 'failed':
    case 'cancelled':
      return 'failed';
    default:
      return never(status);
  }
}

/** Their clients look at how an error begins: with the words of whoever failed. */
const PREAMBLE = /^It cannot be planned: (?=Terraform )/;

/** Present where it failed, and only there. */
function errorOf(record: DeploymentRecord): string | undefined {
  if (statusOf(record) !== 'failed') return undefined;
  if (record.cancel) return 'Cancelled by user';
  const lines = (record.units ?? []).flatMap(({ result, because }) =>
    result === 'failed' && because !== undefined ? [because] : [],
  );
  return record.error?.replace(PREAMBLE, '') ?? lines[0] ?? 'It failed';
}

export interface Snapshot {
  readonly states: ReadonlyMap<string, UnitState>;
  readonly version: number;
  /** RFC 3339. */
  readonly at: string;
}

export interface Around {
  readonly stack: StackRecord | undefined;
  readonly lock: LockRecord | undefined;
}

export function deploymentOf(
  command: CommandRecord,
  record: DeploymentRecord,
  snapshot: Snapshot | undefined,
  around: Around,
  statuses: Statuses,
): object {
  const about = aboutOf(command);
  const status = statusOf(record);
  const error = errorOf(record);
  return {
    id: command.id,
    blueprintId: about.blueprintId,
    generationJobId: about.generationJobId,
    status,
    environment: about.environment,
    targetCloud: about.targetCloud,
    format: about.format,
    ...(snapshot
      ? { state: stateOf(snapshot, record, around, statuses), outputs: outputsOf(snapshot.states) }
      : {}),
    ...(statuses.size > 0 ? { resources: [...statuses].map(([id, word]) => ({ id, status: word })) } : {}),
    ...(record.plan ? { plan: planOf(record.plan) } : {}),
    ...(record.approval?.state === 'pending'
      ? { approval: { state: 'pending', planHash: record.approval.planHash } }
      : {}),
    createdAt: record.createdAt,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.endedAt === undefined ? {} : { completedAt: record.endedAt }),
    ...(error === undefined ? {} : { error }),
  };
}

function planOf({ units, hash }: NonNullable<DeploymentRecord['plan']>): object {
  const changes = units.flatMap(({ resources = [] }) => resources);
  const count = (...actions: string[]): number =>
    changes.filter(({ action }) => actions.includes(action)).length;
  return {
    hash,
    toCreate: count('create', 'replace', 'import'),
    toUpdate: count('update'),
    toDelete: count('delete', 'replace'),
    changes: changes.map((change) => ({ ...change })),
  };
}

/** What whoever asked called it by. */
export function aboutOf({ command }: CommandRecord): Readonly<Record<string, string>> {
  return (command && 'about' in command.data ? command.data.about : undefined) ?? {};
}

export function stateOf(
  { states, version, at }: Snapshot,
  { stack, createdAt }: Pick<DeploymentRecord, 'stack' | 'createdAt'>,
  around: Around,
  statuses: Statuses = new Map(),
): BlueprintState {
  return {
    stateId: uuidOf(`${stack} ${around.stack?.lineage ?? createdAt}`),
    version,
    resources: [...states.values()].flatMap((unit) => resourcesOf(unit, statuses)),
    lastModified: at,
    ...lockedOf(around),
  };
}

function lockedOf({ stack, lock }: Around): Pick<BlueprintState, 'locked' | 'lockInfo'> {
  if (lock)
    return {
      locked: true,
      lockInfo: { id: lock.id, operation: lock.operation, who: lock.by, version: '1.0', created: lock.at },
    };
  const lease = stack?.lease;
  if (!lease) return { locked: false };
  const created = new Date(lease.claimedAt).toISOString();
  return {
    locked: true,
    lockInfo: {
      id: lease.deployment,
      operation: 'apply',
      who: `deployment ${lease.deployment.split('.')[0]}`,
      version: '1.0',
      created,
    },
  };
}

/** What is there was made or changed, whatever was tried with it since. */
function resourcesOf({ resources = [] }: UnitState, statuses: Statuses): BlueprintState['resources'] {
  return resources.map(({ address, type, name, provider, attributes, dependencies }) => ({
    id: address,
    type,
    name,
    provider,
    attributes,
    dependencies: [...dependencies],
    status: statuses.get(address) === 'updated' ? 'updated' : 'created',
  }));
}

/** Plain values; what several modules would call the same gets the module's name before it. */
function outputsOf(states: Snapshot['states']): Record<string, unknown> {
  const modules = [...states.values()].filter(({ kind }) => kind === 'module');
  return Object.fromEntries(
    modules.flatMap(({ spec, outputs, values }) =>
      Object.entries(outputs).map(([name, value]) => [
        modules.length > 1 ? `${spec.name}.${name}` : name,
        outputAs(name, value, values),
      ]),
    ),
  );
}

/** States of before have only texts, of which some were lists. */
function outputAs(name: string, text: string, values: UnitState['values']): unknown {
  if (!values) return plain(text);
  return Object.hasOwn(values, name) ? values[name] : text;
}

export function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

const PHASES: Readonly<Partial<Record<DeploymentRecord['status'], string>>> = {
  planning: 'Starting deployment planning',
  awaiting_approval: 'Waiting for approval',
  applying: 'Starting deployment apply',
  cancelling: 'Cancelling the deployment',
  succeeded: 'Deployment completed successfully',
  failed: 'Deployment failed',
  cancelled: 'Deployment cancelled',
};

/** `record` is the deployment that the entry is of. */
export function logLinesOf(entry: JournalEntry, record: DeploymentRecord): DialectLogLine[] {
  const line = (
    level: DialectLogLine['level'],
    message: string,
    resource: string | null = null,
  ): DialectLogLine[] => [{ timestamp: entry.at, level, message, resource }];
  switch (entry.type) {
    case 'status': {
      const message = PHASES[entry.status];
      if (message === undefined) return [];
      return entry.status === 'failed'
        ? line('error', `${message}: ${errorOf(record) ?? 'it is not known why'}`)
        : line('info', message);
    }
    case 'log':
      return line(entry.level, entry.message, entry.resource ?? null);
    case 'finish': {
      const { result, because } = entry.line;
      if (result === 'failed') return line('error', because ?? 'It failed');
      return because === undefined ? [] : line('info', because);
    }
    case 'waiting':
      return line('info', `Waiting: ${entry.because}`);
    case 'intend':
      return [];
    default:
      return never(entry);
  }
}

/** The same lines, each while it is written; at the end how it ended. */
export function voiceOf({ id: deploymentId }: CommandRecord): Voice {
  const ended = (record: DeploymentRecord): object => {
    const error = errorOf(record);
    return { deploymentId, status: statusOf(record), ...(error === undefined ? {} : { error }) };
  };
  return {
    event({ entry, record }) {
      const [line] = logLinesOf(entry, record);
      return line && { name: 'log', data: line };
    },
    end: ended,
    lastLine: (record, sequence) => ({ type: 'end', sequence, ...ended(record) }),
  };
}
