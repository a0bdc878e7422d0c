/** Conditions: how a service or revision is, and why. */
import { GoogleError } from '../../error.ts';
import type { Condition, Failure } from './resources.ts';

/** Thrown inside; told by conditions and by the operation. */
export class DeploymentFailed extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

export function succeeded(type: string, at: string): Condition {
  return { type, state: 'CONDITION_SUCCEEDED', lastTransitionTime: at };
}

export function pending(type: string, at: string): Condition {
  return { type, state: 'CONDITION_RECONCILING', lastTransitionTime: at };
}

export function failed(type: string, at: string, { reason }: Failure, message: string): Condition {
  return { type, state: 'CONDITION_FAILED', message, lastTransitionTime: at, severity: 'ERROR', ...reason };
}

/** The conditions of a revision that is being made, is ready, or failed. */
export function revisionConditions(at: string, state: 'pending' | 'ready' | Failure): Condition[] {
  const types = ['Ready', 'ContainerHealthy', 'ContainerReady', 'ResourcesAvailable'];
  if (state === 'pending') return types.map((type) => pending(type, at));
  if (state === 'ready') return types.map((type) => succeeded(type, at));
  const pulled = 'revisionReason' in state.reason;
  return [
    failed('Ready', at, state, state.message),
    pulled ? failed('ContainerHealthy', at, state, state.message) : pending('ContainerHealthy', at),
    pulled ? succeeded('ContainerReady', at) : failed('ContainerReady', at, state, state.message),
    pulled ? succeeded('ResourcesAvailable', at) : pending('ResourcesAvailable', at),
  ];
}

/** What a service says about its failure. */
export function serviceMessage(revision: string, { half, message }: Failure): string {
  if (half === 'RoutesReady') return message;
  return `Revision '${revision}' is not ready and cannot serve traffic. ${message}`;
}

/** What the operation ends with. */
export function operationError(revision: string, failure: Failure): GoogleError {
  const named = failure.code === 'FAILED_PRECONDITION';
  return new GoogleError(failure.code, named ? serviceMessage(revision, failure) : failure.message);
}

/** The container exited, or did not listen in time. */
export function unhealthy(port: number, logUri: string): Failure {
  return {
    half: 'ConfigurationsReady',
    code: 'FAILED_PRECONDITION',
    reason: { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR' },
    message: `The user-provided container failed to start and listen on the port defined provided by the PORT=${port} environment variable within the allocated timeout. This can happen when the container port is misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this revision might contain more information.\n\nLogs URL: ${logUri}`,
  };
}

export function imageMissing(image: string): Failure {
  return {
    half: 'ConfigurationsReady',
    code: 'NOT_FOUND',
    reason: { reason: 'CONTAINER_MISSING' },
    message: `Image '${image}' not found.`,
  };
}

export function imageForbidden(image: string, agent: string): Failure {
  return {
    half: 'ConfigurationsReady',
    code: 'PERMISSION_DENIED',
    reason: { reason: 'CONTAINER_PERMISSION_DENIED' },
    message: `Google Cloud Run Service Agent ${agent} must have permission to read the image, ${image}. Ensure that the provided container image URL is correct and that the above account has permission to access the image. If you just enabled the Cloud Run API, the permissions might take a few minutes to propagate.`,
  };
}

/** The image cannot be unpacked, or names nothing to run. */
export function imageUnusable(image: string, why: string): Failure {
  return {
    half: 'ConfigurationsReady',
    code: 'FAILED_PRECONDITION',
    reason: { reason: 'CONTAINER_MISSING' },
    message: `Image '${image}' cannot be run: ${why}`,
  };
}

/** Traffic is to go where nothing serves. */
export function noSuchTarget(revision: string): Failure {
  return {
    half: 'RoutesReady',
    code: 'FAILED_PRECONDITION',
    reason: { reason: 'REVISION_FAILED' },
    message: `Revision '${revision}' referenced in traffic not found, or not ready.`,
  };
}

/** A mistake of the local cloud itself. */
export function unforeseen(error: unknown): Failure {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    half: 'RoutesReady',
    code: 'INTERNAL',
    reason: { reason: 'INTERNAL' },
    message: `The local cloud failed: ${text}`,
  };
}
