/**
 * A Cloud Run service.
 *
 * REST reference: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
 */
import type { run_v2 } from 'googleapis/build/src/apis/run/v2.js';
import { z } from 'zod';
import { CloudError, found } from '../cloud/error.ts';
import { compare } from '../model/change.ts';
import { RolloutSpec } from '../model/rollout.ts';
import { defineKind } from './kind.ts';
import { labelsOf, labelsOver, ownerOfLabels, withoutSystemLabels } from './mark.ts';
import { lookAtNewest } from './service/look.ts';
import {
  ALL_TO_LATEST,
  hasPrevious,
  makesRevision,
  NEXT,
  percentOfLatest,
  REJECTED,
  standOf,
  tagOfLatest,
  trafficOf,
} from './service/traffic.ts';

const ServiceSpec = z.strictObject({
  name: z.string(),
  location: z.string(),
  description: z.string(),
  labels: z.record(z.string(), z.string()),
  /** By digest. */
  image: z.string(),
  /** Address of the account it runs as. */
  serviceAccount: z.string(),
  env: z.record(z.string(), z.string()),
  cpu: z.string(),
  memory: z.string(),
  minInstances: z.number(),
  maxInstances: z.number(),
  /** What the container listens on. */
  port: z.number(),
  /** Asked by HTTP until it answers; empty: the port alone is tried. */
  healthPath: z.string(),
  /** How requests come to a new revision; by default all at once. */
  rollout: RolloutSpec.optional(),
  /** So many percent of them come to the newest. Said only of the steps in between. */
  traffic: z.number().default(100),
  /** Under which the newest is reached by itself meanwhile. */
  tag: z.enum([NEXT, REJECTED]).default(NEXT),
});
type ServiceSpec = z.output<typeof ServiceSpec>;

type Live = run_v2.Schema$GoogleCloudRunV2Service;

/** How long the API may hold a question for the end of an operation. */
const WAIT = '25s';

