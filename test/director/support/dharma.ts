/** What stands around the dialect at `/api`: a generator whose code the test writes, and a client that sends as curl does. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';
import { type Answered, documented } from './dialects.ts';
import { until } from './world.ts';

export interface Generator {
  readonly url: string;
  /** From now on that job is completed, with these files: contents by name. */
  write(job: string, files: Readonly<Record<string, string>>): void;
  /** From now on that job is there, and never completed. */
  stall(job: string): void;
  close(): Promise<void>;
}

interface Job {
  readonly id: string;
  readonly status: 'pending' | 'completed';
  readonly output?: { readonly files: readonly { readonly name: string; readonly content: string }[] };
}

/** `codeOf` writes what a blueprint becomes that is asked for over HTTP; its job is pending when it is asked for first. */
export async function openGenerator(codeOf: (blueprintId: string) => string): Promise<Generator> {
  const jobs = new Map<string, Job>();

  function write(id: string, files: Readonly<Record<string, string>>): void {
    const output = { files: Object.entries(files).map(([name, content]) => ({ name, content })) };
    jobs.set(id, { id, status: 'completed', output });
  }

  /** Status and body. */
  function look(id: string): [number, object] {
    const job = jobs.get(id);
    if (!job) return [404, { error: 'Job not found' }];
    const waiting = asked.get(id);
    if (waiting !== undefined) write(id, { 'main.tf': codeOf(waiting) });
    asked.delete(id);
    return [200, job];
  }

  /** Blueprints by the jobs that nobody has looked at. */
  const asked = new Map<string, string>();
  function begin(body: string): [number, object] {
    const id = randomUUID();
    const { blueprintId }: { blueprintId: string } = JSON.parse(body);
    jobs.set(id, { id, status: 'pending' });
    asked.set(id, blueprintId);
    return [202, { jobId: id, status: 'pending', message: 'IaC generation started' }];
  }

  const server = createServer(async (request, response) => {
    const id = /^\/api\/generate\/([^/]+)$/.exec(request.url ?? '')?.[1];
    const [status, body] = request.method === 'POST' ? begin(await text(request)) : look(id ?? '');
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    write,
    stall: (id) => void jobs.set(id, { id, status: 'pending' }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** `curl ORIGIN/PATH`, or `curl -X POST ORIGIN/PATH -d DATA`. A body that is no text is made JSON. */
type Curl = (path: string, data?: unknown, headers?: Record<string, string>) => Promise<Answered>;

/** What is sent goes as a form, whatever it is, unless the headers say otherwise. */
export const AS_FORM = { 'content-type': 'application/x-www-form-urlencoded' };

export function curlTo(origin: string): Curl {
  return async (path, data, headers = {}) => {
    const body = typeof data === 'string' ? data : JSON.stringify(data);
    const init = data === undefined ? {} : { method: 'POST', body };
    const response = await fetch(origin + path, { ...init, headers: { ...AS_FORM, ...headers } });
    const method = data === undefined ? 'GET' : 'POST';
    return documented(method, path, response, await response.json());
  };
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UNDER_WAY = ['pending', 'planning', 'applying'];
const WORDS = [...UNDER_WAY, 'completed', 'failed', 'rolled_back'];

export interface Client {
  readonly curl: Curl;
  /** Starts a deployment that is taken, and resolves with its id. Text goes as it is. */
  start(data: unknown): Promise<string>;
  /** Resolves with the deployment once that holds of it. No word but the six is ever heard. */
  seen(id: string, holds: (body: Answered['body']) => boolean): Promise<Answered['body']>;
  /** Resolves with the deployment once it has ended. */
  ended(id: string): Promise<Answered['body']>;
}

export function clientOf(curl: Curl): Client {
  const client: Client = {
    curl,
    async start(data) {
      const answer = await curl('/api/deployments', data);
      expect([answer.status, answer.body]).toEqual([
        202,
        { deploymentId: expect.stringMatching(UUID), status: 'pending', message: 'Deployment started' },
      ]);
      return answer.body.deploymentId;
    },
    seen: (id, holds) =>
      until(async () => {
        const { body } = await curl(`/api/deployments/${id}`);
        expect(WORDS).toContain(body.status);
        if (!holds(body)) throw new Error(`Not yet: ${JSON.stringify(body)}`);
        return body;
      }),
    ended: (id) => client.seen(id, ({ status }) => !UNDER_WAY.includes(status)),
  };
  return client;
}
