/** One instance: a process that runs a revision's image, with a door of its own to the local cloud. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { end, start } from '@service-director/shared/kit/process.ts';
import type { LocalCloud } from '../../cloud.ts';
import type { Identity } from '../../identity.ts';
import { isObject, type JsonObject } from '../../json.ts';
import type { Door } from '../../service.ts';
import type { Journal } from './journal.ts';
import type { ServiceName } from './names.ts';
import { entryOf, readLines } from './output.ts';
import type { Ports } from './ports.ts';
import { ask, timesOf } from './probes.ts';
import { minimalEnvironment, type Program } from './program.ts';
import type { Container, Probe } from './resources.ts';

/** What every instance of a revision has in common. */
export interface InstancePlan {
  readonly service: ServiceName;
  /** The revision's short name. */
  readonly revision: string;
  readonly program: Program;
  /** With its defaults. */
  readonly container: Container;
  /** As whom it runs. */
  readonly identity: Identity;
  /** False: an instance counts as ready at once. */
  readonly healthCheck: boolean;
  readonly journal: Journal;
}

export interface Instance {
  readonly id: string;
  /** Where it listens on 127.0.0.1. */
  readonly port: number;
  /** Resolves when the process has ended, for whatever reason. */
  readonly gone: Promise<void>;
  /** SIGTERM, then SIGKILL after 10 s. Resolves when the process has ended. */
  stop(): Promise<void>;
  /** Calls back when its readiness changes, and ends the instance when its liveness probe fails. Until it is gone. */
  watch(onReadiness: (ready: boolean) => void): void;
}

/** What is left of instances when the local cloud is killed. */
export interface Footprint {
  readonly pid: number;
  /** A part of its environment that no other process has. */
  readonly mark: string;
}

const GRACE_MS = 10_000;

/** Starts an instance and resolves when it is ready. Rejects, the process gone, when it exits or does not listen in time. */
export async function startInstance(
  cloud: LocalCloud,
  ports: Ports,
  plan: InstancePlan,
  signal: AbortSignal,
): Promise<Instance> {
  signal.throwIfAborted();
  const id = (randomUUID() + randomUUID()).replaceAll('-', '');
  const home = join(cloud.store.dir, 'instances', id);
  await mkdir(home, { recursive: true });
  const port = await ports.take();
  const door = await cloud.openDoor({
    identity: plan.identity,
    projectId: plan.service.project,
    region: plan.service.location,
  });
  const { command, args, cwd } = plan.program;
  const child = start(command, args, { cwd, env: environment(plan, door, port, home) });
  const footprints = cloud.store.table<Footprint>('run.instances');
  if (child.pid !== undefined) footprints.set(id, { pid: child.pid, mark: markOf(door) });
  listen(child, plan, id);

  let stopping = false;
  const gone = ended(child).then(async (exit) => {
    if (!stopping) plan.journal.note('WARNING', exit, id);
    footprints.delete(id);
    ports.giveBack(port);
    await door.close();
    await rm(home, { recursive: true, force: true });
  });
  const stop = async (): Promise<void> => {
    stopping = true;
    await end(child, GRACE_MS);
    await gone;
  };
  const instance: Instance = {
    id,
    port,
    gone,
    stop,
    watch: (onReadiness) => watchProbes(cloud, plan, instance, onReadiness),
  };
  try {
    await ready(cloud, plan, instance, signal);
    return instance;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The environment's entry by which a process is known again as an instance of this local cloud. */
function markOf(door: Door): string {
  return `SERVICE_DIRECTOR_CLOUD_ENDPOINT=http://127.0.0.1:${door.port}`;
}

function environment(plan: InstancePlan, door: Door, port: number, home: string): Record<string, string> {
  const address = `127.0.0.1:${door.port}`;
  const declared = (plan.container.env ?? []).map(({ name = '', value = '' }) => [name, value]);
  return {
    ...minimalEnvironment(home),
    ...plan.program.env,
    GOOGLE_CLOUD_PROJECT: plan.service.project,
    ...Object.fromEntries(declared),
    PORT: String(port),
    K_SERVICE: plan.service.service,
    K_CONFIGURATION: plan.service.service,
    K_REVISION: plan.revision,
    PUBSUB_EMULATOR_HOST: address,
    STORAGE_EMULATOR_HOST: `http://${address}`,
    GCE_METADATA_HOST: address,
    METADATA_SERVER_DETECTION: 'assume-present',
    SERVICE_DIRECTOR_CLOUD_ENDPOINT: `http://${address}`,
  };
}

function listen(child: ChildProcess, { journal }: InstancePlan, instanceId: string): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = child[name];
    if (!stream) continue;
    readLines(stream, (line) => {
      if (line === '') return;
      const entry: JsonObject = entryOf(line);
      const labels = isObject(entry.labels) ? entry.labels : {};
      journal.write(name, { ...entry, labels: { ...labels, instanceId } });
    });
  }
}

