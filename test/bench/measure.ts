/** What a measure is, and what it comes to: a figure beside its target. */
import type { Workshop } from './workshop.ts';

export interface Measure {
  /** As `--only` names it. */
  readonly name: string;
  /** In words, for as long as there is no figure. */
  readonly what: string;
  /** One figure or several, in the order in which they are shown. Rejects with Missing where the machine lacks something. */
  run(workshop: Workshop): Promise<readonly Figure[]>;
}

export interface Figure {
  readonly name: string;
  readonly what: string;
  readonly figure: number;
  readonly unit: Unit;
  readonly target: Target;
  readonly met: boolean;
  /** What it is made of, in one line. */
  readonly detail: string;
}

/** `×` is a ratio: ours beside the other, measured in the same run. A plain number has none. */
export type Unit = 's' | 'ms' | 'MiB' | '×' | '';

export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** The machine lacks what the measure takes; the message says what. */
export class Missing extends Error {}

export function figureOf(figure: Omit<Figure, 'met'>): Figure {
  const { target, figure: value } = figure;
  return { ...figure, met: 'atMost' in target ? value <= target.atMost : value >= target.atLeast };
}
