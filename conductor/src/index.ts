/**
 * The conductor as a library: `run()` stands an architecture up, `teardown()` takes it down, `status()` looks.
 *
 * It prints nothing; `onEvent` gets everything that happens. The CLI is a thin shell around this.
 */
import { randomBytes } from 'node:crypto';
import type { Doctor } from '@service-director/shared/contract/rest/director.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { cloudBuild } from './builders/cloud-build.ts';
import { docker } from './builders/docker.ts';
import type { BareContext, RunContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { DirectorStatus } from './director-status.ts';
import { type DownOptions, down } from './down.ts';
import type { ConductorEvent, Phase, RunOperation, Summary } from './event.ts';
import { Failure } from './failure.ts';
import type { LogLine, LogOptions } from './logs.ts';
import type { News, NewsOptions } from './news.ts';
import { type ConductorOptions, openDirector, openDirectorFor, openLook, openRun } from './open.ts';
import type { Overview } from './overview.ts';
import { type PlanResult, plan } from './plan.ts';
import type { RollbackOptions, RollbackResult } from './rollback.ts';
import type { Status } from './status.ts';
import { type UpResult, up } from './up.ts';

export interface Conductor {
  run(): Promise<UpResult>;
  plan(): Promise<PlanResult>;
  teardown(options?: DownOptions): Promise<Summary>;
  /** Brings a stack back to an earlier version. */
  rollback(options: RollbackOptions): Promise<RollbackResult>;
  /**
   * Asks the director, and tells it what is decided at once; for as long as `timeoutSeconds` says when it does not
   * answer. Nothing is started and nothing made, no local cloud either.
   */
  atDesk<T>(work: (desk: Desk) => Promise<T>): Promise<T>;
  /** These only look: nothing is started and nothing made, no local cloud either. */
  status(limit?: number): Promise<Status>;
  /** The same of a director of which no more is known than where it is. */
  overview(limit?: number): Promise<Overview>;
  director(): Promise<DirectorStatus>;
  /** What may keep its deployments from going through, as it says itself. */
  doctor(): Promise<{ readonly url: string; readonly doctor: Doctor }>;
  /** What the director did, and goes on to do. */
  news(options: NewsOptions): Promise<void>;
  /** What a service of the architecture writes; without a name, the director. */
  logs(service: string | undefined, options: LogOptions): Promise<void>;
}

export function conductor(options: ConductorOptions): Conductor {
  /** Tells of a run from its beginning to its end. */
  const told = async <T>(
    operation: RunOperation,
    work: (run: string) => Promise<T>,
    summarize: (value: T) => Summary,
    dryRun = false,
  ): Promise<T> => {
    const emit = options.onEvent ?? (() => {});
    const began = systemClock.now();
    const run = `${operation}-${randomBytes(6).toString('hex')}`;
    const seconds = (): number => (systemClock.now() - began) / 1000;
    try {
      const value = await work(run);
      const summary = summarize(value);
      emit({
        type: 'completed',
        run,
        operation,
        seconds: seconds(),
        changes: summary.created + summary.updated + summary.deleted,
        ...(dryRun ? { dryRun } : {}),
        summary,
      });
      return value;
    } catch (error) {
      const failure = Failure.from(error, operation);
      const { message, fix, exitCode } = failure;
      emit({
        type: 'failed',
        run,
        operation,
        seconds: seconds(),
        error: message,
        exitCode,
        ...(fix === undefined ? {} : { fix }),
      });
      throw failure;
    }
  };
  const inRun = <T>(
    operation: RunOperation,
    work: (context: RunContext) => Promise<T>,
    summarize: (value: T) => Summary,
    dryRun = false,
  ): Promise<T> =>
    told(
      operation,
      async (run) => {
        const context = await openRun(options, run, operation);
        const { loaded, architecture, emit, stopTimer } = context;
        for (const diagnostic of loaded.diagnostics) emit({ type: 'diagnostic', diagnostic });
        const { scope, project_id: project } = architecture;
        emit({ type: 'started', run, operation, architecture: scope, project });
        return work(context).finally(stopTimer);
      },
      summarize,
      dryRun,
    );
  /** The same where a director's URL is all that there is. */
  const inBareRun = <T>(
    operation: RunOperation,
    work: (context: RunContext | BareContext) => Promise<T>,
    summarize: (value: T) => Summary,
    dryRun = false,
  ): Promise<T> =>
    told(
      operation,
      async (run) => {
        const { context, stopTimer } = await openDirectorFor(options, run);
        const { emit, directorUrl: director = '' } = context;
        emit({ type: 'started-at', run, operation, director });
        return work(context).finally(stopTimer);
      },
      summarize,
      dryRun,
    );
  const lookName = (): string => `look-${randomBytes(6).toString('hex')}`;
  const look = (): RunContext => openLook(options, lookName());
  const lookAtDirector = (): Promise<RunContext | BareContext> => openDirector(options, lookName());
  return {
    run: () =>
      inRun(
        'up',
        (context) =>
          up(context, {
            ...(options.only ? { only: options.only } : {}),
            ...(options.skip ? { skip: options.skip } : {}),
            builder: options.builder === 'docker' ? docker(options.environmentVariables ?? {}) : cloudBuild,
          }),
        ({ summary }) => summary,
      ),
    plan: () => inRun('plan', plan, () => NOTHING),
    teardown: (more) =>
      inRun(
        'down',
        (context) => down(context, more),
        (summary) => summary,
        more?.dryRun,
      ),
    rollback: (more) =>
      (options.architecture === undefined ? inBareRun : inRun)(
        more.toVersion === 'current' ? 'drift' : 'rollback',
        async (context) => {
          const { rollback } = await import('./rollback.ts');
          return rollback(context, more);
        },
        ({ summary }) => summary,
        more.dryRun,
      ),
    async atDesk(work) {
      const { openDesk } = await import('./desk.ts');
      const { context, stopTimer } = await openDirectorFor(options, `desk-${randomBytes(6).toString('hex')}`);
      return openDesk(context).then(work).finally(stopTimer);
    },
    async status(limit) {
      const { status } = await import('./status.ts');
      return status(look(), limit);
    },
    async overview(limit) {
      const { overview } = await import('./overview.ts');
      return overview(await lookAtDirector(), limit);
    },
    async director() {
      const { directorStatus } = await import('./director-status.ts');
      return directorStatus(await lookAtDirector());
    },
    async doctor() {
      const { askDoctor } = await import('./director-status.ts');
      return askDoctor(await lookAtDirector());
    },
    async news(more) {
      const { tellNews } = await import('./news.ts');
      return tellNews(await lookAtDirector(), more);
    },
    async logs(service, more) {
      const { tellDirectorLogs, tellLogs } = await import('./logs.ts');
      if (service === undefined) return tellDirectorLogs(await lookAtDirector(), more);
      return tellLogs(service, look(), more);
    },
  };
}

const NOTHING: Summary = { created: 0, updated: 0, deleted: 0, unchanged: 0, kept: [], urls: {} };

export {
  type ClientOptions,
  clientOf,
  type Deployment,
  type DeploymentFilter,
  type DeploymentLogLine,
  type DeploymentPage,
  DeploymentRefused,
  type DeploymentRequest,
  type DeploymentsClient,
  type Engine,
  type Status as DeploymentStatus,
  type StatusChange,
} from '@service-director/shared/contract/client.ts';
export {
  type Gate,
  GateClosed,
  type GateOptions,
  gateOf,
} from '@service-director/shared/contract/gate.ts';
export { PHASES } from './event.ts';
export { EXIT, Failure } from './failure.ts';
export { InvalidArchitecture } from './load.ts';
export type {
  ConductorEvent,
  ConductorOptions,
  Desk,
  DirectorStatus,
  DownOptions,
  LogLine,
  LogOptions,
  News,
  NewsOptions,
  Overview,
  Phase,
  PlanResult,
  RollbackOptions,
  RollbackResult,
  Status,
  Summary,
  UpResult,
};
