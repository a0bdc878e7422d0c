/** The repositories: create, get, list, update, delete, and who may do what with each. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid, notFound } from '../../error.ts';
import { parseFilter } from '../../filter.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import { policyMethods } from '../../policy-methods.ts';
import type { Method } from '../../service.ts';
import type { Table } from '../../store.ts';
import type { Contents } from './contents.ts';
import { checkLocation, checkRepositoryId, registryUri } from './names.ts';

/** `google.devtools.artifactregistry.v1.Repository`, without what is computed. */
export type Repository = JsonObject & { name: string };

export interface Repositories {
  readonly table: Table<Repository>;
  /** Throws NOT_FOUND. */
  get(name: string): Repository;
  /** Those of that id in a project, one for each location that has it. */
  named(project: string, id: string): Repository[];
  hasImmutableTags(name: string): boolean;
}

export function openRepositories(cloud: LocalCloud): Repositories {
  const table: Table<Repository> = cloud.store.table('artifactregistry.repositories');
  return {
    table,
    get(name) {
      const repository = table.get(name);
      if (!repository) throw notFound(name);
      return repository;
    },
    named: (project, id) => [
      ...table.values().filter(({ name }) => {
        const parts = name.split('/');
        return parts[1] === project && parts[5] === id;
      }),
    ],
    hasImmutableTags(name) {
      const config = table.get(name)?.dockerConfig;
      return isObject(config) && config.immutableTags === true;
    },
  };
}

export function repositoryMethods(
  cloud: LocalCloud,
  repositories: Repositories,
  contents: Contents,
): Record<string, Method> {
  const { table } = repositories;
  const show = (repository: Repository): JsonObject => ({
    ...repository,
    registryUri: registryUri(repository.name),
    sizeBytes: String(contents.sizeOf(repository.name)),
  });

  function create(request: JsonObject): JsonObject {
    const { parent, repositoryId, repository } = read(request);
    const [, project = '', , location = ''] = parent.split('/');
    cloud.projects.get(project);
    checkLocation(location);
    checkRepositoryId(repositoryId);
    check(repository);
    const name = `${parent}/repositories/${repositoryId}`;
    if (table.has(name)) throw exists();
    const now = timestamp(cloud.clock.now());
    const row: Repository = {
      ...pick(repository, [...UPDATABLE, 'kmsKeyName']),
      name,
      format: 'DOCKER',
      mode: 'STANDARD_REPOSITORY',
      createTime: now,
      updateTime: now,
    };
    return cloud.operations.start({
      parent,
      metadata: METADATA,
      async work() {
        if (table.has(name)) throw exists();
        table.set(name, row);
        return { '@type': `${TYPE}.Repository`, ...show(row) };
      },
    });
  }

  function update(request: JsonObject): JsonObject {
    const { repository, updateMask } = read(request);
    const row = repositories.get(String(repository.name));
    const fields = updateMask === '' || updateMask === '*' ? Object.keys(repository) : updateMask.split(',');
    const changed = fields.map((field) => field.split('.')[0] ?? '').filter((field) => field !== 'name');
    const fixed = changed.find((field) => FIXED.has(field) && repository[field] !== row[field]);
    if (fixed) throw invalid(`Field ${fixed} of a repository cannot be changed.`, 'update_mask');
    const unknown = changed.find((field) => !FIXED.has(field) && !UPDATABLE.includes(field));
    if (unknown && updateMask !== '') throw invalid(`Field ${unknown} cannot be updated.`, 'update_mask');
    check({ ...row, ...repository });
    const kept = Object.entries(row).filter(([field]) => !changed.includes(field) || FIXED.has(field));
    const written: Repository = {
      ...Object.fromEntries(kept),
      ...pick(
        repository,
        UPDATABLE.filter((field) => changed.includes(field)),
      ),
      name: row.name,
      updateTime: timestamp(cloud.clock.now()),
    };
    table.set(row.name, written);
    return show(written);
  }

  function remove(name: string): JsonObject {
    repositories.get(name);
    return cloud.operations.start({
      parent: name.split('/').slice(0, 4).join('/'),
      metadata: METADATA,
      async work() {
        repositories.get(name);
        contents.dropRepository(name);
        table.delete(name);
        cloud.iam.dropPolicy(name);
        return EMPTY;
      },
    });
  }

  function list(request: JsonObject): JsonObject {
    const { parent } = read(request);
    const everywhere = parent.endsWith('/locations/-');
    const prefix = everywhere ? parent.slice(0, -1) : `${parent}/`;
    const matches = parseFilter(String(request.filter ?? ''));
    const found = table
      .values()
      .filter(({ name }) => name.startsWith(prefix))
      .map(show)
      .filter(matches);
    const { items, nextPageToken } = page(found, (row) => String(row.name), request, PAGES);
    return { repositories: items, nextPageToken };
  }

  return {
    CreateRepository: {
      access: (request) => ({
        permission: 'artifactregistry.repositories.create',
        resource: String(request.parent),
      }),
      handle: create,
    },
    GetRepository: {
      access: (request) => ({
        permission: 'artifactregistry.repositories.get',
        resource: String(request.name),
      }),
      handle: (request) => show(repositories.get(String(request.name))),
    },
    ListRepositories: {
      access: (request) => ({
        permission: 'artifactregistry.repositories.list',
        resource: String(request.parent),
      }),
      handle: list,
    },
    UpdateRepository: {
      access: (request) => ({
        permission: 'artifactregistry.repositories.update',
        resource: String(read(request).repository.name),
      }),
      handle: update,
    },
    DeleteRepository: {
      access: (request) => ({
        permission: 'artifactregistry.repositories.delete',
        resource: String(request.name),
      }),
      handle: (request) => remove(String(request.name)),
    },
    ...policyMethods(cloud, {
      permissions: 'artifactregistry.repositories',
      nameOf: (resource) => resource,
      demand: (resource) => void repositories.get(resource),
    }),
  };
}

