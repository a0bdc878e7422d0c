/**
 * A client of the API at `/api/v1`:
 *
 *     const director = clientOf({ url, token });
 *     const { id } = await director.create({ id: 'web-v1', composer: 'team-alpha', environment: 'dev', resources });
 *     for await (const change of director.watch(id)) …
 *
 * Its types are those of the schemas that the director validates with. Whatever it asks may be asked again, for an id
 * that is taken by the same is answered with the same, and what has no id of its own is sent with a key, the same for
 * each try of one call: so it does, when an answer got lost or the director is busy.
 */
import { z } from 'zod';
import { type Clock, systemClock, systemRandom } from '../kit/clock.ts';
import { retry } from '../kit/retry.ts';
import { BACKOFF, DeploymentRefused, read, waitAfter } from './client-answers.ts';
import { watched } from './client-watch.ts';
import {
  DialectLogLine,
  GraphDeployment,
  GraphEngine,
  GraphPage,
  GraphStatus,
  type Watched,
} from './rest/nestor-answers.ts';
import type { DeploymentRequest, RollbackRequest } from './rest/nestor-request.ts';

export { DeploymentRefused, type DeploymentRequest };
export type Deployment = GraphDeployment;
export type DeploymentPage = GraphPage;
/** How a deployment stands, and each of its resources. */
export type Status = GraphStatus;
export type Engine = GraphEngine;
/** What a watch tells: another status of the deployment or of a resource, or the end. */
export type StatusChange = Watched;
export type DeploymentLogLine = DialectLogLine;

export interface DeploymentFilter {
  readonly composer?: string;
  readonly environment?: string;
  readonly status?: Status['status'];
  /** At most 100; by default 20. */
  readonly limit?: number;
  /** The `nextPageToken` of the page before. */
  readonly pageToken?: string;
}

export interface DeploymentsClient {
  /** Resolves once it is taken, and long before it is done. */
  create(request: DeploymentRequest): Promise<Deployment>;
  get(id: string): Promise<Deployment>;
  /** Newest first. */
  list(filter?: DeploymentFilter): Promise<DeploymentPage>;
  /** Stops what has not ended. */
  cancel(id: string): Promise<Deployment>;
  /** Resolves with the id of the deployment that brings the stack back: to the version before, or to that one. */
  rollback(
    id: string,
    options?: Pick<z.input<typeof RollbackRequest>, 'targetVersion' | 'reason'>,
  ): Promise<string>;
  status(id: string): Promise<Status>;
  logs(id: string): Promise<DeploymentLogLine[]>;
  /** Every change from its beginning on, while it happens; the last is of type `end`. Comes back by itself where a connection breaks. */
  watch(id: string, options?: { readonly signal?: AbortSignal }): AsyncGenerator<StatusChange, void, void>;
  engines(): Promise<Engine[]>;
}

export interface ClientOptions {
  /** Of the director. */
  readonly url: string;
  /** An identity token for that URL; none is sent where there is none. */
  readonly token?: (() => Promise<string | undefined> | string | undefined) | undefined;
  readonly fetch?: typeof fetch;
  /** How long one try may take, in milliseconds; by default 60 000. */
  readonly timeoutMs?: number;
  /** How often it is tried; by default 5 times. */
  readonly attempts?: number;
  /** Ends all that is waited for. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

const TIMEOUT_MS = 60_000;
const ATTEMPTS = 5;
const Begun = z.object({ rollback: z.string() });
const Logs = z.object({ logs: z.array(DialectLogLine) });
const Engines = z.object({ engines: z.array(GraphEngine) });

/** Each of its methods rejects with DeploymentRefused, a TimeoutError, the signal's reason, or what the network throws. */
export function clientOf(options: ClientOptions): DeploymentsClient {
  const { timeoutMs = TIMEOUT_MS, attempts = ATTEMPTS, clock = systemClock } = options;
  const send = options.fetch ?? fetch;
  const root = `${options.url.replace(/\/+$/, '')}/api/v1`;
  const pathOf = (id: string, rest = ''): string => `/deployments/${encodeURIComponent(id)}${rest}`;

  async function call(path: string, init: RequestInit): Promise<Response> {
    const token = await options.token?.();
    const headers = { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    return send(root + path, { ...init, headers });
  }

  async function ask<T>(answer: z.ZodType<T>, method: string, path: string, body?: object): Promise<T> {
    const key = method === 'GET' ? {} : { 'idempotency-key': crypto.randomUUID() };
    const once = async (): Promise<T> => {
      const limit = AbortSignal.timeout(timeoutMs);
      const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
      const type = body === undefined ? {} : { 'content-type': 'application/json' };
      const sent = body === undefined ? {} : { body: JSON.stringify(body) };
      const got = await call(path, { method, signal, headers: { ...key, ...type }, ...sent });
      return read(got, answer);
    };
    const again = (error: unknown): boolean | number => !options.signal?.aborted && waitAfter(error);
    return retry(once, {
      clock,
      random: systemRandom,
      backoff: BACKOFF,
      attempts,
      again,
      signal: options.signal,
    });
  }

  return {
    create: (request) => ask(GraphDeployment, 'POST', '/deployments', request),
    get: (id) => ask(GraphDeployment, 'GET', pathOf(id)),
    list: (filter = {}) => ask(GraphPage, 'GET', `/deployments${queryOf(filter)}`),
    cancel: (id) => ask(GraphDeployment, 'DELETE', pathOf(id, '?mode=cancel')),
    rollback: async (id, how = {}) => (await ask(Begun, 'POST', pathOf(id, '/rollback'), how)).rollback,
    status: (id) => ask(GraphStatus, 'GET', pathOf(id, '/status')),
    logs: async (id) => (await ask(Logs, 'GET', pathOf(id, '/logs'))).logs,
    watch: (id, { signal } = {}) =>
      watched({
        open: (headers, ending) => call(pathOf(id, '/watch'), { headers, signal: ending }),
        ...{ clock, attempts },
        signal: AbortSignal.any([signal, options.signal].filter((one) => one !== undefined)),
      }),
    engines: async () => (await ask(Engines, 'GET', '/engines')).engines,
  };
}

function queryOf(filter: DeploymentFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? '' : `?${query}`;
}
