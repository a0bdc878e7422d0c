/** Errors as registries answer them: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
import type { ServerResponse } from 'node:http';
import { type Code, GoogleError } from '../../error.ts';
import { sendJson } from '../../rest.ts';

/** An error with the code that the distribution specification, or Google's registry, has for it. */
export class RegistryError extends GoogleError {
  readonly reason: string;
  readonly #http: number;

  constructor(http: number, reason: string, message: string, code: Code) {
    super(code, message);
    this.reason = reason;
    this.#http = http;
  }

  override get http(): number {
    return this.#http;
  }

  override body(): object {
    return { errors: [{ code: this.reason, message: this.message }] };
  }
}

export const nameInvalid = (message: string) =>
  new RegistryError(400, 'NAME_INVALID', message, 'INVALID_ARGUMENT');

export const nameUnknown = (message: string) => new RegistryError(404, 'NAME_UNKNOWN', message, 'NOT_FOUND');

export const blobUnknown = (digest: string) =>
  new RegistryError(404, 'BLOB_UNKNOWN', `blob unknown to registry: ${digest}`, 'NOT_FOUND');

export const uploadUnknown = () =>
  new RegistryError(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry', 'NOT_FOUND');

export const rangeInvalid = (message: string) =>
  new RegistryError(416, 'BLOB_UPLOAD_INVALID', message, 'OUT_OF_RANGE');

export const digestInvalid = (message: string) =>
  new RegistryError(400, 'DIGEST_INVALID', message, 'INVALID_ARGUMENT');

export const manifestUnknown = (name: string, version: string) =>
  new RegistryError(404, 'MANIFEST_UNKNOWN', `Failed to fetch "${version}" of ${name}`, 'NOT_FOUND');

export const manifestInvalid = (message: string) =>
  new RegistryError(400, 'MANIFEST_INVALID', `manifest invalid: ${message}`, 'INVALID_ARGUMENT');

export const unauthorized = (message: string) =>
  new RegistryError(401, 'UNAUTHORIZED', message, 'UNAUTHENTICATED');

/** Writes any error in the registry's form; a 401 says where tokens are to be had. */
export function refuse(error: GoogleError, response: ServerResponse, origin: string): void {
  const answer =
    error instanceof RegistryError
      ? error
      : new RegistryError(error.http, REASONS[error.code] ?? 'UNKNOWN', error.message, error.code);
  if (answer.http === 401) {
    response.setHeader(
      'www-authenticate',
      `Bearer realm="${origin}/v2/token",service="${new URL(origin).host}"`,
    );
  }
  response.setHeader('docker-distribution-api-version', 'registry/2.0');
  sendJson(response, answer.http, answer.body());
}

const REASONS: Partial<Record<Code, string>> = {
  UNAUTHENTICATED: 'UNAUTHORIZED',
  PERMISSION_DENIED: 'DENIED',
  FAILED_PRECONDITION: 'DENIED',
  NOT_FOUND: 'NAME_UNKNOWN',
  RESOURCE_EXHAUSTED: 'TOOMANYREQUESTS',
};
