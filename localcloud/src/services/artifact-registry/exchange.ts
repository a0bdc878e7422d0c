/** What the routes of the registry have in common. */
import type { ServerResponse } from 'node:http';
import { readBody } from '../../rest.ts';
import type { Call, Route, RouteRequest } from '../../service.ts';

/** The image that a path names. */
export interface Target {
  /** As in the path: `p/r/team/api`. */
  readonly name: string;
  /** The repository's resource name. */
  readonly repository: string;
  /** `team/api`. */
  readonly image: string;
}

export interface RegistryRoute {
  readonly name: string;
  readonly method: Route['method'];
  /** What comes after the image's name. */
  readonly path: string;
  readonly permission: 'downloadArtifacts' | 'uploadArtifacts' | 'deleteArtifacts';
  handle(target: Target, request: RouteRequest, response: ServerResponse, call: Call): void | Promise<void>;
}

export function answer(response: ServerResponse, status: number, headers: Record<string, string>): void {
  const length: Record<string, string> = status === 204 ? {} : { 'content-length': '0' };
  response.writeHead(status, { 'docker-distribution-api-version': 'registry/2.0', ...length, ...headers });
  response.end();
}

/** Reads a whole body as text; undefined when it is no UTF-8. */
export async function readText(request: RouteRequest, limit: number): Promise<string | undefined> {
  const body = await readBody(request.raw, limit);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return undefined;
  }
}
