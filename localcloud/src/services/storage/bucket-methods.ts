/** The methods on buckets. */
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import type { Binding } from '../../iam.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { readJson } from '../../rest.ts';
import type { Answer, RouteRequest } from '../../service.ts';
import type { Bucket, Buckets } from './buckets.ts';
import { locationTypeOf } from './classes.ts';
import { readConditions, readerHas } from './conditions.ts';
import { type Endpoint, ok } from './endpoint.ts';
import { BUCKET, POLICY, pick, readFields } from './fields.ts';
import type { Guard } from './guard.ts';
import { readFlag, readMaxResults } from './query.ts';
import { badRequest, conflict, notSimulated, preconditionFailed } from './refusals.ts';
import type { Versions } from './versions.ts';

export interface BucketParts {
  readonly cloud: LocalCloud;
  readonly buckets: Buckets;
  readonly versions: Versions;
  readonly guard: Guard;
  /** Called when a bucket is gone. */
  readonly deleted: () => void;
}

export function bucketMethods({ cloud, buckets, versions, guard, deleted }: BucketParts): Endpoint[] {
  async function readBucket({ raw, query }: RouteRequest): Promise<JsonObject> {
    for (const name of ['predefinedAcl', 'predefinedDefaultObjectAcl'])
      if (query.has(name)) throw notSimulated(`the parameter ${name}`);
    if (readFlag(query, 'enableObjectRetention')) throw notSimulated('object retention');
    return readFields(BUCKET, await readJson(raw));
  }

  function setPolicy(bucket: Bucket, body: JsonObject): Answer {
    const bindings = readBindings(body.bindings);
    const isPublic = bindings.some(({ members }) => members.some((member) => PUBLIC.has(member)));
    const access = bucket.settings.iamConfiguration;
    if (isPublic && isObject(access) && access.publicAccessPrevention === 'enforced') {
      throw preconditionFailed(
        'The member bindings allUsers and allAuthenticatedUsers are not allowed since public access prevention is enforced.',
      );
    }
    try {
      cloud.iam.setPolicy(`buckets/${bucket.name}`, {
        bindings,
        ...(typeof body.etag === 'string' ? { etag: body.etag } : {}),
        ...(typeof body.version === 'number' ? { version: body.version } : {}),
      });
    } catch (error) {
      throw error instanceof GoogleError && error.code === 'ABORTED' ? preconditionFailed() : error;
    }
    return showPolicy(bucket, Number(body.version ?? 1));
  }

  function showPolicy({ name }: Bucket, requestedVersion: number): Answer {
    const { version, etag, bindings } = cloud.iam.policy(`buckets/${name}`, requestedVersion);
    const resourceId = `projects/_/buckets/${name}`;
    return ok({
      kind: 'storage#policy',
      resourceId,
      version,
      etag,
      bindings: bindings.map(({ role, members, condition }) => ({
        role,
        members: [...members],
        ...(condition ? { condition } : {}),
      })),
    });
  }

  return [
    {
      name: 'buckets.insert',
      method: 'POST',
      path: '/b',
      async answer(request, call) {
        const projectId = guard.project(call, request.query.get('project'), 'storage.buckets.create');
        const body = await readBucket(request);
        const bucket = buckets.create(projectId, versions.nextGeneration(cloud.clock.now()), body);
        cloud.iam.setPolicy(`buckets/${bucket.name}`, { bindings: firstPolicy(projectId) }, 0);
        return ok(buckets.show(bucket, call.origin));
      },
    },
    {
      name: 'buckets.list',
      method: 'GET',
      path: '/b',
      answer({ query }, call) {
        const projectId = guard.project(call, query.get('project'), 'storage.buckets.list');
        const after = query.get('pageToken') ?? '';
        const prefix = query.get('prefix') ?? '';
        const max = readMaxResults(query);
        const found = buckets
          .list(projectId)
          .filter(({ name }) => name > after && name.startsWith(prefix) && !readFlag(query, 'softDeleted'));
        const items = found.slice(0, max);
        const last = items.at(-1);
        return ok({
          kind: 'storage#buckets',
          ...(items.length > 0 ? { items: items.map((bucket) => buckets.show(bucket, call.origin)) } : {}),
          ...(last && found.length > max ? { nextPageToken: last.name } : {}),
        });
      },
    },
    {
      name: 'buckets.get',
      method: 'GET',
      path: '/b/{bucket}',
      answer({ params, query }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.buckets.get');
        if (readerHas(metagenerationOnly(query), bucket)) return { status: 304 };
        return ok(buckets.show(bucket, call.origin));
      },
    },
    {
      name: 'buckets.patch',
      method: 'PATCH',
      path: '/b/{bucket}',
      async answer(request, call) {
        const bucket = guard.bucket(call, request.params.bucket ?? '', 'storage.buckets.update');
        const body = await readBucket(request);
        const changed = buckets.patch(buckets.get(bucket.name), body, metagenerationOnly(request.query));
        return ok(buckets.show(changed, call.origin));
      },
    },
    {
      name: 'buckets.update',
      method: 'PUT',
      path: '/b/{bucket}',
      async answer(request, call) {
        const bucket = guard.bucket(call, request.params.bucket ?? '', 'storage.buckets.update');
        const body = await readBucket(request);
        const changed = buckets.replace(buckets.get(bucket.name), body, metagenerationOnly(request.query));
        return ok(buckets.show(changed, call.origin));
      },
    },
    {
      name: 'buckets.delete',
      method: 'DELETE',
      path: '/b/{bucket}',
      answer({ params, query }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.buckets.delete');
        if (readerHas(metagenerationOnly(query), bucket)) throw preconditionFailed();
        if (versions.names(bucket.name).length > 0)
          throw conflict('The bucket you tried to delete is not empty.');
        buckets.delete(bucket);
        cloud.iam.dropPolicy(`buckets/${bucket.name}`);
        deleted();
        return ok(undefined);
      },
    },
    {
      name: 'buckets.getIamPolicy',
      method: 'GET',
      path: '/b/{bucket}/iam',
      answer({ params, query }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.buckets.getIamPolicy');
        return showPolicy(bucket, Number(query.get('optionsRequestedPolicyVersion') ?? 1));
      },
    },
    {
      name: 'buckets.setIamPolicy',
      method: 'PUT',
      path: '/b/{bucket}/iam',
      async answer({ params, raw }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.buckets.setIamPolicy');
        return setPolicy(bucket, readFields(POLICY, await readJson(raw)));
      },
    },
    {
      name: 'buckets.testIamPermissions',
      method: 'GET',
      path: '/b/{bucket}/iam/testPermissions',
      answer({ params, query }, call) {
        const { name } = buckets.get(params.bucket ?? '');
        const asked = query.getAll('permissions');
        const unknown = asked.find((permission) => !permission.startsWith('storage.'));
        if (asked.length === 0) throw badRequest('Required parameter: permissions', 'required');
        if (unknown !== undefined) throw badRequest(`Invalid permission: ${unknown}`);
        const permissions = cloud.iam.test(call.identity, asked, `buckets/${name}`);
        return ok({
          kind: 'storage#testIamPermissionsResponse',
          ...(permissions.length > 0 ? { permissions } : {}),
        });
      },
    },
    {
      name: 'buckets.getStorageLayout',
      method: 'GET',
      path: '/b/{bucket}/storageLayout',
      answer({ params }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.objects.list');
        return ok({
          kind: 'storage#storageLayout',
          bucket: bucket.name,
          location: bucket.location,
          locationType: locationTypeOf(bucket.location, bucket.settings),
          ...pick(bucket.settings, ['customPlacementConfig']),
        });
      },
    },
    {
      name: 'managedFolders.list',
      method: 'GET',
      path: '/b/{bucket}/managedFolders',
      answer({ params }, call) {
        guard.bucket(call, params.bucket ?? '', 'storage.managedFolders.list');
        return ok({ kind: 'storage#managedFolders' });
      },
    },
    {
      name: 'notifications.list',
      method: 'GET',
      path: '/b/{bucket}/notificationConfigs',
      answer({ params }, call) {
        guard.bucket(call, params.bucket ?? '', 'storage.buckets.get');
        return ok({ kind: 'storage#notifications' });
      },
    },
    {
      name: 'projects.serviceAccount.get',
      method: 'GET',
      path: '/projects/{project}/serviceAccount',
      answer({ params }, call) {
        const projectId = guard.project(call, params.project, 'resourcemanager.projects.get');
        const { number } = cloud.projects.get(projectId);
        return ok({
          kind: 'storage#serviceAccount',
          email_address: `service-${number}@gs-project-accounts.iam.gserviceaccount.com`,
        });
      },
    },
  ];
}

