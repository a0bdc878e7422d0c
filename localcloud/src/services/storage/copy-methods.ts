/** The methods that make objects of objects: copy, rewrite, move and compose. */
import type { LocalCloud } from '../../cloud.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { readJson } from '../../rest.ts';
import type { Call, RouteRequest } from '../../service.ts';
import { demandConditions, readConditions } from './conditions.ts';
import { keepContent } from './content.ts';
import { type Endpoint, ok } from './endpoint.ts';
import { COMPOSITION, OBJECT, objectAt, readFields, textAt } from './fields.ts';
import type { Guard } from './guard.ts';
import { type ObjectStore, saysMetadata } from './objects.ts';
import { readNumber } from './query.ts';
import { badRequest, notSimulated } from './refusals.ts';
import type { ObjectVersion } from './versions.ts';

export interface CopyParts {
  readonly cloud: LocalCloud;
  readonly objects: ObjectStore;
  readonly guard: Guard;
}

const MAX_SOURCES = 32;

export function copyMethods({ cloud, objects, guard }: CopyParts): Endpoint[] {
  function source({ params, query }: RouteRequest, call: Call, permission: string): ObjectVersion {
    const version = guard.version(
      call,
      {
        bucket: params.sourceBucket ?? params.bucket ?? '',
        name: params.sourceObject ?? '',
        generation: readNumber(query, 'sourceGeneration'),
      },
      permission,
    );
    demandConditions(readConditions(query, 'ifSource'), version);
    return version;
  }

  async function copy(request: RouteRequest, call: Call): Promise<ObjectVersion> {
    demandPlain(request.query);
    const { bucket = '', object: name = '' } = request.params;
    const from = source(request, call, 'storage.objects.get');
    guard.write(call, bucket, name);
    const said = readFields(OBJECT, await readJson(request.raw));
    return put(from, bucket, name, said, request.query);
  }

  function put(
    from: ObjectVersion,
    bucket: string,
    name: string,
    said: JsonObject,
    query: URLSearchParams,
  ): ObjectVersion {
    const metadata = saysMetadata(said) ? said : { ...said, ...from.fields };
    return objects.write(
      { bucket, name, metadata, conditions: readConditions(query), checksums: {} },
      contentOf(from),
    );
  }

  async function* join(versions: readonly ObjectVersion[]): AsyncGenerator<Uint8Array> {
    for (const { blob } of versions) yield* cloud.store.blobs.read(blob.digest);
  }

  return [
    {
      name: 'objects.copy',
      method: 'POST',
      path: '/b/{sourceBucket}/o/{sourceObject}/copyTo/b/{bucket}/o/{object}',
      answer: async (request, call) => ok(objects.show(await copy(request, call), call.origin)),
    },
    {
      name: 'objects.rewrite',
      method: 'POST',
      path: '/b/{sourceBucket}/o/{sourceObject}/rewriteTo/b/{bucket}/o/{object}',
      async answer(request, call) {
        const version = await copy(request, call);
        const size = String(version.blob.size);
        return ok({
          kind: 'storage#rewriteResponse',
          totalBytesRewritten: size,
          objectSize: size,
          done: true,
          resource: objects.show(version, call.origin),
        });
      },
    },
    {
      name: 'objects.move',
      method: 'POST',
      path: '/b/{bucket}/o/{sourceObject}/moveTo/o/{object}',
      answer(request, call) {
        const { bucket = '', object: name = '' } = request.params;
        const from = source(request, call, 'storage.objects.move');
        guard.write(call, bucket, name);
        if (from.name === name) throw badRequest('The source and the destination of a move are the same.');
        const version = put(from, bucket, name, { storageClass: from.storageClass }, request.query);
        objects.delete(from, false);
        return ok(objects.show(version, call.origin));
      },
    },
    {
      name: 'objects.compose',
      method: 'POST',
      path: '/b/{bucket}/o/{object}/compose',
      async answer({ params, query, raw }, call) {
        demandPlain(query);
        const { bucket = '', object: name = '' } = params;
        guard.write(call, bucket, name);
        const body = readFields(COMPOSITION, await readJson(raw));
        const sources = sourcesOf(body).map((wanted) => {
          const from = guard.version(call, { bucket, ...wanted }, 'storage.objects.get');
          demandConditions(wanted.conditions, from);
          if (body.deleteSourceObjects === true)
            guard.object(call, bucket, from.name, 'storage.objects.delete');
          return from;
        });
        const metadata = objectAt(body, 'destination');
        const draft = { bucket, name, metadata, conditions: readConditions(query), checksums: {} };
        objects.demandWritable(draft);
        const { blob, crc32c } = await keepContent(cloud.store.blobs, join(sources));
        const componentCount = sources.reduce((sum, from) => sum + (from.componentCount ?? 1), 0);
        const version = objects.write(draft, { blob, crc32c, componentCount });
        if (body.deleteSourceObjects === true)
          for (const from of sources) if (from.name !== name) objects.delete(from, false);
        return ok(objects.show(version, call.origin));
      },
    },
  ];
}

function contentOf({
  blob,
  crc32c,
  md5Hash,
  componentCount,
}: ObjectVersion): Parameters<ObjectStore['write']>[1] {
  return {
    blob,
    crc32c,
    ...(md5Hash === undefined ? {} : { md5Hash }),
    ...(componentCount === undefined ? {} : { componentCount }),
  };
}

interface Source {
  readonly name: string;
  readonly generation: string | undefined;
  readonly conditions: { readonly generationMatch?: string };
}

function sourcesOf(body: JsonObject): Source[] {
  const sources = Array.isArray(body.sourceObjects) ? body.sourceObjects.filter(isObject) : [];
  if (sources.length === 0) throw badRequest('You must provide at least one source component.');
  if (sources.length > MAX_SOURCES) {
    throw badRequest(
      `The number of source components provided (${sources.length}) exceeds the maximum (${MAX_SOURCES})`,
    );
  }
  return sources.map((source) => {
    const generationMatch = textAt(objectAt(source, 'objectPreconditions'), 'ifGenerationMatch');
    return {
      name: textAt(source, 'name') ?? '',
      generation: textAt(source, 'generation'),
      conditions: generationMatch === undefined ? {} : { generationMatch },
    };
  });
}

function demandPlain(query: URLSearchParams): void {
  for (const name of ['destinationPredefinedAcl', 'destinationKmsKeyName', 'kmsKeyName'])
    if (query.has(name)) throw notSimulated(`the parameter ${name}`);
}
