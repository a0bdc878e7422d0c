/**
 * A folder that one director works in at a time: `director.json` within says who.
 *
 * The lease of the stack decides who may work on a unit; this keeps two processes on one machine out of each other's
 * files while one of them has not noticed yet that it lost it, or its tool still runs.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { z } from 'zod';
import { isAlive, startOf } from '../tool.ts';

export interface Claim {
  /** Takes away everything in it but the claim, and what is named. */
  empty(but?: string): Promise<void>;
  /** With everything in it. */
  clear(): Promise<void>;
  /** Leaves the rest for whoever comes next. */
  leave(): Promise<void>;
}

const NOTE = 'director.json';
const Holder = z.object({ pid: z.number(), started: z.string(), claim: z.string() });

/** How often a holder is asked whether it still lives. Milliseconds. */
const ASK_MS = 200;

/** Waits while another that lives holds it; rejects with the signal's reason. */
export async function claimDir(
  dir: string,
  { clock, signal, waiting }: { clock: Clock; signal: AbortSignal; waiting(because: string): void },
): Promise<Claim> {
  const note = join(dir, NOTE);
  const own = { pid: process.pid, started: (await startOf(process.pid)) ?? '', claim: randomUUID() };
  let told = false;
  for (;;) {
    signal.throwIfAborted();
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if (await written(note, JSON.stringify(own))) return claimOf(dir, note);
    const holder = await holderOf(note);
    if (holder && !(await isAlive(holder))) await takeAway(note, holder.claim);
    else {
      if (!told) waiting('another process of this director works on it');
      told = true;
      await clock.sleep(ASK_MS, signal);
    }
  }
}

/** False where there is one already, or the folder went meanwhile. Linked into place, so that nobody sees half of it. */
async function written(note: string, text: string): Promise<boolean> {
  const draft = `${note}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { mode: 0o600 });
    await link(draft, note);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Of a dead holder. Should another have been faster, and it is theirs by now, it is put back. */
async function takeAway(note: string, claim: string): Promise<void> {
  const aside = `${note}.${randomUUID()}`;
  try {
    await rename(note, aside);
  } catch {
    return;
  }
  const taken = await holderOf(aside);
  if (taken && taken.claim !== claim) await link(aside, note).catch(() => {});
  await rm(aside, { force: true });
}

async function holderOf(note: string): Promise<z.output<typeof Holder> | undefined> {
  const text = await readFile(note, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : Holder.parse(JSON.parse(text));
}

function claimOf(dir: string, note: string): Claim {
  async function empty(but?: string): Promise<void> {
    const names = (await readdir(dir)).filter((name) => !name.startsWith(NOTE) && name !== but);
    await Promise.all(names.map((name) => rm(join(dir, name), { recursive: true, force: true })));
  }

  return {
    empty,
    async clear() {
      await empty();
      // Of one who died over it; who lives sees that it is gone, and makes another.
      const drafts = (await readdir(dir)).filter((name) => name.startsWith(`${NOTE}.`));
      await Promise.all(drafts.map((name) => rm(join(dir, name), { force: true })));
      await rm(note, { force: true });
      // Somebody may have come in already.
      await rmdir(dir).catch(() => {});
    },
    leave: () => rm(note, { force: true }),
  };
}
