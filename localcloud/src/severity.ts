/** Log severities in their order: https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity */

const RANKS: Readonly<Record<string, number>> = {
  DEFAULT: 0,
  DEBUG: 100,
  INFO: 200,
  NOTICE: 300,
  WARNING: 400,
  ERROR: 500,
  CRITICAL: 600,
  ALERT: 700,
  EMERGENCY: 800,
};

/** The rank of a severity, by name in any case or by number; undefined for what is none. */
export function severityRank(text: string): number | undefined {
  const named = RANKS[text.toUpperCase()];
  if (named !== undefined) return named;
  return Object.values(RANKS).find((rank) => String(rank) === text);
}

/** Its proper name: `warning`, `WARN` → `WARNING`; undefined for what is none. */
export function severityName(text: string): string | undefined {
  const name = text.toUpperCase();
  const known = { WARN: 'WARNING', FATAL: 'CRITICAL' }[name] ?? name;
  return known in RANKS ? known : undefined;
}
