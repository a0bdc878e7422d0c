/** Instances that outlived a local cloud that was killed: ended before new ones start. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '@service-director/shared/kit/process.ts';
import type { Store } from '../../store.ts';
import type { Footprint } from './instance.ts';

export async function endOrphans(store: Store): Promise<void> {
  const footprints = store.table<Footprint>('run.instances');
  for (const [id, { pid, mark }] of [...footprints.entries()]) {
    // The number may be another process's by now.
    if ((await environmentOf(pid)).includes(mark)) kill(pid);
    footprints.delete(id);
  }
  await rm(join(store.dir, 'instances'), { recursive: true, force: true });
}

/** The environment of a process of ours, as text; empty when it is gone, or not ours. */
async function environmentOf(pid: number): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/environ`, 'utf8');
  } catch {
    // Not Linux, or no such process: ps tells the environment of one's own processes elsewhere.
    const env = { PATH: '/bin:/usr/bin' };
    const listed = await run('ps', ['eww', '-o', 'command=', '-p', String(pid)], { env }).catch(
      () => undefined,
    );
    return listed?.stdout ?? '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended in this moment.
  }
}
