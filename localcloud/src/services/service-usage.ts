/** Service Usage v1: which APIs a project has enabled. See service-usage.md. */
import { randomUUID } from 'node:crypto';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError, invalid } from '../error.ts';
import type { JsonObject } from '../json.ts';
import { page } from '../pages.ts';
import type { Project } from '../projects.ts';
import type { Access, Service } from '../service.ts';
import { WELL_KNOWN } from '../well-known-apis.ts';
import type { EnableAgents } from './iam/agents.ts';

export interface ServiceUsageNeeds {
  /** All that is served here; asked when a call comes, for the list is not complete before. */
  served(): readonly Service[];
  readonly enableAgents: EnableAgents;
}

export interface ServiceUsageApi {
  readonly service: Service;
  /** Enables an API and makes its service agents; both take effect after `delayMs`, by default the propagation time. */
  enable(project: Project, host: string, delayMs?: number): void;
  /** The APIs that the local cloud serves and that a project can enable. */
  servedHosts(): string[];
}

const TYPES = 'type.googleapis.com/google.api.serviceusage.v1';
const MAX_ENABLE = 20;
const MAX_GET = 30;

export function serviceUsage(
  cloud: LocalCloud,
  { served, enableAgents }: ServiceUsageNeeds,
): ServiceUsageApi {
  /** Hosts to titles. */
  function catalogue(): Map<string, string | undefined> {
    const known = new Map<string, string | undefined>(WELL_KNOWN.map((host) => [host, undefined]));
    for (const one of served()) {
      if (one.needsEnabling !== false || known.has(one.host)) known.set(one.host, one.title);
    }
    return known;
  }

  function enable(project: Project, host: string, delayMs?: number): void {
    if (cloud.projects.isEnabled(project.projectId, host)) return;
    cloud.projects.enable(project.projectId, host, delayMs);
    enableAgents(project, host, delayMs);
  }

  const on =
    (verb: string, field: 'name' | 'parent') =>
    (request: JsonObject): Access => {
      const [collection, id = ''] = String(request[field]).split('/');
      const project = collection === 'projects' ? cloud.projects.find(id) : undefined;
      return {
        permission: `serviceusage.services.${verb}`,
        resource: `${collection}/${project?.projectId ?? id}`,
      };
    };

  function projectOf(name: unknown): Project {
    return cloud.projects.get(String(name).split('/')[1] ?? '');
  }

  /** Of `projects/P/services/S`. */
  function hostOf(name: unknown): string {
    const host = String(name).split('/')[3] ?? '';
    demandKnown([host]);
    return host;
  }

  function demandKnown(hosts: readonly string[]): void {
    const known = catalogue();
    const unknown = hosts.filter((host) => !known.has(host));
    if (unknown.length > 0) throw unknownServices(unknown);
  }

  function describe(project: Project, host: string): JsonObject {
    const parent = `projects/${project.number}`;
    return {
      name: `${parent}/services/${host}`,
      parent,
      config: { name: host, title: catalogue().get(host) },
      state: cloud.projects.isEnabled(project.projectId, host) ? 'ENABLED' : 'DISABLED',
    };
  }

  function operation(project: Project, hosts: readonly string[], work: () => JsonObject): JsonObject {
    return cloud.operations.start({
      parent: '',
      id: `acat.p2-${project.number}-${randomUUID()}`,
      metadata: {
        '@type': `${TYPES}.OperationMetadata`,
        resourceNames: hosts.map((host) => `projects/${project.number}/services/${host}`),
      },
      work: async () => work(),
    });
  }

  function enableOne(request: JsonObject): JsonObject {
    const project = projectOf(request.name);
    const host = hostOf(request.name);
    enable(project, host);
    return operation(project, [host], () => ({
      '@type': `${TYPES}.EnableServiceResponse`,
      service: describe(project, host),
    }));
  }

  function enableMany(request: JsonObject): JsonObject {
    const project = projectOf(request.parent);
    const hosts = Array.isArray(request.serviceIds) ? request.serviceIds.map(String) : [];
    if (hosts.length === 0 || hosts.length > MAX_ENABLE) {
      throw invalid(`A batch enables 1 to ${MAX_ENABLE} services.`, 'service_ids');
    }
    demandKnown(hosts);
    for (const host of hosts) enable(project, host);
    return operation(project, hosts, () => ({
      '@type': `${TYPES}.BatchEnableServicesResponse`,
      services: hosts.map((host) => describe(project, host)),
    }));
  }

  function disable(request: JsonObject): JsonObject {
    const project = projectOf(request.name);
    const host = hostOf(request.name);
    if (!cloud.projects.isEnabled(project.projectId, host)) {
      throw new GoogleError(
        'FAILED_PRECONDITION',
        `The service ${host} is not enabled for ${project.projectId}.`,
      );
    }
    cloud.projects.disable(project.projectId, host);
    return operation(project, [host], () => ({
      '@type': `${TYPES}.DisableServiceResponse`,
      service: describe(project, host),
    }));
  }

  function list(request: JsonObject): JsonObject {
    const project = projectOf(request.parent);
    const filter = String(request.filter ?? '');
    const [, wanted] = /^state:(ENABLED|DISABLED)$/.exec(filter) ?? [];
    if (filter !== '' && wanted === undefined) {
      throw invalid('The filter must be state:ENABLED or state:DISABLED.', 'filter');
    }
    const enabled = wanted === 'ENABLED';
    const hosts = [...catalogue().keys()].filter(
      (host) => wanted === undefined || cloud.projects.isEnabled(project.projectId, host) === enabled,
    );
    const { items, nextPageToken } = page(hosts, (host) => host, request, { usual: 50, most: 200 });
    return { services: items.map((host) => describe(project, host)), nextPageToken };
  }

  function getMany(request: JsonObject): JsonObject {
    const project = projectOf(request.parent);
    const names = Array.isArray(request.names) ? request.names.map(String) : [];
    if (names.length === 0 || names.length > MAX_GET) {
      throw invalid(`A batch gets 1 to ${MAX_GET} services.`, 'names');
    }
    return { services: names.map((name) => describe(project, hostOf(name))) };
  }

  return {
    enable,
    servedHosts() {
      const known = catalogue();
      return served().flatMap(({ host }) => (known.has(host) ? [host] : []));
    },
    service: {
      name: 'serviceusage',
      host: 'serviceusage.googleapis.com',
      title: 'Service Usage API',
      needsEnabling: false,
      protos: ['google/api/serviceusage/v1/serviceusage.proto'],
      methods: {
        'google.api.serviceusage.v1.ServiceUsage': {
          EnableService: { access: on('enable', 'name'), handle: enableOne },
          DisableService: { access: on('disable', 'name'), handle: disable },
          GetService: {
            access: on('get', 'name'),
            handle: (request) => describe(projectOf(request.name), hostOf(request.name)),
          },
          ListServices: { access: on('list', 'parent'), handle: list },
          BatchEnableServices: { access: on('enable', 'parent'), handle: enableMany },
          BatchGetServices: { access: on('get', 'parent'), handle: getMany },
        },
      },
    },
  };
}

function unknownServices(hosts: readonly string[]): GoogleError {
  const services = hosts.join(',');
  return new GoogleError('PERMISSION_DENIED', `Not found or permission denied for service(s): ${services}.`, [
    {
      '@type': 'type.googleapis.com/google.rpc.PreconditionFailure',
      violations: [{ type: 'googleapis.com', subject: `?error_code=220002&services=${services}` }],
    },
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'SERVICE_CONFIG_NOT_FOUND_OR_PERMISSION_DENIED',
      domain: 'serviceusage.googleapis.com',
      metadata: { services },
    },
  ]);
}
