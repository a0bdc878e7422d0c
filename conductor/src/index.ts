/**
 * The conductor as a library: `run()` stands an architecture up, `teardown()` takes it down, `status()` looks.
 *
 * It prints nothing; `onEvent` gets everything that happens. The CLI is a thin shell around this.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { cloudBuild } from './builders/cloud-build.ts';
import { docker } from './builders/docker.ts';
import type { RunContext } from './context.ts';
import type { Desk } from './desk.ts';
import type { DirectorStatus } from './director-status.ts';
import { type DownOptions, down } from './down.ts';
import type { ConductorEvent, Phase, RunOperation, Summary } from './event.ts';
import { Failure } from './failure.ts';
import type { LogLine, LogOptions } from './logs.ts';
import type { News, NewsOptions } from './news.ts';
import { type ConductorOptions, openLook, openRun, RunTimedOut } from './open.ts';
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
  status(): Promise<Status>;
  director(): Promise<DirectorStatus>;
  /** What the director did, and goes on to do. */
  news(options: NewsOptions): Promise<void>;
  /** What a service of the architecture writes; without a name, the director. */
  logs(service: string | undefined, options: LogOptions): Promise<void>;
}

export function conductor(options: ConductorOptions): Conductor {
  const inRun = async <T>(
    operation: RunOperation,
    work: (context: RunContext) => Promise<T>,
    summarize: (value: T) => Summary,
    dryRun = false,
  ): Promise<T> => {
    const emit = options.onEvent ?? (() => {});
    const began = systemClock.now();
    const run = `${operation}-${randomBytes(6).toString('hex')}`;
    const seconds = (): number => (systemClock.now() - began) / 1000;
    try {
      const context = await openRun(options, run, operation);
      for (const diagnostic of context.loaded.diagnostics) emit({ type: 'diagnostic', diagnostic });
      emit({
        type: 'started',
        run,
        operation,
        architecture: context.architecture.scope,
        project: context.architecture.project_id,
      });
      const value = await work(context).finally(context.stopTimer);
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
  const look = (run = 'look'): RunContext => openLook(options, `${run}-${randomBytes(6).toString('hex')}`);
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
      inRun(
        'rollback',
        async (context) => {
          const { rollback } = await import('./rollback.ts');
          return rollback(context, more);
        },
        ({ summary }) => summary,
        more.dryRun,
      ),
    async atDesk(work) {
      const { openDesk } = await import('./desk.ts');
      const context = look('desk');
      const time = new AbortController();
      const { timeoutSeconds } = context;
      const stopTimer = systemClock.after(timeoutSeconds * 1000, () =>
        time.abort(new RunTimedOut(timeoutSeconds)),
      );
      const signal = AbortSignal.any([context.signal, time.signal]);
      return openDesk({ ...context, signal })
        .then(work)
        .finally(stopTimer);
    },
    async status() {
      const { status } = await import('./status.ts');
      return status(look());
    },
    async director() {
      const { directorStatus } = await import('./director-status.ts');
      return directorStatus(look());
    },
    async news(more) {
      const { tellNews } = await import('./news.ts');
      return tellNews(look(), more);
    },
    async logs(service, more) {
      const { tellLogs } = await import('./logs.ts');
      const context = look();
      return tellLogs(service ?? context.architecture.director.name, context, more);
    },
  };
}

const NOTHING: Summary = { created: 0, updated: 0, deleted: 0, unchanged: 0, kept: [], urls: {} };

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
  Phase,
  PlanResult,
  RollbackOptions,
  RollbackResult,
  Status,
  Summary,
  UpResult,
};
