/** Deployments, their resources, logs and events as the dialect at `/api/v1` tells them. */

import type { UnitLine } from '@service-director/shared/contract/event.ts';
import type {
  DialectLogLine,
  GraphDeployment,
  GraphEvent,
  GraphFailure,
  GraphResource,
  GraphStatus,
} from '@service-director/shared/contract/rest/nestor-answers.ts';
import type { PlannedUnit } from '@service-director/shared/engine/plan.ts';
import { never } from '@service-director/shared/kit/never.ts';
import { type Outputs, type UnitId, unitId } from '@service-director/shared/model/unit.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
} from '../../store/records.ts';
import { plain } from '../plain.ts';
import { aboutOf, type Described, describedBy, idOf } from './document.ts';
import type { Graph } from './graph.ts';

export type Standing = Pick<GraphStatus, 'status' | 'phase'>;

export function standingOf({ status, operation, rolledBackBy }: DeploymentRecord): Standing {
  switch (status) {
    case 'queued':
      return { status: 'pending', phase: 'queued' };
    case 'planning':
    case 'awaiting_approval':
    case 'waiting_for_lock':
    case 'cancelling':
      return { status: 'in_progress', phase: status };
    case 'applying':
      return { status: 'in_progress', phase: PHASES[operation] };
    case 'succeeded':
      if (rolledBackBy !== undefined) return { status: 'rolled_back', phase: 'done' };
      return { status: operation === 'teardown' ? 'deleted' : 'ready', phase: 'done' };
    case 'failed':
    case 'cancelled':
      return { status, phase: 'done' };
    default:
      return never(status);
  }
}

const PHASES = {
  'dataflow-setup': 'deploying',
  deploy: 'deploying',
  teardown: 'destroying',
  rollback: 'rolling_back',
} as const satisfies Record<DeploymentRecord['operation'], string>;

type ResourceStatus = GraphResource['status'];

/** What is known of a deployment. */
export interface Told {
  /** Whether whoever asks may: outputs are told only then. */
  readonly mayReadState: boolean;
  readonly command: CommandRecord;
  readonly record: DeploymentRecord;
  readonly entries: readonly JournalEntry[];
  /** What it waits for, in words, and its place in the queue. */
  readonly waiting?: { readonly for?: string | undefined; readonly position?: number | undefined };
}

export function deploymentView(told: Told): GraphDeployment {
  const { command, record, waiting } = told;
  const about = aboutOf(command);
  const standing = standingOf(record);
  const resources = resourcesOf(told);
  return {
    id: idOf(command),
    ...standing,
    resources,
    ...(standing.status === 'in_progress' ? { progress: overall(resources) } : {}),
    composer: about.composer ?? '',
    environment: about.environment ?? '',
    name: about.name ?? '',
    /** By what it is known at `/v1`. */
    deployment: record.id,
    priority: record.priority ?? 'normal',
    dryRun: record.dryRun,
    ...(record.version === undefined ? {} : { version: record.version }),
    ...notes(about, 'labels'),
    ...notes(about, 'annotations'),
    ...(waiting?.for === undefined ? {} : { waitingFor: waiting.for }),
    ...(waiting?.position === undefined ? {} : { position: waiting.position }),
    ...(record.approval?.state === 'pending'
      ? { approval: { state: 'pending', deployment: record.id, planHash: record.approval.planHash } }
      : {}),
    ...(record.plan
      ? { estimate: { seconds: record.plan.seconds, criticalPath: record.plan.criticalPath.map(nameOf) } }
      : {}),
    ...errorOf(told, resources),
    ...(record.rolledBackBy === undefined ? {} : { rolledBackBy: record.rolledBackBy }),
    ...moments(record),
  };
}

/** Little enough to be asked for every second. */
export function statusView(told: Told): GraphStatus {
  const standing = standingOf(told.record);
  const resources = resourcesOf(told);
  return {
    id: idOf(told.command),
    ...standing,
    ...(standing.status === 'in_progress' ? { progress: overall(resources) } : {}),
    ...(told.waiting?.for === undefined ? {} : { waitingFor: told.waiting.for }),
    resources: resources.map(({ name, status, progress }) => ({
      name,
      status,
      ...(progress === undefined ? {} : { progress }),
    })),
    ...errorOf(told, resources),
  };
}

function moments({
  createdAt,
  startedAt,
  endedAt,
}: DeploymentRecord): Pick<GraphDeployment, 'createdAt' | 'startedAt' | 'completedAt'> {
  return {
    createdAt,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { completedAt: endedAt }),
  };
}

