/** The calls on roles and permissions. */
import { createHash, randomUUID } from 'node:crypto';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { PredefinedRole } from '../../roles/notation.ts';
import type { CustomRole, Roles } from '../../roles.ts';
import type { Access, Method } from '../../service.ts';

const RESTORABLE_MS = 7 * 24 * 3_600_000;
const MAX_PERMISSIONS = 3_000;
const MAX_ROLES = 300;
const SIZES = { usual: 300, most: 1_000 };

export function roleMethods(cloud: LocalCloud, roles: Roles): Readonly<Record<string, Method>> {
  /** Resources whose permissions the table knows: `pubsub.topics`. */
  const known = new Set(roles.permissions.map(collectionOf));
  const permissions = new Set(roles.permissions);

  /** Predefined roles are open to all; for any other, its parent is asked. */
  const on =
    (verb: string, field: 'name' | 'parent') =>
    (request: JsonObject): Access => {
      const resource = canonical(String(request[field] ?? ''));
      return {
        permission: resource === '' || resource.startsWith('roles/') ? undefined : `iam.roles.${verb}`,
        resource: resource.split('/').slice(0, 2).join('/'),
      };
    };

  function canonical(name: string): string {
    const [collection, project = '', ...rest] = name.split('/');
    if (collection !== 'projects') return name;
    return ['projects', cloud.projects.find(project)?.projectId ?? project, ...rest].join('/');
  }

  function customOf(projectId: string): CustomRole[] {
    return [...roles.custom.values()].filter((role) => role.name.startsWith(`projects/${projectId}/`));
  }

  function get(request: JsonObject): CustomRole {
    const name = canonical(String(request.name));
    const role = roles.custom.get(name);
    if (!role) throw notFoundRole(name);
    return role;
  }

  function write(role: Omit<CustomRole, 'etag'>): JsonObject {
    const etag = createHash('sha256').update(randomUUID()).digest().subarray(0, 8).toString('base64');
    const row = { ...role, etag };
    roles.custom.set(row.name, row);
    return describe(row, 'FULL');
  }

  function readPermissions(json: JsonObject): string[] {
    const list = Array.isArray(json.includedPermissions) ? json.includedPermissions.map(String) : [];
    if (list.length > MAX_PERMISSIONS) {
      throw invalid(
        `A role cannot have more than ${MAX_PERMISSIONS} permissions.`,
        'role.included_permissions',
      );
    }
    for (const permission of list) {
      const shaped = /^[a-z0-9]+(\.[A-Za-z0-9]+){2}$/.test(permission);
      if (shaped && (permissions.has(permission) || !known.has(collectionOf(permission)))) continue;
      throw invalid(`Permission ${permission} is not valid.`, 'role.included_permissions');
    }
    return [...new Set(list)].sort();
  }

  function create(request: JsonObject): JsonObject {
    const id = String(request.roleId ?? '');
    if (!/^[A-Za-z0-9_.]{3,64}$/.test(id)) {
      throw invalid(`The role_id "${id}" must have 3 to 64 characters of [A-Za-z0-9_.].`, 'role_id');
    }
    const parent = canonical(String(request.parent));
    const name = `${parent}/roles/${id}`;
    if (roles.custom.has(name)) {
      throw new GoogleError('ALREADY_EXISTS', `A role named ${id} in ${parent} already exists.`);
    }
    if (customOf(parent.slice('projects/'.length)).length >= MAX_ROLES) {
      throw new GoogleError(
        'RESOURCE_EXHAUSTED',
        `Maximum number of roles reached. Maximum is: ${MAX_ROLES}`,
      );
    }
    const given = isObject(request.role) ? request.role : {};
    return write({
      name,
      title: String(given.title ?? ''),
      description: String(given.description ?? ''),
      stage: String(given.stage ?? 'ALPHA'),
      includedPermissions: readPermissions(given),
    });
  }

  function update(request: JsonObject): JsonObject {
    const role = get(request);
    const given = isObject(request.role) ? request.role : {};
    demandEtag(role, given.etag);
    if (role.deletedAt !== undefined) {
      throw new GoogleError('FAILED_PRECONDITION', `The role ${role.name} is deleted; undelete it first.`);
    }
    const mask = String(request.updateMask ?? '');
    const fields = mask === '' ? Object.keys(given) : mask.split(',');
    const has = (field: string): boolean => fields.includes(field);
    const wrong = fields.find((field) => !UPDATABLE.has(field));
    if (wrong !== undefined)
      throw invalid(`The field "${wrong}" of a role cannot be updated.`, 'update_mask');
    return write({
      ...role,
      ...(has('title') ? { title: String(given.title ?? '') } : {}),
      ...(has('description') ? { description: String(given.description ?? '') } : {}),
      ...(has('stage') ? { stage: String(given.stage ?? 'ALPHA') } : {}),
      ...(has('includedPermissions') ? { includedPermissions: readPermissions(given) } : {}),
    });
  }

  function list(request: JsonObject): JsonObject {
    const [, projectId] = canonical(String(request.parent ?? '')).split('/');
    const full = String(request.view ?? 'BASIC');
    const all =
      projectId === undefined
        ? roles.predefined.map((role) => describePredefined(role, full))
        : customOf(projectId)
            .filter((role) => role.deletedAt === undefined || request.showDeleted === true)
            .map((role) => describe(role, full));
    const { items, nextPageToken } = page(all, (role) => String(role.name), request, SIZES);
    return { roles: items, nextPageToken };
  }

  /** Those that hold something on a resource of that service; all for a project. */
  function queryGrantable(request: JsonObject): JsonObject {
    const service = serviceOf(String(request.fullResourceName));
    const useful = roles.predefined.filter(
      (role) =>
        service === undefined || [...role.permissions].some((permission) => permission.startsWith(service)),
    );
    const described = useful.map((role) => describePredefined(role, String(request.view ?? 'BASIC')));
    const { items, nextPageToken } = page(described, (role) => String(role.name), request, SIZES);
    return { roles: items, nextPageToken };
  }

  function queryTestable(request: JsonObject): JsonObject {
    const service = serviceOf(String(request.fullResourceName));
    const testable = roles.permissions.filter(
      (permission) => service === undefined || permission.startsWith(service),
    );
    const { items, nextPageToken } = page(testable, (name) => name, request, { usual: 100, most: 1_000 });
    return { permissions: items.map((name) => ({ name, stage: 'GA' })), nextPageToken };
  }

  const open = (request: JsonObject): Access => ({
    permission: undefined,
    resource: projectIn(String(request.fullResourceName)),
  });

  return {
    ListRoles: { access: on('list', 'parent'), handle: list },
    GetRole: {
      access: on('get', 'name'),
      handle(request) {
        const predefined = roles.predefined.find((role) => role.name === request.name);
        return predefined ? describePredefined(predefined, 'FULL') : describe(get(request), 'FULL');
      },
    },
    CreateRole: { access: on('create', 'parent'), handle: create },
    UpdateRole: { access: on('update', 'name'), handle: update },
    DeleteRole: {
      access: on('delete', 'name'),
      handle(request) {
        const role = get(request);
        demandEtag(role, request.etag);
        return write({ ...role, deletedAt: role.deletedAt ?? cloud.clock.now() });
      },
    },
    UndeleteRole: {
      access: on('undelete', 'name'),
      handle(request) {
        const { deletedAt, ...role } = get(request);
        demandEtag(role, request.etag);
        if (deletedAt === undefined || deletedAt + RESTORABLE_MS <= cloud.clock.now()) {
          throw new GoogleError('FAILED_PRECONDITION', `The role ${role.name} cannot be undeleted.`);
        }
        return write(role);
      },
    },
    QueryGrantableRoles: { access: open, handle: queryGrantable },
    QueryTestablePermissions: { access: open, handle: queryTestable },
  };
}

