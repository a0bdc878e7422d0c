/** Objects: writing, reading, changing and deleting them, with generations and preconditions. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import type { Json, JsonObject } from '../../json.ts';
import type { Blob } from '../../store.ts';
import type { Buckets } from './buckets.ts';
import { readStorageClass } from './classes.ts';
import { type Conditions, demandConditions } from './conditions.ts';
import { objectEtag } from './etags.ts';
import { merge, objectAt, pick } from './fields.ts';
import { demandObjectName } from './names.ts';
import { badRequest, noSuchObject, notSimulated } from './refusals.ts';
import type { ObjectVersion, Versions } from './versions.ts';

/** An object that somebody wants to write. Plain JSON: a resumable upload keeps it. */
export interface Draft {
  readonly bucket: string;
  readonly name: string;
  /** As in the body of the request, checked. */
  readonly metadata: JsonObject;
  readonly conditions: Conditions;
  readonly checksums: Checksums;
}

/** Base64. Undefined: not known, not asked. */
export interface Checksums {
  readonly crc32c?: string;
  readonly md5Hash?: string;
}

/** Bytes that are in the store. */
export interface Content extends Checksums {
  readonly blob: Blob;
  readonly crc32c: string;
  readonly componentCount?: number;
}

export interface ObjectStore {
  /** The live version, or that generation. */
  find(bucket: string, name: string, generation?: string): ObjectVersion | undefined;
  /** Throws what `write` would, as far as it shows before the bytes are there. */
  demandWritable(draft: Draft): void;
  /** Makes the content the live version. When it is refused, the bytes are let go. */
  write(draft: Draft, content: Content): ObjectVersion;
  patch(version: ObjectVersion, body: JsonObject, conditions: Conditions): ObjectVersion;
  replace(version: ObjectVersion, body: JsonObject, conditions: Conditions): ObjectVersion;
  /** The live version becomes noncurrent where the bucket keeps versions; `forGood` it is removed. */
  delete(version: ObjectVersion, forGood: boolean): void;
  setClass(version: ObjectVersion, storageClass: string): void;
  /** `storage#object`; links begin with the origin. */
  show(version: ObjectVersion, origin: string): JsonObject;
}

/** Told as headers of a download. */
const HEADERS = ['contentType', 'contentEncoding', 'contentDisposition', 'contentLanguage', 'cacheControl'];
const WRITABLE = [...HEADERS, 'metadata', 'customTime', 'contexts'];
const MAX_METADATA = 8 * 1024;

export function openObjects(cloud: LocalCloud, buckets: Buckets, versions: Versions): ObjectStore {
  function keepsVersions(bucket: string): boolean {
    return objectAt(buckets.get(bucket).settings, 'versioning').enabled === true;
  }

  function retire(version: ObjectVersion): void {
    if (keepsVersions(version.bucket)) versions.put({ ...version, deleted: cloud.clock.now() });
    else versions.remove(version);
  }

  function demandWritable(draft: Draft): void {
    const bucket = buckets.get(draft.bucket);
    demandObjectName(draft.name);
    demandFields(draft.metadata);
    readStorageClass(draft.metadata.storageClass ?? bucket.settings.storageClass);
    demandConditions(draft.conditions, versions.live(draft.bucket, draft.name));
  }

  function add(draft: Draft, content: Content): ObjectVersion {
    const { bucket, name, metadata } = draft;
    const now = cloud.clock.now();
    const before = versions.live(bucket, name);
    const version: ObjectVersion = {
      bucket,
      name,
      generation: versions.nextGeneration(now),
      metageneration: 1,
      ...content,
      storageClass: readStorageClass(metadata.storageClass ?? buckets.get(bucket).settings.storageClass),
      created: now,
      updated: now,
      classUpdated: now,
      fields: pick(merge({}, metadata), WRITABLE),
    };
    if (before) retire(before);
    versions.put(version);
    return version;
  }

  function change(version: ObjectVersion, body: JsonObject, fields: JsonObject): ObjectVersion {
    demandFields(body);
    demandFields(fields);
    if (isClassChange(version, body.storageClass))
      throw badRequest('The storage class of an object changes only when it is rewritten.');
    demandLater(version.fields.customTime, fields.customTime);
    const changed: ObjectVersion = {
      ...version,
      metageneration: version.metageneration + 1,
      updated: cloud.clock.now(),
      fields,
    };
    versions.put(changed);
    return changed;
  }

  return {
    demandWritable,
    find: (bucket, name, generation) =>
      generation === undefined ? versions.live(bucket, name) : versions.find(bucket, name, generation),
    write(draft, content) {
      try {
        demandWritable(draft);
        demandChecksums(draft.checksums, content);
        return add(draft, content);
      } catch (error) {
        versions.discard(content.blob);
        throw error;
      }
    },
    patch(version, body, conditions) {
      demandConditions(conditions, version);
      return change(version, body, merge(version.fields, pick(body, WRITABLE)));
    },
    replace(version, body, conditions) {
      demandConditions(conditions, version);
      return change(version, body, pick(merge({}, body), WRITABLE));
    },
    delete(version, forGood) {
      if (forGood) versions.remove(version);
      else retire(version);
    },
    setClass(version, storageClass) {
      const now = cloud.clock.now();
      const metageneration = version.metageneration + 1;
      versions.put({ ...version, metageneration, storageClass, updated: now, classUpdated: now });
    },
    show,
  };
}

