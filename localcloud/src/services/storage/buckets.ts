/** The buckets: their settings, and their JSON. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import type { JsonObject } from '../../json.ts';
import { locationTypeOf, readLocation } from './classes.ts';
import { type Conditions, demandConditions } from './conditions.ts';
import { bucketEtag } from './etags.ts';
import { merge } from './fields.ts';
import { demandBucketName } from './names.ts';
import { badRequest, conflict, noSuchBucket } from './refusals.ts';
import { completeSettings, demandSimulated, pickSettings } from './settings.ts';

export interface Bucket {
  readonly name: string;
  readonly projectId: string;
  /** In upper case. */
  readonly location: string;
  readonly generation: string;
  readonly metageneration: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly updated: number;
  /** What can be set, complete with defaults. */
  readonly settings: JsonObject;
}

export interface Buckets {
  create(projectId: string, generation: string, body: JsonObject): Bucket;
  find(name: string): Bucket | undefined;
  /** Throws 404. */
  get(name: string): Bucket;
  /** By name. */
  list(projectId: string): Bucket[];
  all(): Bucket[];
  /** Merges the body into the settings. */
  patch(bucket: Bucket, body: JsonObject, conditions: Conditions): Bucket;
  /** Puts the body in the place of the settings. */
  replace(bucket: Bucket, body: JsonObject, conditions: Conditions): Bucket;
  delete(bucket: Bucket): void;
  /** `storage#bucket`; links begin with the origin. */
  show(bucket: Bucket, origin: string): JsonObject;
}

export function openBuckets(cloud: LocalCloud): Buckets {
  const rows = cloud.store.table<Bucket>('storage.buckets');

  function find(name: string): Bucket | undefined {
    return rows.get(name);
  }

  function change(bucket: Bucket, settings: JsonObject): Bucket {
    const now = cloud.clock.now();
    const changed: Bucket = {
      ...bucket,
      metageneration: bucket.metageneration + 1,
      updated: now,
      settings: completeSettings(settings, bucket.settings, now),
    };
    rows.set(bucket.name, changed);
    return changed;
  }

  return {
    find,
    create(projectId, generation, body) {
      const name = String(body.name ?? '');
      demandBucketName(name);
      demandSimulated(body);
      const existing = find(name);
      if (existing) throw conflict(existing.projectId === projectId ? ALREADY_YOURS : NOT_AVAILABLE);
      const now = cloud.clock.now();
      const bucket: Bucket = {
        name,
        projectId,
        location: readLocation(body.location),
        generation,
        metageneration: 1,
        created: now,
        updated: now,
        settings: completeSettings(pickSettings(merge({}, body)), undefined, now),
      };
      rows.set(name, bucket);
      return bucket;
    },
    get(name) {
      const bucket = find(name);
      if (!bucket) throw noSuchBucket();
      return bucket;
    },
    list: (projectId) =>
      [...rows.values()]
        .filter((bucket) => bucket.projectId === projectId)
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    all: () => [...rows.values()],
    patch(bucket, body, conditions) {
      demandConditions(conditions, bucket);
      demandSame(bucket, body);
      return change(bucket, merge(bucket.settings, pickSettings(body)));
    },
    replace(bucket, body, conditions) {
      demandConditions(conditions, bucket);
      demandSame(bucket, body);
      return change(bucket, pickSettings(merge({}, body)));
    },
    delete: (bucket) => void rows.delete(bucket.name),
    show: (bucket, origin) => ({
      kind: 'storage#bucket',
      selfLink: `${origin}/storage/v1/b/${bucket.name}`,
      id: bucket.name,
      name: bucket.name,
      projectNumber: cloud.projects.get(bucket.projectId).number,
      generation: bucket.generation,
      metageneration: String(bucket.metageneration),
      location: bucket.location,
      locationType: locationTypeOf(bucket.location, bucket.settings),
      etag: bucketEtag(bucket.metageneration),
      timeCreated: timestamp(bucket.created),
      updated: timestamp(bucket.updated),
      ...bucket.settings,
    }),
  };
}

const ALREADY_YOURS = 'Your previous request to create the named bucket succeeded and you already own it.';
const NOT_AVAILABLE =
  'The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.';

/** What can never change must be left away, or said as it is. */
function demandSame(bucket: Bucket, body: JsonObject): void {
  demandSimulated(body);
  const name = body.name ?? bucket.name;
  const location = String(body.location ?? bucket.location).toUpperCase();
  if (name !== bucket.name) throw badRequest(`The name of a bucket cannot be changed: '${bucket.name}'.`);
  if (location !== bucket.location)
    throw badRequest(`The location of a bucket cannot be changed: ${bucket.location}.`);
}