function notes(
  about: Readonly<Record<string, string>>,
  key: 'labels' | 'annotations',
): Pick<GraphDeployment, 'labels' | 'annotations'> {
  const text = about[key];
  return text === undefined ? {} : { [key]: JSON.parse(text) };
}

/** Names resource, engine, step, reason and hint, as far as there are any. */
function errorOf(told: Told, resources: readonly GraphResource[]): { readonly error?: GraphFailure } {
  const { record } = told;
  if (record.status !== 'failed') return {};
  const culprit = culpritOf(told, resources);
  const reason = culprit?.reason ?? record.error ?? 'it failed';
  const hint = culprit?.hint ?? record.fix;
  return {
    error: {
      code: 'DEPLOYMENT_FAILED',
      message: culprit ? `${culprit.name} (${culprit.engine}) failed: ${reason}` : reason,
      ...(culprit ? { resource: culprit.name, engine: culprit.engine } : {}),
      step: record.plan ? PHASES[record.operation] : 'planning',
      reason,
      ...(hint === undefined ? {} : { hint }),
    },
  };
}

/** The one that failed; where that was in planning, the one of which the tool complained. */
function culpritOf(
  { record, entries }: Told,
  resources: readonly GraphResource[],
): GraphResource | undefined {
  if (record.plan) return resources.find(({ status }) => status === 'failed');
  const units = entries.flatMap((entry) =>
    entry.type === 'log' && entry.level === 'error' ? [entry.unit] : [],
  );
  return resources.find(({ name }) => units[0] === unitOf(name));
}

function overall(resources: readonly GraphResource[]): string {
  const done = resources.map(({ status, progress }) => {
    if (status === 'pending' || status === 'deleting') return 0;
    return status === 'in_progress' ? Number.parseInt(progress ?? '0', 10) : 100;
  });
  const sum = done.reduce((all, one) => all + one, 0);
  return `${Math.min(99, Math.floor(sum / Math.max(1, done.length)))}%`;
}

export function resourcesOf({ command, record, entries, mayReadState }: Told): GraphResource[] {
  const { resources } = describedBy(command);
  const names = new Set(resources.map(({ name }) => name));
  const others = (record.plan?.units ?? []).flatMap(({ id, kind }): Described[] =>
    kind === 'module' && !names.has(nameOf(id))
      ? [{ name: nameOf(id), engine: 'terraform', catalogRef: undefined }]
      : [],
  );
  const byUnit = Map.groupBy(entries, (entry): string => (entry.type === 'status' ? '' : entry.unit));
  return [...resources, ...others].map((resource) => {
    const { outputs, ...view } = resourceView(resource, record, byUnit.get(unitOf(resource.name)) ?? []);
    return outputs === undefined || !mayReadState ? view : { ...view, outputs };
  });
}

function unitOf(name: string): UnitId {
  return unitId('module', name);
}

/** Of a resource, by its unit. */
export function nameOf(unit: string): string {
  return unit.replace(/^module\//, '');
}

function resourceView(
  { name, engine, catalogRef }: Described,
  record: DeploymentRecord,
  entries: readonly JournalEntry[],
): GraphResource {
  const planned = record.plan?.units.find(({ id }) => id === unitOf(name));
  const finish = entries.findLast((entry) => entry.type === 'finish');
  const line = finish?.line ?? record.units?.find(({ unit }) => unit === unitOf(name));
  const refused = planned?.refused;
  const status = line
    ? (RESULTS.get(line.result) ?? 'ready')
    : statusWithout(record, planned, entries.findLast((entry) => entry.type === 'intend')?.action);
  const because = line?.because ?? refused?.because;
  const hint = line?.fix ?? refused?.fix;
  const digest = record.sources?.[unitOf(name)];
  const hasReason = status === 'failed' || status === 'skipped';
  return {
    name,
    status,
    engine,
    ...(catalogRef === undefined ? {} : { catalogRef }),
    ...(digest === undefined ? {} : { digest }),
    ...(status === 'ready' ? { outputs: plainOf(finish?.after?.outputs ?? planned?.outputs ?? {}) } : {}),
    ...(finish === undefined || status === 'skipped' ? {} : { seconds: finish.seconds }),
    ...(status === 'in_progress' ? { progress: progressOf(planned, entries) } : {}),
    ...(hasReason && because !== undefined ? { reason: because } : {}),
    ...(hasReason && hint !== undefined ? { hint } : {}),
  };
}

/** How a unit's result is told; whatever else there is, it is as it was asked for. */
const RESULTS: ReadonlyMap<string, ResourceStatus> = new Map([
  ['failed', 'failed'],
  ['skipped', 'skipped'],
  ['cancelled', 'skipped'],
  ['deleted', 'deleted'],
]);

/** Of one that is worked on. */
export function begunStatus({ plan }: DeploymentRecord, unit: string): ResourceStatus {
  const planned = plan?.units.find(({ id }) => id === unit);
  return planned?.change.action === 'delete' ? 'deleting' : 'in_progress';
}

/** Of one that was worked on, and why where that needs a reason. */
export function finishedStatus({
  result,
  because,
  fix,
}: UnitLine): Pick<GraphResource, 'status' | 'reason' | 'hint'> {
  const status = RESULTS.get(result) ?? 'ready';
  if (status !== 'failed' && status !== 'skipped') return { status };
  return {
    status,
    ...(because === undefined ? {} : { reason: because }),
    ...(fix === undefined ? {} : { hint: fix }),
  };
}

/** Of one that has not been finished. */
function statusWithout(
  { status, operation }: DeploymentRecord,
  planned: PlannedUnit | undefined,
  begun: string | undefined,
): ResourceStatus {
  if (planned?.refused) return 'failed';
  const isThere = planned?.change.action === 'none';
  if (isEnded(status)) return isThere && operation !== 'teardown' ? 'ready' : 'pending';
  if (begun !== undefined) return planned?.change.action === 'delete' ? 'deleting' : 'in_progress';
  return isThere && operation !== 'teardown' ? 'ready' : 'pending';
}

function plainOf(outputs: Outputs): Record<string, unknown> {
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, plain(value)]));
}

