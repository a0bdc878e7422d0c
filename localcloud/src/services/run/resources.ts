/**
 * Cloud Run's resources as they are kept: the JSON of google/cloud/run/v2, with the fields that the local
 * cloud acts on spelt out. Other fields are kept as they came; the frame checked them against the proto.
 */
import type { Code } from '../../error.ts';
import type { JsonObject } from '../../json.ts';

export type Labels = { [key: string]: string };

export type ServiceResource = {
  name?: string;
  description?: string;
  uid?: string;
  generation?: string;
  labels?: Labels;
  annotations?: Labels;
  createTime?: string;
  updateTime?: string;
  deleteTime?: string;
  expireTime?: string;
  creator?: string;
  lastModifier?: string;
  client?: string;
  clientVersion?: string;
  ingress?: string;
  launchStage?: string;
  template?: Template;
  traffic?: TrafficTarget[];
  scaling?: ServiceScaling;
  invokerIamDisabled?: boolean;
  defaultUriDisabled?: boolean;
  customAudiences?: string[];
  urls?: string[];
  observedGeneration?: string;
  terminalCondition?: Condition;
  conditions?: Condition[];
  latestReadyRevision?: string;
  latestCreatedRevision?: string;
  trafficStatuses?: TrafficStatus[];
  uri?: string;
  reconciling?: boolean;
  etag?: string;
};

export type Template = {
  revision?: string;
  labels?: Labels;
  annotations?: Labels;
  scaling?: { minInstanceCount?: number; maxInstanceCount?: number };
  vpcAccess?: JsonObject;
  timeout?: string;
  serviceAccount?: string;
  containers?: Container[];
  volumes?: JsonObject[];
  executionEnvironment?: string;
  maxInstanceRequestConcurrency?: number;
  sessionAffinity?: boolean;
  healthCheckDisabled?: boolean;
};

export type Container = {
  name?: string;
  image?: string;
  command?: string[];
  args?: string[];
  env?: EnvironmentVariable[];
  resources?: { limits?: Labels; cpuIdle?: boolean; startupCpuBoost?: boolean };
  ports?: { name?: string; containerPort?: number }[];
  volumeMounts?: JsonObject[];
  workingDir?: string;
  livenessProbe?: Probe;
  startupProbe?: Probe;
  readinessProbe?: Probe;
};

export type EnvironmentVariable = { name?: string; value?: string; valueSource?: JsonObject };

export type Probe = {
  initialDelaySeconds?: number;
  timeoutSeconds?: number;
  periodSeconds?: number;
  failureThreshold?: number;
  httpGet?: { path?: string; httpHeaders?: { name?: string; value?: string }[]; port?: number };
  tcpSocket?: { port?: number };
  grpc?: JsonObject;
};

export type ServiceScaling = {
  minInstanceCount?: number;
  scalingMode?: string;
  maxInstanceCount?: number;
  manualInstanceCount?: number;
};

export type TrafficTarget = { type?: string; revision?: string; percent?: number; tag?: string };
export type TrafficStatus = TrafficTarget & { uri?: string };

export type Condition = {
  type: string;
  state: 'CONDITION_PENDING' | 'CONDITION_RECONCILING' | 'CONDITION_FAILED' | 'CONDITION_SUCCEEDED';
  message?: string;
  lastTransitionTime: string;
  severity?: 'ERROR' | 'WARNING' | 'INFO';
  reason?: string;
  revisionReason?: string;
};

export type RevisionResource = {
  name: string;
  uid: string;
  generation: string;
  labels?: Labels;
  annotations?: Labels;
  createTime: string;
  updateTime: string;
  launchStage?: string;
  /** The short name of its service. */
  service: string;
  scaling?: { minInstanceCount?: number; maxInstanceCount?: number };
  vpcAccess?: JsonObject;
  maxInstanceRequestConcurrency?: number;
  timeout?: string;
  serviceAccount?: string;
  containers?: Container[];
  executionEnvironment?: string;
  sessionAffinity?: boolean;
  reconciling?: boolean;
  conditions: Condition[];
  observedGeneration?: string;
  logUri: string;
  creator: string;
  etag: string;
};

export const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
export const BY_REVISION = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';

/** A service as it is kept. */
export type ServiceRow = {
  service: ServiceResource;
  /** Where its front door listens. */
  port: number;
  /** Where the doors of its tags listen. */
  tagPorts: { [tag: string]: number };
};

/** A revision as it is kept. */
export type RevisionRow = {
  revision: RevisionResource;
  /** What it was made from, with defaults; its `revision` is left out. */
  template: Template;
  /** Undefined until it was pulled. */
  image?: PulledImage;
  ready: boolean;
  /** Why it never became ready. */
  failure?: Failure;
};

/** Why a service did not become ready. */
export interface Failure {
  /** Which half of it failed: making the revision, or sending traffic. */
  readonly half: 'ConfigurationsReady' | 'RoutesReady';
  /** Of the operation's error. */
  readonly code: Code;
  /** Without the revision's name. */
  readonly message: string;
  readonly reason: { readonly reason: string } | { readonly revisionReason: string };
}

export type PulledImage = {
  /** With its digest. */
  reference: string;
  digest: string;
  /** The OCI image configuration. */
  config: JsonObject;
};

/** The one container of a template that passed its checks. */
export function containerOf(template: Template): Container {
  const container = template.containers?.[0];
  if (!container) throw new Error('A template without a container was kept');
  return container;
}

/** `300s` → 300,000. */
export function milliseconds(duration: string): number {
  return Number(duration.replace(/s$/, '')) * 1000;
}
