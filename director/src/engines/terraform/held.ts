/**
 * What `init` fetched, kept for a little while between a plan and its apply, which would fetch the same again.
 *
 * Only that: no code, no variables, no state. It lies in the unit's own folder, which nobody claims meanwhile, under
 * a name that only its maker knows: whoever works there in between empties the folder, and then it is not there.
 */
import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { type Claim, claimDir } from './claim.ts';

/** Providers and modules, and which workspace was chosen. */
const FETCHED = '.terraform';

/** Long enough for an apply that needs nobody's word; an approval takes longer. Milliseconds. */
const HELD_MS = 30_000;
/** Providers take hundreds of megabytes: of more than so many the oldest goes. */
const MOST_HELD = 8;

export interface Held {
  /** The one that it was fetched for. */
  readonly plan: string;
  /** Puts it below the root module; false where it is not there any more. */
  restore(root: string): Promise<boolean>;
}

export interface Holding {
  /** Takes it out of the root module and gives the claim up, with nothing else left in the folder. */
  hold(
    claim: Claim,
    fetched: { readonly dir: string; readonly root: string; readonly plan: string },
  ): Promise<void>;
  /** What was held in the folder, which is claimed; it is not held any more. */
  take(dir: string): Held | undefined;
  /** Removes all that is held: this process ends, and nobody would. */
  release(): Promise<void>;
}

interface Entry {
  readonly plan: string;
  readonly place: string;
  /** Calls its end off. */
  stop(): void;
}

export function holding(clock: Clock): Holding {
  const entries = new Map<string, Entry>();

  function take(dir: string): Held | undefined {
    const entry = entries.get(dir);
    if (!entry) return undefined;
    entry.stop();
    entries.delete(dir);
    return { plan: entry.plan, restore: (root) => restored(entry.place, root) };
  }

  /** Left as it is where somebody works there: they empty the folder themselves. */
  async function end(dir: string, entry: Entry): Promise<void> {
    if (entries.get(dir) !== entry) return;
    entries.delete(dir);
    if (!(await exists(entry.place))) return;
    const inTheWay = new AbortController();
    const { signal } = inTheWay;
    const claim = await claimDir(dir, { clock, signal, waiting: () => inTheWay.abort() });
    await ((await readdir(dir)).includes('bundle') ? claim.leave() : claim.clear());
  }

  return {
    take,
    async release() {
      await Promise.allSettled(
        [...entries].map(([dir, entry]) => {
          entry.stop();
          return end(dir, entry);
        }),
      );
    },
    async hold(claim, { dir, root, plan }) {
      const name = `held.${randomUUID()}`;
      const place = join(dir, name);
      await mkdir(place, { mode: 0o700 });
      const fetched = join(root, FETCHED);
      if (await exists(fetched)) await rename(fetched, join(place, FETCHED));
      await claim.empty(name);
      const entry: Entry = {
        plan,
        place,
        // What is left where this fails goes with the next work on the unit.
        stop: clock.after(HELD_MS, () => void end(dir, entry).catch(() => {})),
      };
      entries.set(dir, entry);
      const [oldest] = entries;
      if (entries.size > MOST_HELD && oldest) {
        oldest[1].stop();
        void end(...oldest).catch(() => {});
      }
      await claim.leave();
    },
  };
}

/** A module that needs neither providers nor modules has nothing that was fetched. */
async function restored(place: string, root: string): Promise<boolean> {
  if (!(await exists(place))) return false;
  const fetched = join(place, FETCHED);
  if (await exists(fetched)) await rename(fetched, join(root, FETCHED));
  return true;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
