/** Resource Manager v3, and the policies of v1, which have the same shapes. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError, invalid } from '../../error.ts';
import type { Binding } from '../../iam.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import { policyMethods } from '../../policy-methods.ts';
import type { Project } from '../../projects.ts';
import type { Method } from '../../service.ts';
import { type ProjectActions, readNewProject, SIZES } from './actions.ts';
import { describe, etagOf, readDisplayName, readLabels } from './projects.ts';

const TYPES = 'type.googleapis.com/google.cloud.resourcemanager.v3';

export function projectMethods(cloud: LocalCloud, actions: ProjectActions): Readonly<Record<string, Method>> {
  const { on } = actions;
  const named = (request: JsonObject): Project => actions.get(String(request.name));
  const answer = (kind: string, type: string, project: Project, metadata: JsonObject = {}): JsonObject =>
    actions.operation(
      kind,
      { '@type': `${TYPES}.Project`, ...describe(project) },
      { '@type': `${TYPES}.${type}Metadata`, ...metadata },
    );

  function update(request: JsonObject): JsonObject {
    const given = isObject(request.project) ? request.project : {};
    const project = actions.get(String(given.name));
    if (given.etag !== undefined && given.etag !== '' && given.etag !== etagOf(project)) {
      throw new GoogleError('ABORTED', 'The project was changed meanwhile: the etag is not the current one.');
    }
    const mask = String(request.updateMask ?? '');
    const output = new Set(['name', 'etag', 'projectId']);
    const fields = mask === '' ? Object.keys(given).filter((field) => !output.has(field)) : mask.split(',');
    const change: { displayName?: string; labels?: Record<string, string> } = {};
    for (const field of fields) {
      if (field === 'displayName') change.displayName = readDisplayName(String(given.displayName ?? ''));
      else if (field === 'labels') change.labels = readLabels(given.labels);
      else throw invalid(`The field "${field}" of a project cannot be updated.`, 'update_mask');
    }
    return answer('up', 'UpdateProject', actions.change(project, change));
  }

  return {
    ...policyMethods(cloud, {
      permissions: 'resourcemanager.projects',
      nameOf: actions.nameOf,
      check: checkBindings,
      paths: ['/v1/{resource=projects/*}'],
    }),
    GetProject: { access: on('get'), handle: (request) => describe(named(request)) },
    ListProjects: {
      access: (request) => ({
        permission: 'resourcemanager.projects.list',
        resource: String(request.parent ?? ''),
      }),
      handle: () => ({}),
    },
    SearchProjects: {
      access: () => ({ permission: undefined, resource: '' }),
      handle(request, { identity }) {
        const found = actions.visible(identity, String(request.query ?? ''));
        const { items, nextPageToken } = page(found, (project) => project.projectId, request, SIZES);
        return { projects: items.map(describe), nextPageToken };
      },
    },
    CreateProject: {
      access(request) {
        const parent = isObject(request.project) ? String(request.project.parent ?? '') : '';
        const permission = parent === '' ? undefined : 'resourcemanager.projects.create';
        return { permission, resource: parent };
      },
      handle(request, { identity }) {
        const given = isObject(request.project) ? request.project : {};
        const project = actions.create(readNewProject(given, given.displayName), identity);
        const metadata = { createTime: project.createTime, gettable: true, ready: true };
        return answer('cp', 'CreateProject', project, metadata);
      },
    },
    UpdateProject: {
      access: (request) => on('update')(isObject(request.project) ? request.project : {}),
      handle: update,
    },
    DeleteProject: {
      access: on('delete'),
      handle: (request) => answer('dp', 'DeleteProject', actions.delete(named(request))),
    },
    UndeleteProject: {
      access: on('undelete'),
      handle: (request) => answer('un', 'UndeleteProject', actions.undelete(named(request))),
    },
  };
}

function checkBindings(bindings: readonly Binding[]): void {
  const everyone = /^all(Authenticated)?Users$/;
  if (bindings.some(({ members }) => members.some((name) => everyone.test(name)))) {
    throw invalid('The members allUsers and allAuthenticatedUsers are not supported on a project.');
  }
  const owned = bindings.some(
    ({ role, members }) => role === 'roles/owner' && members.some((name) => name.startsWith('user:')),
  );
  if (owned) return;
  throw new GoogleError('INVALID_ARGUMENT', 'Request contains an invalid argument.', [
    {
      '@type': 'type.googleapis.com/google.cloudresourcemanager.v1.ProjectIamPolicyError',
      type: 'SOLO_REQUIRE_TOS_ACCEPTOR',
      role: 'roles/owner',
    },
  ]);
}
