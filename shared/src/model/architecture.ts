/**
 * The architecture document: what a user writes.
 *
 * The keys are those of the YAML, snake_case, so that what is read, hydrated and written out again is one form.
 * Schemas fill in defaults that do not depend on anything else; the rest is hydration.
 */
import { z } from 'zod';
import { BundleSource } from './bundle-source.ts';
import { isOfTheCall, passingOn } from './described-code.ts';
import { quote } from './diagnostic.ts';
import {
  ArchitectureName,
  BucketName,
  durationWithin,
  EnvironmentVariable,
  Labels,
  ProjectId,
  Region,
  RepositoryName,
  Role,
  ServiceAccountName,
  ServiceName,
  secondsOf,
  TopicName,
} from './fields.ts';
import { referencesOf } from './reference.ts';
import { Rollout } from './rollout.ts';
import { section } from './section.ts';

const LATER_RESOURCES = [
  'bigquery_datasets',
  'bigquery_tables',
  'firestore_databases',
  'firestore_collections',
  'cloud_scheduler_jobs',
  'secrets',
  'cloud_run_jobs',
  'alerts',
] as const;

/** How a service learns the name of a resource. */
const Lookup = section({
  /** The name of the environment variable, or the key in `resources.yaml`. */
  key: z.string().min(1).optional(),
  method: z
    .enum(['env', 'yaml'], {
      error: ({ input }) =>
        input === 'db'
          ? 'a lookup by "db" is not supported yet; use env or yaml'
          : 'a lookup is by env or by yaml',
    })
    .default('yaml'),
});

/** A link from a resource to a service. A bare name is short for `{name: …}`. */
const ServiceMapping = z.preprocess(
  (value) => (typeof value === 'string' ? { name: value } : value),
  section({ name: ServiceName, lookup: Lookup.prefault({}) }),
);
export type ServiceMapping = z.output<typeof ServiceMapping>;

const AccessPolicy = section({
  name: z.string().min(1).meta({ description: 'The service, or the service account, that gets the role' }),
  role: Role,
  type: z
    .enum(['service', 'service-account'])
    .default('service')
    .meta({ description: 'Whether `name` is a service of this architecture or a service account' }),
});

/** What every resource has. */
const resource = {
  description: z.string().optional().meta({ description: 'For people who read the file, or resources.yaml' }),
  labels: Labels.default({}),
  iam_access_policy: z.array(AccessPolicy).default([]),
  teardown_protection: z.boolean().default(false).meta({ description: 'Never deleted by us' }),
};

const NO_LIFECYCLE_RULES = { lifecycle_rules: 'only buckets have lifecycle rules' };

const Topic = section(
  {
    name: TopicName,
    ...resource,
    producer_service: ServiceMapping.optional(),
    message_retention_duration: durationWithin('10m', '31d').optional(),
  },
  { refused: NO_LIFECYCLE_RULES },
);
export type Topic = z.output<typeof Topic>;

const Push = section({
  service: ServiceName.optional().meta({ description: 'The Cloud Run service that gets the messages' }),
  path: z.string().startsWith('/').default('/').meta({ description: 'The path on that service' }),
  endpoint: z
    .url()
    .optional()
    .meta({ description: 'An URL outside this architecture, instead of `service`' }),
  service_account: ServiceAccountName.optional().meta({
    description: 'Who the messages come from; by default an account made for this subscription',
  }),
  audience: z.string().min(1).optional(),
}).refine((push) => (push.service === undefined) !== (push.endpoint === undefined), {
  error: 'a push goes either to a `service` or to an `endpoint`',
});

