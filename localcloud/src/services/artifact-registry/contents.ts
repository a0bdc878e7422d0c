/** What is in the repositories: manifests under their digests, tags that point to them, and the blobs they need. */
import { readFileSync } from 'node:fs';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { sha256 } from '@service-director/shared/kit/hash.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { isDigest, type Manifest, readManifest } from '../../oci.ts';
import type { Blob } from '../../store.ts';

/** One manifest, or index of manifests. */
export interface StoredManifest {
  /** `projects/p/locations/l/repositories/r`. */
  readonly repository: string;
  /** `team/api`. */
  readonly image: string;
  readonly digest: string;
  readonly mediaType: string;
  /** Byte for byte, as it was pushed. */
  readonly text: string;
  readonly uploadTime: string;
}

export interface StoredTag {
  readonly repository: string;
  readonly image: string;
  readonly tag: string;
  readonly digest: string;
  readonly updateTime: string;
}

interface StoredBlob extends Blob {
  readonly repository: string;
}

export interface Contents {
  find(repository: string, image: string, version: string): StoredManifest | undefined;
  /** Oldest first; of one image, or of all. */
  manifests(repository: string, image?: string): StoredManifest[];
  /** By name; of one image, or of all. */
  tags(repository: string, image?: string): StoredTag[];
  /** Stores a manifest whose blobs, or manifests, are there already. The same one again changes nothing. */
  put(repository: string, image: string, text: string, mediaType: string): StoredManifest;
  /** Removes a manifest with its tags, and the blobs that nothing else in the repository needs. */
  remove(manifest: StoredManifest): void;
  setTag(repository: string, image: string, tag: string, digest: string): StoredTag;
  dropTag(tag: StoredTag): void;
  /** The index that lists this manifest, if any. */
  indexOf(manifest: StoredManifest): StoredManifest | undefined;
  findBlob(repository: string, digest: string): Blob | undefined;
  addBlob(repository: string, blob: Blob): void;
  dropBlob(repository: string, digest: string): void;
  /** In bytes, what is stored once per repository. */
  sizeOf(repository: string): number;
  dropRepository(repository: string): void;
  /** Of an image, or of all that an index lists. */
  sizeOfImage(manifest: StoredManifest): number;
  /** The image's own configuration; empty for an index. */
  configOf(manifest: StoredManifest): JsonObject;
}

/** No configuration is larger; what claims to be is not read. */
const LARGEST_CONFIG = 8 * 1024 * 1024;