/** Resolves with a sentence on how the process ended, once it has. */
function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`The container could not be started: ${error.message}`));
    child.once('exit', (code, signal) =>
      resolve(
        code === null ? `Container terminated on signal ${signal}.` : `Container called exit(${code}).`,
      ),
    );
  });
}

async function ready(
  cloud: LocalCloud,
  plan: InstancePlan,
  instance: Instance,
  signal: AbortSignal,
): Promise<void> {
  const probe = plan.container.startupProbe;
  if (!plan.healthCheck || !probe) return;
  const over = new AbortController();
  const exited = instance.gone.then(() => {
    throw new Error('The container exited before it was ready.');
  });
  exited.catch(() => {});
  const kind = `STARTUP ${probe.httpGet ? 'HTTP' : 'TCP'} probe`;
  const where = `for container "${plan.container.name ?? plan.service.service}" on port ${plan.container.ports?.[0]?.containerPort}`;
  try {
    const asking = keepAsking(cloud, plan, probe, instance.port, AbortSignal.any([signal, over.signal]));
    asking.catch(() => {});
    await Promise.race([asking, exited]);
    plan.journal.note('INFO', `${kind} succeeded ${where}.`, instance.id);
  } catch (error) {
    if (!signal.aborted)
      plan.journal.note('ERROR', `${kind} failed ${where}. The instance was not started.`, instance.id);
    throw error;
  } finally {
    over.abort();
  }
}

/** Asks until the container answers well; rejects when Google would give up. */
async function keepAsking(
  { clock }: LocalCloud,
  plan: InstancePlan,
  probe: Probe,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const { initialDelay, timeout, period, failures } = timesOf(probe);
  const deadline = clock.now() + initialDelay + (failures - 1) * period + timeout;
  if (initialDelay > 0) await clock.sleep(initialDelay, signal);
  for (let pause = 15; ; pause = Math.min(pause * 1.3, 200)) {
    const left = deadline - clock.now();
    if (left <= 0) throw new Error('The container did not listen in time.');
    if (await ask(probe, portOf(probe, plan, port), Math.min(timeout, left), clock)) return;
    await clock.sleep(Math.min(pause, Math.max(1, deadline - clock.now())), signal);
  }
}

/** A probe of the container's port goes to where the instance really listens. */
function portOf(probe: Probe, { container }: InstancePlan, port: number): number {
  const asked = probe.httpGet?.port ?? probe.tcpSocket?.port;
  return asked === undefined || asked === 0 || asked === container.ports?.[0]?.containerPort ? port : asked;
}

function watchProbes(
  cloud: LocalCloud,
  plan: InstancePlan,
  instance: Instance,
  onReadiness: (ready: boolean) => void,
): void {
  const { livenessProbe, readinessProbe } = plan.container;
  if (livenessProbe) {
    repeat(cloud, plan, instance, livenessProbe, (failed) => {
      if (!failed) return;
      plan.journal.note('ERROR', 'LIVENESS HTTP probe failed. The instance is restarted.', instance.id);
      void instance.stop();
    });
  }
  if (readinessProbe) repeat(cloud, plan, instance, readinessProbe, (failed) => onReadiness(!failed));
}

/** Asks once each period, and tells each time whether the probe counts as failed by now. */
function repeat(
  { clock }: LocalCloud,
  plan: InstancePlan,
  instance: Instance,
  probe: Probe,
  tell: (failed: boolean) => void,
): void {
  const { initialDelay, timeout, period, failures } = timesOf(probe);
  const port = portOf(probe, plan, instance.port);
  let failed = 0;
  let over = false;
  let cancel = clock.after(initialDelay, () => void round());
  void instance.gone.then(() => {
    over = true;
    cancel();
  });

  async function round(): Promise<void> {
    failed = (await ask(probe, port, timeout, clock)) ? 0 : failed + 1;
    if (over) return;
    tell(failed >= failures);
    cancel = clock.after(period, () => void round());
  }
}