const Subscription = section(
  {
    name: TopicName,
    ...resource,
    topic: TopicName,
    consumer_service: ServiceMapping.optional(),
    ack_deadline_seconds: z
      .number({ error: 'ack_deadline_seconds is a whole number of seconds, 10 to 600' })
      .int()
      .min(10, { error: 'ack_deadline_seconds is at least 10' })
      .max(600, { error: 'ack_deadline_seconds is at most 600' })
      .default(10),
    message_retention_duration: durationWithin('10m', '31d').prefault('7d'),
    expiration: z
      .union([z.literal('never'), durationWithin('1d', '366d')])
      .default('never')
      .meta({ description: 'After how long without a consumer Google deletes it; `never`, or at least 1d' }),
    retry_policy: section({
      minimum_backoff: durationWithin('0s', '600s').prefault('10s'),
      maximum_backoff: durationWithin('0s', '600s').prefault('600s'),
    })
      .refine(({ minimum_backoff: least, maximum_backoff: most }) => secondsOf(least) <= secondsOf(most), {
        error: 'minimum_backoff is longer than maximum_backoff',
      })
      .optional(),
    dead_letter_policy: section({
      dead_letter_topic: TopicName,
      max_delivery_attempts: z
        .number()
        .int()
        .min(5, { error: 'max_delivery_attempts is at least 5' })
        .max(100, { error: 'max_delivery_attempts is at most 100' })
        .default(5),
    }).optional(),
    filter: z.string().min(1).max(256, { error: 'a filter has at most 256 characters' }).optional(),
    enable_message_ordering: z.boolean().default(false),
    enable_exactly_once_delivery: z.boolean().default(false),
    push: Push.optional(),
  },
  { refused: NO_LIFECYCLE_RULES },
).refine((subscription) => !(subscription.push && subscription.enable_exactly_once_delivery), {
  error: 'a push subscription cannot have exactly-once delivery',
  path: ['enable_exactly_once_delivery'],
});
export type Subscription = z.output<typeof Subscription>;

const STORAGE_CLASSES = ['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'] as const;
const StorageClass = z.preprocess(
  (value) => (typeof value === 'string' ? value.toUpperCase() : value),
  z.enum(STORAGE_CLASSES, { error: `a storage class is one of ${STORAGE_CLASSES.join(', ')}` }),
);

const LifecycleRule = section({
  action: section({
    type: z.enum(['Delete', 'SetStorageClass', 'AbortIncompleteMultipartUpload']),
    storage_class: StorageClass.optional(),
  }).refine((action) => (action.type === 'SetStorageClass') === (action.storage_class !== undefined), {
    error: 'SetStorageClass needs a storage_class, and nothing else takes one',
  }),
  condition: section({
    age_in_days: z.number().int().min(0).optional(),
    created_before: z.iso.date().optional(),
    is_live: z.boolean().optional(),
    num_newer_versions: z.number().int().min(0).optional(),
    days_since_noncurrent_time: z.number().int().min(0).optional(),
    matches_storage_class: z.array(StorageClass).optional(),
    matches_prefix: z.array(z.string()).optional(),
    matches_suffix: z.array(z.string()).optional(),
  }).refine((condition) => Object.keys(condition).length > 0, {
    error: 'a lifecycle rule needs a condition',
  }),
});

const Bucket = section({
  name: BucketName,
  ...resource,
  producers: z.array(ServiceMapping).default([]),
  consumers: z.array(ServiceMapping).default([]),
  location: z.string().min(2).optional().meta({ description: 'A region, or a multi-region such as US' }),
  storage_class: StorageClass.default('STANDARD'),
  versioning_enabled: z.boolean().default(false),
  lifecycle_rules: z.array(LifecycleRule).default([]),
});
export type Bucket = z.output<typeof Bucket>;

const Resources = section(
  {
    topics: z.array(Topic).default([]),
    subscriptions: z.array(Subscription).default([]),
    gcs_buckets: z.array(Bucket).default([]),
  },
  { later: LATER_RESOURCES },
);
export type Resources = z.output<typeof Resources>;

