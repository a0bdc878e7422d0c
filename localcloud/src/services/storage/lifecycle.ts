/** Lifecycle rules of buckets: what Cloud Storage does to objects by itself. */
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { coldness, readStorageClass } from './classes.ts';
import { objectAt } from './fields.ts';
import { badRequest } from './refusals.ts';
import type { ObjectVersion } from './versions.ts';

export type Fate = { readonly type: 'delete' } | { readonly type: 'setClass'; readonly storageClass: string };

const DAY = 24 * 60 * 60 * 1000;
const MAX_RULES = 100;

/** Checks rules that somebody wants to set, and gives them in their canonical form; undefined for none. */
export function readLifecycle(lifecycle: JsonObject): JsonObject | undefined {
  const rules = rulesOf(lifecycle);
  if (rules.length === 0) return undefined;
  if (rules.length > MAX_RULES) throw badRequest(`A lifecycle has at most ${MAX_RULES} rules.`);
  return { rule: rules.map((rule) => readRule(rule)) };
}

/** What becomes of an object version now; undefined: nothing. `newer` counts the newer versions of the same name. */
export function fateOf(
  lifecycle: JsonObject,
  version: ObjectVersion,
  newer: number,
  now: number,
): Fate | undefined {
  const actions = rulesOf(lifecycle)
    .filter((rule) => holds(objectAt(rule, 'condition'), version, newer, now))
    .map((rule) => objectAt(rule, 'action'));
  if (actions.some((action) => action.type === 'Delete')) return { type: 'delete' };
  const [coldest] = actions
    .filter((action) => action.type === 'SetStorageClass')
    .map((action) => String(action.storageClass))
    .filter((target) => coldness(target) > coldness(version.storageClass))
    .sort((a, b) => coldness(b) - coldness(a));
  return coldest === undefined ? undefined : { type: 'setClass', storageClass: coldest };
}

function rulesOf(lifecycle: JsonObject): JsonObject[] {
  return Array.isArray(lifecycle.rule) ? lifecycle.rule.filter(isObject) : [];
}

function readRule(rule: JsonObject): JsonObject {
  const action = objectAt(rule, 'action');
  const condition = readCondition(objectAt(rule, 'condition'));
  switch (action.type) {
    case 'SetStorageClass':
      if (action.storageClass === undefined)
        throw badRequest('A SetStorageClass action must name a storageClass.');
      return { action: { ...action, storageClass: readStorageClass(action.storageClass) }, condition };
    case 'Delete':
      break;
    case 'AbortIncompleteMultipartUpload':
      for (const name of Object.keys(condition)) {
        if (!/^(age|matchesPrefix|matchesSuffix)$/.test(name))
          throw badRequest(`An AbortIncompleteMultipartUpload action cannot have the condition ${name}.`);
      }
      break;
    default:
      throw badRequest(`Unknown lifecycle action: ${JSON.stringify(action.type ?? null)}.`);
  }
  if (action.storageClass !== undefined)
    throw badRequest(`A ${action.type} action cannot name a storageClass.`);
  return { action, condition };
}

function readCondition(condition: JsonObject): JsonObject {
  const said = Object.entries(condition).filter(([, value]) => value !== null);
  if (said.length === 0) throw badRequest('A lifecycle rule must have at least one condition.');
  for (const [name, value] of said) {
    if (name === 'matchesPattern')
      throw badRequest('The lifecycle condition matchesPattern is not available.');
    if (/^-/.test(String(value))) throw badRequest(`The lifecycle condition ${name} must not be negative.`);
    if (Array.isArray(value) && value.length === 0)
      throw badRequest(`The lifecycle condition ${name} must not be empty.`);
  }
  const classes = condition.matchesStorageClass;
  return {
    ...Object.fromEntries(said),
    ...(Array.isArray(classes) ? { matchesStorageClass: classes.map(readStorageClass) } : {}),
  };
}

/** What each condition says of a version: true where it holds. */
type Test = (wanted: Json, version: ObjectVersion, newer: number, now: number) => boolean;

const TESTS: Readonly<Record<string, Test>> = {
  age: (days, version, _newer, now) => daysSince(version.created, now) >= Number(days),
  createdBefore: (date, version) => version.created < midnight(date),
  customTimeBefore: (date, version) => isBefore(customTimeOf(version), midnight(date)),
  daysSinceCustomTime: (days, version, _newer, now) => hasPassed(customTimeOf(version), days, now),
  daysSinceNoncurrentTime: (days, version, _newer, now) => hasPassed(version.deleted, days, now),
  isLive: (live, version) => live === (version.deleted === undefined),
  matchesPrefix: (prefixes, version) => textsOf(prefixes).some((prefix) => version.name.startsWith(prefix)),
  matchesSuffix: (suffixes, version) => textsOf(suffixes).some((suffix) => version.name.endsWith(suffix)),
  matchesStorageClass: (classes, version) => textsOf(classes).includes(version.storageClass),
  noncurrentTimeBefore: (date, version) => isBefore(version.deleted, midnight(date)),
  numNewerVersions: (count, _version, newer) => newer >= Number(count),
  sizeAboveBytes: (size, version) => version.blob.size > Number(size),
  sizeBelowBytes: (size, version) => version.blob.size < Number(size),
};

function holds(condition: JsonObject, version: ObjectVersion, newer: number, now: number): boolean {
  return Object.entries(condition).every(
    ([name, wanted]) => TESTS[name]?.(wanted ?? null, version, newer, now) ?? false,
  );
}

function daysSince(time: number, now: number): number {
  return Math.floor((now - time) / DAY);
}

function hasPassed(time: number | undefined, days: Json, now: number): boolean {
  return time !== undefined && daysSince(time, now) >= Number(days);
}

function isBefore(time: number | undefined, limit: number): boolean {
  return time !== undefined && time < limit;
}

function midnight(date: Json): number {
  return Date.parse(`${String(date)}T00:00:00Z`);
}

function customTimeOf(version: ObjectVersion): number | undefined {
  const time = version.fields.customTime;
  return typeof time === 'string' ? Date.parse(time) : undefined;
}

function textsOf(list: Json): string[] {
  return Array.isArray(list) ? list.map(String) : [];
}
