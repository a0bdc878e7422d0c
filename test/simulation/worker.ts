/**
 * A thread that plays seeds and searches worlds, for `crew.ts`.
 *
 * It loads the product as it is, or with a few lines of it changed (`patches`): nothing of that is ever on the disk.
 */
import { registerHooks } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { CrewData, Patch, Told } from './crew.ts';
import type { Task } from './tasks.ts';
import { installTripwires } from './tripwires.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const { patches }: CrewData = workerData;
const port = parentPort;
if (!port) throw new Error('This file is started as a thread');

const unseen = new Map<string, Patch[]>();
for (const patch of patches) {
  const url = pathToFileURL(join(ROOT, patch.file)).href;
  unseen.set(url, [...(unseen.get(url) ?? []), patch]);
}
registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    const own = unseen.get(url);
    if (!own) return loaded;
    unseen.delete(url);
    const { source } = loaded;
    const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString('utf8');
    return { ...loaded, source: own.reduce((before, patch) => patched(before, patch), text) };
  },
});
const { perform } = await import('./tasks.ts');
for (const patch of [...unseen.values()].flat()) throw new Error(`${patch.file} is not part of any run`);
installTripwires();
port.on('message', (task: Task) => void answer(task).then((told) => port.postMessage(told)));

async function answer(task: Task): Promise<Told> {
  try {
    return { value: await perform(task) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

function patched(source: string, { file, find, replace }: Patch): string {
  const parts = source.split(find);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times, and not once: ${find}`);
  return parts.join(replace);
}
