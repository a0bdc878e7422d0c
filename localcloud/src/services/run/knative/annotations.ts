/** What the v1 API says in annotations, and v2 in fields. */
import { GoogleError, invalid } from '../../../error.ts';
import type { Json } from '../../../json.ts';
import type { Labels, ServiceResource, Template } from '../resources.ts';

const RUN = 'run.googleapis.com';
const AUTOSCALING = 'autoscaling.knative.dev';

const INGRESS: Readonly<Record<string, string>> = {
  all: 'INGRESS_TRAFFIC_ALL',
  internal: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
  'internal-and-cloud-load-balancing': 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
  none: 'INGRESS_TRAFFIC_NONE',
};
const ENVIRONMENTS: Readonly<Record<string, string>> = {
  gen1: 'EXECUTION_ENVIRONMENT_GEN1',
  gen2: 'EXECUTION_ENVIRONMENT_GEN2',
};
const EGRESS: Readonly<Record<string, string>> = {
  'all-traffic': 'ALL_TRAFFIC',
  'private-ranges-only': 'PRIVATE_RANGES_ONLY',
};

/** What only Google says, or says again elsewhere: sent back by clients, and not read. */
const TOLD =
  /^(serving\.knative\.dev\/(creator|lastModifier)|run\.googleapis\.com\/(operation-id|ingress-status|urls|client-name|client-version|build-.*)|client\.knative\.dev\/.*)$/;
const RESERVED =
  /^([\w-]+\.)*(run\.googleapis\.com|cloud\.googleapis\.com|serving\.knative\.dev|autoscaling\.knative\.dev)\//;

/** Takes annotations one by one; what is left in the end was not understood. */
interface Taker {
  text(name: string): string | undefined;
  count(name: string): number | undefined;
  flag(name: string): boolean | undefined;
  from(name: string, values: Readonly<Record<string, string>>): string | undefined;
  list(name: string): Json[] | undefined;
  /** The caller's own. Refuses reserved ones that nothing took. */
  rest(): Labels;
}

/** The service's fields that its annotations mean. */
export function readServiceAnnotations(annotations: Labels): ServiceResource {
  const take = taker(annotations);
  const clientName = annotations[`${RUN}/client-name`];
  const clientVersion = annotations[`${RUN}/client-version`];
  const scaling = defined({
    minInstanceCount: take.count(`${RUN}/minScale`),
    maxInstanceCount: take.count(`${RUN}/maxScale`),
    manualInstanceCount: take.count(`${RUN}/manualInstanceCount`),
    scalingMode: take.from(`${RUN}/scalingMode`, { automatic: 'AUTOMATIC', manual: 'MANUAL' }),
  });
  const fields = {
    ingress: take.from(`${RUN}/ingress`, INGRESS),
    description: take.text(`${RUN}/description`),
    launchStage: take.text(`${RUN}/launch-stage`),
    invokerIamDisabled: take.flag(`${RUN}/invoker-iam-disabled`),
    defaultUriDisabled: take.flag(`${RUN}/default-url-disabled`),
    customAudiences: take.list(`${RUN}/custom-audiences`)?.map(String),
    client: clientName,
    clientVersion,
    scaling: Object.keys(scaling).length > 0 ? scaling : undefined,
  };
  return defined({ ...fields, annotations: take.rest() });
}

export function writeServiceAnnotations(service: ServiceResource): Labels {
  const { scaling = {}, urls, ingress = '' } = service;
  return texts({
    ...service.annotations,
    [`${RUN}/ingress`]: keyOf(INGRESS, ingress),
    [`${RUN}/ingress-status`]: keyOf(INGRESS, ingress),
    [`${RUN}/description`]: service.description,
    [`${RUN}/launch-stage`]: service.launchStage === 'GA' ? undefined : service.launchStage,
    [`${RUN}/invoker-iam-disabled`]: service.invokerIamDisabled,
    [`${RUN}/default-url-disabled`]: service.defaultUriDisabled,
    [`${RUN}/custom-audiences`]: service.customAudiences && JSON.stringify(service.customAudiences),
    [`${RUN}/minScale`]: scaling.minInstanceCount,
    [`${RUN}/maxScale`]: scaling.maxInstanceCount,
    [`${RUN}/manualInstanceCount`]: scaling.manualInstanceCount,
    [`${RUN}/scalingMode`]: scaling.scalingMode?.toLowerCase(),
    [`${RUN}/client-name`]: service.client,
    [`${RUN}/client-version`]: service.clientVersion,
    [`${RUN}/urls`]: urls && JSON.stringify(urls),
    'serving.knative.dev/creator': service.creator,
    'serving.knative.dev/lastModifier': service.lastModifier,
  });
}

