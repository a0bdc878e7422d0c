/** A local cloud with all that a director stands on, as a conductor leaves it before the director starts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PubSub } from '@google-cloud/pubsub';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { googleCloud, noCredentials } from '@service-director/shared/cloud/google.ts';
import { toAttributes } from '@service-director/shared/contract/cloud-event.ts';
import { apply } from '@service-director/shared/engine/apply.ts';
import type { EngineContext } from '@service-director/shared/engine/engine.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { native } from '@service-director/shared/engine/native.ts';
import { makePlan } from '@service-director/shared/engine/plan.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { Architecture } from '@service-director/shared/model/architecture.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import { vi } from 'vitest';
import { pidsUnder } from '../../processes.ts';
import { CRASHES, pushImage, SERVES } from './image.ts';
import { bundledDirector } from './program.ts';
import { openRecorder, type Recorder } from './recorder.ts';

export { freePort } from '../../free-port.ts';

export const PROJECT = 'proving-ground';
export const REGION = 'us-central1';
export const DIRECTOR = `service-director@${PROJECT}.iam.gserviceaccount.com`;
/** The topics of the older form. */
export const OLDER = { commands: 'sd-commands', completions: 'sd-completions' } as const;

export interface World {
  /** Everything that belongs to it is below. */
  readonly dir: string;
  /** The director's main file. */
  readonly program: string;
  readonly running: RunningCloud;
  /** As the developer sees it, who owns the project. */
  readonly cloud: Cloud;
  readonly pubsub: PubSub;
  /** By digest: one serves, one ends as soon as it starts. */
  readonly images: { readonly serves: string; readonly crashes: string };
  /** Hears all that directors say. */
  readonly recorder: Recorder;
  /** Pushes an image that runs this line of code; returns its name with the digest. */
  push(name: string, code: string): Promise<string>;
  /** Publishes a message as it is; returns its id. */
  publish(topic: string, body: string | Buffer, attributes?: Record<string, string>): Promise<string>;
  /** Sends a command as a conductor does, with its envelope. */
  send(type: CommandTopic, id: string, data: object, more?: Record<string, string>): Promise<void>;
  /** A call of the developer's on the local cloud. */
  call(method: string, path: string, body?: object): Promise<unknown>;
  /** What the director has changed in the cloud, calls in order, from call number `since` on. */
  changes(since?: number): Change[];
  /** The number of the newest call. */
  now(): number;
  /** What to do before the cloud is stopped, last things first. */
  onStop(task: () => Promise<void>): void;
  stop(): Promise<void>;
}

export type CommandTopic = 'dataflow-setup' | 'deploy' | 'teardown';

export interface Change {
  readonly method: string;
  readonly resource: string;
  readonly code: string;
}