export function openContents(cloud: LocalCloud): Contents {
  const manifests = cloud.store.table<StoredManifest>('artifactregistry.manifests');
  const tags = cloud.store.table<StoredTag>('artifactregistry.tags');
  const links = cloud.store.table<StoredBlob>('artifactregistry.blobs');
  const { blobs } = cloud.store;
  blobs.registerUse((digest) => links.values().some((link) => link.digest === digest));

  const manifestKey = (repository: string, image: string, digest: string) =>
    `${repository}/${image}@${digest}`;
  const tagKey = (repository: string, image: string, tag: string) => `${repository}/${image}:${tag}`;
  const within = (repository: string, image?: string) => (row: { repository: string; image: string }) =>
    row.repository === repository && (image === undefined || row.image === image);

  function find(repository: string, image: string, version: string): StoredManifest | undefined {
    const digest = isDigest(version) ? version : tags.get(tagKey(repository, image, version))?.digest;
    return digest === undefined ? undefined : manifests.get(manifestKey(repository, image, digest));
  }

  function dropBlob(repository: string, digest: string): void {
    links.delete(`${repository}@${digest}`);
    blobs.delete(digest);
  }

  function sizeOfImage(manifest: StoredManifest): number {
    const parsed = read(manifest);
    if (parsed.type === 'image') return needs(parsed).reduce((sum, blob) => sum + blob.size, 0);
    const children = parsed.manifests.map(({ digest }) => find(manifest.repository, manifest.image, digest));
    return children.reduce((sum, child) => sum + (child ? sizeOfImage(child) : 0), 0);
  }

  return {
    find,
    manifests: (repository, image) => [...manifests.values().filter(within(repository, image))],
    tags: (repository, image) =>
      [...tags.values().filter(within(repository, image))].sort((a, b) => order(a.tag, b.tag)),
    put(repository, image, text, mediaType) {
      const digest = `sha256:${sha256(text)}`;
      const key = manifestKey(repository, image, digest);
      const known = manifests.get(key);
      if (known) return known;
      const manifest: StoredManifest = {
        repository,
        image,
        digest,
        mediaType,
        text,
        uploadTime: timestamp(cloud.clock.now()),
      };
      manifests.set(key, manifest);
      return manifest;
    },
    remove(manifest) {
      const { repository, image, digest } = manifest;
      manifests.delete(manifestKey(repository, image, digest));
      for (const tag of [...tags.values()].filter(within(repository, image)))
        if (tag.digest === digest) tags.delete(tagKey(repository, image, tag.tag));
      const parsed = read(manifest);
      if (parsed.type === 'index') return;
      const kept = new Set(
        manifests
          .values()
          .filter((row) => row.repository === repository)
          .flatMap((row) => needs(read(row)))
          .map((blob) => blob.digest),
      );
      for (const blob of needs(parsed)) if (!kept.has(blob.digest)) dropBlob(repository, blob.digest);
    },
    setTag(repository, image, tag, digest) {
      const row = { repository, image, tag, digest, updateTime: timestamp(cloud.clock.now()) };
      tags.set(tagKey(repository, image, tag), row);
      return row;
    },
    dropTag: ({ repository, image, tag }) => void tags.delete(tagKey(repository, image, tag)),
    indexOf: ({ repository, image, digest }) =>
      manifests
        .values()
        .filter(within(repository, image))
        .find((row) => children(read(row)).includes(digest)),
    findBlob(repository, digest) {
      const link = links.get(`${repository}@${digest}`);
      return link && blobs.find(digest);
    },
    addBlob: (repository, { digest, size }) =>
      links.set(`${repository}@${digest}`, { repository, digest, size }),
    dropBlob,
    sizeOf: (repository) =>
      links
        .values()
        .filter((link) => link.repository === repository)
        .reduce((sum, link) => sum + link.size, 0),
    dropRepository(repository) {
      for (const table of [tags, manifests])
        for (const [key, row] of [...table.entries()]) if (row.repository === repository) table.delete(key);
      for (const link of [...links.values()])
        if (link.repository === repository) dropBlob(repository, link.digest);
    },
    sizeOfImage,
    configOf(manifest) {
      const parsed = read(manifest);
      const blob = parsed.type === 'image' ? blobs.find(parsed.config.digest) : undefined;
      if (!blob || blob.size > LARGEST_CONFIG) return {};
      try {
        const json: unknown = JSON.parse(readFileSync(blobs.path(blob.digest), 'utf8'));
        return isObject(json) ? json : {};
      } catch {
        // Artifacts other than images may have any configuration.
        return {};
      }
    },
  };
}

export function read(manifest: StoredManifest): Manifest {
  return readManifest(manifest.text, manifest.mediaType);
}

/** The blobs that an image needs in its own repository. */
export function needs(manifest: Manifest): readonly Blob[] {
  if (manifest.type === 'index') return [];
  return [manifest.config, ...manifest.layers].filter((part) => !part.foreign);
}

export function children(manifest: Manifest): string[] {
  return manifest.type === 'index' ? manifest.manifests.map(({ digest }) => digest) : [];
}

/** The refusal to touch a tag that a repository keeps as it is. */
export function immutable(tag: string, repository: string): GoogleError {
  return new GoogleError(
    'FAILED_PRECONDITION',
    `Cannot update or delete tag "${tag}": the repository "${repository}" has enabled tag immutability.`,
  );
}

export function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