/** A text with references that can be read. */
const referring = (text: string, context: z.RefinementCtx): void => {
  try {
    referencesOf(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
};

const Cpu = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z.string().regex(/^(0\.\d+|[1-8](\.0)?|\d+m)$/, {
    error: 'cpu is 1, 2, 4, 6 or 8, or a part of one such as 0.5 or 500m',
  }),
);

const deployment = {
  source_path: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'The folder that is built, relative to the architecture.yaml' }),
  buildable_module_path: z
    .string()
    .min(1)
    .default('.')
    .meta({ description: 'The folder of the program inside source_path, e.g. in a workspace of several' }),
  config_templates: z
    .record(z.string().min(1), z.string().min(1))
    .default({})
    .meta({ description: 'Files copied into the build: from → to, relative to buildable_module_path' }),
  image: z.string().min(1).optional().meta({ description: 'A ready image instead of source_path' }),
  image_repo: RepositoryName.optional(),
  region: Region.optional(),
  platform: z
    .literal('managed', { error: 'the only platform is "managed": fully managed Cloud Run' })
    .default('managed'),
  cpu: Cpu.default('1'),
  memory: z
    .string()
    .regex(/^\d+(Mi|Gi)$/, { error: 'memory is written like 512Mi or 2Gi' })
    .default('512Mi'),
  min_instances: z.number().int().min(0).max(1_000).default(0),
  max_instances: z.number().int().min(1).max(1_000).default(100),
  environment_vars: z
    .record(
      EnvironmentVariable,
      z
        .union([z.string(), z.number(), z.boolean()], {
          error: 'an environment variable is a text, a number or a boolean',
        })
        .transform(String)
        .superRefine(referring),
    )
    .default({}),
};

const DEPLOYMENT_OPTIONS = {
  later: ['secret_environment_vars'],
  refused: { service_url: 'the URL comes out of a deployment; read it with conductor status' },
};

/** How requests come to a new revision; of the director itself all come at once. */
const rollout = Rollout.optional().meta({
  description: 'How requests come to a new revision: step by step, watched, and back if it is not well',
});

const Deployment = section({ ...deployment, rollout }, DEPLOYMENT_OPTIONS)
  .refine((spec) => (spec.source_path === undefined) !== (spec.image === undefined), {
    error: 'a deployment has either a source_path to build or an image',
  })
  .refine((spec) => spec.min_instances <= spec.max_instances, {
    error: 'min_instances is larger than max_instances',
    path: ['min_instances'],
  });
export type Deployment = z.output<typeof Deployment>;

const HealthCheck = section({
  port: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .meta({ description: 'The port that the container listens on' }),
  path: z
    .string()
    .startsWith('/')
    .optional()
    .meta({ description: 'Asked until it answers 2xx; by default only the port is tried' }),
});

/** What the director has as any service has it. */
const program = {
  description: z.string().max(512).optional(),
  health_check: HealthCheck.optional(),
  metadata: z
    .record(
      z.string(),
      z
        .union([z.string(), z.number(), z.boolean()], {
          error: 'metadata becomes labels of the service: text, numbers and booleans only',
        })
        .transform(String),
    )
    .pipe(Labels)
    .prefault({})
    .meta({ description: 'Becomes labels of the service' }),
};

const Service = section({
  name: ServiceName.optional(),
  ...program,
  service_account: ServiceAccountName,
  dependencies: z.array(ServiceName).default([]).meta({
    description: 'Services that this one calls: deployed first, invocable, their URLs in <NAME>_URL',
  }),
  deployment: Deployment,
});
export type Service = z.output<typeof Service>;

/** Of a director; several share the work through their state. */
const Instances = z
  .number()
  .int()
  .min(1, { error: 'a director is always there to take commands: it has one instance at least' })
  .max(100)
  .default(1);

/** A topic of the director's, and how a program of one's own finds its name. */
const DirectorTopic = z.preprocess(
  (value) => (typeof value === 'string' ? { name: value } : value),
  section({ name: TopicName, lookup: Lookup.prefault({}) }),
);

const ADDRESS = /^[^@\s:,]+@[a-z0-9-]+(\.[a-z0-9-]+)+$/i;
const DOMAIN = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i;

