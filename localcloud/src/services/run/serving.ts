/** What runs: the front doors of services, the fleets of revisions. It follows the kept state; it decides nothing. */
import type { LocalCloud } from '../../cloud.ts';
import type { Logs } from '../../internal.ts';
import type { Table } from '../../store.ts';
import { type Fleet, openFleet } from './fleet.ts';
import { type Backend, frontDoor } from './front-door.ts';
import type { UnpackedImages } from './images.ts';
import type { InstancePlan } from './instance.ts';
import { type Journal, openJournal } from './journal.ts';
import { type Listener, openListener } from './listener.ts';
import { serviceName, shortName } from './names.ts';
import { openPorts } from './ports.ts';
import { programOf } from './program.ts';
import {
  containerOf,
  milliseconds,
  type RevisionRow,
  type ServiceResource,
  type ServiceRow,
} from './resources.ts';
import { draw, revisionOf, shares } from './traffic.ts';

export interface Serving {
  /** Opens the front door of a service, and those of its tags, at the ports they had before when these are free. Writes down where. */
  openDoors(service: string): Promise<void>;
  /** Starts the first instance of a revision whose image is unpacked. Rejects when it does not become ready. */
  prove(revision: string, signal: AbortSignal): Promise<void>;
  /** Makes the fleets follow the service's traffic and scaling; closes the doors of tags that are gone. */
  follow(service: string): void;
  /** Ends a revision's instances. */
  stopRevision(revision: string): Promise<void>;
  /** Closes the doors of a service and ends all its instances. */
  close(service: string): Promise<void>;
  stop(): Promise<void>;
}

