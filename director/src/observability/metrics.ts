/**
 * What the director counts, in Prometheus' text form; `docs/metrics.md` lists it.
 *
 * Facts of the store are gauges, read when somebody asks. What happens is counted where it is written: each director
 * counts its own writes, so that a sum over all of them counts everything once. No label is an id, a name that
 * somebody chose, or a person.
 */
import { OPERATIONS } from '@service-director/shared/contract/command.ts';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { StackId } from '@service-director/shared/model/unit.ts';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { sizeOf } from '../deployments/sizes.ts';
import type { Over } from '../protocol/run.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type DeploymentStatus,
  isEnded,
  type JournalEntry,
  type QueueRecord,
  type StackRecord,
} from '../store/records.ts';
import type { Write } from '../store/store.ts';
import { ACTIVE, type Facts } from './facts.ts';

export interface Metrics {
  /** What was written to the store. Never throws. */
  committed(writes: readonly Write[]): void;
  /** How it went with a deployment that this director wanted to work on. */
  carried(wanted: Pick<QueueRecord, 'stack' | 'deployment'>, how: Over): void;
  /** A request that was answered; `route` is its template, never its path. */
  answered(route: string, method: string, status: number): void;
  /** All of it, as it is now. Resolves without the facts where those cannot be read. */
  text(): Promise<string>;
  readonly contentType: string;
}

export interface MetricsOptions {
  readonly facts: () => Promise<Facts>;
  readonly clock: Clock;
  readonly onTrouble: (error: unknown, about: string) => void;
}

/** Seconds; from one to an hour. */
const DEPLOYMENT_BUCKETS = [1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600];
const UNIT_BUCKETS = [0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1_800];
const WAIT_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600];

/** How finely the lag of the event loop is looked at: an idle director is not to be woken for it all the time. */
const LAG_MS = 100;

/** A scrape is given up after ten seconds: it gets what there is before that. */
const FACTS_MS = 5_000;

export function createMetrics({ facts, clock, onTrouble }: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_MS });
  const gauges = gaugesIn(registry);
  const counting = countersIn(registry);
  /** By stack, the deployment that could not be worked on when it was looked at last. */
  const kept = new Map<StackId, string>();

  async function factsInTime(): Promise<Facts> {
    const done = new AbortController();
    const late = clock.sleep(FACTS_MS, done.signal).then(() => {
      throw new Error(`the store did not answer within ${FACTS_MS / 1000} s`);
    });
    try {
      return await Promise.race([facts(), late]);
    } finally {
      late.catch(() => {});
      done.abort();
    }
  }

  return {
    contentType: registry.contentType,
    committed(writes) {
      try {
        for (const write of writes) if (write.type === 'put') counting.written(write, writes);
      } catch (error) {
        onTrouble(error, 'metrics');
      }
    },
    carried({ stack, deployment }, how) {
      if (how === 'busy') {
        if (kept.get(stack) !== deployment) counting.contention.inc({ event: 'lease_held' });
        kept.set(stack, deployment);
        return;
      }
      kept.delete(stack);
      if (how === 'fenced') counting.contention.inc({ event: 'lease_lost' });
    },
    answered(route, method, status) {
      counting.requests.inc({
        route,
        method: METHODS.has(method) ? method : 'other',
        status: `${Math.floor(status / 100)}xx`,
      });
    },
    async text() {
      try {
        gauges.show(await factsInTime());
      } catch (error) {
        gauges.hide();
        onTrouble(error, 'metrics');
      }
      return registry.metrics();
    },
  };
}

/** Whoever calls may name any method. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

function gaugesIn(registry: Registry): { show(facts: Facts): void; hide(): void } {
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  const up = gauge('director_store_up', 'Whether the store could be read when this was asked for.');
  const active = new Gauge({
    name: 'director_deployments_active',
    help: 'Deployments that have not ended.',
    labelNames: ['status'],
    registers,
  });
  const queued = gauge('director_queue_depth', 'Deployments in the queues of stacks, with those worked on.');
  const stacks = gauge('director_stacks', 'Stacks that were ever worked on.');
  const versions = gauge('director_state_versions', 'State versions that were made, over all stacks.');
  return {
    show(facts) {
      up.set(1);
      for (const status of ACTIVE) active.set({ status }, facts.active.get(status) ?? 0);
      queued.set(facts.queued);
      stacks.set(facts.stacks);
      versions.set(facts.versions);
    },
    /** What is not known is not told: an old number would look like a new one. */
    hide() {
      up.set(0);
      active.reset();
      for (const one of [queued, stacks, versions]) one.remove();
    },
  };
}

type Put = Extract<Write, { type: 'put' }>;

interface Counters {
  readonly contention: Counter<'event'>;
  readonly requests: Counter<'route' | 'method' | 'status'>;
  /** `together`: all that was written in the same commit. */
  written(write: Put, together: readonly Write[]): void;
}

