/**
 * A director's HTTP side with its intake and a store in memory, in the process of the test: nobody carries
 * deployments out but the test itself, which writes what a director would have written.
 */

import { randomUUID } from 'node:crypto';
import { type ClientRequest, createServer, type IncomingMessage, request as openRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { intake } from '@service-director/director/commands/intake.ts';
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { outbox } from '@service-director/director/deployments/outbox.ts';
import { authenticate } from '@service-director/director/http/authenticate.ts';
import { scopesIn } from '@service-director/director/http/demand.ts';
import { type DoctorOptions, examine } from '@service-director/director/http/doctor/doctor.ts';
import { listeningTo, STREAMING, type Streaming } from '@service-director/director/http/listening.ts';
import { nativeRoutes } from '@service-director/director/http/native/index.ts';
import { readsOf } from '@service-director/director/http/reads.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import { createApp } from '@service-director/director/http/server.ts';
import type { Log } from '@service-director/director/observability/log.ts';
import { listAll } from '@service-director/director/store/list-all.ts';
import { type DeploymentRecord, type JournalEntry, keys } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Store } from '@service-director/director/store/store.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { demandDocumented } from './contract.ts';

export interface NativeDirector {
  readonly store: Store;
  readonly port: number;
  /** What went wrong inside. */
  readonly mistakes: readonly string[];
  get(path: string, headers?: Record<string, string>): Promise<NativeAnswer>;
  /** A body that is no text is sent as JSON. */
  post(path: string, body?: object | string, headers?: Record<string, string>): Promise<NativeAnswer>;
  /** The path goes out as it is. */
  ask(method: string, path: string, more?: Asking): Promise<NativeAnswer>;
  /** Resolves when the answer begins. */
  open(path: string, headers?: Record<string, string>): Promise<OpenAnswer>;
  /** What a director does to a deployment while it carries it out. */
  write(id: string, change: Partial<DeploymentRecord>, entries?: readonly JournalEntry[]): Promise<void>;
  /** From now on somebody else calls; undefined for whoever is on this machine. */
  callAs(caller: Caller | undefined): void;
  /** As the program does when it is told to stop. */
  beginStop(): void;
  close(): Promise<void>;
}

export interface Asking {
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface NativeAnswer {
  readonly status: number;
  readonly type: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
  readonly body: any;
}

export interface OpenAnswer {
  readonly message: IncomingMessage;
  readonly request: ClientRequest;
}

/** Where it would work, had it any tools: nothing of the outside is reached. */
const NOWHERE: Omit<DoctorOptions, 'store' | 'clock'> = {
  terraform: { binary: '/nowhere/terraform', workRoot: tmpdir(), environment: {}, isEnabled: true },
  stateFile: undefined,
  isOnGoogle: false,
  endpoint: 'http://127.0.0.1:9',
  generatorUrl: 'http://127.0.0.1:9',
  registryUrl: 'http://127.0.0.1:9',
};

export async function openNative(streaming: Partial<Streaming> = {}): Promise<NativeDirector> {
  const store = sqliteStore({ path: ':memory:' });
  const mistakes: string[] = [];
  const stopping = new AbortController();
  let caller: Caller | undefined;
  const onLoopback = authenticate({
    access: 'loopback',
    allowed: [],
    audience: undefined,
    endpoint: undefined,
    behindCloudRun: false,
  });
  const [clock, random] = [systemClock, systemRandom];
  const note = (message: string, fields: object = {}): void =>
    void mistakes.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug() {}, info() {}, warn() {}, error: note, with: () => log };
  const onTrouble = (error: unknown, about: string): void => note(about, { error: String(error) });
  const reads = readsOf({ store, clock, random, onTrouble });
  const sending = outbox({
    store,
    clock,
    random,
    bus: { publish: async () => {} },
    onTrouble: (error) => note(String(error)),
  });
  const speaker = { source: 'a-test', eventsTopic: 'events', deadLetterTopic: 'dead-letters' };
  const taking = intake({ store, clock, outbox: sending, speaker, blueprints: architectures, onTaken() {} });
  const app = createApp({
    log,
    version: { name: 'a-test', version: '1.2.3', revision: 'local', node: process.version },
    isEncrypted: false,
    limit: (_request, _response, next) => next(),
    readiness: () => ({ ready: true, problems: {} }),
    authenticate(request, response, next) {
      if (caller === undefined) return onLoopback(request, response, next);
      response.locals.caller = caller;
      next();
    },
    routes: [
      nativeRoutes({
        intake: taking,
        store,
        clock,
        scopes: scopesIn(store, architectures),
        newId: () => `http-${randomUUID()}`,
        version: '1.2.3',
        reads,
        examine: () => examine({ ...NOWHERE, store, clock }),
        listening: listeningTo({
          ...{ store, clock, stopping: stopping.signal },
          streaming: { ...STREAMING, shortestMs: 5, longestMs: 20, ...streaming },
        }),
      }),
    ],
    push: undefined,
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  function begin(method: string, path: string, { headers = {}, body }: Asking): ClientRequest {
    const request = openRequest({ host: '127.0.0.1', port, method, path, headers });
    request.end(body);
    return request;
  }

  async function ask(method: string, path: string, more: Asking = {}): Promise<NativeAnswer> {
    const message = await answerTo(begin(method, path, more));
    const text = await textOf(message);
    const type = message.headers['content-type'] ?? '';
    const isJson = type.includes('json') && !type.includes('ndjson') && text !== '';
    const answer = {
      status: message.statusCode ?? 0,
      type,
      headers: message.headers,
      body: isJson ? JSON.parse(text) : text,
    };
    demandDocumented({ method, path, ...answer });
    return answer;
  }

  return {
    store,
    port,
    mistakes,
    ask,
    get: (path, headers = {}) => ask('GET', path, { headers }),
    post: (path, body, headers = {}) =>
      ask('POST', path, {
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    async open(path, headers = {}) {
      const request = begin('GET', path, { headers });
      return { request, message: await answerTo(request) };
    },
    async write(id, change, entries = []) {
      const found = await store.get<DeploymentRecord>(keys.deployment(id));
      if (!found) throw new Error(`There is no deployment ${id}`);
      const before = await listAll(store, { collection: 'journal', prefix: `${id}/` });
      await store.commit([
        { type: 'put', key: keys.deployment(id), value: { ...found.value, ...change }, if: found.version },
        ...entries.map((value, place) => ({
          type: 'put' as const,
          key: keys.journal(id, before.length + place + 1),
          value,
          if: 'absent' as const,
        })),
      ]);
    },
    callAs: (somebody) => {
      caller = somebody;
    },
    beginStop: () => stopping.abort(new Error('the director stops')),
    async close() {
      stopping.abort(new Error('the director stops'));
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await sending.settled();
      await reads.settled();
      await store.close();
    },
  };
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
}

async function textOf(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part);
  return Buffer.concat(parts).toString();
}
