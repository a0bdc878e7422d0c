/** First in, first out, at constant cost. */
export interface Fifo<T> {
  readonly size: number;
  push(entry: T): void;
  shift(): T | undefined;
  clear(): void;
}

/** Entries already taken are dropped from the array once there are this many. */
const SLACK = 1_024;

export function fifo<T>(): Fifo<T> {
  let entries: (T | undefined)[] = [];
  let head = 0;
  return {
    get size() {
      return entries.length - head;
    },
    push: (entry) => void entries.push(entry),
    shift() {
      if (head === entries.length) return undefined;
      const entry = entries[head];
      entries[head++] = undefined;
      if (head >= SLACK && 2 * head >= entries.length) {
        entries = entries.slice(head);
        head = 0;
      }
      return entry;
    },
    clear() {
      entries = [];
      head = 0;
    },
  };
}
