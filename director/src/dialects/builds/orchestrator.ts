/**
 * Starts the executions of builds, and only that: what cannot be started stays as it was, for whoever asked to mark.
 *
 * The name is reserved first and used second. It makes the start idempotent: who died between the two is followed by
 * somebody who does the same again, under the same name.
 */
import { type Builds, NotPossible } from './builds.ts';
import { type ExecutionInput, inputOf } from './records.ts';

/** What carries executions out: a workflow engine, ours or another. */
export interface Executions {
  /** Resolves with the execution's ARN. The same name again is the same execution, and no second one. */
  startExecution(request: ExecutionRequest): Promise<string>;
  /** Undefined where nothing was started under that name. */
  describeExecution(name: string): Promise<Execution | undefined>;
}

export interface ExecutionRequest {
  readonly stateMachineArn: string;
  readonly name: string;
  /** JSON: an ExecutionInput. */
  readonly input: string;
}

export interface Execution {
  readonly arn: string;
  readonly status: 'RUNNING' | 'SUCCEEDED' | 'FAILED';
  /** Why it failed. */
  readonly error?: string;
}

export interface Orchestrator {
  /** Resolves with the ARN; the build is IN_PROGRESS then, or has ended already. Rejects with StillUnclear, or with what kept it. */
  startExecution(input: ExecutionInput): Promise<string>;
}

/** Whether it was started cannot be told now; the same again will tell. */
export class StillUnclear extends Error {}

export function orchestrator(executions: Executions, stateMachineArn: string, builds: Builds): Orchestrator {
  /** An answer that got lost is found by looking. */
  async function arnOf(name: string, input: ExecutionInput): Promise<string> {
    try {
      return await executions.startExecution({
        stateMachineArn,
        name,
        input: JSON.stringify(inputOf(input)),
      });
    } catch (error) {
      const found = await executions.describeExecution(name).catch((cause) => {
        throw new StillUnclear(`Whether ${name} was started is not known`, { cause });
      });
      if (found) return found.arn;
      await builds.release(input, name);
      throw error;
    }
  }

  return {
    async startExecution(input) {
      const { execution_name, execution_arn, ...build } = await builds.reserve(input);
      if (execution_arn !== undefined) return execution_arn;
      if (JSON.stringify(inputOf(build)) !== JSON.stringify(inputOf(input)))
        throw new NotPossible(`The build ${input.sk} is another one`);
      const arn = await arnOf(execution_name, input);
      await builds.started(input, execution_name, arn);
      return arn;
    },
  };
}
