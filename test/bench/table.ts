/** Figures as they are shown. */
import type { Figure, Target, Unit } from './measure.ts';

/** What a measure came to: its figures, or why there are none. */
export type Result =
  | { readonly name: string; readonly what: string; readonly figures: readonly Figure[] }
  | { readonly name: string; readonly what: string; readonly missing: string }
  | { readonly name: string; readonly what: string; readonly error: string };

/** A line for each figure: what it is, the figure, its target, whether it is met, and what it is made of. */
export function table(results: readonly Result[]): string {
  const rows = [HEAD, ...results.flatMap(rowsOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        RIGHT.has(column) ? pad(cell, widths[column]) + cell : cell + pad(cell, widths[column]),
      )
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

const HEAD = ['measure', 'figure', 'target', 'met', ''];
/** Columns of numbers. */
const RIGHT: ReadonlySet<number> = new Set([1, 2]);

function rowsOf(result: Result): string[][] {
  if ('missing' in result) return [[result.what, '–', '', '–', `not measured: ${result.missing}`]];
  if ('error' in result) return [[result.what, '–', '', '–', `failed: ${result.error}`]];
  return result.figures.map(({ what, figure, unit, target, met, detail }) => [
    what,
    amount(figure, unit),
    targetOf(target, unit),
    met ? '✓' : '✗',
    detail,
  ]);
}

function targetOf(target: Target, unit: Unit): string {
  return ('atMost' in target ? `≤ ${target.atMost} ${unit}` : `≥ ${target.atLeast} ${unit}`).trimEnd();
}

/** With as many digits as mean something. */
function amount(figure: number, unit: Unit): string {
  const digits = unit === 'ms' || unit === 'MiB' ? 0 : figure < 0.1 ? 3 : 2;
  return `${figure.toFixed(digits)} ${unit}`.trimEnd();
}

function pad(cell: string, width = 0): string {
  return ' '.repeat(Math.max(0, width - [...cell].length));
}
