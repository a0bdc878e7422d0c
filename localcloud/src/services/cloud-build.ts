/** Cloud Build v1: builds images from source in a bucket, with what this machine has. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { LocalCloud } from '../cloud.ts';
import { GoogleError, notFound } from '../error.ts';
import { parseFilter } from '../filter.ts';
import type { Accounts, Images, Logs, Objects } from '../internal.ts';
import { isObject, type JsonObject } from '../json.ts';
import { page } from '../pages.ts';
import type { Access, Method, Route, Service } from '../service.ts';
import type { Table } from '../store.ts';
import { openInstallCache } from './cloud-build/install-cache.ts';
import { openLife } from './cloud-build/life.ts';
import { logFile } from './cloud-build/log.ts';
import { openMachine } from './cloud-build/machine.ts';
import { type BuildRow, namedAccount, newBuild } from './cloud-build/row.ts';

export interface CloudBuildParts {
  readonly objects: Objects;
  readonly images: Images;
  readonly logs: Logs;
  readonly accounts: Accounts;
  /** Where npm is found, and the user's settings for it: usually `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function cloudBuild(cloud: LocalCloud, parts: CloudBuildParts): { service: Service } {
  const rows: Table<BuildRow> = cloud.store.table('cloudbuild.builds');
  const { dir, blobs } = cloud.store;
  const life = openLife(cloud, rows, {
    ...parts,
    machine: openMachine(parts.environment, join(dir, 'npm-cache')),
    cache: openInstallCache(join(dir, 'build-cache'), blobs, cloud.clock),
  });

  /** The build that a request names, by `name` or by `projectId` and `id`. */
  function find(request: JsonObject): BuildRow | undefined {
    const { project, location, id } = placeOf(cloud, request);
    const row = rows.get(id);
    return row?.project === project && row.location === location ? row : undefined;
  }

  function get(request: JsonObject): BuildRow {
    const row = find(request);
    if (!row) throw notFound(String(request.name || `projects/${request.projectId}/builds/${request.id}`));
    return row;
  }

  function accountOf(build: JsonObject, project: string): string {
    const found = cloud.projects.get(project);
    return namedAccount(build, found) ?? defaultAccount(found.number);
  }

  /** Who starts a build acts as its account. */
  function accessToCreate(project: string, build: JsonObject): Access[] {
    const create = { permission: 'cloudbuild.builds.create', resource: `projects/${project}` };
    if (!cloud.projects.find(project)) return [create];
    const account = accountOf(build, project);
    const home = parts.accounts.find(account)?.projectId ?? project;
    const resource = `projects/${home}/serviceAccounts/${account}`;
    return [create, { permission: 'iam.serviceAccounts.actAs', resource }];
  }

  function submit(project: string, location: string, request: JsonObject): JsonObject {
    const account = accountOf(request, project);
    const row = newBuild(cloud, parts.images, account, { project, location }, request);
    if (!parts.accounts.find(account)) {
      throw new GoogleError(
        'NOT_FOUND',
        `Service account ${account} does not exist, so the build cannot run as it.`,
      );
    }
    return life.submit(row, account);
  }

  function list(request: JsonObject): JsonObject {
    const { project, location } = placeOf(cloud, request);
    const matches = parseFilter(String(request.filter ?? ''), {
      build_id: 'id',
      trigger_id: 'buildTriggerId',
    });
    const found = rows
      .values()
      .filter((row) => row.project === project && (location === '-' || row.location === location))
      .map((row) => row.build)
      .filter(matches);
    const { items, nextPageToken } = page(found, newestFirst, request, { usual: 100, most: 1_000 });
    return { builds: items, nextPageToken };
  }

  const onProject = (permission: string) => (request: JsonObject) => ({
    permission,
    resource: `projects/${placeOf(cloud, request).project}`,
  });

  const methods: Record<string, Method> = {
    CreateBuild: {
      access: (request) => accessToCreate(placeOf(cloud, request).project, objectOf(request.build)),
      handle(request) {
        const { project, location } = placeOf(cloud, request);
        return submit(project, location, objectOf(request.build));
      },
    },
    GetBuild: { access: onProject('cloudbuild.builds.get'), handle: (request) => get(request).build },
    ListBuilds: { access: onProject('cloudbuild.builds.list'), handle: list },
    CancelBuild: {
      access: onProject('cloudbuild.builds.update'),
      async handle(request) {
        const { id, build } = get(request);
        if (build.finishTime !== undefined) {
          throw new GoogleError(
            'FAILED_PRECONDITION',
            `Cannot cancel build ${id}: it has ended with ${String(build.status)}.`,
          );
        }
        await life.cancel(id);
        return get(request).build;
      },
    },
    RetryBuild: {
      access: (request) => accessToCreate(placeOf(cloud, request).project, find(request)?.request ?? {}),
      handle(request) {
        const { project, location, request: asked } = get(request);
        return submit(project, location, asked);
      },
    },
    GetDefaultServiceAccount: {
      access: onProject('cloudbuild.builds.get'),
      handle(request) {
        const { projectId, number } = cloud.projects.get(placeOf(cloud, request).project);
        return {
          name: String(request.name),
          serviceAccountEmail: `projects/${projectId}/serviceAccounts/${defaultAccount(number)}`,
        };
      },
    },
  };

  return {
    service: {
      name: 'cloudbuild',
      host: 'cloudbuild.googleapis.com',
      title: 'Cloud Build API',
      protos: ['google/devtools/cloudbuild/v1/cloudbuild.proto'],
      methods: { 'google.devtools.cloudbuild.v1.CloudBuild': methods },
      routes: [logRoute(cloud, rows)],
      start: () => life.settle(),
      stop: () => life.stop(),
    },
  };
}

/** Where a build's `logUrl` leads. */
function logRoute(cloud: LocalCloud, rows: Table<BuildRow>): Route {
  return {
    name: 'builds.log',
    method: 'GET',
    path: '/cloud-build/{project}/{id}/log',
    access: ({ params }) => ({ permission: 'cloudbuild.builds.get', resource: `projects/${params.project}` }),
    async handle({ params, raw }, response) {
      const row = rows.get(params.id ?? '');
      const file = logFile(cloud, params.id ?? '');
      if (row?.project !== params.project || !existsSync(file)) throw notFound(raw.url ?? '');
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
      await pipeline(createReadStream(file), response);
    },
  };
}

/** Project id, location and build that a request is about; `global` where it names no location. */
function placeOf(cloud: LocalCloud, request: JsonObject): { project: string; location: string; id: string } {
  const parts = String(request.name || request.parent || '').split('/');
  const named = parts.length > 1;
  const project = String((named ? parts[1] : request.projectId) ?? '');
  return {
    project: cloud.projects.find(project)?.projectId ?? project,
    location: (named ? parts[3] : undefined) ?? 'global',
    id: String((named ? parts[5] : request.id) ?? ''),
  };
}

function defaultAccount(projectNumber: string): string {
  return `${projectNumber}-compute@developer.gserviceaccount.com`;
}

/** A key that sorts later builds first. */
function newestFirst(build: JsonObject): string {
  const age = 9e15 - Date.parse(String(build.createTime));
  return `${String(age).padStart(16, '0')} ${String(build.id)}`;
}

function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}