export async function openWorld(options: { propagationMs?: number } = {}): Promise<World> {
  const dir = mkdtempSync(join(tmpdir(), 'director-'));
  const program = bundledDirector(dir);
  const running = await startLocalCloud({
    dir: join(dir, 'cloud'),
    project: PROJECT,
    propagationMs: options.propagationMs ?? 0,
  });
  const { origin } = running;
  const cloud = googleCloud({ project: PROJECT, endpoint: origin, credentials: noCredentials });
  await makeInfrastructure(cloud);
  const pubsub = new PubSub({
    projectId: PROJECT,
    apiEndpoint: new URL(origin).host,
    authClient: await noCredentials(),
  });
  const repository = `${REGION}-docker.pkg.dev/${PROJECT}/service-director`;
  const images = {
    serves: await pushImage({ origin, repository, name: 'serves' }, SERVES),
    crashes: await pushImage({ origin, repository, name: 'crashes' }, CRASHES),
  };
  const recorder = await openRecorder(pubsub, [
    'director-events',
    'director-dead-letters',
    OLDER.completions,
  ]);

  async function publish(
    topic: string,
    body: string | Buffer,
    attributes: Record<string, string> = {},
  ): Promise<string> {
    return pubsub
      .topic(topic, { batching: { maxMessages: 1 } })
      .publishMessage({ data: Buffer.from(body), attributes });
  }

  const before: (() => Promise<void>)[] = [];
  const newest = (): number => running.cloud.calls.since(0).at(-1)?.number ?? 0;

  return {
    dir,
    program,
    running,
    cloud,
    pubsub,
    images,
    recorder,
    push: (name, code) => pushImage({ origin, repository, name }, code),
    publish,
    async send(type, id, data, more = {}) {
      const envelope = toAttributes({
        id,
        source: 'the-tests',
        type: `service-director.command.${type}`,
        time: new Date().toISOString(),
        correlationId: 'a-test',
      });
      await publish(type, JSON.stringify(data), { ...envelope, ...more });
    },
    async call(method, path, body) {
      const response = await fetch(`${origin}${path}`, {
        method,
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path} answers ${response.status}: ${text}`);
      return text === '' ? undefined : JSON.parse(text);
    },
    now: newest,
    onStop: (task) => void before.push(task),
    changes: (since = 0) =>
      running.cloud.calls
        .since(since)
        .filter(({ caller, mutating, method }) => caller === DIRECTOR && mutating && !SPEECH.has(method)),
    async stop() {
      for (const task of before.toReversed()) await task();
      await recorder.close();
      await pubsub.close();
      await running.stop();
      // A tool outlives the director that is killed, and waits for ever for what a test that failed did not give it.
      for (const pid of pidsUnder(dir)) endNow(pid);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** Calls that speak and listen, and change nothing of anybody's. */
const SPEECH: ReadonlySet<string> = new Set([
  'Publish',
  'Acknowledge',
  'ModifyAckDeadline',
  'StreamingPull',
  'GenerateAccessToken',
]);

/** The walk of the conductor, over the units that a conductor brings. */
async function makeInfrastructure(cloud: Cloud): Promise<void> {
  const { data } = await (await cloud.projects()).projects.get({ name: `projects/${PROJECT}` });
  const architecture = hydrate(Architecture.parse(EVERYTHING));
  const projectNumber = data.name?.replace('projects/', '') ?? '';
  // Directors of tests keep their state in files; without being told so, this would make a database.
  const directorEnv = { DIRECTOR_STATE: 'sqlite:x' };
  const desired = infrastructureUnits(architecture, { projectNumber, directorEnv });
  const context: EngineContext = {
    cloud,
    region: REGION,
    self: undefined,
    clock: systemClock,
    random: systemRandom,
    signal: new AbortController().signal,
    limit: (_api, call) => call(),
    waiting: () => {},
    record: async () => {},
  };
  const common = { desired, obsolete: [], externals: [], priors: new Map(), engine: native };
  const plan = await makePlan({
    ...common,
    stack: 'service-director/bootstrap',
    operation: 'dataflow-setup',
    keep: new Map(),
    context,
  });
  const outcomes = await apply({
    ...common,
    plan,
    journal: { begun: () => [], intend: async () => {}, finish: async () => {} },
    isComing: async () => false,
    context: () => context,
    clock: systemClock,
    emit: () => {},
  });
  for (const [id, outcome] of outcomes)
    if (outcome.status === 'failed') throw new Error(`${id}: ${outcome.error.message}`);
}

/** An architecture with something of each kind: a director for it has all roles that any may need. */
const EVERYTHING = {
  name: 'everything',
  project_id: PROJECT,
  region: REGION,
  director: { command_topic: OLDER.commands, completion_topic: OLDER.completions },
  dataflows: {
    all: {
      services: {
        any: {
          service_account: 'any-account',
          deployment: { image: 'any', rollout: { strategy: 'canary', check: { max_error_percent: 5 } } },
        },
      },
      resources: { topics: [{ name: 'any' }], gcs_buckets: [{ name: 'any-bucket' }] },
    },
  },
};

/** Asks again until the condition throws no more, for a minute at most. */
export function until<T>(condition: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(condition, { timeout: 60_000, interval: 10 });
}
