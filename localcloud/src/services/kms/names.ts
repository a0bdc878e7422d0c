/** What rings, keys and versions are called. */
import { GoogleError, invalid, notFound } from '../../error.ts';
import type { Projects } from '../../projects.ts';
import { isRegion } from '../locations.ts';

/** With the project's id, where it is named by its number. */
export function canonical(projects: Projects, name: unknown): string {
  const [collection = '', project = '', ...rest] = String(name).split('/');
  return [collection, projects.find(project)?.projectId ?? project, ...rest].join('/');
}

/** The key that a version is of; a key's own name as it is. */
export function keyOf(name: string): string {
  return name.split('/').slice(0, 8).join('/');
}

/** The number of a version; undefined for the name of a key. */
export function numberOf(name: string): number | undefined {
  const [version] = name.split('/').slice(9);
  return version === undefined ? undefined : Number(version);
}

export function checkId(id: unknown, field: string): string {
  const text = String(id ?? '');
  if (/^[a-zA-Z0-9_-]{1,63}$/.test(text)) return text;
  throw invalid(`Invalid ${field} "${text}": it must match [a-zA-Z0-9_-]{1,63}.`, field);
}

/** Of `projects/P/locations/L`. */
export function checkLocation(parent: string): void {
  const location = parent.split('/')[3] ?? '';
  if (!isRegion(location) && !BEYOND_REGIONS.has(location)) throw notFound(parent);
}

const BEYOND_REGIONS = new Set(['global', 'us', 'europe', 'asia']);

export function exists(what: string, name: string): GoogleError {
  return new GoogleError('ALREADY_EXISTS', `${what} ${name} already exists.`);
}