/** How many of the changes within it are done; a tool says of each when it is. */
function progressOf(planned: PlannedUnit | undefined, entries: readonly JournalEntry[]): string {
  const changes = (planned?.resources ?? []).filter(({ action }) => CHANGES.has(action));
  const done = new Set(
    entries.flatMap((entry) =>
      entry.type === 'log' && entry.resource !== undefined && /\bcomplete\b/.test(entry.message)
        ? [entry.resource]
        : [],
    ),
  );
  const share = changes.filter(({ address }) => done.has(address)).length / Math.max(1, changes.length);
  return `${Math.min(99, Math.floor(100 * share))}%`;
}

const CHANGES: ReadonlySet<string> = new Set(['create', 'update', 'replace', 'delete', 'import']);

/** Of what only undoes, the plan tells the order. */
export function graphOf({ command, record }: Pick<Told, 'command' | 'record'>): Graph {
  const { graph } = describedBy(command);
  if (graph.names.length > 0) return graph;
  const units = (record.plan?.units ?? []).filter(({ kind }) => kind === 'module');
  const names = units.map(({ id }) => nameOf(id));
  const edges = units.flatMap(({ id, after }) =>
    after.map(nameOf).flatMap((from) => (names.includes(from) ? [{ from, to: nameOf(id) }] : [])),
  );
  return { names, edges };
}

export function logLinesOf(entry: JournalEntry): DialectLogLine[] {
  const line = (
    level: DialectLogLine['level'],
    message: string,
    resource: string | null,
  ): DialectLogLine[] => [{ timestamp: entry.at, level, message, resource }];
  switch (entry.type) {
    case 'status':
      return line(entry.status === 'failed' ? 'error' : 'info', `The deployment is ${entry.status}`, null);
    case 'intend':
      return line('info', `Begun: ${entry.action}`, nameOf(entry.unit));
    case 'finish': {
      const { result, because } = entry.line;
      const text = because === undefined ? result : `${result}: ${because}`;
      return line(result === 'failed' ? 'error' : 'info', text, nameOf(entry.unit));
    }
    case 'waiting':
      return line('info', `Waiting: ${entry.because}`, nameOf(entry.unit));
    case 'log':
      return line(entry.level, entry.message, nameOf(entry.unit));
    default:
      return never(entry);
  }
}

/** What became of a deployment, one event for each status. */
export function eventsOf({ command, record, entries }: Told): GraphEvent[] {
  const trace = command.traceparent?.split('-')[1];
  return entries.flatMap((entry, index) =>
    entry.type === 'status'
      ? [
          {
            id: `${idOf(command)}.${index + 1}`,
            type: EVENTS[entry.status] ?? 'deployment.progress',
            source: 'orchestrator',
            subject: idOf(command),
            data: standingOf({ ...record, status: entry.status }),
            timestamp: entry.at,
            ...(trace === undefined ? {} : { trace_id: trace }),
          },
        ]
      : [],
  );
}

const EVENTS: Readonly<Partial<Record<DeploymentRecord['status'], GraphEvent['type']>>> = {
  planning: 'deployment.started',
  succeeded: 'deployment.completed',
  failed: 'deployment.failed',
  cancelled: 'deployment.cancelled',
};
