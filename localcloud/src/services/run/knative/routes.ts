/**
 * The v1 API, as far as `gcloud run` uses it: the same services in Knative's shape.
 *
 * The region stands in the host, as in `us-central1-run.googleapis.com`; a client reaches it through us as a proxy.
 */
import type { IncomingMessage } from 'node:http';
import type { LocalCloud } from '../../../cloud.ts';
import { invalid } from '../../../error.ts';
import { isObject, type JsonObject } from '../../../json.ts';
import { readJson } from '../../../rest.ts';
import type { Answer, Route, RouteRequest } from '../../../service.ts';
import type { Control } from '../control.ts';
import { demandRegion, serviceName } from '../names.ts';
import type { RevisionRow, ServiceResource } from '../resources.ts';
import type { State } from '../state.ts';
import { readService } from './read.ts';
import { writeConfiguration, writeRevision, writeRoute, writeService } from './write.ts';

const NAMESPACE = '/apis/serving.knative.dev/v1/namespaces/{project}';
const PAGE = 1_000;

export function knativeRoutes(cloud: LocalCloud, state: State, control: Control): Route[] {
  const projectOf = ({ params }: RouteRequest): string =>
    cloud.projects.find(params.project ?? '')?.projectId ?? params.project ?? '';

  /** `projects/p/locations/l`, with the location of the host. */
  const parentOf = (request: RouteRequest): string =>
    `projects/${projectOf(request)}/locations/${regionOf(request.raw)}`;
  const nameOf = (request: RouteRequest): string => `${parentOf(request)}/services/${request.params.name}`;
  const numberOf = (name: string): string => cloud.projects.get(serviceName(name).project).number;

  const written = (name: string): JsonObject => writeService(state.service(name), numberOf(name));
  const writtenRevision = (row: RevisionRow): JsonObject => {
    const of = serviceName(row.revision.name).full;
    return writeRevision(row, state.services.get(of)?.service, numberOf(of));
  };

  /** The services of a project, of one region or of all. */
  function servicesIn(project: string, location: string): ServiceResource[] {
    const within = location === '-' ? `projects/${project}/` : `projects/${project}/locations/${location}/`;
    return [...state.services.values()]
      .map(({ service }) => service)
      .filter(({ name }) => name?.startsWith(within))
      .reverse();
  }

  function revisionsIn(project: string, location: string): RevisionRow[] {
    const within = location === '-' ? `projects/${project}/` : `projects/${project}/locations/${location}/`;
    return [...state.revisions.values()].filter(({ revision }) => revision.name.startsWith(within)).reverse();
  }

  const read = (verb: string) => (request: RouteRequest) => ({
    permission: `run.${verb}`,
    resource: request.params.name === undefined ? parentOf(request) : nameOf(request),
  });
  const globally = (permission: string) => (request: RouteRequest) => ({
    permission,
    resource: `projects/${projectOf(request)}`,
  });

  /** The halves of a service that Knative shows by themselves: read only. */
  function half(plural: string, kind: string, write: typeof writeRoute): Route[] {
    return [
      {
        name: `namespaces.${plural}.get`,
        method: 'GET',
        path: `${NAMESPACE}/${plural}/{name}`,
        access: read(`${plural}.get`),
        handle: (request) => ok(write(state.service(nameOf(request)), numberOf(nameOf(request)))),
      },
      {
        name: `namespaces.${plural}.list`,
        method: 'GET',
        path: `${NAMESPACE}/${plural}`,
        access: read(`${plural}.list`),
        handle(request) {
          const items = servicesIn(projectOf(request), regionOf(request.raw)).map((service) =>
            write(service, numberOf(service.name ?? '')),
          );
          return ok(listed(kind, items, request));
        },
      },
    ];
  }

  const services: Route[] = [
    {
      name: 'namespaces.services.list',
      method: 'GET',
      path: `${NAMESPACE}/services`,
      access: read('services.list'),
      handle(request) {
        const items = servicesIn(projectOf(request), regionOf(request.raw)).map(({ name = '' }) =>
          written(name),
        );
        return ok(listed('Service', items, request));
      },
    },
    {
      name: 'namespaces.services.get',
      method: 'GET',
      path: `${NAMESPACE}/services/{name}`,
      access: read('services.get'),
      handle: (request) => ok(written(nameOf(request))),
    },
    {
      name: 'namespaces.services.create',
      method: 'POST',
      path: `${NAMESPACE}/services`,
      // On the region: the name is in the body, which is not read before.
      access: read('services.create'),
      async handle(request, _, { identity }) {
        const { name: id, service } = readService(await readJson(request.raw));
        const name = `${parentOf(request)}/services/${id}`;
        const options = { caller: identity, validateOnly: isDryRun(request) };
        const { response } = control.create(name, service, options);
        return ok(isDryRun(request) ? writeService(resourceIn(response), numberOf(name)) : written(name));
      },
    },
    {
      name: 'namespaces.services.replaceService',
      method: 'PUT',
      path: `${NAMESPACE}/services/{name}`,
      access: read('services.update'),
      async handle(request, _, { identity }) {
        const name = nameOf(request);
        const { service } = readService(await readJson(request.raw));
        const validateOnly = isDryRun(request);
        const options = { caller: identity, validateOnly, mask: '', allowMissing: false };
        const { response } = control.update(name, service, options);
        return ok(validateOnly ? writeService(resourceIn(response), numberOf(name)) : written(name));
      },
    },
    {
      name: 'namespaces.services.delete',
      method: 'DELETE',
      path: `${NAMESPACE}/services/{name}`,
      access: read('services.delete'),
      handle(request) {
        control.remove(nameOf(request), { etag: '', validateOnly: isDryRun(request) });
        return ok({ apiVersion: 'v1', kind: 'Status', status: 'Success' });
      },
    },
    {
      name: 'locations.services.list',
      method: 'GET',
      path: '/v1/projects/{project}/locations/{location}/services',
      access: globally('run.services.list'),
      handle(request) {
        const location = request.params.location ?? '';
        if (location !== '-') demandRegion(location);
        const items = servicesIn(projectOf(request), location).map(({ name = '' }) => written(name));
        return ok(listed('Service', items, request));
      },
    },
  ];

  /** A revision is named without its service in v1: it is looked for in the region. */
  function revisionOf(request: RouteRequest): string {
    const ending = `/revisions/${request.params.name}`;
    const found = revisionsIn(projectOf(request), regionOf(request.raw)).find(({ revision }) =>
      revision.name.endsWith(ending),
    );
    return found?.revision.name ?? `${parentOf(request)}/services/-${ending}`;
  }
  const onRevision = (permission: string) => (request: RouteRequest) => ({
    permission,
    resource: serviceName(revisionOf(request)).full,
  });

  const revisions: Route[] = [
    {
      name: 'namespaces.revisions.list',
      method: 'GET',
      path: `${NAMESPACE}/revisions`,
      access: read('revisions.list'),
      handle(request) {
        const items = revisionsIn(projectOf(request), regionOf(request.raw)).map(writtenRevision);
        return ok(listed('Revision', items, request));
      },
    },
    {
      name: 'namespaces.revisions.get',
      method: 'GET',
      path: `${NAMESPACE}/revisions/{name}`,
      access: onRevision('run.revisions.get'),
      handle: (request) => ok(writtenRevision(state.revision(revisionOf(request)))),
    },
    {
      name: 'namespaces.revisions.delete',
      method: 'DELETE',
      path: `${NAMESPACE}/revisions/{name}`,
      access: onRevision('run.revisions.delete'),
      handle(request) {
        control.removeRevision(revisionOf(request), { etag: '', validateOnly: isDryRun(request) });
        return ok({ apiVersion: 'v1', kind: 'Status', status: 'Success' });
      },
    },
    {
      name: 'locations.revisions.list',
      method: 'GET',
      path: '/v1/projects/{project}/locations/{location}/revisions',
      access: globally('run.revisions.list'),
      handle(request) {
        const items = revisionsIn(projectOf(request), request.params.location ?? '').map(writtenRevision);
        return ok(listed('Revision', items, request));
      },
    },
  ];

  return [
    ...services,
    ...revisions,
    ...half('routes', 'Route', writeRoute),
    ...half('configurations', 'Configuration', writeConfiguration),
  ];
}