/** Who calls, as IAM writes it; the address of a person or a service account says by itself which it is. */
const Principal = z
  .string()
  .refine((value) => isPrincipal(value), {
    error: (issue) =>
      `${quote(issue.input)} is no principal; write ada@example.com, serviceAccount:ci@my-project.iam.gserviceaccount.com or domain:example.com`,
  })
  .meta({ description: 'An address, with or without `user:` or `serviceAccount:`; or `domain:example.com`' });

function isPrincipal(value: string): boolean {
  const [prefix, name] = value.includes(':') ? value.split(':', 2) : ['', value];
  const isAccount = name?.endsWith('gserviceaccount.com') === true;
  if (prefix === 'domain') return DOMAIN.test(value.slice('domain:'.length)) && !isAccount;
  if ((prefix === 'user' && isAccount) || (prefix === 'serviceAccount' && !isAccount)) return false;
  return /^(user|serviceAccount)?$/.test(prefix ?? '') && ADDRESS.test(value.replace(/^[a-z]+:/i, ''));
}

/** What somebody may do over HTTP; what each permits stands in `director/src/http/roles.ts`. */
export const ACCESS_ROLES = ['viewer', 'deployer', 'approver', 'admin'] as const;
export type AccessRole = (typeof ACCESS_ROLES)[number];

/** One role, for one principal, in some environments. */
export const AccessRule = section({
  principal: Principal,
  role: z.enum(ACCESS_ROLES, { error: `a role is one of ${ACCESS_ROLES.join(', ')}` }),
  environments: z
    .array(
      z.string().regex(/^[a-z0-9*-]{1,100}$/, {
        error: (issue) =>
          `${quote(issue.input)} is no environment; write its name (prod), or a scope with * for any letters (shop-*)`,
      }),
    )
    .min(1, { error: 'no environment at all gives nothing; leave it out for every one' })
    .optional()
    .meta({
      description: 'Names of environments, or scopes (`<architecture>-<environment>`) with `*`; default all',
    }),
  self_approval: z
    .boolean()
    .default(true)
    .meta({ description: 'false: whoever asked for a deployment cannot be the one who approves it' }),
}).refine(({ role, self_approval }) => self_approval || role === 'approver' || role === 'admin', {
  error: 'self_approval is of an approver or an admin: others approve nothing',
  path: ['self_approval'],
});
export type AccessRule = z.output<typeof AccessRule>;

/** The director itself. Everything has a default. */
const director = {
  name: ServiceName.default('service-director'),
  ...program,
  service_account: ServiceAccountName.optional(),
  deployment: section(
    { ...deployment, min_instances: Instances, max_instances: Instances },
    DEPLOYMENT_OPTIONS,
  )
    .refine((spec) => spec.min_instances <= spec.max_instances, {
      error: 'min_instances is larger than max_instances',
      path: ['min_instances'],
    })
    .prefault({}),
  topic_prefix: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,40}$/, { error: 'a topic prefix is lower-case letters, digits and hyphens' })
    .optional()
    .meta({
      description: 'Put before the names of the command and event topics, for several directors in a project',
    }),
  command_topic: DirectorTopic.optional().meta({
    description: 'A topic with commands of the older form {"instruction", "payload"}',
  }),
  completion_topic: DirectorTopic.optional().meta({
    description: 'Where commands of the older form are answered',
  }),
  allowed_callers: z
    .array(z.email({ error: 'allowed_callers are addresses of people or service accounts' }))
    .default([])
    .meta({
      description: 'Who may call the director over HTTP, and do everything there, beside whoever deploys it',
    }),
  access: z
    .array(AccessRule)
    .max(200, { error: 'access has at most 200 rules: Cloud Run takes no longer variable' })
    .optional()
    .meta({ description: 'Who else may call it, in which role, in which environments' }),
  teardown_protection: z.boolean().default(false),
};

const Director = section(director, {
  refused: { dependencies: 'the director calls no service; services may depend on it' },
})
  .refine((spec) => (spec.command_topic === undefined) === (spec.completion_topic === undefined), {
    error: 'command_topic and completion_topic belong together',
  })
  .refine(({ deployment: { image = '@' } }) => image.includes('@'), {
    error: 'the image of a director is named with its digest, NAME@sha256:…; without an image it is built',
    path: ['deployment', 'image'],
  });
