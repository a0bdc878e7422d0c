/**
 * What the APIs of the local cloud ask of each other behind the scenes, where Google's own services do the
 * same: Cloud Build reads the staged source and pushes the image, Cloud Run pulls it, Pub/Sub signs its pushes.
 * `index.ts` wires them; nothing here checks permissions: whoever calls, demands them of the right identity first.
 */
import type { Readable } from 'node:stream';
import type { JsonObject } from './json.ts';
import type { Blob } from './store.ts';

/** Told by the IAM API. */
export interface Accounts {
  /** By email, including the default accounts and service agents of Google; undefined for one that does not exist. */
  find(email: string): Account | undefined;
}

export interface Account {
  readonly email: string;
  /** 21 digits. */
  readonly uniqueId: string;
  readonly projectId: string;
  readonly disabled: boolean;
  /** When it begins to be usable, in milliseconds since 1970. */
  readonly effectiveAt: number;
}

/** Told by Cloud Storage. */
export interface Objects {
  /** The live object, or that generation of it. */
  find(bucket: string, name: string, generation?: string): StoredObject | undefined;
  read(object: StoredObject): Readable;
  /** Writes an object as a service of Google's would (build logs). */
  write(bucket: string, name: string, data: Uint8Array | Readable, contentType: string): Promise<void>;
}

export interface StoredObject {
  readonly bucket: string;
  readonly name: string;
  readonly generation: string;
  readonly blob: Blob;
}

/** Told by Artifact Registry. */
export interface Images {
  /** `us-central1-docker.pkg.dev/p/repo/name:tag` or `…@sha256:…`; undefined when there is no such image. */
  find(reference: string): Image | undefined;
  /** Stores an image whose blobs are in the store already, and moves the tag to it. Throws NOT_FOUND when the repository does not exist. */
  push(reference: string, image: { config: Blob; layers: readonly Blob[] }): Image;
  /** The policy resource of a reference: `projects/p/locations/l/repositories/r`. Throws INVALID_ARGUMENT for what is no reference. */
  repositoryOf(reference: string): string;
}

export interface Image {
  /** With its digest: `us-central1-docker.pkg.dev/p/repo/name@sha256:…`. */
  readonly reference: string;
  /** Of the manifest. */
  readonly digest: string;
  /** The OCI image configuration: https://github.com/opencontainers/image-spec/blob/main/config.md */
  readonly config: JsonObject;
  /** Gzipped tar archives, lowest first. */
  readonly layers: readonly Blob[];
}

/** Told by Cloud Logging. */
export interface Logs {
  /** A `google.logging.v2.LogEntry`; what is missing (insertId, timestamp, receiveTimestamp) is filled in. */
  write(entry: JsonObject): void;
}
