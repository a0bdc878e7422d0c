/** From the Knative shape of the v1 API to the v2 service. Fields that are not known are refused by name. */
import { invalid } from '../../../error.ts';
import { isObject, type Json, type JsonObject } from '../../../json.ts';
import {
  BY_REVISION,
  type Container,
  type EnvironmentVariable,
  LATEST,
  type Labels,
  type Probe,
  type ServiceResource,
  type Template,
  type TrafficTarget,
} from '../resources.ts';
import { refuse } from '../template.ts';
import { defined, readServiceAnnotations, readTemplateAnnotations } from './annotations.ts';

/** Labels that Google sets itself. */
const TOLD_LABELS =
  /^(cloud\.googleapis\.com\/location|run\.googleapis\.com\/satisfiesPzs|serving\.knative\.dev\/.+)$/;

export interface ReadService {
  readonly name: string;
  readonly service: ServiceResource;
}

export function readService(json: unknown): ReadService {
  const body = fields(json, '', ['apiVersion', 'kind', 'metadata', 'spec', 'status']);
  if (body.kind !== undefined && body.kind !== 'Service') throw invalid(`kind: must be 'Service'.`, 'kind');
  const metadata = readMetadata(body.metadata, 'metadata');
  const spec = fields(body.spec, 'spec', ['template', 'traffic']);
  const { resourceVersion } = metadata;
  return {
    name: text(metadata.name, 'metadata.name') ?? '',
    service: {
      ...readServiceAnnotations(labels(metadata.annotations, 'metadata.annotations')),
      labels: withoutTold(labels(metadata.labels, 'metadata.labels')),
      template: readTemplate(spec.template),
      traffic: list(spec.traffic, 'spec.traffic').map((target, index) =>
        readTarget(target, `spec.traffic[${index}]`),
      ),
      ...(typeof resourceVersion === 'string' && resourceVersion !== ''
        ? { etag: `"${resourceVersion}"` }
        : {}),
    },
  };
}

function readMetadata(json: Json | undefined, at: string): JsonObject {
  return fields(json, at, [
    'name',
    'namespace',
    'labels',
    'annotations',
    'generation',
    'resourceVersion',
    'uid',
    'selfLink',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generateName',
    'finalizers',
    'ownerReferences',
    'clusterName',
  ]);
}

function readTemplate(json: Json | undefined): Template {
  const at = 'spec.template';
  const body = fields(json, at, ['metadata', 'spec']);
  const metadata = readMetadata(body.metadata, `${at}.metadata`);
  const spec = fields(body.spec, `${at}.spec`, [
    'containers',
    'containerConcurrency',
    'timeoutSeconds',
    'serviceAccountName',
    'volumes',
    'enableServiceLinks',
    'nodeSelector',
    'runtimeClassName',
  ]);
  refuse(spec, ['nodeSelector', 'runtimeClassName'], `${at}.spec`);
  const { template, resources } = readTemplateAnnotations(
    labels(metadata.annotations, `${at}.metadata.annotations`),
  );
  const seconds = count(spec.timeoutSeconds, `${at}.spec.timeoutSeconds`);
  return {
    ...template,
    ...defined({
      revision: text(metadata.name, `${at}.metadata.name`),
      labels: withoutTold(labels(metadata.labels, `${at}.metadata.labels`)),
      timeout: seconds === undefined ? undefined : `${seconds}s`,
      serviceAccount: text(spec.serviceAccountName, `${at}.spec.serviceAccountName`),
      maxInstanceRequestConcurrency: count(spec.containerConcurrency, `${at}.spec.containerConcurrency`),
    }),
    volumes: list(spec.volumes, `${at}.spec.volumes`).filter(isObject),
    containers: list(spec.containers, `${at}.spec.containers`).map((container, index) =>
      readContainer(container, resources, `${at}.spec.containers[${index}]`),
    ),
  };
}

function readContainer(
  json: Json,
  { cpuIdle, startupCpuBoost }: { cpuIdle: boolean; startupCpuBoost: boolean },
  at: string,
): Container {
  const body = fields(json, at, [
    'name',
    'image',
    'command',
    'args',
    'env',
    'ports',
    'resources',
    'workingDir',
    'livenessProbe',
    'startupProbe',
    'readinessProbe',
    'volumeMounts',
  ]);
  const resources = fields(body.resources, `${at}.resources`, ['limits', 'requests']);
  return {
    ...defined({
      name: text(body.name, `${at}.name`),
      image: text(body.image, `${at}.image`),
      workingDir: text(body.workingDir, `${at}.workingDir`),
      livenessProbe: readProbe(body.livenessProbe, `${at}.livenessProbe`),
      startupProbe: readProbe(body.startupProbe, `${at}.startupProbe`),
      readinessProbe: readProbe(body.readinessProbe, `${at}.readinessProbe`),
    }),
    command: list(body.command, `${at}.command`).map(String),
    args: list(body.args, `${at}.args`).map(String),
    env: list(body.env, `${at}.env`).map((variable, index) => readVariable(variable, `${at}.env[${index}]`)),
    ports: list(body.ports, `${at}.ports`).map((port, index) => {
      const here = `${at}.ports[${index}]`;
      const { name, containerPort } = fields(port, here, ['name', 'containerPort', 'protocol']);
      return defined({
        name: text(name, `${here}.name`),
        containerPort: count(containerPort, `${here}.containerPort`),
      });
    }),
    volumeMounts: list(body.volumeMounts, `${at}.volumeMounts`).filter(isObject),
    resources: { cpuIdle, startupCpuBoost, limits: labels(resources.limits, `${at}.resources.limits`) },
  };
}