export function openServing(
  cloud: LocalCloud,
  logs: Logs,
  images: UnpackedImages,
  services: Table<ServiceRow>,
  revisions: Table<RevisionRow>,
): Serving {
  const ports = openPorts();
  /** By service, then by tag; the main door under the empty tag. */
  const doors = new Map<string, Map<string, Promise<Listener>>>();
  /** By full name of the revision. */
  const fleets = new Map<string, { readonly fleet: Fleet; readonly journal: Journal }>();
  /** Fleets that finish what they have in hand, by full name of the revision. */
  const leaving = new Map<Fleet, string>();

  function backendOf(name: string): Backend | undefined {
    const row = revisions.get(name);
    if (!row?.image) return undefined;
    const known = fleets.get(name) ?? launch(name, row, row.image.digest);
    fleets.set(name, known);
    return { ...known, timeout: milliseconds(row.template.timeout ?? '300s') };
  }

  function launch(name: string, row: RevisionRow, digest: string): { fleet: Fleet; journal: Journal } {
    const service = serviceName(name);
    const revision = shortName(name);
    const journal = openJournal(logs, service, revision);
    const container = containerOf(row.template);
    const plan: InstancePlan = {
      service,
      revision,
      container,
      journal,
      program: programOf(container, row.image?.config ?? {}, images.root(digest)),
      identity: { type: 'serviceAccount', email: row.template.serviceAccount ?? '' },
      healthCheck: row.template.healthCheckDisabled !== true,
    };
    const concurrency = row.template.maxInstanceRequestConcurrency ?? 80;
    return { journal, fleet: openFleet({ cloud, ports, plan, concurrency }) };
  }

  function retire(name: string): void {
    const fleet = fleets.get(name)?.fleet;
    if (!fleet) return;
    fleets.delete(name);
    leaving.set(fleet, name);
    void fleet.retire().finally(() => leaving.delete(fleet));
  }

  function handlersOf(service: string, tag: string): ReturnType<typeof frontDoor> {
    return frontDoor({
      cloud,
      project: serviceName(service).project,
      service: () => services.get(service)?.service,
      draw(resource) {
        const revision = tag === '' ? draw(resource, cloud.random) : taggedRevision(resource, tag);
        return revision === undefined ? undefined : backendOf(`${service}/revisions/${revision}`);
      },
    });
  }

  /** The listener of a tag; opened once, whoever asks. */
  function openDoor(service: string, tag: string, port: number): Promise<Listener> {
    const open = doorsOf(service);
    const listener = open.get(tag) ?? openListener(port, ports, handlersOf(service, tag));
    open.set(tag, listener);
    return listener;
  }

  function doorsOf(service: string): Map<string, Promise<Listener>> {
    const open = doors.get(service) ?? new Map<string, Promise<Listener>>();
    doors.set(service, open);
    return open;
  }

  async function openDoors(name: string): Promise<void> {
    const row = services.get(name);
    if (!row) return;
    const main = await openDoor(name, '', row.port);
    const tagPorts: ServiceRow['tagPorts'] = {};
    for (const tag of tagsOf(row.service))
      tagPorts[tag] = (await openDoor(name, tag, row.tagPorts[tag] ?? 0)).port;
    const now = services.get(name);
    if (!now) return;
    const { uri: _uri, urls: _urls, ...service } = now.service;
    const urls = service.defaultUriDisabled ? {} : { uri: main.uri, urls: [main.uri] };
    services.set(name, { service: { ...service, ...urls }, port: main.port, tagPorts });
  }

  async function prove(name: string, signal: AbortSignal): Promise<void> {
    const row = revisions.get(name);
    if (!row?.image) throw new Error(`Revision ${name} has no image`);
    // A fleet of its own, not one that an attempt before is still giving up.
    const proven = launch(name, row, row.image.digest);
    fleets.set(name, proven);
    try {
      await proven.fleet.prove(signal);
    } catch (error) {
      if (fleets.get(name) === proven) fleets.delete(name);
      await proven.fleet.stop();
      throw error;
    }
  }

  function follow(name: string): void {
    const service = services.get(name)?.service;
    if (!service) return;
    const tags = tagsOf(service);
    for (const [tag, listener] of [...doorsOf(name)]) {
      if (tag === '' || tags.has(tag)) continue;
      doorsOf(name).delete(tag);
      void listener.then((open) => open.close());
    }
    const addressed = shares(service);
    for (const [revision, share] of addressed) {
      const full = `${name}/revisions/${revision}`;
      const template = revisions.get(full)?.template;
      if (template) backendOf(full)?.fleet.resize(sizeOf(service, template, share));
    }
    for (const full of [...fleets.keys()]) {
      if (serviceName(full).full === name && !addressed.has(shortName(full))) retire(full);
    }
  }

  async function stopRevision(name: string): Promise<void> {
    const all = [...leaving].flatMap(([fleet, of]) => (of === name ? [fleet] : []));
    const serving = fleets.get(name)?.fleet;
    if (serving) all.push(serving);
    fleets.delete(name);
    await Promise.all(all.map((fleet) => fleet.stop()));
  }

  async function close(name: string): Promise<void> {
    const listeners = [...(doors.get(name)?.values() ?? [])];
    doors.delete(name);
    const running = new Set([...fleets.keys(), ...leaving.values()]);
    const own = [...running].filter((full) => serviceName(full).full === name);
    await Promise.all([
      ...listeners.map(async (listener) => (await listener).close()),
      ...own.map(stopRevision),
    ]);
  }

  async function stop(): Promise<void> {
    const running = [...fleets.keys(), ...leaving.values()].map((full) => serviceName(full).full);
    await Promise.all([...new Set([...doors.keys(), ...running])].map(close));
  }

  return { openDoors, prove, follow, stopRevision, close, stop };
}

/** Those that lead somewhere, and those that will. */
function tagsOf({ traffic = [], trafficStatuses = [] }: ServiceResource): Set<string> {
  return new Set([...traffic, ...trafficStatuses].flatMap(({ tag }) => tag ?? []));
}

function taggedRevision(service: ServiceResource, tag: string): string | undefined {
  const target = service.trafficStatuses?.find((status) => status.tag === tag);
  return target && (revisionOf(target, service) || undefined);
}

/** How many instances a revision is to have: its own numbers, and its share of the service's. */
function sizeOf(
  { scaling = {} }: ServiceResource,
  template: RevisionRow['template'],
  percent: number,
): { min: number; max: number } {
  const share = (count: number): number => Math.ceil((count * percent) / 100);
  if (scaling.scalingMode === 'MANUAL') {
    const count = share(scaling.manualInstanceCount ?? 0);
    return { min: count, max: count };
  }
  const own = template.scaling ?? {};
  const most = Math.min(
    own.maxInstanceCount ?? 100,
    share(scaling.maxInstanceCount ?? 0) || Number.POSITIVE_INFINITY,
  );
  const least = Math.max(own.minInstanceCount ?? 0, share(scaling.minInstanceCount ?? 0));
  return { min: Math.min(least, most), max: most };
}