const UPDATABLE = new Set(['title', 'description', 'stage', 'includedPermissions', 'name', 'etag']);

function describe(role: CustomRole, view: string): JsonObject {
  return {
    name: role.name,
    title: role.title,
    description: role.description,
    stage: role.stage,
    etag: role.etag,
    deleted: role.deletedAt !== undefined,
    ...(view === 'FULL' ? { includedPermissions: [...role.includedPermissions] } : {}),
  };
}

function describePredefined(role: PredefinedRole, view: string): JsonObject {
  return {
    name: role.name,
    title: role.title,
    stage: 'GA',
    etag: 'AA==',
    ...(view === 'FULL' ? { includedPermissions: [...role.permissions].sort() } : {}),
  };
}

function notFoundRole(name: string): GoogleError {
  return new GoogleError('NOT_FOUND', `The role named ${name} was not found.`);
}

function demandEtag(role: CustomRole, etag: unknown): void {
  if (etag === undefined || etag === '' || etag === role.etag) return;
  throw new GoogleError(
    'ABORTED',
    'There were concurrent changes to the role. Please retry the whole read-modify-write with exponential backoff.',
  );
}

function collectionOf(permission: string): string {
  return permission.split('.').slice(0, 2).join('.');
}

/** `//pubsub.googleapis.com/…` → `pubsub.`; undefined for a project, on which everything can be granted. */
function serviceOf(fullResourceName: string): string | undefined {
  if (/^\/\/[^/]+\/projects\/[^/]+$/.test(fullResourceName)) return undefined;
  return `${/^\/\/([\w-]+)\./.exec(fullResourceName)?.[1] ?? ''}.`;
}

function projectIn(fullResourceName: string): string {
  return /projects\/[^/]+/.exec(fullResourceName)?.[0] ?? '';
}
