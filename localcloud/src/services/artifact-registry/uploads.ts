/** Blobs on their way in: each upload grows in a file of its own until it is complete. */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Blob, Blobs } from '../../store.ts';
import { digestInvalid, rangeInvalid, uploadUnknown } from './refusals.ts';

export interface Upload {
  readonly id: string;
  readonly repository: string;
  /** Bytes that have arrived. */
  readonly size: number;
}

export interface Uploads {
  begin(repository: string): Upload;
  /** Throws BLOB_UPLOAD_UNKNOWN. */
  get(repository: string, id: string): Upload;
  /** Adds a chunk; `start` must be where the upload stands, when it is given. */
  append(upload: Upload, data: Readable, start: number | undefined): Promise<Upload>;
  /** Turns the upload into a blob; throws DIGEST_INVALID, and drops what came, when it is other bytes than announced. */
  finish(upload: Upload, digest: string): Promise<Blob>;
  drop(upload: Upload): void;
  /** Forgets all uploads of an earlier run. */
  clear(): void;
}

export function openUploads(dir: string, blobs: Blobs): Uploads {
  const uploads = new Map<string, Upload>();
  const busy = new Set<string>();
  const fileOf = (upload: Upload): string => join(dir, upload.id);

  function drop(upload: Upload): void {
    uploads.delete(upload.id);
    rmSync(fileOf(upload), { force: true });
  }

  return {
    begin(repository) {
      const upload: Upload = { id: randomUUID(), repository, size: 0 };
      mkdirSync(dir, { recursive: true });
      writeFileSync(fileOf(upload), '');
      uploads.set(upload.id, upload);
      return upload;
    },
    get(repository, id) {
      const upload = uploads.get(id);
      if (upload?.repository !== repository) throw uploadUnknown();
      return upload;
    },
    async append(upload, data, start) {
      if (busy.has(upload.id)) throw rangeInvalid('another chunk of this upload is under way');
      if (start !== undefined && start !== upload.size) {
        throw rangeInvalid(`the upload stands at ${upload.size}, the chunk begins at ${start}`);
      }
      busy.add(upload.id);
      try {
        await pipeline(data, createWriteStream(fileOf(upload), { flags: 'a' }));
      } finally {
        busy.delete(upload.id);
        if (uploads.has(upload.id))
          uploads.set(upload.id, { ...upload, size: statSync(fileOf(upload)).size });
      }
      return uploads.get(upload.id) ?? upload;
    },
    async finish(upload, digest) {
      const blob = await blobs.put(createReadStream(fileOf(upload)));
      drop(upload);
      return announced(blobs, blob, digest);
    },
    drop,
    clear: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The blob, when it has the digest that the client announced. */
export function announced(blobs: Blobs, blob: Blob, digest: string): Blob {
  if (blob.digest === digest) return blob;
  blobs.delete(blob.digest);
  throw digestInvalid(`provided digest did not match uploaded content: ${digest}, got ${blob.digest}`);
}