export type Director = z.output<typeof Director>;

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
const Json: z.ZodType<Json> = z.lazy(() =>
  z.union([
    z.string().superRefine(referring),
    z.number(),
    z.boolean(),
    z.null(),
    z.array(Json),
    z.record(z.string(), Json),
  ]),
);

/** Infrastructure code of another tool, as one unit of the graph. */
const Module = section({
  engine: z.enum(['terraform']).default('terraform'),
  description: z.string().max(512).optional(),
  source: z.union([z.string().min(1), BundleSource]).meta({
    description: 'The folder with the code, relative to the architecture.yaml; or where it comes from',
  }),
  variables: z
    .record(
      z.string().regex(/^[A-Za-z_][\w-]*$/, { error: 'a variable is named with letters, digits, _ and -' }),
      Json,
    )
    .default({})
    .meta({
      description: 'May refer to what other units come to: a dollar sign, then {module.network.address}',
    }),
  depends_on: z.array(ServiceName).default([]).meta({ description: 'Modules that are made before this one' }),
  parallelism: z.number().int().min(1).max(100).default(10),
  workspace: z
    .string()
    .regex(/^[A-Za-z0-9][\w-]{0,89}$/)
    .optional(),
  teardown_protection: z.boolean().default(false).meta({ description: 'Never destroyed by us' }),
}).transform((module, context) => {
  const { source, variables } = module;
  if (typeof source === 'string' || !('module' in source)) return module;
  for (const name of Object.keys(variables).filter(isOfTheCall))
    context.addIssue({
      code: 'custom',
      path: ['variables', name],
      message: `"${name}" is no variable of a module: the call itself has that name`,
    });
  return { ...module, source: passingOn(source, Object.keys(variables)) };
});
export type Module = z.output<typeof Module>;

const Lifecycle = section({
  strategy: z
    .enum(['permanent', 'ephemeral'])
    .default('permanent')
    .meta({ description: 'Whether a teardown removes it' }),
  keep_resources_on_test: z
    .boolean()
    .default(false)
    .meta({ description: 'A teardown of a test run keeps the resources' }),
});

export const Dataflow = section({
  name: ArchitectureName.optional(),
  description: z.string().optional(),
  lifecycle: Lifecycle.prefault({}),
  services: z.record(ServiceName, Service).default({}),
  resources: Resources.prefault({}),
  modules: z.record(ServiceName, Module).default({}),
});
export type Dataflow = z.output<typeof Dataflow>;

/** Whether somebody has to approve a plan before it is applied. */
const ApprovalGate = z.enum(['automatic', 'manual']);
export type ApprovalGate = z.output<typeof ApprovalGate>;

const environment = {
  project_id: ProjectId,
  region: Region,
  location: z
    .string()
    .min(2)
    .optional()
    .meta({ description: 'Where data lives by default; the region if not given' }),
  labels: Labels.default({}),
  teardown_protection: z.boolean().default(false).meta({ description: 'Protects everything' }),
  approval: ApprovalGate.optional().meta({
    description:
      'Whether somebody has to approve a plan before it is applied; by default only in an environment called production, prod or prd',
  }),
};

/** What a chosen environment puts in the place of the architecture's own. */
const DeploymentEnvironment = section({
  name: ArchitectureName.optional(),
  project_id: ProjectId.optional(),
  region: Region.optional(),
  location: z.string().min(2).optional(),
  labels: Labels.optional(),
  teardown_protection: z.boolean().optional(),
  approval: ApprovalGate.optional(),
});

export const Architecture = section({
  name: ArchitectureName,
  ...environment,
  director: Director.prefault({}),
  dataflows: z.record(ArchitectureName, Dataflow).default({}),
  deployment_environments: z.record(ArchitectureName, DeploymentEnvironment).default({}),
}).meta({ title: 'Service Director architecture' });
export type Architecture = z.output<typeof Architecture>;
