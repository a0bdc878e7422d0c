/** The desired state of a service: what a caller may set, checked, with defaults. */
import { invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { checkAnnotations, checkLabels } from './labels.ts';
import type { ServiceResource, ServiceScaling } from './resources.ts';
import { completeTemplate, refuse } from './template.ts';
import { completeTraffic } from './traffic.ts';

/** What a caller may set; the rest is ours to say. */
const SETTABLE = [
  'description',
  'labels',
  'annotations',
  'client',
  'clientVersion',
  'ingress',
  'launchStage',
  'template',
  'traffic',
  'scaling',
  'invokerIamDisabled',
  'defaultUriDisabled',
  'customAudiences',
] as const;
const UNSUPPORTED = ['binaryAuthorization', 'iapEnabled', 'multiRegionSettings', 'buildConfig'];
const OUTPUT_ONLY = new Set([
  'name',
  'uid',
  'generation',
  'createTime',
  'updateTime',
  'deleteTime',
  'expireTime',
  'creator',
  'lastModifier',
  'urls',
  'observedGeneration',
  'terminalCondition',
  'conditions',
  'latestReadyRevision',
  'latestCreatedRevision',
  'trafficStatuses',
  'uri',
  'satisfiesPzs',
  'threatDetectionEnabled',
  'reconciling',
  'etag',
]);

/** The settable part alone, complete. Throws for what Cloud Run refuses, and for what the local cloud cannot do. */
export function completeService(given: ServiceResource, defaultAccount: string): ServiceResource {
  refuse(given, UNSUPPORTED, 'service');
  checkLabels(given.labels, 'service.labels');
  checkAnnotations(given.annotations, 'service.annotations');
  if ((given.description ?? '').length > 512)
    throw invalid('service.description: must not exceed 512 characters.', 'service.description');
  checkScaling(given.scaling);
  return {
    ...settable(given),
    ingress: given.ingress ?? 'INGRESS_TRAFFIC_ALL',
    launchStage: given.launchStage ?? 'GA',
    template: completeTemplate(given.template, defaultAccount, 'service.template'),
    traffic: completeTraffic(given.traffic, 'service.traffic'),
  };
}

/** The settable part of a service, without fields that say nothing. */
export function settable(service: ServiceResource): ServiceResource {
  const given: JsonObject = service;
  const told = SETTABLE.filter((name) => {
    const value = given[name];
    return value !== undefined && value !== '' && value !== false;
  });
  return Object.fromEntries(told.map((name) => [name, given[name]]));
}

/** The current service with what the mask names taken from the given one. Without a mask everything settable is. */
export function masked(current: ServiceResource, given: ServiceResource, mask: string): ServiceResource {
  if (mask === '' || mask === '*') return given;
  const merged: JsonObject = structuredClone(settable(current));
  for (const path of mask.split(',').map((part) => part.trim())) {
    const [head = '', ...rest] = path.split('.');
    if (OUTPUT_ONLY.has(head)) continue;
    if (![...SETTABLE, ...UNSUPPORTED].includes(head))
      throw invalid(`Invalid field mask: '${path}' is no field of a service.`, 'update_mask');
    copy(given, merged, [head, ...rest]);
  }
  return merged;
}

function copy(from: JsonObject | undefined, to: JsonObject, [head = '', ...rest]: readonly string[]): void {
  const value: Json | undefined = from?.[head];
  if (rest.length === 0) {
    if (value === undefined) delete to[head];
    else to[head] = structuredClone(value);
    return;
  }
  const inner = to[head];
  const below: JsonObject = isObject(inner) ? inner : {};
  to[head] = below;
  copy(isObject(value) ? value : undefined, below, rest);
}

function checkScaling({
  minInstanceCount = 0,
  maxInstanceCount = 0,
  manualInstanceCount = 0,
}: ServiceScaling = {}): void {
  if (minInstanceCount < 0 || maxInstanceCount < 0 || manualInstanceCount < 0)
    throw invalid('service.scaling: counts must not be negative.', 'service.scaling');
  if (maxInstanceCount > 0 && minInstanceCount > maxInstanceCount)
    throw invalid(
      'service.scaling: minInstanceCount must not be greater than maxInstanceCount.',
      'service.scaling',
    );
}