const TYPE = 'type.googleapis.com/google.devtools.artifactregistry.v1';
export const METADATA = { '@type': `${TYPE}.OperationMetadata` };
export const EMPTY = { '@type': 'type.googleapis.com/google.protobuf.Empty' };

/** How many resources a list answers with. */
export const PAGES = { usual: 100, most: 1_000 };

const UPDATABLE: readonly string[] = [
  'description',
  'labels',
  'dockerConfig',
  'cleanupPolicies',
  'cleanupPolicyDryRun',
  'vulnerabilityScanningConfig',
];
const FIXED: ReadonlySet<string> = new Set(['format', 'mode', 'kmsKeyName', 'createTime', 'updateTime']);

function read(request: JsonObject): {
  parent: string;
  repositoryId: string;
  repository: JsonObject;
  updateMask: string;
} {
  const repository = isObject(request.repository) ? request.repository : {};
  return {
    parent: String(request.parent ?? ''),
    repositoryId: String(request.repositoryId ?? ''),
    repository,
    updateMask: String(request.updateMask ?? ''),
  };
}

function check(repository: JsonObject): void {
  const { format = 'FORMAT_UNSPECIFIED', mode = 'STANDARD_REPOSITORY', labels } = repository;
  if (format !== 'DOCKER') {
    const what = format === 'FORMAT_UNSPECIFIED' ? 'no format' : `format ${String(format)}`;
    throw invalid(
      `The local cloud has repositories of format DOCKER only; this one has ${what}.`,
      'repository.format',
    );
  }
  if (mode !== 'STANDARD_REPOSITORY' && mode !== 'MODE_UNSPECIFIED') {
    throw invalid(
      `The local cloud has standard repositories only; this one has mode ${String(mode)}.`,
      'repository.mode',
    );
  }
  if (repository.mavenConfig !== undefined) {
    throw invalid('A repository of format DOCKER has no mavenConfig.', 'repository.maven_config');
  }
  const entries = Object.entries(isObject(labels) ? labels : {});
  const wrong = entries.find(
    ([key, value]) => !/^[a-z][a-z0-9_-]{0,62}$/.test(key) || !/^[a-z0-9_-]{0,63}$/.test(String(value)),
  );
  if (wrong) throw invalid(`Invalid label "${wrong.join('=')}".`, 'repository.labels');
  if (entries.length > 64) throw invalid('A repository has at most 64 labels.', 'repository.labels');
}

function pick(json: JsonObject, fields: readonly string[]): JsonObject {
  const entries = fields.filter((field) => json[field] !== undefined).map((field) => [field, json[field]]);
  return Object.fromEntries(entries);
}

function exists(): GoogleError {
  return new GoogleError('ALREADY_EXISTS', 'the repository already exists');
}
