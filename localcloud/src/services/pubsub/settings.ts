/** Settings of topics, subscriptions and snapshots as their owners give them: checked, completed, changed by mask. */
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { DAY_MS, MINUTE_MS, readDuration, writeDuration } from './durations.ts';
import { compileFilter } from './filter.ts';
import { atLeast, atMost } from './message.ts';
import { missing } from './names.ts';

const MUTABLE_TOPIC = new Set(['labels', 'messageStoragePolicy', 'messageRetentionDuration', 'kmsKeyName']);
const FIXED_TOPIC = new Set(['name', 'state', 'satisfiesPzs', 'tags']);
const MUTABLE_SUBSCRIPTION = new Set([
  'ackDeadlineSeconds',
  'labels',
  'pushConfig',
  'retainAckedMessages',
  'messageRetentionDuration',
  'expirationPolicy',
  'deadLetterPolicy',
  'retryPolicy',
  'enableExactlyOnceDelivery',
]);
const FIXED_SUBSCRIPTION = new Set([
  'name',
  'topic',
  'filter',
  'enableMessageOrdering',
  'detached',
  'topicMessageRetentionDuration',
  'state',
  'analyticsHubSubscriptionInfo',
  'tags',
]);

/** What Google can do and the local cloud cannot: refused, never ignored. */
const UNSERVED = [
  'ingestionDataSourceSettings',
  'messageTransforms',
  'bigqueryConfig',
  'bigtableConfig',
  'cloudStorageConfig',
];

export function topicSettings(given: JsonObject): JsonObject {
  refuseUnserved(given);
  if (isObject(given.schemaSettings)) throw missing(String(given.schemaSettings.schema ?? ''));
  const { name, labels, messageStoragePolicy, kmsKeyName, messageRetentionDuration } = given;
  checkLabels(labels);
  checkRetention(messageRetentionDuration);
  return {
    name,
    ...(isObject(labels) ? { labels } : {}),
    ...(isObject(messageStoragePolicy) ? { messageStoragePolicy } : {}),
    ...(typeof kmsKeyName === 'string' && kmsKeyName !== '' ? { kmsKeyName } : {}),
    ...(messageRetentionDuration === undefined ? {} : { messageRetentionDuration }),
    state: 'ACTIVE',
  };
}

export function subscriptionSettings(given: JsonObject): JsonObject {
  refuseUnserved(given);
  const ackDeadlineSeconds = Number(given.ackDeadlineSeconds ?? 0) || 10;
  atLeast('ack_deadline_seconds', ackDeadlineSeconds, 10);
  atMost('ack_deadline_seconds', ackDeadlineSeconds, 600);
  checkLabels(given.labels);
  checkRetention(given.messageRetentionDuration);
  compileFilter(String(given.filter ?? ''));
  const pushConfig = pushSettings(given.pushConfig);
  if (given.enableExactlyOnceDelivery === true && pushConfig.pushEndpoint !== undefined) {
    throw invalid('Exactly-once delivery is not supported for push subscriptions.');
  }
  const flags = ['retainAckedMessages', 'enableMessageOrdering', 'enableExactlyOnceDelivery', 'detached'];
  return {
    name: given.name,
    topic: given.topic,
    pushConfig,
    ackDeadlineSeconds,
    messageRetentionDuration: given.messageRetentionDuration ?? writeDuration(7 * DAY_MS),
    expirationPolicy: expirationSettings(given.expirationPolicy),
    ...(isObject(given.labels) ? { labels: given.labels } : {}),
    ...(given.filter === undefined ? {} : { filter: given.filter }),
    ...(isObject(given.retryPolicy) ? { retryPolicy: retrySettings(given.retryPolicy) } : {}),
    ...(isObject(given.deadLetterPolicy)
      ? { deadLetterPolicy: deadLetterSettings(given.deadLetterPolicy) }
      : {}),
    ...Object.fromEntries(flags.filter((flag) => given[flag] === true).map((flag) => [flag, true])),
    state: 'ACTIVE',
  };
}

/** The topic as it would be with the masked fields of the request. */
export function changedTopic(current: JsonObject, request: JsonObject): JsonObject {
  const given = isObject(request.topic) ? request.topic : {};
  const paths = maskOf(request, 'Topic', MUTABLE_TOPIC, FIXED_TOPIC);
  return topicSettings(applyMask(current, given, paths));
}

export function changedSubscription(current: JsonObject, request: JsonObject): JsonObject {
  const given = isObject(request.subscription) ? request.subscription : {};
  const paths = maskOf(request, 'Subscription', MUTABLE_SUBSCRIPTION, FIXED_SUBSCRIPTION);
  return subscriptionSettings(applyMask(current, given, paths));
}

/** Labels are all that can change in a snapshot. */
export function changedSnapshot(current: JsonObject, request: JsonObject): JsonObject {
  const given = isObject(request.snapshot) ? request.snapshot : {};
  const paths = maskOf(request, 'Snapshot', new Set(['labels']), new Set(['name', 'topic', 'expireTime']));
  checkLabels(given.labels);
  return applyMask(current, given, paths);
}

