/** Brings one service to its desired state: pull, start, prove, then move traffic. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { Image, Images } from '../../internal.ts';
import { mayRead, serviceAgent } from './access.ts';
import {
  DeploymentFailed,
  failed,
  imageForbidden,
  imageMissing,
  imageUnusable,
  noSuchTarget,
  operationError,
  revisionConditions,
  serviceMessage,
  succeeded,
  unforeseen,
  unhealthy,
} from './conditions.ts';
import type { UnpackedImages } from './images.ts';
import { serviceName, shortName } from './names.ts';
import { programOf } from './program.ts';
import {
  BY_REVISION,
  type Condition,
  containerOf,
  type Failure,
  type RevisionRow,
  type ServiceResource,
  type TrafficStatus,
} from './resources.ts';
import type { Serving } from './serving.ts';
import type { State } from './state.ts';

export interface Reconciler {
  /**
   * Resolves with the service once what runs is what is desired. Rejects with the operation's error, the
   * service's conditions telling the same. A later call for the same service replaces this one, which rejects with ABORTED.
   * `onlyTraffic`: a latest revision that failed before does not matter unless it is to get traffic (a rollback).
   */
  reconcile(service: string, options?: { onlyTraffic: boolean }): Promise<ServiceResource>;
  /** Ends what goes on for a service: its operation ends ABORTED. Resolves when nothing goes on any more. */
  abandon(service: string): Promise<void>;
  /** The same for all services, before the local cloud stops. */
  stop(): Promise<void>;
}

/** One attempt to bring a service to its desired state. */
interface Run {
  readonly abort: AbortController;
  readonly over: Promise<void>;
}

