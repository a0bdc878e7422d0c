/** Installed dependencies, kept as layers under a hash of all that decides what is in them. */

import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { isDigest, type Layer } from '../../oci.ts';
import type { Blobs } from '../../store.ts';

export interface InstallCache {
  find(key: string): Promise<Layer | undefined>;
  keep(key: string, layer: Layer): Promise<void>;
}

/** How many installs are kept; the ones not used for longest go first. */
const KEPT = 40;

export function openInstallCache(folder: string, blobs: Blobs, clock: Clock): InstallCache {
  const archive = (key: string): string => join(folder, `${key}.tar.gz`);
  const note = (key: string): string => join(folder, `${key}.json`);

  async function forgetOldest(): Promise<void> {
    const notes = (await readdir(folder)).filter((name) => name.endsWith('.json'));
    if (notes.length <= KEPT) return;
    const used = await Promise.all(
      notes.map(async (name) => ({ name, at: (await stat(join(folder, name))).mtimeMs })),
    );
    used.sort((a, b) => b.at - a.at);
    for (const { name } of used.slice(KEPT)) {
      const key = name.slice(0, -'.json'.length);
      await Promise.all([note(key), archive(key)].map((path) => rm(path, { force: true })));
    }
  }

  return {
    async find(key) {
      const layer = readNote(await readFile(note(key), 'utf8').catch(() => ''));
      if (!layer) return undefined;
      const now = new Date(clock.now());
      await utimes(note(key), now, now);
      if (blobs.find(layer.blob.digest)) return layer;
      const blob = await blobs.put(createReadStream(archive(key))).catch(() => undefined);
      return blob?.digest === layer.blob.digest ? layer : undefined;
    },
    async keep(key, layer) {
      await mkdir(folder, { recursive: true });
      const part = join(folder, `.part-${randomUUID()}`);
      const source = blobs.path(layer.blob.digest);
      await link(source, part).catch(() => copyFile(source, part));
      await rename(part, archive(key));
      await rm(part, { force: true });
      await writeFile(part, JSON.stringify(layer));
      await rename(part, note(key));
      await forgetOldest();
    },
  };
}

function readNote(text: string): Layer | undefined {
  if (text === '') return undefined;
  const { blob, diffId } = JSON.parse(text) as Partial<Layer>;
  if (blob === undefined || diffId === undefined) return undefined;
  return isDigest(blob.digest) && isDigest(diffId) ? { blob, diffId } : undefined;
}
