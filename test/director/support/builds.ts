/** The dialect at `/api/builds` on a ground, what builds are started with, and what stands for a workflow engine. */
import type { Execution, Executions } from '@service-director/director/dialects/builds/orchestrator.ts';
import type { BuildId } from '@service-director/director/dialects/builds/records.ts';
import { type BuildsDialect, buildsDialect } from '@service-director/director/dialects/builds/routes.ts';
import type { Log } from '@service-director/director/observability/log.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { type Door, type Ground, openDoor } from './dialects.ts';
import { PROJECT, REGION } from './world.ts';

export interface BuildsDoor {
  readonly dialect: BuildsDialect;
  readonly door: Door;
  /** And the ground with it. */
  stop(): Promise<void>;
}

/** Its worker is at work. */
export async function openBuilds(ground: Ground): Promise<BuildsDoor> {
  const dialect = buildsDialect({
    ...{ ...ground, clock: systemClock, project: PROJECT, region: REGION },
    ...{ timeoutSeconds: 600, pollMs: 50 },
  });
  dialect.worker.start();
  const door = await openDoor(ground.log, dialect.routes);
  return {
    ...{ dialect, door },
    async stop() {
      await door.close();
      await dialect.worker.stop();
      await ground.stop();
    },
  };
}

export function pathOf({ repo, env, sk }: BuildId): string {
  return `/api/builds/${encodeURIComponent(repo)}/${env}/${sk}`;
}

/** The least that a build is asked for with, and its environment. */
export const START = {
  repo: 'shop',
  env: 'dev',
  branch: 'main',
  version: '12.abc',
  commit_hash: 'abc',
  s3_bucket: 'artifacts',
} as const;

/** As the documentation prints it. */
export const INPUT = {
  repo: 'myapp',
  env: 'prd',
  branch: 'main',
  version: '1.2.3',
  sk: '2HFj3kLmNoPqRsTuVwXy',
  commit_hash: 'abc123',
  s3_bucket: 'my-artifacts-bucket',
  s3_key: 'myapp/main/1.2.3',
} as const;

export const silent: Log = {
  with: () => silent,
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

/** A workflow engine that does as the test says. */
export interface Workflow extends Executions {
  readonly started: { stateMachineArn: string; name: string; input: string }[];
  readonly ends: Map<string, Pick<Execution, 'status' | 'error'>>;
  /** What a start does instead: fail, or fail after it has started it. */
  refuse: 'no' | 'before' | 'after' | 'blind';
}

export function workflow(): Workflow {
  const started: Workflow['started'] = [];
  const ends: Workflow['ends'] = new Map();
  const arnOf = (name: string): string => `arn:aws:states:us-east-1:123456789:execution:deployment:${name}`;
  return {
    started,
    ends,
    refuse: 'no',
    async startExecution(request) {
      if (this.refuse === 'before') throw new Error('the state machine is gone');
      if (!started.some(({ name }) => name === request.name)) started.push(request);
      if (this.refuse !== 'no') throw new Error('the answer got lost');
      return arnOf(request.name);
    },
    async describeExecution(name) {
      if (this.refuse === 'blind') throw new Error('nobody answers');
      if (!started.some((one) => one.name === name)) return undefined;
      return { arn: arnOf(name), ...(ends.get(name) ?? { status: 'RUNNING' }) };
    },
  };
}

export const MACHINE = 'arn:aws:states:us-east-1:123456789:stateMachine:deployment';