function countersIn(registry: Registry): Counters {
  const registers = [registry];
  const ended = new Counter({
    name: 'director_deployments_total',
    help: 'Deployments that ended, by how.',
    labelNames: ['operation', 'result'],
    registers,
  });
  const duration = new Histogram({
    name: 'director_deployment_duration_seconds',
    help: 'How long deployments took that were begun, from then on; waiting for an approval does not count.',
    labelNames: ['operation', 'units'],
    buckets: DEPLOYMENT_BUCKETS,
    registers,
  });
  const units = new Histogram({
    name: 'director_unit_duration_seconds',
    help: 'How long units took that were worked on.',
    labelNames: ['engine', 'kind', 'result'],
    buckets: UNIT_BUCKETS,
    registers,
  });
  const wait = new Histogram({
    name: 'director_queue_wait_seconds',
    help: 'How long deployments waited until they were begun.',
    labelNames: ['operation'],
    buckets: WAIT_BUCKETS,
    registers,
  });
  const contention = new Counter({
    name: 'director_lock_contention_total',
    help: 'Deployments that had to wait for their stack, leases held or lost, locks refused.',
    labelNames: ['event'],
    registers,
  });
  const requests = new Counter({
    name: 'director_http_requests_total',
    help: 'HTTP requests that were answered, by route.',
    labelNames: ['route', 'method', 'status'],
    registers,
  });
  // That nothing of it happened yet is to be seen: what is absent cannot be alerted on.
  for (const event of CONTENTION) contention.inc({ event }, 0);
  for (const operation of [...OPERATIONS, DRY_RUN])
    for (const result of RESULTS) ended.inc({ operation, result }, 0);

  function deploymentWritten(record: DeploymentRecord, together: readonly Write[]): void {
    const { status, startedAt, createdAt, undoes, rolledBackBy } = record;
    const operation = operationOf(record);
    if (status === 'waiting_for_lock') contention.inc({ event: 'waiting' });
    // A way back that nobody asked for has the age of what it undoes.
    if (startedAt !== undefined && undoes === undefined && claimedAt(together) === Date.parse(startedAt))
      wait.observe({ operation }, secondsBetween(createdAt, startedAt));
    // What was rolled back is written again, long after its end.
    if (!isEnded(status) || rolledBackBy !== undefined) return;
    ended.inc({ operation, result: status });
    const { endedAt, resumedAt = startedAt } = record;
    if (resumedAt === undefined || endedAt === undefined) return;
    duration.observe({ operation, units: unitsOf(record) }, secondsBetween(resumedAt, endedAt));
  }

  function journalWritten(entry: JournalEntry): void {
    if (entry.type !== 'finish' || !WORKED_ON.has(entry.line.result)) return;
    const [kind = ''] = entry.unit.split('/');
    const known = entry.after ?? entry.before;
    const engine = known?.engine ?? (kind === 'module' ? 'terraform' : 'gcp');
    units.observe({ engine, kind, result: entry.line.result }, entry.seconds);
  }

  function commandWritten({ status, command }: CommandRecord): void {
    const isLock = command?.type === 'lock' || command?.type === 'unlock';
    if (isLock && status === 'failed') contention.inc({ event: 'lock_refused' });
  }

  return {
    contention,
    requests,
    written({ key, value }, together) {
      if (key.collection === 'deployments') deploymentWritten(value as DeploymentRecord, together);
      else if (key.collection === 'journal') journalWritten(value as JournalEntry);
      else if (key.collection === 'commands') commandWritten(value as CommandRecord);
    },
  };
}

/** What only plans is no success of what it plans. */
const DRY_RUN = 'dry-run';
const RESULTS = ['succeeded', 'failed', 'cancelled'] as const satisfies readonly DeploymentStatus[];
const CONTENTION = ['waiting', 'lease_held', 'lease_lost', 'lock_refused'] as const;

/** The rest was left alone, and took no time. */
const WORKED_ON: ReadonlySet<string> = new Set([
  'created',
  'updated',
  'replaced',
  'deleted',
  'failed',
  'cancelled',
]);

function operationOf({ operation, dryRun }: DeploymentRecord): string {
  return dryRun ? DRY_RUN : operation;
}

/** `none` for a deployment that ended before it had a plan. */
function unitsOf({ plan }: DeploymentRecord): string {
  return sizeOf(plan?.units.length ?? 0) ?? 'none';
}

/** When the lease began that a commit is about; milliseconds since 1970. */
function claimedAt(writes: readonly Write[]): number | undefined {
  for (const write of writes) {
    if (write.type === 'put' && write.key.collection === 'stacks')
      return (write.value as StackRecord).lease?.claimedAt;
  }
  return undefined;
}

function secondsBetween(from: string, to: string): number {
  return Math.max(0, Date.parse(to) - Date.parse(from)) / 1000;
}
