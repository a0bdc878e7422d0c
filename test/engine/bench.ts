/** A local cloud with the native engine before it, for the tests of the engine and its kinds. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FaultRule, type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import type { EngineContext, Planned, Work } from '@service-director/shared/engine/engine.ts';
import { native } from '@service-director/shared/engine/native.ts';
import type { Outcome } from '@service-director/shared/engine/reconcile.ts';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import type { Change } from '@service-director/shared/model/change.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import { type Owner, type Unit, type UnitSpec, unitId } from '@service-director/shared/model/unit.ts';

export const PROJECT = 'kinds';
export const REGION = 'us-central1';
export const LOCATION = `projects/${PROJECT}/locations/${REGION}`;
export const OURS: Owner = { scope: 'shop', dataflow: 'orders' };
export const OTHERS: Owner = { scope: 'shop', dataflow: 'billing' };

/** The engine's time runs so many times as fast as the machine's: its waits are real, and short. */
const SPEED = 50;

export type Json = Record<string, unknown>;

/** What the engine did for one unit. */
export interface Done {
  readonly planned: Planned;
  readonly outcome: Outcome;
  /** The methods that may change something, in the order in which they were called. */
  readonly calls: readonly string[];
  /** What it said that it waits for. */
  readonly told: readonly string[];
  /** How long it meant to wait each time, in milliseconds. */
  readonly waits: readonly number[];
  /** What is known of the unit from now on. */
  readonly state: UnitState;
}

export interface Options {
  readonly prior?: UnitState;
  /** What is applied; by default what is planned before. */
  readonly planned?: Change;
  /** When it was changed last, where it is removed; milliseconds since 1970. */
  readonly changedAt?: number;
  readonly context?: Partial<EngineContext>;
}

export interface Bench {
  readonly running: RunningCloud;
  /** Where the local cloud keeps everything; goes with it. */
  readonly dir: string;
  readonly cloud: Cloud;
  context(): EngineContext;
  plan(unit: Unit, options?: Options): Promise<Planned>;
  /** Plans and applies. */
  apply(unit: Unit, options?: Options): Promise<Done>;
  destroy(unit: Unit, options?: Options): Promise<Omit<Done, 'planned' | 'state'>>;
  /** A call by hand, as the developer. Rejects with what Google says. */
  call(method: string, path: string, body?: object): Promise<Json>;
  /** The same; undefined where there is nothing. */
  look(path: string): Promise<Json | undefined>;
  /** The same, where it may be there already. */
  ensure(method: string, path: string, body?: object): Promise<void>;
  fault(...rules: FaultRule[]): void;
  /** Pushes an image whose web server answers with its GREETING; returns its name with the digest. */
  pushImage(greeting: string): Promise<string>;
  /** Moves the local cloud's time on, in milliseconds. */
  pass(ms: number): void;
  end(): Promise<void>;
}