/** Whether a body says anything of what a writer may set, beside the storage class. */
export function saysMetadata(body: JsonObject): boolean {
  return Object.keys(pick(body, WRITABLE)).length > 0;
}

export function demandFound(
  version: ObjectVersion | undefined,
  bucket: string,
  name: string,
  generation?: string,
): ObjectVersion {
  if (!version) throw noSuchObject(`${bucket}/${name}${generation === undefined ? '' : `#${generation}`}`);
  return version;
}

function show(version: ObjectVersion, origin: string): JsonObject {
  const { bucket, name, generation, metageneration, crc32c, md5Hash, componentCount, deleted } = version;
  const path = `b/${bucket}/o/${encodeURIComponent(name)}`;
  return {
    kind: 'storage#object',
    id: `${bucket}/${name}/${generation}`,
    selfLink: `${origin}/storage/v1/${path}`,
    mediaLink: `${origin}/download/storage/v1/${path}?generation=${generation}&alt=media`,
    name,
    bucket,
    generation,
    metageneration: String(metageneration),
    ...version.fields,
    storageClass: version.storageClass,
    size: String(version.blob.size),
    ...(md5Hash === undefined ? {} : { md5Hash }),
    crc32c,
    ...(componentCount === undefined ? {} : { componentCount }),
    etag: objectEtag(generation, metageneration),
    timeCreated: timestamp(version.created),
    updated: timestamp(version.updated),
    timeStorageClassUpdated: timestamp(version.classUpdated),
    timeFinalized: timestamp(version.created),
    ...(deleted === undefined ? {} : { timeDeleted: timestamp(deleted) }),
  };
}

function demandFields(body: JsonObject): void {
  for (const name of ['acl', 'customerEncryption', 'kmsKeyName', 'retention']) {
    const value = body[name];
    const empty = value === undefined || value === null || value === '';
    if (!empty && !(Array.isArray(value) && value.length === 0))
      throw notSimulated(`the field ${name} of an object`);
  }
  for (const name of HEADERS) {
    if (/\p{Cc}/u.test(String(body[name] ?? '')))
      throw badRequest(`Invalid value for the field ${name}: it is sent as a header.`);
  }
  if (body.eventBasedHold === true || body.temporaryHold === true) throw notSimulated('holds on objects');
  const size = Object.entries(objectAt(body, 'metadata'))
    .map(([key, value]) => Buffer.byteLength(key) + Buffer.byteLength(String(value ?? '')))
    .reduce((sum, bytes) => sum + bytes, 0);
  if (size > MAX_METADATA) throw badRequest(`Custom metadata is limited to ${MAX_METADATA} bytes.`);
}

function isClassChange(version: ObjectVersion, wanted: Json | undefined): boolean {
  return wanted !== undefined && wanted !== null && readStorageClass(wanted) !== version.storageClass;
}

function demandLater(before: Json | undefined, after: Json | undefined): void {
  if (before === undefined) return;
  if (after === undefined || Date.parse(String(after)) < Date.parse(String(before)))
    throw badRequest('A customTime, once set, can only be moved to a later time.');
}

function demandChecksums(said: Checksums, content: Content): void {
  const { crc32c, md5Hash } = said;
  if (crc32c !== undefined && crc32c !== content.crc32c)
    throw badRequest(`Provided CRC32C "${crc32c}" doesn't match calculated CRC32C "${content.crc32c}".`);
  if (md5Hash !== undefined && md5Hash !== content.md5Hash)
    throw badRequest(
      `Provided MD5 hash "${md5Hash}" doesn't match calculated MD5 hash "${content.md5Hash}".`,
    );
}
