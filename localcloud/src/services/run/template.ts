/** Revision templates: what is refused, and what Cloud Run fills in. */
import { GoogleError, invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { checkAnnotations, checkLabels } from './labels.ts';
import { readLimits } from './limits.ts';
import { checkProbe, defaultStartupProbe } from './probes.ts';
import { type Container, type EnvironmentVariable, milliseconds, type Template } from './resources.ts';

const UNSUPPORTED_IN_TEMPLATE = [
  'volumes',
  'encryptionKey',
  'encryptionKeyRevocationAction',
  'encryptionKeyShutdownDuration',
  'serviceMesh',
  'nodeSelector',
  'gpuZonalRedundancyDisabled',
];
const UNSUPPORTED_IN_CONTAINER = ['sourceCode', 'volumeMounts', 'dependsOn', 'baseImageUri'];
const RESERVED_VARIABLES = new Set(['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION']);
const LONGEST_VARIABLE = 32_768;

/** The template with defaults. `at` is where it stands in the request. */
export function completeTemplate(
  template: Template | undefined,
  defaultAccount: string,
  at: string,
): Template {
  if (!template) throw invalid(`${at}: is required.`, at);
  refuse(template, UNSUPPORTED_IN_TEMPLATE, at);
  checkLabels(template.labels, `${at}.labels`);
  checkAnnotations(template.annotations, `${at}.annotations`);
  const timeout = template.timeout ?? '300s';
  if (milliseconds(timeout) < 1_000 || milliseconds(timeout) > 3_600_000)
    throw invalid(`${at}.timeout: must be between 1s and 3600s, is ${timeout}.`, `${at}.timeout`);
  const container = completeContainer(onlyContainer(template, at), `${at}.containers[0]`);
  return {
    ...withoutEmpty(template),
    scaling: completeScaling(template.scaling, `${at}.scaling`),
    timeout,
    serviceAccount: template.serviceAccount || defaultAccount,
    containers: [container],
    maxInstanceRequestConcurrency: concurrency(template, container, at),
  };
}

/** Refuses fields that would be accepted and do nothing. */
export function refuse(message: JsonObject, names: readonly string[], at: string): void {
  for (const name of names) {
    const value = message[name];
    const empty =
      value === undefined ||
      value === '' ||
      value === false ||
      (Array.isArray(value) && value.length === 0) ||
      (isObject(value) && Object.keys(value).length === 0);
    if (!empty) throw new GoogleError('UNIMPLEMENTED', `${at}.${name} is not supported by the local cloud.`);
  }
}

function onlyContainer(template: Template, at: string): Container {
  const [container, ...others] = template.containers ?? [];
  if (!container) throw invalid(`${at}.containers: must have exactly one container with a port.`, at);
  if (others.length === 0) return container;
  const serving = template.containers?.filter(({ ports = [] }) => ports.length > 0) ?? [];
  if (serving.length !== 1)
    throw invalid(`${at}.containers: exactly one container must have a port, ${serving.length} have.`, at);
  throw new GoogleError('UNIMPLEMENTED', `${at}.containers: sidecars are not supported by the local cloud.`);
}

function completeContainer(container: Container, at: string): Container {
  refuse(container, UNSUPPORTED_IN_CONTAINER, at);
  if (!container.image) throw invalid(`${at}.image: is required.`, `${at}.image`);
  const port = completePort(container, at);
  checkVariables(container.env ?? [], `${at}.env`);
  const startupProbe = container.startupProbe ?? defaultStartupProbe(port.containerPort);
  checkProbe(startupProbe, 'startup', `${at}.startupProbe`);
  if (container.livenessProbe) checkProbe(container.livenessProbe, 'liveness', `${at}.livenessProbe`);
  if (container.readinessProbe) checkProbe(container.readinessProbe, 'readiness', `${at}.readinessProbe`);
  const { limits = {}, ...resources } = container.resources ?? { cpuIdle: true };
  return {
    ...withoutEmpty(container),
    ...(container.env ? { env: container.env.map(({ name = '', value = '' }) => ({ name, value })) } : {}),
    resources: { ...withoutEmpty(resources), limits: { cpu: '1000m', memory: '512Mi', ...limits } },
    ports: [port],
    startupProbe,
  };
}

/** Without the fields that say nothing, so that two templates that mean the same are the same. */
function withoutEmpty<T extends object>(message: T): T {
  const told = Object.entries(message).filter(
    ([, value]) =>
      value !== undefined && value !== '' && value !== false && value !== 0 && !isEmptyList(value),
  );
  return Object.fromEntries(told) as T;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function completePort({ ports = [] }: Container, at: string): { name: string; containerPort: number } {
  if (ports.length > 1) throw invalid(`${at}.ports: only a single port can be specified.`, `${at}.ports`);
  const { name = 'http1', containerPort = 8080 } = ports[0] ?? {};
  if (containerPort < 1 || containerPort > 65_535)
    throw invalid(`${at}.ports[0].containerPort: must be between 1 and 65535.`, `${at}.ports`);
  if (name === 'h2c')
    throw new GoogleError('UNIMPLEMENTED', `${at}.ports[0].name: h2c is not supported by the local cloud.`);
  if (name !== 'http1' && name !== '')
    throw invalid(`${at}.ports[0].name: must be 'http1' or 'h2c', is '${name}'.`, `${at}.ports`);
  return { name: 'http1', containerPort };
}

function checkVariables(variables: readonly EnvironmentVariable[], at: string): void {
  const reserved = variables.flatMap(({ name = '' }) => (RESERVED_VARIABLES.has(name) ? [name] : []));
  if (reserved.length > 0) {
    throw invalid(
      `${at}: The following reserved env names were provided: ${reserved.join(', ')}. These values are automatically set by the system.`,
      at,
    );
  }
  for (const [index, { name = '', value = '', valueSource }] of variables.entries()) {
    const here = `${at}[${index}]`;
    if (name === '' || name.includes('=') || name.includes('\0') || name.length > LONGEST_VARIABLE)
      throw invalid(`${here}.name: invalid name of an environment variable: '${name.slice(0, 80)}'.`, here);
    if (Buffer.byteLength(value) > LONGEST_VARIABLE || value.includes('\0'))
      throw invalid(`${here}.value: must not exceed ${LONGEST_VARIABLE} bytes.`, here);
    if (valueSource) {
      throw new GoogleError(
        'UNIMPLEMENTED',
        `${here}.valueSource: secrets are not supported by the local cloud, which has no Secret Manager yet. Give '${name}' a value.`,
      );
    }
  }
}

function completeScaling(scaling: Template['scaling'], at: string): NonNullable<Template['scaling']> {
  const { minInstanceCount = 0, maxInstanceCount = 0 } = scaling ?? {};
  if (minInstanceCount < 0 || maxInstanceCount < 0) throw invalid(`${at}: counts must not be negative.`, at);
  if (maxInstanceCount > 0 && minInstanceCount > maxInstanceCount)
    throw invalid(`${at}: minInstanceCount must not be greater than maxInstanceCount.`, at);
  return { ...(minInstanceCount > 0 ? { minInstanceCount } : {}), maxInstanceCount: maxInstanceCount || 100 };
}

function concurrency(template: Template, container: Container, at: string): number {
  const where = `${at}.containers[0].resources.limits`;
  const { cpu } = readLimits(container.resources?.limits ?? {}, where);
  const asked = template.maxInstanceRequestConcurrency ?? 0;
  if (asked < 0 || asked > 1000)
    throw invalid(`${at}.maxInstanceRequestConcurrency: must be between 1 and 1000, is ${asked}.`, at);
  if (cpu >= 1) return asked || 80;
  const invalidCpu = `${where}.cpu: Invalid value specified for cpu. Total cpu < 1 is not supported with`;
  if (asked > 1) throw invalid(`${invalidCpu} concurrency > 1.`, where);
  if (container.resources?.cpuIdle !== true) throw invalid(`${invalidCpu} cpu always allocated.`, where);
  return 1;
}
