/** What is wrong with an architecture: where, what, and what to do. */

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** One sentence without a full stop. */
  readonly message: string;
  /** What to do, as an order: `write "producer_service"`. */
  readonly fix?: string;
  readonly at?: Position;
}

export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Of the offending text, in characters; at least 1. */
  readonly length: number;
  /** The whole line that it stands in. */
  readonly text: string;
}

/** As it is shown to a person: position, line, underline, fix. Several lines, no colours. */
export function formatDiagnostic({ severity, message, fix, at }: Diagnostic): string {
  const lines = [
    at ? `${at.file}:${at.line}:${at.column}: ${severity}: ${message}` : `${severity}: ${message}`,
  ];
  if (at && at.text.trim() !== '') {
    const number = String(at.line);
    const before = at.text.slice(0, at.column - 1).replace(/[^\t]/g, ' ');
    const width = Math.max(1, Math.min(at.length, at.text.length - at.column + 1));
    lines.push(`  ${number} | ${at.text}`, `  ${' '.repeat(number.length)} | ${before}${'^'.repeat(width)}`);
  }
  if (fix !== undefined) lines.push(`  fix: ${fix}`);
  return lines.join('\n');
}

/** Text in quotes, anything else as JSON. */
export function quote(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : JSON.stringify(value);
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some(({ severity }) => severity === 'error');
}

/** The candidate that was probably meant, or undefined when none is near. */
export function didYouMean(written: string, candidates: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of candidates) {
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    if (!best || distance < best.distance) best = { name, distance };
  }
  const near = best && best.distance <= Math.max(1, Math.floor(written.length / 3));
  return near ? best?.name : undefined;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(
        (rows[i - 1]?.[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (rows[i - 1]?.[j - 1] ?? 0) + cost,
      );
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
