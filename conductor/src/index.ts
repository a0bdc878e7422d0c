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
import type { DirectorStatus } from './director-status.ts';
import { type DownOptions, down } from './down.ts';
import type { ConductorEvent, Phase, Summary } from './event.ts';
import { Failure } from './failure.ts';
import type { LogLine, LogOptions } from './logs.ts';
import type { News, NewsOptions } from './news.ts';
import { type ConductorOptions, openLook, openRun } from './open.ts';
import { type PlanResult, plan } from './plan.ts';
import type { Status } from './status.ts';
import { type UpResult, up } from './up.ts';

export interface Conductor {
  run(): Promise<UpResult>;
  plan(): Promise<PlanResult>;
  teardown(options?: DownOptions): Promise<Summary>;
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
    operation: 'up' | 'down' | 'plan',
    work: (context: RunContext) => Promise<T>,
    summarize: (value: T) => Summary,
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
  const look = (): RunContext => openLook(options, `look-${randomBytes(6).toString('hex')}`);
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
      ),
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

export { PHASES } from './event.ts';
export { EXIT, Failure } from './failure.ts';
export { InvalidArchitecture } from './load.ts';
export type {
  ConductorEvent,
  ConductorOptions,
  DirectorStatus,
  DownOptions,
  LogLine,
  LogOptions,
  News,
  NewsOptions,
  Phase,
  PlanResult,
  Status,
  Summary,
  UpResult,
};
