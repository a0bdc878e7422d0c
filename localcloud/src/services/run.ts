/** Cloud Run: services that really run. The behaviour in words: `run.md`. */
import type { LocalCloud } from '../cloud.ts';
import { invalid } from '../error.ts';
import type { Accounts, Images, Logs } from '../internal.ts';
import type { JsonObject } from '../json.ts';
import { page } from '../pages.ts';
import { policyMethods } from '../policy-methods.ts';
import type { Method, Service } from '../service.ts';
import { type Control, openControl } from './run/control.ts';
import { openImages } from './run/images.ts';
import { knativeRoutes } from './run/knative/routes.ts';
import { canonical, demandRegion, serviceName } from './run/names.ts';
import { endOrphans } from './run/orphans.ts';
import { openReconciler } from './run/reconcile.ts';
import type { ServiceResource } from './run/resources.ts';
import { openServing } from './run/serving.ts';
import { openState, type State } from './run/state.ts';

export interface RunDependencies {
  readonly images: Images;
  readonly logs: Logs;
  readonly accounts: Accounts;
}

const V1 = '/v1/{resource=projects/*/locations/*/services/*}';
const PAGE = { usual: 100, most: 1_000 };

export function run(cloud: LocalCloud, { images, logs, accounts }: RunDependencies): { service: Service } {
  const state = openState(cloud.store);
  const unpacked = openImages(cloud.store);
  const serving = openServing(cloud, logs, unpacked, state.services, state.revisions);
  const reconciler = openReconciler(cloud, images, unpacked, state, serving);
  const control = openControl({ cloud, images, accounts, unpacked, state, serving, reconciler });
  return {
    service: {
      name: 'run',
      host: 'run.googleapis.com',
      title: 'Cloud Run Admin API',
      protos: ['google/cloud/run/v2/service.proto', 'google/cloud/run/v2/revision.proto'],
      methods: {
        'google.cloud.run.v2.Services': serviceMethods(cloud, state, control),
        'google.cloud.run.v2.Revisions': revisionMethods(cloud, state, control),
      },
      routes: knativeRoutes(cloud, state, control),
      async start() {
        await endOrphans(cloud.store);
        await control.resume();
      },
      async stop() {
        await reconciler.stop();
        await serving.stop();
      },
    },
  };
}

function serviceMethods(cloud: LocalCloud, state: State, control: Control): Record<string, Method> {
  const nameOf = (value: unknown): string => canonical(cloud.projects, String(value ?? ''));
  const created = (request: JsonObject): string =>
    `${nameOf(request.parent)}/services/${request.serviceId ?? ''}`;
  const updated = (request: JsonObject): string => nameOf(given(request).name);
  const policies = policyMethods(cloud, {
    permissions: 'run.services',
    nameOf,
    demand: (resource) => void state.service(resource),
  });
  return {
    CreateService: {
      access: (request) => ({ permission: 'run.services.create', resource: created(request) }),
      handle: (request, { identity }) =>
        control.create(created(request), given(request), {
          caller: identity,
          validateOnly: request.validateOnly === true,
        }),
    },
    GetService: {
      access: (request) => ({ permission: 'run.services.get', resource: nameOf(request.name) }),
      handle: (request) => state.service(nameOf(request.name)),
    },
    ListServices: {
      access: (request) => ({ permission: 'run.services.list', resource: nameOf(request.parent) }),
      handle(request) {
        const parent = nameOf(request.parent);
        demandRegion(parent.split('/')[3] ?? '');
        const services = [...state.services.values()]
          .map(({ service }) => service)
          .filter(({ name }) => name?.startsWith(`${parent}/services/`));
        const { items, nextPageToken } = page(services, newestFirst, request, PAGE);
        return { services: items, nextPageToken };
      },
    },
    UpdateService: {
      access(request) {
        const name = updated(request);
        const creates = request.allowMissing === true && !state.services.has(name);
        return { permission: creates ? 'run.services.create' : 'run.services.update', resource: name };
      },
      handle: (request, { identity }) =>
        control.update(updated(request), given(request), {
          caller: identity,
          mask: String(request.updateMask ?? ''),
          allowMissing: request.allowMissing === true,
          validateOnly: request.validateOnly === true,
        }),
    },
    DeleteService: {
      access: (request) => ({ permission: 'run.services.delete', resource: nameOf(request.name) }),
      handle: (request) => control.remove(nameOf(request.name), deletion(request)),
    },
    ...policies,
    // gcloud asks on the paths of v1.
    GetIamPolicy: { ...policies.GetIamPolicy, http: [{ get: `${V1}:getIamPolicy` }] },
    SetIamPolicy: { ...policies.SetIamPolicy, http: [{ post: `${V1}:setIamPolicy`, body: '*' }] },
    TestIamPermissions: {
      ...policies.TestIamPermissions,
      http: [{ post: `${V1}:testIamPermissions`, body: '*' }],
    },
  };
}

function revisionMethods(cloud: LocalCloud, state: State, control: Control): Record<string, Method> {
  const nameOf = (value: unknown): string => canonical(cloud.projects, String(value ?? ''));
  const service = (name: string): string => serviceName(name).full;
  return {
    GetRevision: {
      access: (request) => ({ permission: 'run.revisions.get', resource: service(nameOf(request.name)) }),
      handle: (request) => state.revision(nameOf(request.name)).revision,
    },
    ListRevisions: {
      access: (request) => ({ permission: 'run.revisions.list', resource: nameOf(request.parent) }),
      handle(request) {
        const parent = nameOf(request.parent);
        demandRegion(parent.split('/')[3] ?? '');
        const all = parent.endsWith('/services/-');
        if (!all) state.service(parent);
        const within = all ? parent.slice(0, -1) : `${parent}/revisions/`;
        const revisions = [...state.revisions.values()]
          .map(({ revision }) => revision)
          .filter(({ name }) => name.startsWith(within));
        const { items, nextPageToken } = page(revisions, newestFirst, request, PAGE);
        return { revisions: items, nextPageToken };
      },
    },
    DeleteRevision: {
      access: (request) => ({ permission: 'run.revisions.delete', resource: service(nameOf(request.name)) }),
      handle: (request) => control.removeRevision(nameOf(request.name), deletion(request)),
    },
  };
}

/** The service of a request; the frame has checked it against the proto. */
function given(request: JsonObject): ServiceResource {
  if (request.service === undefined) throw invalid('service: is required.', 'service');
  return request.service as ServiceResource;
}

function deletion(request: JsonObject): { etag: string; validateOnly: boolean } {
  return { etag: String(request.etag ?? ''), validateOnly: request.validateOnly === true };
}

/** A key in the order of which the newest comes first. */
function newestFirst({ createTime, name }: { createTime?: string; name?: string }): string {
  const age = Number.MAX_SAFE_INTEGER - Date.parse(createTime ?? '');
  return `${String(age).padStart(16, '0')} ${name}`;
}
