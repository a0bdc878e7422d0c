/** Storage classes and locations. */
import type { Json, JsonObject } from '../../json.ts';
import { badRequest } from './refusals.ts';

/** The older names stand for STANDARD in one kind of location. */
const COLDNESS: Readonly<Record<string, number>> = {
  STANDARD: 0,
  MULTI_REGIONAL: 0,
  REGIONAL: 0,
  DURABLE_REDUCED_AVAILABILITY: 0,
  NEARLINE: 1,
  COLDLINE: 2,
  ARCHIVE: 3,
};

const MULTI_REGIONS = new Set(['US', 'EU', 'ASIA']);
const DUAL_REGIONS = /^(ASIA1|EUR[3-8]|NAM4)$/;
const REGION = /^[A-Z]+-[A-Z]+\d+$/;

/** The class in upper case. */
export function readStorageClass(value: Json | undefined): string {
  const storageClass = String(value).toUpperCase();
  if (COLDNESS[storageClass] === undefined) throw badRequest(`Invalid storage class: ${String(value)}.`);
  return storageClass;
}

/** 0 for STANDARD, more for what is meant to be read more rarely. */
export function coldness(storageClass: string): number {
  return COLDNESS[storageClass] ?? 0;
}

/** The location in upper case. */
export function readLocation(value: Json | undefined): string {
  const location = String(value ?? 'US').toUpperCase();
  if (MULTI_REGIONS.has(location) || DUAL_REGIONS.test(location) || REGION.test(location)) return location;
  throw badRequest('The specified location constraint is not valid.');
}

export function locationTypeOf(location: string, settings: JsonObject): string {
  if (settings.customPlacementConfig !== undefined || DUAL_REGIONS.test(location)) return 'dual-region';
  return MULTI_REGIONS.has(location) ? 'multi-region' : 'region';
}
