/**
 * The control plane: takes the desired state of services, and has what runs brought to it.
 *
 *     accepted ──▶ reconciling ──▶ ready: traffic moves, old revisions end
 *                      │ └───────▶ failed: the service stays, traffic stays where it was
 *                      └─────────▶ replaced by a newer desired state, or deleted: the operation ends ABORTED
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { Identity } from '../../identity.ts';
import type { Accounts, Images } from '../../internal.ts';
import type { JsonObject } from '../../json.ts';
import type { Operation } from '../../operations.ts';
import { defaultAccount, demandActAs, demandImage } from './access.ts';
import { pending } from './conditions.ts';
import { completeService, masked, settable } from './desired.ts';
import type { UnpackedImages } from './images.ts';
import { demandRegion, demandServiceId, serviceName, shortName } from './names.ts';
import type { Reconciler } from './reconcile.ts';
import { containerOf, type ServiceResource, type Template } from './resources.ts';
import { demandRevisionName, etagOf, makeRevision } from './revision.ts';
import type { Serving } from './serving.ts';
import type { State } from './state.ts';
import { shares } from './traffic.ts';

export interface Control {
  /** `name` in full. */
  create(name: string, given: ServiceResource, options: ChangeOptions): Operation;
  update(name: string, given: ServiceResource, options: UpdateOptions): Operation;
  remove(name: string, options: { etag: string; validateOnly: boolean }): Operation;
  removeRevision(name: string, options: { etag: string; validateOnly: boolean }): Operation;
  /** After a restart: opens doors, starts what must run, finishes what was begun. */
  resume(): Promise<void>;
}

export interface ChangeOptions {
  readonly caller: Identity;
  readonly validateOnly: boolean;
}

export interface UpdateOptions extends ChangeOptions {
  /** Comma-separated; empty for everything. */
  readonly mask: string;
  readonly allowMissing: boolean;
}

/** What the control plane works with. */
export interface ControlParts {
  readonly cloud: LocalCloud;
  readonly images: Images;
  readonly accounts: Accounts;
  readonly unpacked: UnpackedImages;
  readonly state: State;
  readonly serving: Serving;
  readonly reconciler: Reconciler;
}