export function openReconciler(
  cloud: LocalCloud,
  images: Images,
  unpacked: UnpackedImages,
  state: State,
  serving: Serving,
): Reconciler {
  /** What goes on, by service; the newest last. */
  const running = new Map<string, Run[]>();
  const now = (): string => timestamp(cloud.clock.now());

  async function reconcile(name: string, { onlyTraffic } = { onlyTraffic: false }): Promise<ServiceResource> {
    const runs = running.get(name) ?? [];
    running.set(name, runs);
    for (const { abort } of runs) abort.abort(replaced());
    const abort = new AbortController();
    const run: Run = { abort, over: converge(name, onlyTraffic, abort.signal) };
    runs.push(run);
    try {
      await run.over;
      return state.service(name);
    } catch (error) {
      throw abort.signal.aborted ? abort.signal.reason : error;
    } finally {
      runs.splice(runs.indexOf(run), 1);
      if (runs.length === 0) running.delete(name);
    }
  }

  async function abandon(name: string): Promise<void> {
    const runs = [...(running.get(name) ?? [])];
    for (const { abort } of runs) abort.abort(replaced());
    await Promise.allSettled(runs.map(({ over }) => over));
  }

  async function converge(name: string, onlyTraffic: boolean, signal: AbortSignal): Promise<void> {
    const latest = state.service(name).latestCreatedRevision ?? '';
    try {
      await serving.openDoors(name);
      const rollback = onlyTraffic && state.revision(latest).failure !== undefined;
      if (!rollback) await bringUp(latest, signal);
      signal.throwIfAborted();
      settle(name, trafficStatuses(name, latest), rollback);
      serving.follow(name);
    } catch (error) {
      signal.throwIfAborted();
      const failure = error instanceof DeploymentFailed ? error.failure : unforeseen(error);
      fail(name, shortName(latest), failure);
      throw operationError(shortName(latest), failure);
    }
  }

  /** Pulls and starts a revision, unless that was done before. */
  async function bringUp(name: string, signal: AbortSignal): Promise<void> {
    const row = state.revision(name);
    if (row.ready) return;
    // What could not be pulled may be there by now, or allowed; a container that did not start will not.
    if (row.failure && 'revisionReason' in row.failure.reason) throw new DeploymentFailed(row.failure);
    try {
      const pulled = await pull(row);
      signal.throwIfAborted();
      state.revisions.set(name, pulled);
      await prove(pulled, signal);
      signal.throwIfAborted();
      mark(name, 'ready');
    } catch (error) {
      // A deployment that was replaced leaves its revision unproven, not failed.
      if (!signal.aborted && error instanceof DeploymentFailed) {
        mark(name, error.failure);
      }
      throw error;
    }
  }

  async function pull(row: RevisionRow): Promise<RevisionRow> {
    if (row.image) return row;
    const container = containerOf(row.template);
    const reference = container.image ?? '';
    const agent = serviceAgent(cloud, serviceName(row.revision.name).project);
    if (!mayRead(cloud, images, agent, reference))
      throw new DeploymentFailed(imageForbidden(reference, agent.email));
    const image = images.find(reference);
    if (!image) throw new DeploymentFailed(imageMissing(reference));
    await unpack(reference, image, row);
    const { digest, config } = image;
    return {
      ...row,
      image: { reference: image.reference, digest, config },
      revision: { ...row.revision, containers: [{ ...container, image: image.reference }] },
    };
  }

  async function unpack(reference: string, image: Image, row: RevisionRow): Promise<void> {
    try {
      await unpacked.unpack(image);
      programOf(containerOf(row.template), image.config, unpacked.root(image.digest));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DeploymentFailed(imageUnusable(reference, why));
    }
  }

  async function prove(row: RevisionRow, signal: AbortSignal): Promise<void> {
    try {
      await serving.prove(row.revision.name, signal);
    } catch {
      signal.throwIfAborted();
      const port = containerOf(row.template).ports?.[0]?.containerPort ?? 8080;
      throw new DeploymentFailed(unhealthy(port, row.revision.logUri));
    }
  }

  /** Writes down how a revision ended up. */
  function mark(name: string, end: 'ready' | Failure): void {
    const found = state.revisions.get(name);
    if (!found) return;
    const { failure: _, ...row } = found;
    const { reconciling: __, ...revision } = row.revision;
    state.revisions.set(name, {
      ...row,
      ...(end === 'ready' ? { ready: true } : { failure: end }),
      revision: { ...revision, updateTime: now(), conditions: revisionConditions(now(), end) },
    });
  }

  /** Where the traffic goes from now on. Throws when a target names a revision that cannot serve. */
  function trafficStatuses(name: string, latest: string): TrafficStatus[] {
    const row = state.services.get(name);
    return (row?.service.traffic ?? []).map((target) => {
      const revision = target.type === BY_REVISION ? `${name}/revisions/${target.revision}` : latest;
      if (!state.revisions.get(revision)?.ready)
        throw new DeploymentFailed(noSuchTarget(shortName(revision)));
      const port = target.tag === undefined ? undefined : row?.tagPorts[target.tag];
      return { ...target, ...(port === undefined ? {} : { uri: `http://127.0.0.1:${port}` }) };
    });
  }

  function settle(name: string, statuses: TrafficStatus[], rollback: boolean): void {
    state.change(name, ({ reconciling: _, ...service }) => ({
      ...service,
      observedGeneration: service.generation ?? '1',
      ...(rollback ? {} : { latestReadyRevision: service.latestCreatedRevision ?? '' }),
      trafficStatuses: statuses,
      terminalCondition: succeeded('Ready', now()),
      conditions: [succeeded('RoutesReady', now()), succeeded('ConfigurationsReady', now())],
    }));
  }

  function fail(name: string, revision: string, failure: Failure): void {
    const message = serviceMessage(revision, failure);
    const wrong = (type: string): Condition => failed(type, now(), failure, message);
    const right = (type: string): Condition => succeeded(type, now());
    state.change(name, ({ reconciling: _, ...service }) => {
      const made = failure.half === 'RoutesReady';
      const served = service.latestReadyRevision !== undefined;
      return {
        ...service,
        terminalCondition: wrong('Ready'),
        conditions: [
          !made && served ? right('RoutesReady') : wrong('RoutesReady'),
          made ? right('ConfigurationsReady') : wrong('ConfigurationsReady'),
        ],
      };
    });
  }

  return {
    reconcile,
    abandon,
    async stop() {
      await Promise.all([...running.keys()].map(abandon));
    },
  };
}

function replaced(): GoogleError {
  return new GoogleError('ABORTED', 'The operation was replaced by a newer one on the same service.');
}
