/** Resource Manager v1, which no published proto describes: the calls of `gcloud projects`. */
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { Project } from '../../projects.ts';
import { readJson } from '../../rest.ts';
import type { Access, Answer, Route, RouteRequest } from '../../service.ts';
import { type ProjectActions, readNewProject, SIZES } from './actions.ts';
import { describeV1, readDisplayName, readLabels } from './projects.ts';

const TYPES = 'type.googleapis.com/google.cloudresourcemanager.v1';

/** The calls on policies have the shapes of v3, and are paths of its methods. */
export function v1Routes(actions: ProjectActions): readonly Route[] {
  const named = ({ params }: RouteRequest): Project => actions.get(`projects/${params.project}`);
  const on =
    (verb: string) =>
    ({ params }: RouteRequest): Access =>
      actions.on(verb)({ name: `projects/${params.project}` });

  const answer = (body: JsonObject): Answer => ({ status: 200, body });

  return [
    {
      name: 'projects.list',
      method: 'GET',
      path: '/v1/projects',
      handle({ query }, _response, { identity }) {
        const found = actions.visible(identity, query.get('filter') ?? '');
        const request: JsonObject = {
          pageSize: Number(query.get('pageSize') ?? 0),
          pageToken: query.get('pageToken') ?? '',
        };
        const { items, nextPageToken } = page(found, (project) => project.projectId, request, SIZES);
        const more = nextPageToken === '' ? {} : { nextPageToken };
        return answer({ projects: items.map(describeV1), ...more });
      },
    },
    {
      name: 'projects.get',
      method: 'GET',
      path: '/v1/projects/{project}',
      access: on('get'),
      handle: (request) => answer(describeV1(named(request))),
    },
    {
      name: 'projects.create',
      method: 'POST',
      path: '/v1/projects',
      async handle({ raw }, _response, { identity }) {
        const json = await readProject(raw);
        if (json.parent !== undefined) {
          throw new GoogleError('PERMISSION_DENIED', 'There are no organizations and folders here.');
        }
        const project = actions.create(readNewProject(json, json.name), identity);
        const metadata = {
          '@type': `${TYPES}.ProjectCreationStatus`,
          createTime: project.createTime,
          gettable: true,
          ready: true,
        };
        const result = { '@type': `${TYPES}.Project`, ...describeV1(project) };
        return answer(actions.operation('cp', result, metadata));
      },
    },
    {
      name: 'projects.update',
      method: 'PUT',
      path: '/v1/projects/{project}',
      access: on('update'),
      async handle(request) {
        const json = await readProject(request.raw);
        const change = {
          displayName: readDisplayName(String(json.name ?? '')),
          labels: readLabels(json.labels),
        };
        return answer(describeV1(actions.change(named(request), change)));
      },
    },
    {
      name: 'projects.delete',
      method: 'DELETE',
      path: '/v1/projects/{project}',
      access: on('delete'),
      handle(request) {
        actions.delete(named(request));
        return answer({});
      },
    },
    {
      name: 'projects.undelete',
      method: 'POST',
      path: '/v1/projects/{project}:undelete',
      access: on('undelete'),
      handle(request) {
        actions.undelete(named(request));
        return answer({});
      },
    },
  ];

  async function readProject(raw: RouteRequest['raw']): Promise<JsonObject> {
    const json = await readJson(raw);
    if (!isObject(json)) throw invalid('Invalid JSON payload received. A project is an object.');
    const unknown = Object.keys(json).find((name) => !FIELDS.has(name));
    if (unknown === undefined) return json;
    throw invalid(`Invalid JSON payload received. Unknown name "${unknown}": Cannot find field.`);
  }
}

const FIELDS = new Set([
  'projectNumber',
  'projectId',
  'lifecycleState',
  'name',
  'createTime',
  'labels',
  'parent',
  'tags',
  'configuredCapabilities',
]);
