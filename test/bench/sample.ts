/** Samples of something that is never the same twice. */

export interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

/**
 * Takes both in turn, so many times, after `warmUp` turns that do not count. What disturbs the machine for a
 * while disturbs both; who goes first changes from turn to turn.
 */
export async function inTurn(
  times: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
  warmUp = 1,
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let turn = -warmUp; turn < times; turn++) {
    const first = turn % 2 === 0 ? await ours() : undefined;
    const other = await theirs();
    const pair = { ours: first ?? (await ours()), theirs: other };
    if (turn >= 0) pairs.push(pair);
  }
  return pairs;
}

/** The medians of both, and the one beside the other. */
export function compare(pairs: readonly Pair[]): Pair & { readonly ratio: number } {
  const ours = median(pairs.map((pair) => pair.ours));
  const theirs = median(pairs.map((pair) => pair.theirs));
  return { ours, theirs, ratio: ours / theirs };
}

/** NaN of nothing. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** `0.7 to 0.9 s`. */
export function spread(samples: readonly number[], unit: string, digits = 2): string {
  return `${Math.min(...samples).toFixed(digits)} to ${Math.max(...samples).toFixed(digits)} ${unit}`;
}
