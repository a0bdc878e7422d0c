/** A queue that hands out its largest entry first; entries of one rank come out in the order they went in. */
export interface Heap<T> {
  readonly size: number;
  push(value: T, rank: number): void;
  pop(): T | undefined;
  /** What `pop` would give. */
  peek(): T | undefined;
}

export function heap<T>(): Heap<T> {
  const entries: { value: T; rank: number; order: number }[] = [];
  let order = 0;

  const before = (a: number, b: number): boolean => {
    const left = entries[a];
    const right = entries[b];
    if (!left || !right) return false;
    return left.rank === right.rank ? left.order < right.order : left.rank > right.rank;
  };

  const swap = (a: number, b: number): void => {
    const held = entries[a];
    const other = entries[b];
    if (!held || !other) return;
    entries[a] = other;
    entries[b] = held;
  };

  return {
    get size() {
      return entries.length;
    },
    peek: () => entries[0]?.value,
    push(value, rank) {
      entries.push({ value, rank, order: order++ });
      let child = entries.length - 1;
      while (child > 0) {
        const parent = (child - 1) >> 1;
        if (!before(child, parent)) return;
        swap(child, parent);
        child = parent;
      }
    },
    pop() {
      const top = entries[0];
      const last = entries.pop();
      if (!top || !last || top === last) return top?.value;
      entries[0] = last;
      let parent = 0;
      for (;;) {
        let best = parent;
        if (before(2 * parent + 1, best)) best = 2 * parent + 1;
        if (before(2 * parent + 2, best)) best = 2 * parent + 2;
        if (best === parent) return top.value;
        swap(parent, best);
        parent = best;
      }
    },
  };
}
