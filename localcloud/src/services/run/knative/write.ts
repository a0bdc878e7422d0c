/** From the v2 service and revision to the Knative shape of the v1 API. */
import type { JsonObject } from '../../../json.ts';
import { serviceName, shortName } from '../names.ts';
import {
  BY_REVISION,
  type Condition,
  type Container,
  milliseconds,
  type RevisionRow,
  type ServiceResource,
  type Template,
  type TrafficStatus,
} from '../resources.ts';
import { revisionOf, shares } from '../traffic.ts';
import { defined, writeServiceAnnotations, writeTemplateAnnotations } from './annotations.ts';

const API = 'serving.knative.dev/v1';

/** `namespace`: the project's number. */
export function writeService(service: ServiceResource, namespace: string): JsonObject {
  const { template = {}, traffic = [], reconciling } = service;
  return {
    apiVersion: API,
    kind: 'Service',
    metadata: metadataOf(service, 'services', namespace),
    spec: {
      template: writeTemplate(template),
      traffic: traffic.map((target) =>
        defined({
          ...(target.type === BY_REVISION ? { revisionName: target.revision } : { latestRevision: true }),
          percent: target.percent,
          tag: target.tag,
        }),
      ),
    },
    status: defined({
      // Of v1: the generation that the conditions speak of, be they good or bad.
      observedGeneration: Number(reconciling ? (service.observedGeneration ?? 0) : service.generation),
      conditions: conditionsOf(service),
      latestReadyRevisionName: shortOf(service.latestReadyRevision),
      latestCreatedRevisionName: shortOf(service.latestCreatedRevision),
      traffic: (service.trafficStatuses ?? []).map((status) => writeStatus(status, service)),
      url: service.uri,
      address: service.uri === undefined ? undefined : { url: service.uri },
    }),
  };
}

export function writeConfiguration(service: ServiceResource, namespace: string): JsonObject {
  return {
    apiVersion: API,
    kind: 'Configuration',
    metadata: metadataOf(service, 'configurations', namespace),
    spec: { template: writeTemplate(service.template ?? {}) },
    status: defined({
      observedGeneration: Number(service.generation),
      conditions: [renamed(service, 'ConfigurationsReady')],
      latestReadyRevisionName: shortOf(service.latestReadyRevision),
      latestCreatedRevisionName: shortOf(service.latestCreatedRevision),
    }),
  };
}

export function writeRoute(service: ServiceResource, namespace: string): JsonObject {
  return {
    apiVersion: API,
    kind: 'Route',
    metadata: metadataOf(service, 'routes', namespace),
    spec: { traffic: (service.trafficStatuses ?? []).map((status) => writeStatus(status, service)) },
    status: defined({
      observedGeneration: Number(service.generation),
      conditions: [renamed(service, 'RoutesReady')],
      traffic: (service.trafficStatuses ?? []).map((status) => writeStatus(status, service)),
      url: service.uri,
    }),
  };
}

export function writeRevision(
  { revision, template, image }: RevisionRow,
  service: ServiceResource | undefined,
  namespace: string,
): JsonObject {
  const name = shortName(revision.name);
  const active = service !== undefined && shares(service).has(name);
  return {
    apiVersion: API,
    kind: 'Revision',
    metadata: {
      name,
      namespace,
      selfLink: selfLink('revisions', namespace, name),
      uid: revision.uid,
      resourceVersion: revision.etag.replaceAll('"', ''),
      generation: 1,
      creationTimestamp: revision.createTime,
      labels: {
        ...template.labels,
        'serving.knative.dev/service': revision.service,
        'serving.knative.dev/configuration': revision.service,
        'serving.knative.dev/route': revision.service,
        'serving.knative.dev/serviceUid': service?.uid ?? '',
        'cloud.googleapis.com/location': serviceName(revision.name).location,
      },
      annotations: { ...writeTemplateAnnotations(template), 'serving.knative.dev/creator': revision.creator },
    },
    spec: writeTemplateSpec(template),
    status: defined({
      observedGeneration: 1,
      conditions: [
        ...revision.conditions.map(writeCondition),
        {
          type: 'Active',
          status: active ? 'True' : 'False',
          severity: 'Info',
          lastTransitionTime: revision.updateTime,
        },
      ],
      serviceName: revision.service,
      logUrl: revision.logUri,
      imageDigest: image?.reference,
      containerStatuses: image
        ? [defined({ name: template.containers?.[0]?.name, imageDigest: image.reference })]
        : undefined,
    }),
  };
}

function metadataOf(service: ServiceResource, collection: string, namespace: string): JsonObject {
  const name = serviceName(service.name ?? '');
  return defined({
    name: name.service,
    namespace,
    selfLink: selfLink(collection, namespace, name.service),
    uid: service.uid,
    resourceVersion: service.etag?.replaceAll('"', ''),
    generation: Number(service.generation),
    creationTimestamp: service.createTime,
    deletionTimestamp: service.deleteTime,
    labels: { ...service.labels, 'cloud.googleapis.com/location': name.location },
    annotations: writeServiceAnnotations(service),
  });
}

function selfLink(collection: string, namespace: string, name: string): string {
  return `/apis/serving.knative.dev/v1/namespaces/${namespace}/${collection}/${name}`;
}

function writeTemplate(template: Template): JsonObject {
  return {
    metadata: defined({
      name: template.revision,
      labels: template.labels,
      annotations: writeTemplateAnnotations(template),
    }),
    spec: writeTemplateSpec(template),
  };
}

function writeTemplateSpec(template: Template): JsonObject {
  return defined({
    containerConcurrency: template.maxInstanceRequestConcurrency,
    timeoutSeconds: milliseconds(template.timeout ?? '300s') / 1000,
    serviceAccountName: template.serviceAccount,
    containers: (template.containers ?? []).map(writeContainer),
  });
}

function writeContainer({ resources, ...container }: Container): JsonObject {
  return defined({ ...container, resources: { limits: resources?.limits ?? {} } });
}

function writeStatus(status: TrafficStatus, service: ServiceResource): JsonObject {
  return defined({
    revisionName: revisionOf(status, service),
    latestRevision: status.type === BY_REVISION ? undefined : true,
    percent: status.percent,
    tag: status.tag,
    url: status.uri,
  });
}

function conditionsOf({ terminalCondition, conditions = [] }: ServiceResource): JsonObject[] {
  return [...(terminalCondition ? [terminalCondition] : []), ...conditions].map(writeCondition);
}

/** The part of a service's condition that speaks of one of its halves, as that half's own. */
function renamed({ conditions = [] }: ServiceResource, type: string): JsonObject {
  const found = conditions.find((condition) => condition.type === type);
  return found ? { ...writeCondition(found), type: 'Ready' } : { type: 'Ready', status: 'Unknown' };
}

function writeCondition({
  type,
  state,
  message,
  reason,
  revisionReason,
  lastTransitionTime,
}: Condition): JsonObject {
  const status = { CONDITION_SUCCEEDED: 'True', CONDITION_FAILED: 'False' }[String(state)] ?? 'Unknown';
  return defined({ type, status, message, reason: camel(revisionReason ?? reason), lastTransitionTime });
}

/** `HEALTH_CHECK_CONTAINER_ERROR` → `HealthCheckContainerError`. */
function camel(reason: string | undefined): string | undefined {
  return reason?.toLowerCase().replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
}

function shortOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : shortName(name);
}