export async function openBench({ propagationMs = 0 } = {}): Promise<Bench> {
  const dir = mkdtempSync(join(tmpdir(), 'engine-'));
  let passed = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + passed };
  const running = await startLocalCloud({ dir, project: PROJECT, apis: 'all', propagationMs, clock });
  const { origin } = running;
  const cloud = googleCloud({ project: PROJECT, endpoint: origin, credentials: noCredentials });

  function context(
    more: Partial<EngineContext> = {},
    told: string[] = [],
    waits: number[] = [],
  ): EngineContext {
    return {
      cloud,
      region: REGION,
      self: undefined,
      clock: fastClock(waits),
      random: () => 0,
      signal: new AbortController().signal,
      limit: (_api, call) => call(),
      record: async () => {},
      ...more,
      waiting(because) {
        told.push(because);
        more.waiting?.(because);
      },
    };
  }

  async function watched<T>(
    more: Partial<EngineContext> | undefined,
    work: (context: EngineContext) => Promise<T>,
  ): Promise<Pick<Done, 'calls' | 'told' | 'waits'> & { result: T }> {
    const told: string[] = [];
    const waits: number[] = [];
    const { calls } = running.cloud;
    const before = calls.since(0).at(-1)?.number ?? 0;
    const result = await work(context(more, told, waits));
    // To ask as somebody else takes a token, which changes nothing.
    const made = calls.since(before).filter(({ mutating, api }) => mutating && api !== 'iamcredentials');
    return { result, told, waits, calls: made.map(({ method }) => method) };
  }

  async function send(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${origin}${path}`, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
  }

  async function call(method: string, path: string, body?: object): Promise<Json> {
    const response = await send(method, path, body);
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`, {
        cause: response.status,
      });
    return (await response.json().catch(() => ({}))) as Json;
  }

  async function push(image: string, content: Buffer, mediaType: string): Promise<object> {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    const path = `/v2/${PROJECT}/images/${image}/blobs/uploads/?digest=${digest}`;
    const response = await fetch(`${origin}${path}`, { method: 'POST', body: new Uint8Array(content) });
    if (response.status !== 201) throw new Error(await response.text());
    return { mediaType, digest, size: content.length };
  }

  return {
    running,
    dir,
    cloud,
    context: () => context(),
    async plan(unit, { prior, context: more } = {}) {
      return (await watched(more, (inner) => native.plan(workOf(unit, prior), inner))).result;
    },
    async apply(unit, { prior, planned: given, context: more } = {}) {
      const work = workOf(unit, prior);
      const { result, ...rest } = await watched(more, async (inner) => {
        const planned = await native.plan(work, inner);
        return { planned, outcome: await native.apply(work, given ?? planned.change, inner) };
      });
      return { ...rest, ...result, state: stateAfter(unit, result.outcome) };
    },
    async destroy(unit, { context: more, changedAt } = {}) {
      const state = { ...stateOf(unit), ...(changedAt === undefined ? {} : { changedAt }) };
      const { result, ...rest } = await watched(more, (inner) => native.destroy(state, inner));
      return { ...rest, outcome: result };
    },
    call,
    async look(path) {
      const response = await send('GET', path);
      if (response.status === 404) return undefined;
      if (!response.ok) throw new Error(await response.text());
      return (await response.json()) as Json;
    },
    async ensure(method, path, body) {
      await call(method, path, body).catch((error) => {
        if (!(error instanceof Error) || error.cause !== 409) throw error;
      });
    },
    fault: (...rules) => running.cloud.faults.replace(rules),
    async pushImage(greeting) {
      const config = { Cmd: ['node', '-e', SERVER], Env: [`GREETING=${greeting}`] };
      const manifest = {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: await push(
          'server',
          Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config })),
          'application/vnd.oci.image.config.v1+json',
        ),
        layers: [],
      };
      const response = await fetch(`${origin}/v2/${PROJECT}/images/server/manifests/latest`, {
        method: 'PUT',
        headers: { 'content-type': manifest.mediaType },
        body: JSON.stringify(manifest),
      });
      if (response.status !== 201) throw new Error(await response.text());
      const digest = response.headers.get('docker-content-digest');
      return `${REGION}-docker.pkg.dev/${PROJECT}/images/server@${digest}`;
    },
    pass(ms) {
      passed += ms;
    },
    async end() {
      await running.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

/** What a service's container runs. It exits at once while the file that it NEEDS is not there; DEAF, it never listens. */
const SERVER = `
const { DEAF, GREETING, NEEDS, PORT } = process.env;
if (NEEDS && !require('fs').existsSync(NEEDS)) process.exit(3);
if (DEAF) setInterval(() => {}, 1000);
else require('http').createServer((_, response) => response.end(GREETING)).listen(Number(PORT));
`;

export function unitOf(kind: string, spec: UnitSpec, owner = OURS): Unit {
  return { id: unitId(kind, spec.name), engine: 'gcp', kind, spec, needs: [], owner, stage: 'setup' };
}

function workOf(unit: Unit, prior: UnitState | undefined): Work {
  return { unit, spec: unit.spec, prior };
}

function stateOf({ id, engine, kind, spec, needs, owner, stage }: Unit): UnitState {
  return { id, engine, kind, spec, needs, owner, stage, outputs: {} };
}

function stateAfter(unit: Unit, outcome: Outcome): UnitState {
  if (outcome.status !== 'done') return stateOf(unit);
  const { effective, ...outputs } = outcome.outputs;
  return {
    ...stateOf(unit),
    outputs,
    ...(effective === undefined ? {} : { effective: effective === 'true' }),
  };
}

function fastClock(waits: number[]): Clock {
  const began = systemClock.now();
  return {
    now: () => began + (systemClock.now() - began) * SPEED,
    sleep(ms, signal) {
      waits.push(ms);
      return systemClock.sleep(ms / SPEED, signal);
    },
    after: (ms, task) => systemClock.after(ms / SPEED, task),
  };
}