const PUBLIC = new Set(['allUsers', 'allAuthenticatedUsers']);

/** What Google grants on a new bucket; the object roles stand for the default object ACL. */
function firstPolicy(projectId: string): Binding[] {
  const editors = [`projectEditor:${projectId}`, `projectOwner:${projectId}`];
  const viewers = [`projectViewer:${projectId}`];
  return [
    { role: 'roles/storage.legacyBucketOwner', members: editors },
    { role: 'roles/storage.legacyBucketReader', members: viewers },
    { role: 'roles/storage.legacyObjectOwner', members: editors },
    { role: 'roles/storage.legacyObjectReader', members: viewers },
  ];
}

function readBindings(json: Json | undefined): Binding[] {
  return listOf(json)
    .filter(isObject)
    .map(({ role, members, condition }) => ({
      role: String(role ?? ''),
      members: listOf(members).map(String),
      ...(isObject(condition) ? { condition } : {}),
    }));
}

function listOf(json: Json | undefined): Json[] {
  return Array.isArray(json) ? json : [];
}

/** Buckets know no preconditions on generations. */
function metagenerationOnly(query: URLSearchParams): ReturnType<typeof readConditions> {
  const { generationMatch: _, generationNotMatch: __, ...rest } = readConditions(query);
  return rest;
}
