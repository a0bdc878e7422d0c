/**
 * Sees to builds that have not ended: starts what is PENDING, and marks what could not be started; writes down how
 * executions ended. Whoever wrote the record, and whichever director died: the records alone say what is to be done.
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import type { Log } from '../../observability/log.ts';
import { listAll } from '../../store/list-all.ts';
import { mayPass, type Store } from '../../store/store.ts';
import type { Builds } from './builds.ts';
import { type Executions, type Orchestrator, StillUnclear } from './orchestrator.ts';
import { type BuildId, idText, type PointerRecord, PREFIXES } from './records.ts';

export interface BuildWorkerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly builds: Builds;
  readonly executions: Executions;
  readonly orchestrator: Orchestrator;
  /** How long to wait between two looks while something is under way, milliseconds. */
  readonly pollMs?: number;
}

export interface BuildWorker {
  start(): void;
  /** There is something new. */
  wake(): void;
  /** Looks once at all that has not ended. */
  sweep(): Promise<void>;
  /** Resolves once nothing is under way here. */
  stop(): Promise<void>;
}

const POLL_MS = 5_000;
/** What others left is looked for as seldom. Milliseconds. */
const IDLE_MS = 15_000;

export function buildWorker(options: BuildWorkerOptions): BuildWorker {
  const { store, clock, log, builds, executions, pollMs = POLL_MS } = options;
  const leaving = new AbortController();
  let pausing = new AbortController();
  let isWoken = false;
  let working: Promise<void> | undefined;

  async function open(): Promise<BuildId[]> {
    const rows = await listAll<PointerRecord>(store, { collection: 'builds', prefix: PREFIXES.open });
    return rows.map(({ value }) => value.id);
  }

  async function attend(id: BuildId): Promise<void> {
    const build = await builds.get(id);
    if (!build) return;
    if (build.execution_arn === undefined) await begin(id);
    else if (build.execution_name !== undefined) await settle(id, build.execution_name);
  }

  async function begin(id: BuildId): Promise<void> {
    const build = await builds.get(id);
    if (!build) return;
    try {
      await options.orchestrator.startExecution(build);
    } catch (error) {
      // It may pass, or is not known yet: the next look does the same again.
      if (mayPass(error) || error instanceof StillUnclear) throw error;
      const because = error instanceof Error ? error.message : String(error);
      await builds.failToStart(id, `Failed to start step function: ${because}`);
    }
  }

  async function settle(id: BuildId, name: string): Promise<void> {
    const execution = await executions.describeExecution(name);
    if (!execution || execution.status === 'RUNNING') return;
    await builds.finish(
      id,
      name,
      execution.status === 'SUCCEEDED'
        ? { status: 'SUCCESS' }
        : { status: 'FAILED', error_msg: execution.error ?? 'it failed' },
    );
  }

  /** Resolves with how many are left to look at again. One that fails keeps no other from its turn. */
  async function look(): Promise<number> {
    const ids = await open();
    for (const id of ids) {
      if (leaving.signal.aborted) break;
      await attend(id).catch((error) => {
        log.warn('a build is tried again', { build: idText(id), error: String(error) });
      });
    }
    return ids.length;
  }

  async function work(): Promise<void> {
    while (!leaving.signal.aborted) {
      isWoken = false;
      const left = await look().catch((error) => {
        log.warn('the builds cannot be read, which is tried again', { error: String(error) });
        return 1;
      });
      if (!isWoken) await pause(left > 0 ? pollMs : IDLE_MS);
    }
  }

  async function pause(ms: number): Promise<void> {
    pausing = new AbortController();
    await clock.sleep(ms, AbortSignal.any([pausing.signal, leaving.signal])).catch(() => {});
  }

  return {
    start() {
      working ??= work();
    },
    wake() {
      isWoken = true;
      pausing.abort();
    },
    async sweep() {
      await look();
    },
    async stop() {
      leaving.abort();
      await working;
    },
  };
}
