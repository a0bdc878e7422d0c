/** The refusals of Cloud Storage, in Google's words where those are known. */
import { LegacyError } from '../../error.ts';

export function badRequest(message: string, reason = 'invalid'): LegacyError {
  return new LegacyError(400, reason, message, 'INVALID_ARGUMENT');
}

export function missingParameter(name: string): LegacyError {
  return badRequest(`Required parameter: ${name}`, 'required');
}

export function noSuchBucket(): LegacyError {
  return new LegacyError(404, 'notFound', 'The specified bucket does not exist.', 'NOT_FOUND');
}

/** `what` as Google writes it: `bucket/name`, with `#generation` when one was asked for. */
export function noSuchObject(what: string): LegacyError {
  return new LegacyError(404, 'notFound', `No such object: ${what}`, 'NOT_FOUND');
}

export function forbidden(
  email: string,
  permission: string,
  what: 'project' | 'bucket' | 'object',
): LegacyError {
  const noun = what === 'project' ? 'Google Cloud project' : `Google Cloud Storage ${what}`;
  return new LegacyError(
    403,
    'forbidden',
    `${email} does not have ${permission} access to the ${noun}. Permission '${permission}' denied on resource (or it may not exist).`,
    'PERMISSION_DENIED',
  );
}

export function preconditionFailed(
  message = 'At least one of the pre-conditions you specified did not hold.',
): LegacyError {
  return new LegacyError(412, 'conditionNotMet', message, 'FAILED_PRECONDITION');
}

export function conflict(message: string): LegacyError {
  return new LegacyError(409, 'conflict', message, 'ALREADY_EXISTS');
}

/** For what would change how Cloud Storage behaves and is not simulated: better refused than ignored. */
export function notSimulated(what: string): LegacyError {
  return new LegacyError(
    501,
    'notImplemented',
    `The local cloud does not simulate ${what}.`,
    'UNIMPLEMENTED',
  );
}
