/**
 * All versions of all objects, found by bucket and name.
 *
 * Rows are durable; the order of names and the count of objects that share bytes are kept in memory.
 */
import type { JsonObject } from '../../json.ts';
import type { Blob, Store } from '../../store.ts';
import { compareNames } from './names.ts';

/** One generation of an object. */
export interface ObjectVersion {
  readonly bucket: string;
  readonly name: string;
  readonly generation: string;
  readonly metageneration: number;
  readonly blob: Blob;
  /** Base64. */
  readonly crc32c: string;
  /** Base64; a composed object has none. */
  readonly md5Hash?: string;
  readonly componentCount?: number;
  readonly storageClass: string;
  /** Milliseconds since 1970, as all times here. */
  readonly created: number;
  readonly updated: number;
  readonly classUpdated: number;
  /** When it became noncurrent. The live version has none. */
  readonly deleted?: number;
  /** What the writer said: contentType, metadata … */
  readonly fields: JsonObject;
}

export interface Versions {
  live(bucket: string, name: string): ObjectVersion | undefined;
  find(bucket: string, name: string, generation: string): ObjectVersion | undefined;
  /** Of one name, oldest first. */
  of(bucket: string, name: string): readonly ObjectVersion[];
  /** In the order of their UTF-8 bytes. */
  names(bucket: string): readonly string[];
  /** Adds a version, or replaces what is known of it. */
  put(version: ObjectVersion): void;
  /** Forgets a version, and its bytes when nothing else needs them. */
  remove(version: ObjectVersion): void;
  /** Removes bytes that were stored for a version which did not come to be, when nothing else needs them. */
  discard(blob: Blob): void;
  /** A number larger than any before it: the time in microseconds. */
  nextGeneration(now: number): string;
}

export function openVersions(store: Store): Versions {
  const rows = store.table<ObjectVersion>('storage.objects');
  const counters = store.table<number>('storage.counters');
  /** bucket → name → versions, oldest first. */
  const buckets = new Map<string, Map<string, ObjectVersion[]>>();
  /** bucket → names in order, until a name comes or goes. */
  const sorted = new Map<string, string[]>();
  const users = new Map<string, number>();
  const unneeded = new Set<string>();

  for (const version of rows.values()) index(version);
  store.blobs.registerUse((digest) => (users.get(digest) ?? 0) > 0);

  function index(version: ObjectVersion): void {
    const names = buckets.get(version.bucket) ?? new Map<string, ObjectVersion[]>();
    buckets.set(version.bucket, names);
    const versions = names.get(version.name) ?? [];
    if (versions.length === 0) sorted.delete(version.bucket);
    const known = versions.findIndex(({ generation }) => generation === version.generation);
    if (known < 0) users.set(version.blob.digest, (users.get(version.blob.digest) ?? 0) + 1);
    const others = versions.filter((_, at) => at !== known);
    names.set(
      version.name,
      [...others, version].sort((a, b) => Number(a.generation) - Number(b.generation)),
    );
  }

  /** Removes bytes only when the row is gone from the disk, and when a write of the same bytes would have been seen. */
  function discard({ digest }: Blob): void {
    if (unneeded.size === 0) setImmediate(removeUnneeded);
    unneeded.add(digest);
  }

  function removeUnneeded(): void {
    store.flush();
    for (const digest of unneeded) store.blobs.delete(digest);
    unneeded.clear();
  }

  return {
    live: (bucket, name) => {
      const newest = buckets.get(bucket)?.get(name)?.at(-1);
      return newest?.deleted === undefined ? newest : undefined;
    },
    find: (bucket, name, generation) =>
      buckets
        .get(bucket)
        ?.get(name)
        ?.find((version) => version.generation === generation),
    of: (bucket, name) => buckets.get(bucket)?.get(name) ?? [],
    names(bucket) {
      const names = sorted.get(bucket) ?? [...(buckets.get(bucket)?.keys() ?? [])].sort(compareNames);
      sorted.set(bucket, names);
      return names;
    },
    put(version) {
      rows.set(keyOf(version), version);
      index(version);
    },
    remove(version) {
      if (!rows.delete(keyOf(version))) return;
      const names = buckets.get(version.bucket);
      const rest = names?.get(version.name)?.filter(({ generation }) => generation !== version.generation);
      if (rest && rest.length > 0) names?.set(version.name, rest);
      else {
        names?.delete(version.name);
        sorted.delete(version.bucket);
      }
      users.set(version.blob.digest, (users.get(version.blob.digest) ?? 1) - 1);
      discard(version.blob);
    },
    discard,
    nextGeneration(now) {
      const generation = Math.max(now * 1000, (counters.get('generation') ?? 0) + 1);
      counters.set('generation', generation);
      return String(generation);
    },
  };
}

function keyOf(version: ObjectVersion): string {
  return `${version.bucket}/${version.name}#${version.generation}`;
}