export function openControl(parts: ControlParts): Control {
  const { cloud, state, serving, reconciler } = parts;
  const deleting = new Set<string>();
  const now = (): string => timestamp(cloud.clock.now());

  function create(name: string, given: ServiceResource, { caller, validateOnly }: ChangeOptions): Operation {
    const { project, location, service: id } = serviceName(name);
    demandRegion(location);
    demandServiceId(id);
    const desired = completeService(given, defaultAccount(cloud, project));
    authorize(desired, caller, true);
    demandRevisionName(desired.template?.revision, id);
    if (state.services.has(name)) throw new GoogleError('ALREADY_EXISTS', `Resource '${id}' already exists.`);
    const made: ServiceResource & { name: string } = {
      ...desired,
      name,
      uid: randomUUID(),
      generation: '1',
      createTime: now(),
      creator: caller.email,
    };
    if (validateOnly) return done(made);
    return deploy(made, caller, true, false);
  }

  function update(name: string, given: ServiceResource, options: UpdateOptions): Operation {
    const { project, service: id } = serviceName(name);
    if (options.allowMissing && !state.services.has(name)) return create(name, given, options);
    const current = state.service(name);
    demandEtag(name, given.etag ?? '', current.etag ?? '');
    if (deleting.has(name)) throw new GoogleError('ABORTED', `Resource '${id}' is being deleted.`);
    const desired = completeService(masked(current, given, options.mask), defaultAccount(cloud, project));
    const newTemplate = isNewTemplate(current, desired);
    authorize(desired, options.caller, newTemplate);
    if (newTemplate) {
      demandRevisionName(desired.template?.revision, id);
      demandNewRevision(name, desired.template?.revision);
    }
    const same = isDeepStrictEqual(settable(current), desired);
    const generation = same ? current.generation : String(Number(current.generation ?? '0') + 1);
    const changed = { ...withoutSettable(current), ...desired, name, generation: generation ?? '1' };
    if (options.validateOnly) return done(changed);
    const onlyTraffic = !newTemplate && !isDeepStrictEqual(current.traffic, desired.traffic);
    return deploy(changed, options.caller, newTemplate, onlyTraffic);
  }

  /** Keeps the desired state and starts the work on it. */
  function deploy(
    service: ServiceResource & { name: string },
    caller: Identity,
    newTemplate: boolean,
    onlyTraffic: boolean,
  ): Operation {
    const { name } = service;
    const row = state.services.get(name);
    const updated: ServiceResource & { name: string } = {
      ...service,
      updateTime: now(),
      lastModifier: caller.email,
      reconciling: true,
      terminalCondition: pending('Ready', now()),
      conditions: [pending('RoutesReady', now()), pending('ConfigurationsReady', now())],
      etag: etagOf(name, service.uid ?? '', service.generation ?? '', now()),
    };
    if (newTemplate) {
      const revision = makeRevision(updated, templateOf(updated), caller.email, now(), cloud.random);
      state.revisions.set(revision.revision.name, revision);
      updated.latestCreatedRevision = revision.revision.name;
    }
    state.services.set(name, { port: 0, tagPorts: {}, ...row, service: updated });
    return operation(name, SERVICE, updated, () => reconciler.reconcile(name, { onlyTraffic }));
  }

  function remove(name: string, { etag, validateOnly }: { etag: string; validateOnly: boolean }): Operation {
    const service = state.service(name);
    demandEtag(name, etag, service.etag ?? '');
    if (validateOnly) return done(service);
    deleting.add(name);
    const abandoned = reconciler.abandon(name);
    const gone = { ...service, deleteTime: now(), expireTime: now(), reconciling: true };
    state.change(name, () => gone);
    return operation(name, SERVICE, gone, async () => {
      try {
        await abandoned;
        await erase(name);
        const { reconciling: _, ...answer } = gone;
        return answer;
      } finally {
        deleting.delete(name);
      }
    });
  }

  async function erase(name: string): Promise<void> {
    await serving.close(name);
    for (const { revision, image } of state.revisionsOf(name)) {
      state.revisions.delete(revision.name);
      await forgetImage(image?.digest);
    }
    state.services.delete(name);
    cloud.iam.dropPolicy(name);
  }

  function removeRevision(
    name: string,
    { etag, validateOnly }: { etag: string; validateOnly: boolean },
  ): Operation {
    const { revision, image } = state.revision(name);
    const service = state.service(serviceName(name).full);
    demandEtag(name, etag, revision.etag);
    const inUse = shares(service).has(shortName(name)) || service.latestCreatedRevision === name;
    if (inUse) {
      throw new GoogleError(
        'FAILED_PRECONDITION',
        `Revision '${shortName(name)}' cannot be deleted: it is the latest revision or serves traffic.`,
      );
    }
    if (validateOnly)
      return cloud.operations.done(locationOf(name), typed(REVISION, revision), typed(REVISION, revision));
    return operation(name, REVISION, revision, async () => {
      await serving.stopRevision(name);
      state.revisions.delete(name);
      await forgetImage(image?.digest);
      return revision;
    });
  }

  /** Removes an image's folder when no revision runs it any more. */
  async function forgetImage(digest: string | undefined): Promise<void> {
    const used = state.revisions.values().some(({ image }) => image?.digest === digest);
    if (digest !== undefined && !used) await parts.unpacked.remove(digest);
  }

  function authorize(desired: ServiceResource, caller: Identity, newTemplate: boolean): void {
    const template = templateOf(desired);
    demandActAs(cloud, parts.accounts, caller, template.serviceAccount ?? '');
    if (newTemplate) demandImage(cloud, parts.images, caller, containerOf(template).image ?? '');
  }

  function demandNewRevision(name: string, revision: string | undefined): void {
    if (revision === undefined || !state.revisions.has(`${name}/revisions/${revision}`)) return;
    throw new GoogleError(
      'ALREADY_EXISTS',
      `Revision named '${revision}' with different configuration already exists.`,
    );
  }

  function isNewTemplate(current: ServiceResource, desired: ServiceResource): boolean {
    const { revision: before, ...old } = templateOf(current);
    const { revision: after, ...wanted } = templateOf(desired);
    const renamed =
      after !== undefined && after !== before && after !== shortName(current.latestCreatedRevision ?? '');
    return renamed || !isDeepStrictEqual(old, wanted);
  }

  function operation(
    name: string,
    type: string,
    metadata: JsonObject,
    work: () => Promise<JsonObject>,
  ): Operation {
    return cloud.operations.start({
      parent: locationOf(name),
      metadata: typed(type, metadata),
      work: async () => typed(type, await work()),
    });
  }

  function done(service: ServiceResource): Operation {
    const { project, location } = serviceName(service.name ?? '');
    const answer = typed(SERVICE, service);
    return cloud.operations.done(`projects/${project}/locations/${location}`, answer, answer);
  }

  async function resume(): Promise<void> {
    const kept = [...state.services.entries()];
    // All doors before the first instance, which could be given the port of one.
    for (const [name] of kept) await serving.openDoors(name);
    for (const [name, { service }] of kept) {
      if (service.deleteTime !== undefined) await erase(name);
      // Its operation is over; whoever looks at the service sees how it ends.
      else if (service.reconciling) reconciler.reconcile(name).catch(() => {});
      else serving.follow(name);
    }
  }

  return { create, update, remove, removeRevision, resume };
}

const SERVICE = 'type.googleapis.com/google.cloud.run.v2.Service';
const REVISION = 'type.googleapis.com/google.cloud.run.v2.Revision';

function typed(type: string, message: JsonObject): JsonObject {
  return { '@type': type, ...message };
}

function locationOf(name: string): string {
  const { project, location } = serviceName(name);
  return `projects/${project}/locations/${location}`;
}

function templateOf(service: ServiceResource): Template {
  if (!service.template) throw new Error(`Service ${service.name} has no template`);
  return service.template;
}

function withoutSettable(service: ServiceResource): ServiceResource {
  const taken = settable(service);
  return Object.fromEntries(Object.entries(service).filter(([name]) => !(name in taken)));
}

function demandEtag(name: string, given: string, current: string): void {
  if (given === '' || given === current) return;
  throw new GoogleError(
    'ABORTED',
    `Conflict for resource '${shortName(name)}': etag '${given}' was specified but current etag is '${current}'.`,
  );
}
