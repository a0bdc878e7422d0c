/** The methods that take objects in: at once, in two parts, or in chunks. */
import type { IncomingHttpHeaders } from 'node:http';
import type { LocalCloud } from '../../cloud.ts';
import type { JsonObject } from '../../json.ts';
import { readJson } from '../../rest.ts';
import type { Answer, Call, RouteRequest } from '../../service.ts';
import type { Buckets } from './buckets.ts';
import { readConditions } from './conditions.ts';
import { bodyOf, keepContent } from './content.ts';
import { type Endpoint, ok } from './endpoint.ts';
import { OBJECT, readFields, textAt } from './fields.ts';
import type { Guard } from './guard.ts';
import { readTwoParts } from './multipart.ts';
import type { Checksums, Draft, ObjectStore } from './objects.ts';
import { badRequest, missingParameter, notSimulated } from './refusals.ts';
import type { Sessions } from './resumable.ts';

export interface UploadParts {
  readonly cloud: LocalCloud;
  readonly buckets: Buckets;
  readonly objects: ObjectStore;
  readonly sessions: Sessions;
  readonly guard: Guard;
}

export function uploadMethods({ cloud, buckets, objects, sessions, guard }: UploadParts): Endpoint[] {
  /** Puts together what the object is to be, and refuses early what cannot be written. */
  function draft(
    { params, query, raw }: RouteRequest,
    call: Call,
    metadata: JsonObject,
    mediaType: string | undefined,
  ): Draft {
    const bucket = params.bucket ?? '';
    const name = query.get('name') ?? textAt(metadata, 'name');
    if (name === undefined) throw missingParameter('name');
    const contentType = metadata.contentType ?? mediaType;
    const contentEncoding = query.get('contentEncoding') ?? metadata.contentEncoding;
    const wanted: Draft = {
      bucket,
      name,
      metadata: {
        ...metadata,
        ...(contentType === undefined ? {} : { contentType }),
        ...(contentEncoding === undefined ? {} : { contentEncoding }),
      },
      conditions: readConditions(query),
      checksums: { ...readChecksums(raw.headers), ...checksumsIn(metadata) },
    };
    guard.write(call, bucket, name);
    objects.demandWritable(wanted);
    return wanted;
  }

  async function takeMedia(request: RouteRequest, call: Call): Promise<Answer> {
    const wanted = draft(request, call, {}, request.raw.headers['content-type']);
    return store(wanted, bodyOf(request.raw), call);
  }

  async function takeTwoParts(request: RouteRequest, call: Call): Promise<Answer> {
    const type = request.raw.headers['content-type'] ?? '';
    return readTwoParts(bodyOf(request.raw), type, ({ metadata, mediaType, media }) =>
      store(draft(request, call, readFields(OBJECT, parse(metadata)), mediaType), media, call),
    );
  }

  async function store(wanted: Draft, source: AsyncIterable<Buffer>, call: Call): Promise<Answer> {
    const content = await keepContent(cloud.store.blobs, source);
    return ok(objects.show(objects.write(wanted, content), call.origin));
  }

  async function begin(request: RouteRequest, call: Call): Promise<Answer> {
    const metadata = readFields(OBJECT, await readJson(request.raw));
    const announced = request.raw.headers['x-upload-content-type'];
    const mediaType = typeof announced === 'string' ? announced : undefined;
    const wanted = draft(request, call, metadata, mediaType);
    const id = sessions.begin(wanted);
    const query = new URLSearchParams({ uploadType: 'resumable', name: wanted.name, upload_id: id });
    const location = `${call.origin}/upload/storage/v1/b/${wanted.bucket}/o?${query}`;
    return { status: 200, headers: { location, 'x-guploader-uploadid': id } };
  }

  return [
    {
      name: 'objects.insert',
      method: 'POST',
      path: '/b/{bucket}/o',
      under: 'upload',
      answer(request, call) {
        buckets.get(request.params.bucket ?? '');
        demandPlain(request);
        switch (request.query.get('uploadType')) {
          case 'media':
            return takeMedia(request, call);
          case 'multipart':
            return takeTwoParts(request, call);
          case 'resumable':
            return begin(request, call);
          default:
            throw wrongUrl();
        }
      },
    },
    {
      name: 'objects.insert',
      method: 'POST',
      path: '/b/{bucket}/o',
      answer() {
        throw wrongUrl();
      },
    },
    {
      name: 'objects.insert.chunk',
      method: 'PUT',
      path: '/b/{bucket}/o',
      under: 'upload',
      async answer({ query, raw }, call) {
        const progress = await sessions.take(sessionOf(query), raw, readChecksums(raw.headers));
        if ('version' in progress) return ok(objects.show(progress.version, call.origin));
        const { received } = progress;
        return { status: 308, headers: received === 0 ? {} : { range: `bytes=0-${received - 1}` } };
      },
    },
    {
      name: 'objects.insert.cancel',
      method: 'DELETE',
      path: '/b/{bucket}/o',
      under: 'upload',
      answer({ query }) {
        sessions.cancel(sessionOf(query));
        return { status: 499 };
      },
    },
  ];
}

function sessionOf(query: URLSearchParams): string {
  const id = query.get('upload_id');
  if (!id) throw missingParameter('upload_id');
  return id;
}

function demandPlain({ query, raw }: RouteRequest): void {
  for (const name of ['predefinedAcl', 'kmsKeyName'])
    if (query.has(name)) throw notSimulated(`the parameter ${name}`);
  if (raw.headers['x-goog-encryption-algorithm'] !== undefined)
    throw notSimulated('customer-supplied encryption keys');
}

function wrongUrl(): Error {
  return badRequest(
    'Upload requests must include an uploadType URL parameter and a URL path beginning with /upload/',
    'wrongUrlForUpload',
  );
}

function parse(text: string): JsonObject | undefined {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest('Parse Error', 'parseError');
  }
}

function checksumsIn(metadata: JsonObject): Checksums {
  return checksums(textAt(metadata, 'crc32c'), textAt(metadata, 'md5Hash'));
}

/** `x-goog-hash: crc32c=AAAAAA==,md5=…`, which may come as several headers. */
function readChecksums(headers: IncomingHttpHeaders): Checksums {
  const hash = String(headers['x-goog-hash'] ?? '');
  const read = (name: string): string | undefined =>
    new RegExp(`(?:^|,)\\s*${name}=([^,\\s]+)`).exec(hash)?.[1];
  return checksums(read('crc32c'), read('md5'));
}

function checksums(crc32c: string | undefined, md5Hash: string | undefined): Checksums {
  return { ...(crc32c === undefined ? {} : { crc32c }), ...(md5Hash === undefined ? {} : { md5Hash }) };
}