/** The template's fields that its annotations mean, and those that go to the container's resources. */
export function readTemplateAnnotations(annotations: Labels): {
  template: Template;
  resources: { cpuIdle: boolean; startupCpuBoost: boolean };
} {
  const take = taker(annotations);
  const scaling = defined({
    minInstanceCount: take.count(`${AUTOSCALING}/minScale`),
    maxInstanceCount: take.count(`${AUTOSCALING}/maxScale`),
  });
  const vpcAccess = defined({
    connector: take.text(`${RUN}/vpc-access-connector`),
    egress: take.from(`${RUN}/vpc-access-egress`, EGRESS),
    networkInterfaces: take.list(`${RUN}/network-interfaces`),
  });
  const resources = {
    cpuIdle: take.flag(`${RUN}/cpu-throttling`) ?? true,
    startupCpuBoost: take.flag(`${RUN}/startup-cpu-boost`) ?? false,
  };
  const fields = {
    scaling: Object.keys(scaling).length > 0 ? scaling : undefined,
    vpcAccess: Object.keys(vpcAccess).length > 0 ? vpcAccess : undefined,
    executionEnvironment: take.from(`${RUN}/execution-environment`, ENVIRONMENTS),
    sessionAffinity: take.flag(`${RUN}/sessionAffinity`),
    healthCheckDisabled: take.flag(`${RUN}/health-check-disabled`),
  };
  return { resources, template: defined({ ...fields, annotations: take.rest() }) };
}

export function writeTemplateAnnotations(template: Template): Labels {
  const { scaling = {}, vpcAccess = {}, containers = [] } = template;
  const resources = containers[0]?.resources ?? {};
  return texts({
    ...template.annotations,
    [`${AUTOSCALING}/minScale`]: scaling.minInstanceCount,
    [`${AUTOSCALING}/maxScale`]: scaling.maxInstanceCount,
    [`${RUN}/vpc-access-connector`]: vpcAccess.connector,
    [`${RUN}/vpc-access-egress`]: keyOf(EGRESS, String(vpcAccess.egress ?? '')),
    [`${RUN}/network-interfaces`]: vpcAccess.networkInterfaces && JSON.stringify(vpcAccess.networkInterfaces),
    [`${RUN}/execution-environment`]: keyOf(ENVIRONMENTS, template.executionEnvironment ?? ''),
    [`${RUN}/sessionAffinity`]: template.sessionAffinity,
    [`${RUN}/health-check-disabled`]: template.healthCheckDisabled,
    [`${RUN}/cpu-throttling`]: resources.cpuIdle === true ? undefined : 'false',
    [`${RUN}/startup-cpu-boost`]: resources.startupCpuBoost,
  });
}

function taker(annotations: Labels): Taker {
  const left = new Map(Object.entries(annotations));
  const text = (name: string): string | undefined => {
    const value = left.get(name);
    left.delete(name);
    return value === '' ? undefined : value;
  };
  const bad = (name: string, value: string): GoogleError =>
    invalid(`metadata.annotations[${name}]: invalid value '${value}'.`, 'metadata.annotations');
  return {
    text,
    count(name) {
      const value = text(name);
      if (value === undefined || value === 'default') return undefined;
      if (!/^\d+$/.test(value)) throw bad(name, value);
      return Number(value);
    },
    flag(name) {
      const value = text(name)?.toLowerCase();
      if (value === undefined) return undefined;
      if (value !== 'true' && value !== 'false') throw bad(name, value);
      return value === 'true';
    },
    from(name, values) {
      const value = text(name);
      if (value === undefined) return undefined;
      const meant = values[value];
      if (meant === undefined) throw bad(name, value);
      return meant;
    },
    list(name) {
      const value = text(name);
      if (value === undefined) return undefined;
      try {
        const json: unknown = JSON.parse(value);
        if (Array.isArray(json)) return json;
      } catch {
        // Refused below.
      }
      throw bad(name, value);
    },
    rest() {
      const own: Labels = {};
      for (const [name, value] of left) {
        if (TOLD.test(name)) continue;
        if (RESERVED.test(name) && value !== '' && value !== '{}') {
          throw new GoogleError(
            'UNIMPLEMENTED',
            `metadata.annotations: '${name}' is not supported by the local cloud.`,
          );
        }
        if (!RESERVED.test(name)) own[name] = value;
      }
      return own;
    },
  };
}

function keyOf(values: Readonly<Record<string, string>>, value: string): string | undefined {
  return Object.entries(values).find(([, meant]) => meant === value)?.[0];
}

/** Without what is undefined. */
export function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const told = Object.entries(object).filter(([, value]) => value !== undefined);
  return Object.fromEntries(told) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function texts(values: Readonly<Record<string, Json | undefined>>): Labels {
  const told = Object.entries(values).filter(([, value]) => value !== undefined && value !== false);
  return Object.fromEntries(told.map(([name, value]) => [name, String(value)]));
}
