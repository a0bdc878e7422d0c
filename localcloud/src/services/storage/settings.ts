/** What can be set on a bucket: defaults, checks, and what is refused because it is not simulated. */
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { Json, JsonObject } from '../../json.ts';
import { readStorageClass } from './classes.ts';
import { objectAt, pick, textAt } from './fields.ts';
import { readLifecycle } from './lifecycle.ts';
import { badRequest, notSimulated } from './refusals.ts';

const SETTINGS = [
  'storageClass',
  'labels',
  'versioning',
  'lifecycle',
  'iamConfiguration',
  'softDeletePolicy',
  'cors',
  'website',
  'logging',
  'billing',
  'autoclass',
  'encryption',
  'ipFilter',
  'rpo',
  'customPlacementConfig',
  'defaultEventBasedHold',
  'hierarchicalNamespace',
];

const DAY_SECONDS = 24 * 60 * 60;
const DEFAULT_SOFT_DELETE = String(7 * DAY_SECONDS);
/** How long uniform bucket-level access can be switched off again. */
const LOCKED_AFTER_MS = 90 * DAY_SECONDS * 1000;
const MAX_LABELS = 64;

/** Of a body, what somebody wants to set. The rest is told by Google alone. */
export function pickSettings(body: JsonObject): JsonObject {
  return pick(body, SETTINGS);
}

/** Refuses what would promise something that does not happen here. */
export function demandSimulated(body: JsonObject): void {
  for (const name of ['acl', 'defaultObjectAcl', 'retentionPolicy', 'objectRetention']) {
    const value = body[name];
    const empty = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    if (!empty) throw notSimulated(`the field ${name} of a bucket`);
  }
  if (body.defaultEventBasedHold === true) throw notSimulated('event-based holds');
  if (objectAt(body, 'hierarchicalNamespace').enabled === true) throw notSimulated('hierarchical namespaces');
}

/** Checks settings and fills in the defaults. `before` is what the bucket had, if it is there already. */
export function completeSettings(
  settings: JsonObject,
  before: JsonObject | undefined,
  now: number,
): JsonObject {
  const { labels: _, lifecycle: __, ...rest } = settings;
  const labels = objectAt(settings, 'labels');
  demandLabels(labels);
  const lifecycle = readLifecycle(objectAt(settings, 'lifecycle'));
  return {
    ...rest,
    storageClass: readStorageClass(settings.storageClass ?? 'STANDARD'),
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(lifecycle ? { lifecycle } : {}),
    iamConfiguration: accessOf(objectAt(settings, 'iamConfiguration'), before, now),
    softDeletePolicy: softDeleteOf(objectAt(settings, 'softDeletePolicy'), before, now),
  };
}

function demandLabels(labels: JsonObject): void {
  if (Object.keys(labels).length > MAX_LABELS) throw badRequest(`A bucket has at most ${MAX_LABELS} labels.`);
  for (const [key, value] of Object.entries(labels)) {
    if (!/^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u.test(key))
      throw badRequest(`Invalid label key: '${key}'.`);
    if (!/^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u.test(String(value)))
      throw badRequest(`Invalid value of the label '${key}': '${String(value)}'.`);
  }
}

/** Uniform access goes by two names; the one that was changed decides. */
function accessOf(wanted: JsonObject, before: JsonObject | undefined, now: number): JsonObject {
  const current = objectAt(objectAt(before ?? {}, 'iamConfiguration'), 'uniformBucketLevelAccess');
  const wasEnabled = current.enabled === true;
  const said = ['uniformBucketLevelAccess', 'bucketPolicyOnly']
    .map((name) => objectAt(wanted, name).enabled)
    .filter((enabled) => typeof enabled === 'boolean');
  const enabled = said.find((one) => one !== wasEnabled) ?? (said.length > 0 && wasEnabled);
  if (wasEnabled && !enabled && Date.parse(String(current.lockedTime)) <= now)
    throw badRequest('Uniform bucket-level access can no longer be disabled: its lockedTime has passed.');
  const lockedTime = textAt(current, 'lockedTime') ?? timestamp(now + LOCKED_AFTER_MS);
  const uniform: JsonObject = enabled ? { enabled, lockedTime } : { enabled };
  return {
    bucketPolicyOnly: uniform,
    uniformBucketLevelAccess: uniform,
    publicAccessPrevention: preventionOf(wanted.publicAccessPrevention),
  };
}

function preventionOf(wanted: Json | undefined): string {
  switch (wanted) {
    case undefined:
    case 'inherited':
    case 'unspecified':
      return 'inherited';
    case 'enforced':
      return 'enforced';
    default:
      throw badRequest(`Invalid publicAccessPrevention: ${JSON.stringify(wanted)}.`);
  }
}

function softDeleteOf(wanted: JsonObject, before: JsonObject | undefined, now: number): JsonObject {
  const current = objectAt(before ?? {}, 'softDeletePolicy');
  const seconds = textAt(wanted, 'retentionDurationSeconds') ?? DEFAULT_SOFT_DELETE;
  const days = Number(seconds) / DAY_SECONDS;
  if (days !== 0 && (days < 7 || days > 90))
    throw badRequest('The soft delete retention is 0, or 7 to 90 days.');
  if (current.retentionDurationSeconds === seconds) return current;
  return { retentionDurationSeconds: seconds, effectiveTime: timestamp(now) };
}