/** `us-central1-run.sim` → `us-central1`. */
function regionOf(raw: IncomingMessage): string {
  const absolute = /^https?:\/\/([^/]+)/.exec(raw.url ?? '')?.[1];
  const host = absolute ?? raw.headers.host ?? '';
  const region = /^([a-z]+-[a-z]+\d+)-/.exec(host)?.[1];
  if (region === undefined) {
    throw invalid(
      `The v1 API of Cloud Run needs the region in front of the host, as in us-central1-run.sim; this came for '${host}'.`,
    );
  }
  demandRegion(region);
  return region;
}

function ok(body: JsonObject): Answer {
  return { status: 200, body };
}

function isDryRun({ query }: RouteRequest): boolean {
  return query.get('dryRun') === 'all';
}

function resourceIn(response: JsonObject | undefined): ServiceResource {
  const { '@type': _, ...service } = response ?? {};
  return service as ServiceResource;
}

/** One page of a list, after the label selector. */
function listed(kind: string, items: readonly JsonObject[], { query }: RouteRequest): JsonObject {
  const matching = items.filter((item) => selected(item, query.get('labelSelector') ?? ''));
  const from = Number(query.get('continue') ?? 0) || 0;
  const limit = Number(query.get('limit') ?? 0) || PAGE;
  const next = from + limit < matching.length ? { continue: String(from + limit) } : {};
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: `${kind}List`,
    metadata: next,
    items: matching.slice(from, from + limit),
  };
}

/** `a = b, c=d` */
function selected({ metadata }: JsonObject, selector: string): boolean {
  const labels = isObject(metadata) && isObject(metadata.labels) ? metadata.labels : {};
  return selector
    .split(',')
    .filter((part) => part.trim() !== '')
    .every((part) => {
      const [name = '', value = ''] = part.split(/={1,2}/).map((side) => side.trim());
      return labels[name] === value;
    });
}
