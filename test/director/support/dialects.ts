/** What a dialect stands on, without the program around it: a store, the intake, the coordinator, a door on a free port. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Sources } from '@service-director/director/bundles/sources.ts';
import { type Intake, intake } from '@service-director/director/commands/intake.ts';
import { stacksToWake, toldToStop } from '@service-director/director/deployments/admission.ts';
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { coordinator } from '@service-director/director/deployments/coordinator.ts';
import { outbox } from '@service-director/director/deployments/outbox.ts';
import { authenticate } from '@service-director/director/http/authenticate.ts';
import { type Scopes, scopesIn } from '@service-director/director/http/demand.ts';
import { type Listening, listeningTo, STREAMING } from '@service-director/director/http/listening.ts';
import type { Caller } from '@service-director/director/http/roles.ts';
import { createApp, type ServerOptions } from '@service-director/director/http/server.ts';
import type { Log } from '@service-director/director/observability/log.ts';
import { type Artifacts, artifactsIn } from '@service-director/director/store/artifacts.ts';
import { ensureFileKey } from '@service-director/director/store/file-key.ts';
import { thisHolder } from '@service-director/director/store/holder.ts';
import { sealedStore } from '@service-director/director/store/sealed.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Store } from '@service-director/director/store/store.ts';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { Engine } from '@service-director/shared/engine/engine.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { demandDocumented } from './contract.ts';
import { PROJECT, REGION } from './world.ts';

export interface Ground {
  readonly dir: string;
  readonly store: Store;
  readonly artifacts: Artifacts;
  readonly intake: Intake;
  readonly scopes: Scopes;
  readonly log: Log;
  readonly listening: Listening;
  /** What was logged as an error or a warning. */
  readonly troubles: string[];
  stop(): Promise<void>;
}

export interface GroundOptions {
  readonly engine: (artifacts: Artifacts, dir: string) => Engine;
  readonly sources?: (artifacts: Artifacts, dir: string, cloud: Cloud) => Sources;
  /** Of a cloud; where there is none, nothing may be asked of one. */
  readonly endpoint?: string;
}

export async function openGround({ engine, sources, endpoint }: GroundOptions): Promise<Ground> {
  const dir = mkdtempSync(join(tmpdir(), 'dialect-'));
  const store = sqliteStore({ path: join(dir, 'state.sqlite') });
  const artifacts = artifactsIn(sealedStore(store, ensureFileKey(join(dir, 'state.key'))));
  const cloud = googleCloud({
    project: PROJECT,
    endpoint: endpoint ?? 'http://127.0.0.1:9',
    credentials: noCredentials,
  });
  const stopping = new AbortController();
  const troubles: string[] = [];
  const onTrouble = (error: unknown, about: string): void => void troubles.push(`${about}: ${error}`);
  const common = { store, clock: systemClock, random: systemRandom };
  const speaker = { source: '//the-tests', eventsTopic: 'e', deadLetterTopic: 'd', legacyTopic: undefined };
  const sending = outbox({ ...common, bus: { publish: async () => {} }, onTrouble });
  const holder = thisHolder({ isOnCloudRun: false });
  const coordinating = coordinator({
    ...common,
    speaker,
    holder,
    onTrouble,
    isGone: () => false,
    outbox: sending,
    engine: engine(artifacts, dir),
    sources: sources?.(artifacts, dir, cloud),
    blueprints: architectures,
    projectNumber: '123456789012',
    retention: 10,
    approvalMs: 3_600_000,
    engineContext: () => ({
      cloud,
      region: REGION,
      self: undefined,
      clock: systemClock,
      random: systemRandom,
      limit: (_api, call) => call(),
    }),
    announce: () => {},
  });
  await coordinating.start();
  const log: Log = {
    with: () => log,
    debug: () => {},
    info: () => {},
    warn: (message, fields) => void troubles.push(`${message} ${JSON.stringify(fields)}`),
    error: (message, fields) => void troubles.push(`${message} ${JSON.stringify(fields)}`),
  };
  return {
    ...{ dir, store, artifacts, log, troubles },
    listening: listeningTo({
      ...{ store, clock: systemClock, stopping: stopping.signal },
      streaming: { ...STREAMING, shortestMs: 20, longestMs: 100 },
    }),
    scopes: scopesIn(store, architectures),
    intake: intake({
      ...{ store, speaker, clock: systemClock, outbox: sending, blueprints: architectures },
      onTaken(_record, writes) {
        coordinating.wake(stacksToWake(writes));
        coordinating.poke(toldToStop(writes));
      },
    }),
    async stop() {
      stopping.abort(new Error('The tests stop'));
      await coordinating.leave();
      await sending.settled();
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test asks for.
  readonly body: any;
}

/** The answer; throws where the director's OpenAPI document tells of no such. */
export function documented(
  method: string,
  path: string,
  { status, headers }: Response,
  body: Answered['body'],
): Answered {
  const type = headers.get('content-type') ?? '';
  demandDocumented({ method, path, status, type, body: body ?? '' });
  return { status, headers, body };
}

export interface Door {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** A body that is no text is sent as JSON. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answered>;
  /** From then on somebody else calls; undefined for whoever is on this machine. */
  as(caller: Caller | undefined): void;
  close(): Promise<void>;
}

/** As `app.ts` mounts routes, open to this machine. */
export async function openDoor(log: Log, ...routes: ServerOptions['routes']): Promise<Door> {
  let caller: Caller | undefined;
  const letIn = authenticate({
    ...{ access: 'loopback', allowed: [], audience: undefined, endpoint: undefined, behindCloudRun: false },
  });
  const app = createApp({
    log,
    routes,
    version: {},
    push: undefined,
    isEncrypted: false,
    limit: (_request, _response, next) => next(),
    readiness: () => ({ ready: true, problems: {} }),
    authenticate: (request, response, next) =>
      letIn(request, response, (error) => {
        if (caller) response.locals.caller = caller;
        next(error);
      }),
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise<void>((resolve) => server.once('listening', () => resolve()));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    as(other) {
      caller = other;
    },
    async ask(method, path, body, headers = {}) {
      const init = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
      const response = await fetch(url + path, { method, headers, ...init });
      const text = await response.text();
      const answer = text === '' ? undefined : JSON.parse(text);
      return documented(method, path, response, answer);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
