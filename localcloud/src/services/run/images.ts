/** Images on this machine: each digest is unpacked once, and kept as long as a revision runs it. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '../../internal.ts';
import type { Store } from '../../store.ts';
import { unpackLayers } from './unpack.ts';

export interface UnpackedImages {
  /** Unpacks the image unless that was done before. */
  unpack(image: Image): Promise<void>;
  /** The folder that stands for `/` of the image. */
  root(digest: string): string;
  remove(digest: string): Promise<void>;
}

export function openImages(store: Store): UnpackedImages {
  const dir = join(store.dir, 'images');
  const running = new Map<string, Promise<void>>();
  const root = (digest: string): string => join(dir, digest.replace(':', '-'));

  async function unpack({ digest, layers }: Image): Promise<void> {
    if (existsSync(root(digest))) return;
    await mkdir(dir, { recursive: true });
    const part = join(dir, `.part-${randomUUID()}`);
    try {
      await unpackLayers(
        layers.map((layer) => () => store.blobs.read(layer.digest)),
        part,
      );
      await rename(part, root(digest));
    } catch (error) {
      await rm(part, { recursive: true, force: true });
      throw error;
    }
  }

  return {
    root,
    unpack(image) {
      const started = running.get(image.digest) ?? unpack(image).finally(() => running.delete(image.digest));
      running.set(image.digest, started);
      return started;
    },
    async remove(digest) {
      await running.get(digest)?.catch(() => {});
      await rm(root(digest), { recursive: true, force: true });
    },
  };
}
