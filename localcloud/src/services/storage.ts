/** Cloud Storage: buckets and objects, by the JSON API. The behaviour in words: `storage.md`. */
import { Readable } from 'node:stream';
import type { LocalCloud } from '../cloud.ts';
import type { Objects } from '../internal.ts';
import type { Service } from '../service.ts';
import { bucketMethods } from './storage/bucket-methods.ts';
import { type Buckets, openBuckets } from './storage/buckets.ts';
import { keepContent } from './storage/content.ts';
import { copyMethods } from './storage/copy-methods.ts';
import { routesOf } from './storage/endpoint.ts';
import { objectAt } from './storage/fields.ts';
import { openGuard } from './storage/guard.ts';
import { fateOf } from './storage/lifecycle.ts';
import { objectMethods } from './storage/object-methods.ts';
import { type ObjectStore, openObjects } from './storage/objects.ts';
import { openSessions } from './storage/resumable.ts';
import { uploadMethods } from './storage/upload-methods.ts';
import { openVersions, type Versions } from './storage/versions.ts';

const HOUR = 60 * 60 * 1000;

export function storage(cloud: LocalCloud): { service: Service; objects: Objects } {
  const buckets = openBuckets(cloud);
  const versions = openVersions(cloud.store);
  const store = openObjects(cloud, buckets, versions);
  const sessions = openSessions(cloud, store, (name) => buckets.find(name) !== undefined);
  const guard = openGuard(cloud, buckets, store);
  let stopTimer = (): void => {};

  cloud.iam.registerParent('buckets', (resource) => {
    const [, bucket = '', ...inside] = resource.split('/');
    if (inside.length > 0) return `buckets/${bucket}`;
    const found = buckets.find(bucket);
    return found && `projects/${found.projectId}`;
  });

  function everyHour(): void {
    sessions.sweep();
    applyLifecycles(buckets, versions, store, cloud.clock.now());
    stopTimer = cloud.clock.after(HOUR, everyHour);
  }

  const parts = { cloud, buckets, versions, objects: store, sessions, guard, deleted: sessions.sweep };
  const service: Service = {
    name: 'storage',
    host: 'storage.googleapis.com',
    title: 'Cloud Storage JSON API',
    needsEnabling: false,
    errorStyle: 'storage',
    routes: routesOf([
      ...bucketMethods(parts),
      ...objectMethods(parts),
      ...uploadMethods(parts),
      ...copyMethods(parts),
    ]),
    start: everyHour,
    stop: () => stopTimer(),
  };

  return {
    service,
    objects: {
      find: store.find,
      read: ({ blob }) => cloud.store.blobs.read(blob.digest),
      async write(bucket, name, data, contentType) {
        const source = data instanceof Uint8Array ? Readable.from([data]) : data;
        const content = await keepContent(cloud.store.blobs, source);
        store.write({ bucket, name, metadata: { contentType }, conditions: {}, checksums: {} }, content);
      },
    },
  };
}

/** Does what the rules of all buckets say of their objects now. */
function applyLifecycles(buckets: Buckets, versions: Versions, objects: ObjectStore, now: number): void {
  for (const { name: bucket, settings } of buckets.all()) {
    if (settings.lifecycle === undefined) continue;
    const lifecycle = objectAt(settings, 'lifecycle');
    const fates = [...versions.names(bucket)].flatMap((name) => {
      const all = versions.of(bucket, name);
      return all.map((version, at) => ({
        version,
        fate: fateOf(lifecycle, version, all.length - 1 - at, now),
      }));
    });
    for (const { version, fate } of fates) {
      if (fate?.type === 'delete') objects.delete(version, version.deleted !== undefined);
      if (fate?.type === 'setClass') objects.setClass(version, fate.storageClass);
    }
  }
}
