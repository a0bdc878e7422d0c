/** Durations in canonical JSON (`604800s`, `1.5s`) and in milliseconds. */
import type { Json } from '../../json.ts';

export const DAY_MS = 24 * 60 * 60 * 1000;
export const MINUTE_MS = 60 * 1000;

/** Undefined for what is not given. */
export function readDuration(json: Json | undefined): number | undefined {
  return typeof json === 'string' ? Number.parseFloat(json) * 1000 : undefined;
}

export function writeDuration(ms: number): string {
  return `${ms / 1000}s`;
}