/** The masked paths, each a list of field names. */
function maskOf(
  request: JsonObject,
  type: string,
  mutable: ReadonlySet<string>,
  fixed: ReadonlySet<string>,
): string[][] {
  const paths = String(request.updateMask ?? '')
    .split(',')
    .map((path) => path.trim())
    .filter((path) => path !== '');
  if (paths.length === 0) {
    throw invalid(
      `The update_mask in the Update${type}Request must be set, and must contain a non-empty paths list.`,
    );
  }
  for (const path of paths) {
    const [field = ''] = path.split('.');
    if (mutable.has(field)) continue;
    if (UNSERVED.includes(field)) throw unserved(field);
    throw invalid(
      fixed.has(field)
        ? `Invalid update_mask provided in the Update${type}Request: the ${snake(field)} field in the ${type} is not mutable.`
        : `Invalid update_mask provided in the Update${type}Request: ${path} is not a known ${type} field. Note that field paths must be of the form 'push_config' rather than 'pushConfig'.`,
    );
  }
  return paths.map((path) => path.split('.'));
}

function applyMask(current: JsonObject, given: JsonObject, paths: readonly string[][]): JsonObject {
  let changed = current;
  for (const path of paths) changed = applyPath(changed, given, path);
  return changed;
}

function applyPath(current: JsonObject, given: JsonObject, [field = '', ...rest]: string[]): JsonObject {
  if (rest.length === 0) return { ...current, [field]: given[field] };
  const [before, after] = [current[field], given[field]];
  const inner = applyPath(isObject(before) ? before : {}, isObject(after) ? after : {}, rest);
  return { ...current, [field]: inner };
}

function pushSettings(given: Json | undefined): JsonObject {
  if (!isObject(given) || given.pushEndpoint === undefined || given.pushEndpoint === '') return {};
  const endpoint = String(given.pushEndpoint);
  const url = URL.parse(endpoint);
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    throw invalid(`Invalid push endpoint given (endpoint=${endpoint}).`, 'pushConfig.pushEndpoint');
  }
  const token = given.oidcToken;
  if (isObject(token) && !String(token.serviceAccountEmail ?? '').includes('@')) {
    throw invalid(
      'A service account email is required for an OIDC token.',
      'pushConfig.oidcToken.serviceAccountEmail',
    );
  }
  return {
    pushEndpoint: endpoint,
    attributes: isObject(given.attributes) ? given.attributes : { 'x-goog-version': 'v1' },
    ...(isObject(token) ? { oidcToken: token } : {}),
    ...(isObject(given.pubsubWrapper) ? { pubsubWrapper: given.pubsubWrapper } : {}),
    ...(isObject(given.noWrapper) ? { noWrapper: given.noWrapper } : {}),
  };
}

/** Without a policy the default one; one without `ttl` says never. */
function expirationSettings(given: Json | undefined): JsonObject {
  if (!isObject(given)) return { ttl: writeDuration(31 * DAY_MS) };
  const ttl = readDuration(given.ttl);
  if (ttl === undefined) return {};
  atLeast('ttl', ttl / 1000, DAY_MS / 1000, 's');
  return { ttl: writeDuration(ttl) };
}

function retrySettings(given: JsonObject): JsonObject {
  const minimum = (readDuration(given.minimumBackoff) ?? 10_000) / 1000;
  const maximum = (readDuration(given.maximumBackoff) ?? 600_000) / 1000;
  for (const [name, value] of [
    ['minimum_backoff', minimum],
    ['maximum_backoff', maximum],
  ] as const) {
    if (value >= 0 && value <= 600) continue;
    throw invalid(
      `The value for ${name} is out of bounds. You passed ${value}s in the request, but the value must be between 0s and 600s.`,
    );
  }
  atLeast('maximum_backoff', maximum, minimum, 's');
  return { minimumBackoff: `${minimum}s`, maximumBackoff: `${maximum}s` };
}

function deadLetterSettings(given: JsonObject): JsonObject {
  const attempts = Number(given.maxDeliveryAttempts ?? 0) || 5;
  if (attempts < 5 || attempts > 100) {
    const [size, bound, limit] = attempts < 5 ? ['small', 'minimum', 5] : ['large', 'maximum', 100];
    throw new GoogleError(
      'OUT_OF_RANGE',
      `The value for max_delivery_attempts is too ${size}. You passed ${attempts} in the request, but the ${bound} value is ${limit}.`,
    );
  }
  return { deadLetterTopic: given.deadLetterTopic, maxDeliveryAttempts: attempts };
}

function checkRetention(given: Json | undefined): void {
  const retention = readDuration(given);
  if (retention === undefined) return;
  atLeast('message_retention_duration', retention / 1000, (10 * MINUTE_MS) / 1000, 's');
  atMost('message_retention_duration', retention / 1000, (31 * DAY_MS) / 1000, 's');
}

const LABEL_KEY = /^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$/u;
const LABEL_VALUE = /^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$/u;

export function checkLabels(given: Json | undefined): void {
  const labels = Object.entries(isObject(given) ? given : {});
  atMost('num_labels', labels.length, 64);
  for (const [key, value] of labels) {
    if (!LABEL_KEY.test(key)) throw invalid(`Invalid label key given (key=${key}).`, 'labels');
    if (!LABEL_VALUE.test(String(value)))
      throw invalid(`Invalid label value given (key=${key}, value=${String(value)}).`, 'labels');
  }
}

function refuseUnserved(given: JsonObject): void {
  for (const field of UNSERVED) {
    const value = given[field];
    if (value !== undefined && !(Array.isArray(value) && value.length === 0)) throw unserved(field);
  }
}

function unserved(field: string): GoogleError {
  return new GoogleError('UNIMPLEMENTED', `The local cloud does not serve ${snake(field)}.`);
}

function snake(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