export const service = defineKind({
  kind: 'service',
  api: 'run.googleapis.com',
  spec: ServiceSpec,
  permissions: {
    observe: ['run.services.get'],
    apply: ['run.services.create', 'run.services.update', 'iam.serviceAccounts.actAs'],
    remove: ['run.services.delete'],
  },
  takes: { create: 20, update: 15, remove: 5 },

  path: ({ name, location }, { project }) => `projects/${project}/locations/${location}/services/${name}`,

  async observe(path, cloud) {
    const run = await cloud.run();
    return (await found(run.projects.locations.services.get({ name: path })))?.data;
  },

  owner: (live) => ownerOfLabels(live.labels),

  busy: (live) => (live.reconciling ? 'Cloud Run is still working on an earlier change' : undefined),

  compare(spec, live, owner) {
    const [container] = live.template?.containers ?? [];
    const scaling = live.template?.scaling;
    return compare({
      description: [spec.description, live.description],
      labels: [labelsOf(spec.labels, owner), withoutSystemLabels(live.labels)],
      image: [spec.image, container?.image],
      env: [spec.env, envOf(container)],
      limits: [limitsOf(spec), container?.resources?.limits],
      cpuIdle: [isCpuIdle(spec), container?.resources?.cpuIdle],
      port: [spec.port, container?.ports?.[0]?.containerPort ?? DEFAULT_PORT],
      healthPath: [spec.healthPath, container?.startupProbe?.httpGet?.path],
      serviceAccount: [spec.serviceAccount, live.template?.serviceAccount],
      minInstances: [spec.minInstances, scaling?.minInstanceCount],
      maxInstances: [spec.maxInstances, scaling?.maxInstanceCount],
      // Traffic that was sent elsewhere by hand holds back what is deployed.
      traffic: [spec.traffic, percentOfLatest(live)],
      // Blue and green: the old one stays until it is released, or the next is deployed.
      previous: [spec.rollout?.keepsOld || spec.traffic < 100 ? undefined : false, hasPrevious(live)],
      tag: [spec.traffic < 100 ? spec.tag : undefined, tagOfLatest(live)],
      // What equals its description and yet does not serve is deployed once more.
      ready: [true, live.terminalCondition?.state === 'CONDITION_SUCCEEDED'],
    });
  },

  async create(path, spec, { cloud, owner }) {
    const run = await cloud.run();
    const { data } = await run.projects.locations.services.create({
      parent: path.replace(/\/services\/.*/, ''),
      serviceId: spec.name,
      requestBody: { ...bodyOf(spec, labelsOf(spec.labels, owner)), traffic: ALL_TO_LATEST },
    });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async update(path, spec, { cloud, owner, fields, live }) {
    const run = await cloud.run();
    const body = bodyOf(spec, labelsOver(live.labels, spec.labels, owner));
    // An equal template makes no new revision to try again with: an annotation makes it differ.
    const retry = fields.includes('ready') ? { annotations: { [RETRY_OF]: live.generation ?? '0' } } : {};
    const { data } = await run.projects.locations.services.patch({
      name: path,
      // A template that is left alone makes no revision, whatever was done to it to try it again.
      updateMask: `description,labels,traffic${makesRevision(fields) ? ',template' : ''}`,
      requestBody: {
        ...body,
        template: { ...body.template, ...retry },
        traffic: trafficOf(spec, live, fields),
        ...(live.etag ? { etag: live.etag } : {}),
      },
    });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async remove(path, { cloud }) {
    const run = await cloud.run();
    const { data } = await run.projects.locations.services.delete({ name: path });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async poll(operation, cloud) {
    const run = await cloud.run();
    const { data } = await run.projects.locations.operations.wait({
      name: operation,
      requestBody: { timeout: WAIT },
    });
    if (data.error) return failureOf(data);
    return data.done ? 'done' : 'running';
  },

  gradual: {
    rollout: ({ rollout }) => rollout,
    at: (spec, traffic, verdict): ServiceSpec => ({ ...spec, traffic, tag: verdict ?? NEXT }),
    isNew: makesRevision,
    stand: standOf,
    look: lookAtNewest,
  },

  outputs: (live, path) => ({
    name: path.split('/').at(-1) ?? '',
    uri: live.uri ?? '',
    revision: live.latestReadyRevision?.split('/').at(-1) ?? '',
    image: live.template?.containers?.[0]?.image ?? '',
  }),
});

const DEFAULT_PORT = 8080;
/** The generation whose deployment failed and is tried again. */
const RETRY_OF = 'service-director/retry-of';

function bodyOf(spec: ServiceSpec, labels: Record<string, string>): Live {
  return {
    description: spec.description,
    labels,
    template: templateOf(spec),
  };
}

/** Asked so often that a start is noticed soon, and so long that a slow one is not given up: two minutes. */
const PROBE = { periodSeconds: 3, failureThreshold: 40, timeoutSeconds: 2 };

function templateOf(spec: ServiceSpec): run_v2.Schema$GoogleCloudRunV2RevisionTemplate {
  return {
    serviceAccount: spec.serviceAccount,
    scaling: { minInstanceCount: spec.minInstances, maxInstanceCount: spec.maxInstances },
    containers: [
      {
        image: spec.image,
        env: Object.entries(spec.env).map(([name, value]) => ({ name, value })),
        ports: [{ containerPort: spec.port }],
        resources: { limits: limitsOf(spec), cpuIdle: isCpuIdle(spec), startupCpuBoost: true },
        ...(spec.healthPath === '' ? {} : { startupProbe: { ...PROBE, httpGet: { path: spec.healthPath } } }),
      },
    ],
  };
}

/** Why an operation failed. That a container does not start, its own words tell best. */
function failureOf({ error, metadata }: run_v2.Schema$GoogleLongrunningOperation): CloudError {
  const known = CloudError.from(error);
  const name = String(metadata?.name ?? '')
    .split('/')
    .at(-1);
  if (known.reason !== 'precondition' || !name) return known;
  return new CloudError(known.reason, known.message, { fix: `see conductor logs ${name}`, cause: error });
}

function envOf(container: run_v2.Schema$GoogleCloudRunV2Container | undefined): Record<string, string> {
  return Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name ?? '', value ?? '']));
}

function limitsOf({ cpu, memory }: ServiceSpec): Record<string, string> {
  return { cpu, memory };
}

/** Whether there is CPU only during requests. Instances that are kept get it always, as Google demands: they may be pulling. */
function isCpuIdle({ minInstances }: ServiceSpec): boolean {
  return minInstances === 0;
}
