/** Executions of builds by this director: each is a deployment of one Terraform module, its artifacts being the code. */

import type { Incoming } from '@service-director/shared/contract/read-command.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { z } from 'zod';
import type { Intake } from '../../commands/intake.ts';
import { readValue } from '../../deployments/reading.ts';
import { type CommandRecord, type DeploymentRecord, isEnded, keys } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { canonicalEnvironment, scopeNameFor } from '../environment.ts';
import type { Execution, Executions } from './orchestrator.ts';
import { type BuildRecord, buildKeys, type ExecutionInput } from './records.ts';

export interface ExecutionsOptions {
  readonly intake: Intake;
  readonly store: Store;
  readonly clock: Clock;
  readonly project: string;
  readonly region: string;
  /** How long an execution may take. */
  readonly timeoutSeconds: number;
}

/** Joins what was asked for here. */
const ASKED = 'api-builds';
const STACK = 'main';
/** Of the artifacts of a build: its code. */
const BUNDLE = 'bundle.tar.gz';

const Input = z.object({
  repo: z.string(),
  env: z.string(),
  branch: z.string(),
  version: z.string(),
  sk: z.string(),
  commit_hash: z.string(),
  s3_bucket: z.string(),
  s3_key: z.string(),
});

export function directorExecutions(options: ExecutionsOptions): Executions {
  const { intake, store, clock } = options;

  async function describeExecution(name: string): Promise<Execution | undefined> {
    const command = await readValue<CommandRecord>(keys.command(commandIdOf(name)), store);
    const [id] = command?.deployments ?? [];
    if (id === undefined) return undefined;
    const record = await readValue<DeploymentRecord>(keys.deployment(id), store);
    return record && { arn: arnOf(name, options), ...outcomeOf(record) };
  }

  return {
    describeExecution,
    async startExecution({ name, input }) {
      const parsed = Input.parse(JSON.parse(input));
      const build = await readValue<BuildRecord>(buildKeys.build(parsed), store);
      if (!build) throw new Error(`There is no build ${parsed.sk}`);
      const receipt = await intake.receive(incomingOf(name, build, options, clock));
      if (receipt.result === 'rejected') throw new Error(receipt.error);
      const { deployments, answer } = receipt.record;
      if (deployments.length === 0)
        throw new Error(answer && 'error' in answer ? answer.error : 'it came to nothing');
      return arnOf(name, options);
    },
  };
}

/** What a build is asked of the director with. */
export function incomingOf(
  name: string,
  build: BuildRecord,
  { project, region, timeoutSeconds }: Pick<ExecutionsOptions, 'project' | 'region' | 'timeoutSeconds'>,
  clock: Clock,
): Incoming {
  const { repo, env, version, sk, auto_approve, requested_by } = build;
  const data = {
    dataflow: STACK,
    architecture: { document: documentOf(build, project, region), environment: canonicalEnvironment(env) },
    auto_approve,
    timeout_seconds: timeoutSeconds,
    about: { dialect: 'builds', repo, env, sk, version },
  };
  return {
    fallbackId: commandIdOf(name),
    receivedAt: timestamp(clock.now()),
    type: 'dataflow-setup',
    requester: requested_by,
    envelope: { id: commandIdOf(name), correlationId: ASKED },
    body: JSON.stringify(data),
  };
}

function commandIdOf(name: string): string {
  return `build:${name}`;
}

function arnOf(name: string, { project, region }: ExecutionsOptions): string {
  return `service-director:${region}:${project}:execution:builds:${name}`;
}

function outcomeOf(record: DeploymentRecord): Omit<Execution, 'arn'> {
  if (!isEnded(record.status)) return { status: 'RUNNING' };
  if (record.status === 'succeeded') return { status: 'SUCCEEDED' };
  const failed = (record.units ?? []).find(({ result }) => result === 'failed')?.because;
  return { status: 'FAILED', error: failed ?? record.error ?? `it is ${record.status}` };
}

/** What the architecture of a repository in an environment is called. */
export function scopeNameOf({ repo, env }: Pick<ExecutionInput, 'repo' | 'env'>): string {
  return scopeNameFor('bd', repo, ['builds', repo, canonicalEnvironment(env)]);
}

/** Throws nothing; what is wrong with it the architecture's schema says. */
export function documentOf(input: ExecutionInput, project: string, region: string): object {
  const { env } = input;
  return {
    name: scopeNameOf(input),
    project_id: project,
    region,
    dataflows: {
      [STACK]: {
        lifecycle: { strategy: 'ephemeral' },
        modules: { [STACK]: { source: { storage: bundleOf(input) } } },
      },
    },
    deployment_environments: { [canonicalEnvironment(env)]: {} },
  };
}

/** Where the code of a build is, whether its prefix ends with a slash or not. */
export function bundleOf({ s3_bucket, s3_key }: Pick<ExecutionInput, 's3_bucket' | 's3_key'>): string {
  return `gs://${s3_bucket}/${s3_key.replace(/\/+$/, '')}/${BUNDLE}`;
}
