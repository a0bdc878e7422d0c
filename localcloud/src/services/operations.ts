/** Long-running operations, as every API answers them. */
import type { LocalCloud } from '../cloud.ts';
import type { JsonObject } from '../json.ts';
import type { Operation } from '../operations.ts';
import type { Access, HttpRule, Service } from '../service.ts';

/** The longest `:wait`, in milliseconds; longer ones are for the caller to repeat. */
const LONGEST_WAIT_MS = 10_000;

const NAME = '{name=projects/*/locations/*/operations/*}';
/** Firestore's are below the database that they are about. */
const FIRESTORE_NAME = '{name=projects/*/databases/*/operations/*}';

export function operations(cloud: LocalCloud): { service: Service } {
  const nameOf = (request: JsonObject): string => String(request.name ?? '');

  /** What IAM asks depends on the API whose operation it is. */
  function access(name: string, verb: 'get' | 'cancel' | 'delete'): Access {
    const project = projectOf(name);
    const resource = `projects/${cloud.projects.find(project)?.projectId ?? project}`;
    const type = String(cloud.operations.find(name)?.metadata?.['@type'] ?? '');
    const api = APIS.find(([pattern]) => pattern.test(type))?.[1];
    return { permission: api?.[verb], resource };
  }

  return {
    service: {
      name: 'operations',
      host: 'longrunning.googleapis.com',
      title: 'Long-running operations',
      needsEnabling: false,
      protos: ['google/longrunning/operations.proto'],
      methods: {
        'google.longrunning.Operations': {
          GetOperation: {
            access: (request) => access(nameOf(request), 'get'),
            handle: (request) => cloud.operations.get(nameOf(request)),
            http: [
              ...rules((version) => ({ get: `/${version}/${NAME}` })),
              { get: `/v1/${FIRESTORE_NAME}` },
              { get: '/v3/{name=operations/**}' },
            ],
          },
          ListOperations: {
            access: (request) => ({
              permission: undefined,
              resource: `projects/${projectOf(nameOf(request))}`,
            }),
            handle: (request, { identity }) => ({
              operations: cloud.operations
                .list(nameOf(request).replace(/\/?operations$/, ''))
                .filter(({ name }) => {
                  const { permission, resource } = access(name, 'get');
                  return (
                    permission === undefined || cloud.iam.test(identity, [permission], resource).length > 0
                  );
                }),
            }),
            http: [
              ...rules((version) => ({ get: `/${version}/{name=projects/*/locations/*}/operations` })),
              { get: '/v1/{name=projects/*/databases/*}/operations' },
            ],
          },
          CancelOperation: {
            access: (request) => access(nameOf(request), 'cancel'),
            handle: (request) => {
              cloud.operations.cancel(nameOf(request));
              return {};
            },
            http: [
              ...rules((version) => ({ post: `/${version}/${NAME}:cancel`, body: '*' })),
              { post: `/v1/${FIRESTORE_NAME}:cancel`, body: '*' },
            ],
          },
          DeleteOperation: {
            access: (request) => access(nameOf(request), 'delete'),
            handle: (request) => {
              cloud.operations.delete(nameOf(request));
              return {};
            },
            http: [
              ...rules((version) => ({ delete: `/${version}/${NAME}` })),
              { delete: `/v1/${FIRESTORE_NAME}` },
            ],
          },
          WaitOperation: {
            access: (request) => access(nameOf(request), 'get'),
            handle: (request, call): Promise<Operation> =>
              cloud.operations.wait(nameOf(request), waitMs(request.timeout), call.signal),
            http: rules((version) => ({ post: `/${version}/${NAME}:wait`, body: '*' })),
          },
        },
      },
    },
  };
}

/** By the type of the metadata: the permissions of those APIs that have some for operations. */
const APIS: readonly (readonly [RegExp, Readonly<Partial<Record<string, string>>>])[] = [
  [/google\.cloud\.run\./, { get: 'run.operations.get', delete: 'run.operations.delete' }],
  [
    /google\.devtools\.cloudbuild\./,
    {
      get: 'cloudbuild.operations.get',
      cancel: 'cloudbuild.builds.update',
    },
  ],
  [/google\.api\.serviceusage\./, { get: 'serviceusage.operations.get' }],
  [
    /google\.firestore\.admin\./,
    {
      get: 'datastore.operations.get',
      cancel: 'datastore.operations.cancel',
      delete: 'datastore.operations.delete',
    },
  ],
];

function rules(rule: (version: string) => HttpRule): HttpRule[] {
  return ['v1', 'v2'].map(rule);
}

/** `projects/p/…`, `operations/build/p/…` and Service Usage's `operations/acat.p2-<number>-…` name their project; others do not. */
function projectOf(name: string): string {
  const [, id, number] =
    /^(?:(?:projects|operations\/build)\/([^/]+)|operations\/acat\.p2-(\d+)-)/.exec(name) ?? [];
  return id ?? number ?? '-';
}

function waitMs(timeout: unknown): number {
  const seconds = Number.parseFloat(String(timeout ?? ''));
  return Number.isNaN(seconds) ? LONGEST_WAIT_MS : Math.min(seconds * 1_000, LONGEST_WAIT_MS);
}
