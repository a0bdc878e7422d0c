/**
 * Calls back for each entry when its time has come.
 *
 * Entries lie in slots of a tenth of a second, so ten thousand leases take one timer, and one that
 * is settled early is gone at once. An entry is called up to one slot late, never early.
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';

export interface Deadlines<T> {
  /** `entry.due` must not change while it is in. */
  add(entry: T): void;
  delete(entry: T): void;
  /** Calls what is due. Happens by itself, unless the clock has jumped (the machine slept). */
  check(): void;
}

const SLOT_MS = 100;

export function deadlines<T extends { readonly due: number }>(
  clock: Clock,
  onDue: (entry: T) => void,
): Deadlines<T> {
  const slots = new Map<number, Set<T>>();
  let next = Number.POSITIVE_INFINITY;
  let stopTimer = (): void => {};

  const slotOf = (entry: T): number => Math.ceil(entry.due / SLOT_MS);

  function schedule(slot: number): void {
    stopTimer();
    next = slot;
    stopTimer =
      slot === Number.POSITIVE_INFINITY
        ? () => {}
        : clock.after(Math.max(0, slot * SLOT_MS - clock.now()), run);
  }

  function run(): void {
    const now = clock.now();
    const due = [...slots.keys()].filter((slot) => slot * SLOT_MS <= now).sort((a, b) => a - b);
    for (const slot of due) {
      const entries = slots.get(slot) ?? [];
      slots.delete(slot);
      for (const entry of entries) onDue(entry);
    }
    let earliest = Number.POSITIVE_INFINITY;
    for (const slot of slots.keys()) earliest = Math.min(earliest, slot);
    schedule(earliest);
  }

  return {
    add(entry) {
      const slot = slotOf(entry);
      const entries = slots.get(slot);
      if (entries) entries.add(entry);
      else slots.set(slot, new Set([entry]));
      if (slot < next) schedule(slot);
    },
    delete(entry) {
      const slot = slotOf(entry);
      const entries = slots.get(slot);
      if (entries?.delete(entry) && entries.size === 0) slots.delete(slot);
    },
    check: run,
  };
}
