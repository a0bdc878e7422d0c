/** The methods that read, list, change and delete objects. */
import type { LocalCloud } from '../../cloud.ts';
import type { JsonObject } from '../../json.ts';
import { readJson } from '../../rest.ts';
import type { Call, RouteRequest } from '../../service.ts';
import { demandConditions, readConditions, readerHas } from './conditions.ts';
import { download, etagUnchanged } from './download.ts';
import { type Endpoint, ok } from './endpoint.ts';
import { OBJECT, readFields } from './fields.ts';
import type { Guard } from './guard.ts';
import { listObjects } from './listing.ts';
import { demandFound, type ObjectStore } from './objects.ts';
import { readNumber } from './query.ts';
import { notSimulated } from './refusals.ts';
import type { ObjectVersion, Versions } from './versions.ts';

export interface ObjectParts {
  readonly cloud: LocalCloud;
  readonly objects: ObjectStore;
  readonly versions: Versions;
  readonly guard: Guard;
}

export function objectMethods({ cloud, objects, versions, guard }: ObjectParts): Endpoint[] {
  function find({ params, query }: RouteRequest, call: Call, permission: string): ObjectVersion {
    return guard.version(
      call,
      {
        bucket: params.bucket ?? '',
        name: params.object ?? '',
        generation: readNumber(query, 'generation'),
      },
      permission,
    );
  }

  /** `patch` and `update` differ in what they make of the fields that are left out. */
  async function change(request: RouteRequest, call: Call, how: 'patch' | 'replace'): Promise<JsonObject> {
    const { bucket, name } = find(request, call, 'storage.objects.update');
    if (request.query.has('predefinedAcl')) throw notSimulated('the parameter predefinedAcl');
    const body = readFields(OBJECT, await readJson(request.raw));
    const generation = readNumber(request.query, 'generation');
    const version = demandFound(objects.find(bucket, name, generation), bucket, name, generation);
    return objects.show(objects[how](version, body, readConditions(request.query)), call.origin);
  }

  return [
    {
      name: 'objects.list',
      method: 'GET',
      path: '/b/{bucket}/o',
      answer({ params, query }, call) {
        const bucket = guard.bucket(call, params.bucket ?? '', 'storage.objects.list');
        const { items, prefixes, nextPageToken } = listObjects(versions, bucket.name, query);
        return ok({
          kind: 'storage#objects',
          ...(nextPageToken === undefined ? {} : { nextPageToken }),
          ...(prefixes.length > 0 ? { prefixes: [...prefixes] } : {}),
          ...(items.length > 0 ? { items: items.map((item) => objects.show(item, call.origin)) } : {}),
        });
      },
    },
    {
      name: 'objects.get',
      method: 'GET',
      path: '/b/{bucket}/o/{object}',
      under: 'media',
      answer(request, call) {
        const { query, raw } = request;
        const version = find(request, call, 'storage.objects.get');
        if (readerHas(readConditions(query), version) || etagUnchanged(version, raw.headers))
          return { status: 304 };
        if (query.get('alt') === 'media') return download(cloud.store.blobs, version, raw.headers);
        return ok(objects.show(version, call.origin));
      },
    },
    {
      name: 'objects.patch',
      method: 'PATCH',
      path: '/b/{bucket}/o/{object}',
      answer: async (request, call) => ok(await change(request, call, 'patch')),
    },
    {
      name: 'objects.update',
      method: 'PUT',
      path: '/b/{bucket}/o/{object}',
      answer: async (request, call) => ok(await change(request, call, 'replace')),
    },
    {
      name: 'objects.delete',
      method: 'DELETE',
      path: '/b/{bucket}/o/{object}',
      answer(request, call) {
        const version = find(request, call, 'storage.objects.delete');
        demandConditions(readConditions(request.query), version);
        objects.delete(version, readNumber(request.query, 'generation') !== undefined);
        return ok(undefined);
      },
    },
  ];
}