function readVariable(json: Json, at: string): EnvironmentVariable {
  const { name, value, valueFrom } = fields(json, at, ['name', 'value', 'valueFrom']);
  return defined({
    name: text(name, `${at}.name`),
    value: text(value, `${at}.value`),
    valueSource: isObject(valueFrom) ? valueFrom : undefined,
  });
}

function readProbe(json: Json | undefined, at: string): Probe | undefined {
  if (json === undefined || json === null) return undefined;
  const body = fields(json, at, [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'failureThreshold',
    'successThreshold',
    'httpGet',
    'tcpSocket',
    'grpc',
  ]);
  const times = defined({
    initialDelaySeconds: count(body.initialDelaySeconds, at),
    timeoutSeconds: count(body.timeoutSeconds, at),
    periodSeconds: count(body.periodSeconds, at),
    failureThreshold: count(body.failureThreshold, at),
  });
  if (isObject(body.grpc)) return { ...times, grpc: body.grpc };
  if (body.tcpSocket) {
    const { port } = fields(body.tcpSocket, `${at}.tcpSocket`, ['port', 'host']);
    return { ...times, tcpSocket: defined({ port: count(port, `${at}.tcpSocket.port`) }) };
  }
  if (!body.httpGet) return times;
  const { path, port, httpHeaders } = fields(body.httpGet, `${at}.httpGet`, [
    'path',
    'port',
    'httpHeaders',
    'host',
    'scheme',
  ]);
  const headers = list(httpHeaders, `${at}.httpGet.httpHeaders`)
    .filter(isObject)
    .map(({ name, value }) => ({ name: String(name ?? ''), value: String(value ?? '') }));
  return {
    ...times,
    httpGet: {
      ...defined({ path: text(path, `${at}.httpGet.path`), port: count(port, `${at}.httpGet.port`) }),
      ...(headers.length > 0 ? { httpHeaders: headers } : {}),
    },
  };
}

function readTarget(json: Json, at: string): TrafficTarget {
  const { revisionName, latestRevision, percent, tag } = fields(json, at, [
    'revisionName',
    'latestRevision',
    'percent',
    'tag',
    'url',
    'configurationName',
  ]);
  const revision = text(revisionName, `${at}.revisionName`);
  const latest = latestRevision === true || revision === undefined;
  return {
    type: latest ? LATEST : BY_REVISION,
    ...defined({
      revision: latest ? undefined : revision,
      percent: count(percent, `${at}.percent`),
      tag: text(tag, `${at}.tag`),
    }),
  };
}

function withoutTold(given: Labels): Labels {
  return Object.fromEntries(Object.entries(given).filter(([name]) => !TOLD_LABELS.test(name)));
}

/** An object with no other fields than these. Nothing counts as an empty one. */
function fields(json: unknown, at: string, known: readonly string[]): JsonObject {
  if (json === undefined || json === null) return {};
  if (!isObject(json)) throw invalid(`${at || 'body'}: must be an object.`, at);
  for (const name of Object.keys(json)) {
    if (known.includes(name)) continue;
    const where = at === '' ? '' : ` at '${at}'`;
    throw invalid(
      `Invalid JSON payload received. Unknown name "${name}"${where}: Cannot find field.`,
      at === '' ? name : at,
    );
  }
  return json;
}

function list(json: Json | undefined, at: string): Json[] {
  if (json === undefined || json === null) return [];
  if (!Array.isArray(json)) throw invalid(`${at}: must be a list.`, at);
  return json;
}

function text(json: Json | undefined, at: string): string | undefined {
  if (json === undefined || json === null || json === '') return undefined;
  if (typeof json !== 'string') throw invalid(`${at}: must be a string.`, at);
  return json;
}

function count(json: Json | undefined, at: string): number | undefined {
  if (json === undefined || json === null) return undefined;
  if (typeof json !== 'number' || !Number.isInteger(json))
    throw invalid(`${at}: must be a whole number.`, at);
  return json;
}

function labels(json: Json | undefined, at: string): Labels {
  if (json === undefined || json === null) return {};
  if (!isObject(json)) throw invalid(`${at}: must be an object.`, at);
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, String(value ?? '')]));
}
