/**
 * A Cloud Storage bucket.
 *
 * REST reference: https://cloud.google.com/storage/docs/json_api/v1/buckets
 */
import type { storage_v1 } from 'googleapis/build/src/apis/storage/v1.js';
import { z } from 'zod';
import type { Cloud } from '../cloud/cloud.ts';
import { found } from '../cloud/error.ts';
import { limiter } from '../kit/limiter.ts';
import { type Change, compare } from '../model/change.ts';
import { defineKind } from './kind.ts';
import { labelsOf, ownerOfLabels, withoutSystemLabels } from './mark.ts';

const BucketSpec = z.strictObject({
  name: z.string(),
  location: z.string(),
  storageClass: z.string(),
  labels: z.record(z.string(), z.string()),
  versioning: z.boolean(),
  /** As Google has them: `{action: {type}, condition: {age}}`. */
  lifecycle: z.array(
    z.strictObject({
      action: z.record(z.string(), z.unknown()),
      condition: z.record(z.string(), z.unknown()),
    }),
  ),
  /** Whether a removal takes the objects along; without it a bucket that is not empty stays. */
  removeObjects: z.boolean(),
});
type BucketSpec = z.output<typeof BucketSpec>;

export const bucket = defineKind({
  kind: 'bucket',
  api: 'storage.googleapis.com',
  spec: BucketSpec,
  permissions: {
    observe: ['storage.buckets.get'],
    apply: ['storage.buckets.create', 'storage.buckets.update'],
    remove: ['storage.buckets.delete', 'storage.objects.list', 'storage.objects.delete'],
  },
  takes: { create: 2, update: 1, remove: 2 },
  holdsData: true,

  path: ({ name }) => `buckets/${name}`,

  async observe(path, cloud) {
    const storage = await cloud.storage();
    return (await found(storage.buckets.get({ bucket: nameOf(path) })))?.data;
  },

  owner: (live) => ownerOfLabels(live.labels),

  compare(spec, live, owner) {
    if (live.location?.toUpperCase() !== spec.location.toUpperCase()) {
      return {
        action: 'replace',
        because: `it moves from ${live.location} to ${spec.location}`,
      } satisfies Change;
    }
    return compare({
      labels: [labelsOf(spec.labels, owner), withoutSystemLabels(live.labels)],
      storageClass: [spec.storageClass, live.storageClass],
      versioning: [spec.versioning, live.versioning?.enabled],
      lifecycle: [spec.lifecycle, live.lifecycle?.rule],
    });
  },

  async create(_path, spec, { cloud, owner }) {
    const storage = await cloud.storage();
    const labels = labelsOf(spec.labels, owner);
    const iamConfiguration = { uniformBucketLevelAccess: { enabled: true } };
    const requestBody = {
      name: spec.name,
      location: spec.location,
      labels,
      iamConfiguration,
      ...settings(spec),
    };
    await storage.buckets.insert({ project: cloud.project, requestBody });
    return undefined;
  },

  async update(path, spec, { cloud, owner, live }) {
    const storage = await cloud.storage();
    // A patch merges: what shall go has to be named.
    const gone = Object.fromEntries(
      Object.keys(withoutSystemLabels(live.labels)).map((name) => [name, null]),
    );
    const labels = { ...gone, ...labelsOf(spec.labels, owner) } as Record<string, string>;
    await storage.buckets.patch({
      bucket: nameOf(path),
      ...(live.metageneration ? { ifMetagenerationMatch: live.metageneration } : {}),
      requestBody: { labels, ...settings(spec) },
    });
    return undefined;
  },

  async remove(path, { cloud, spec }) {
    const storage = await cloud.storage();
    if (spec.removeObjects) await removeObjects(nameOf(path), cloud);
    await storage.buckets.delete({ bucket: nameOf(path) });
    return undefined;
  },

  outputs: ({ name, location }, path) => ({ name: name ?? nameOf(path), location: location ?? '', path }),
});

function nameOf(path: string): string {
  return path.replace(/^buckets\//, '');
}

function settings({ storageClass, versioning, lifecycle }: BucketSpec): storage_v1.Schema$Bucket {
  return { storageClass, versioning: { enabled: versioning }, lifecycle: { rule: lifecycle } };
}

/** Every generation of every object. */
async function removeObjects(name: string, cloud: Cloud): Promise<void> {
  const storage = await cloud.storage();
  const limit = limiter(16);
  for (;;) {
    const { data } = await storage.objects.list({ bucket: name, versions: true, maxResults: 500 });
    const items = data.items ?? [];
    if (items.length === 0) return;
    await Promise.all(
      items.map((item) =>
        limit.run(() =>
          found(
            storage.objects.delete({
              bucket: name,
              object: item.name ?? '',
              ...(item.generation ? { generation: item.generation } : {}),
            }),
          ),
        ),
      ),
    );
  }
}
