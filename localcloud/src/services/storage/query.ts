/** Parameters of the query, checked. One that is empty was not said. */
import { badRequest } from './refusals.ts';

const MAX_RESULTS = 1000;

/** A 64-bit number, as decimal text. */
export function readNumber(query: URLSearchParams, name: string): string | undefined {
  const value = query.get(name) ?? '';
  if (value === '') return undefined;
  if (!/^\d{1,19}$/.test(value)) throw badValue(name, value);
  return String(BigInt(value));
}

/** `true`, or `True` as gcloud writes it. */
export function readFlag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? '';
  if (!/^(true|false|)$/i.test(value)) throw badValue(name, value);
  return value.toLowerCase() === 'true';
}

/** How many results a page has: 1,000 at most, and where nothing is said. */
export function readMaxResults(query: URLSearchParams): number {
  return Math.min(Number(readNumber(query, 'maxResults') ?? 0) || MAX_RESULTS, MAX_RESULTS);
}

function badValue(name: string, value: string): Error {
  return badRequest(`Invalid value '${value}' for parameter '${name}'.`);
}
