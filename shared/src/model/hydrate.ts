/**
 * Hydration: from what a user wrote to the whole of what it means.
 *
 * Pure. Applies the chosen environment, fills in what depends on other parts, adds the director's own
 * infrastructure, and tells each service what it may want to know. Reads and writes no file.
 */
import type {
  ApprovalGate,
  Architecture,
  Dataflow,
  Deployment,
  Director,
  Resources,
  Service,
  ServiceMapping,
} from './architecture.ts';

export interface HydrateOptions {
  /** One of `deployment_environments`. */
  readonly environment?: string | undefined;
}

export interface Hydrated {
  readonly name: string;
  /** The environment that was chosen. */
  readonly environment?: string;
  /** The architecture's name, with the environment where one was chosen: what its stacks begin with. */
  readonly scope: string;
  readonly project_id: string;
  readonly region: string;
  /** Where data lives by default. */
  readonly location: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly teardown_protection: boolean;
  /** Whether somebody has to approve a plan before it is applied. */
  readonly approval: ApprovalGate;
  readonly director: HydratedDirector;
  readonly dataflows: Readonly<Record<string, HydratedDataflow>>;
}

export interface HydratedDirector extends Omit<Director, 'deployment' | 'service_account'> {
  readonly service_account: string;
  readonly deployment: HydratedDeployment;
  /** Full names, prefix included. */
  readonly topics: DirectorTopics;
  /** The dataflow of its own infrastructure. */
  readonly infrastructure: string;
}

/** The commands that come by Pub/Sub, each on a topic of its own. */
export const COMMAND_TOPICS = [
  'dataflow-setup',
  'deploy',
  'teardown',
  'rollback',
  'approve',
  'cancel',
] as const;
export type CommandTopic = (typeof COMMAND_TOPICS)[number];

export interface DirectorTopics {
  readonly commands: Readonly<Record<CommandTopic, string>>;
  readonly events: string;
  /** Where commands go that no director can read. */
  readonly deadLetters: string;
}

export interface HydratedDataflow extends Omit<Dataflow, 'services' | 'name'> {
  readonly name: string;
  readonly services: Readonly<Record<string, HydratedService>>;
}

export interface HydratedService extends Omit<Service, 'deployment' | 'name'> {
  readonly name: string;
  readonly deployment: HydratedDeployment;
}

export interface HydratedDeployment extends Deployment {
  readonly region: string;
  readonly image_repo: string;
  /** Without tag or digest where it is built here: `us-central1-docker.pkg.dev/p/repo/name`. */
  readonly image: string;
}

export class UnknownEnvironment extends Error {}

export function hydrate(architecture: Architecture, { environment }: HydrateOptions = {}): Hydrated {
  const chosen = chooseEnvironment(architecture, environment);
  const base = {
    name: architecture.name,
    ...(environment === undefined ? {} : { environment }),
    scope: environment === undefined ? architecture.name : `${architecture.name}-${environment}`,
    project_id: chosen.project_id ?? architecture.project_id,
    region: chosen.region ?? architecture.region,
    labels: { ...architecture.labels, ...chosen.labels },
    teardown_protection: chosen.teardown_protection ?? architecture.teardown_protection,
    approval: chosen.approval ?? architecture.approval ?? approvalOf(environment),
  };
  const location = chosen.location ?? architecture.location ?? base.region;
  const director = hydrateDirector(architecture, base);

  const dataflows: Record<string, HydratedDataflow> = {};
  for (const [name, dataflow] of Object.entries(architecture.dataflows)) {
    const services = Object.entries(dataflow.services).map(([service, spec]) => {
      const environment_vars = {
        PROJECT_ID: base.project_id,
        SERVICE_NAME: service,
        DATAFLOW_NAME: name,
        ...lookups(architecture.dataflows, service),
        ...spec.deployment.environment_vars,
      };
      const deployment = hydrateDeployment(
        { ...spec.deployment, environment_vars },
        service,
        director.name,
        base,
      );
      return [service, { ...spec, name: service, deployment }] as const;
    });
    dataflows[name] = {
      ...dataflow,
      name,
      services: Object.fromEntries(services),
      // What directors of the first release kept knows of none.
      modules: dataflow.modules ?? {},
      resources: {
        ...dataflow.resources,
        gcs_buckets: dataflow.resources.gcs_buckets.map((bucket) => ({
          ...bucket,
          location: bucket.location ?? location,
        })),
      },
    };
  }
  dataflows[director.infrastructure] = infrastructureOf(director);
  return { ...base, location, director, dataflows };
}

/** Production is approved by somebody unless it is said otherwise. */
function approvalOf(environment: string | undefined): ApprovalGate {
  return environment !== undefined && /^(production|prod|prd)$/.test(environment) ? 'manual' : 'automatic';
}

function chooseEnvironment(
  architecture: Architecture,
  name: string | undefined,
): Architecture['deployment_environments'][string] {
  if (name === undefined) return {};
  const chosen = architecture.deployment_environments[name];
  if (chosen) return chosen;
  const known = Object.keys(architecture.deployment_environments);
  const has = known.length > 0 ? `it has: ${known.join(', ')}` : 'it has none; add deployment_environments';
  throw new UnknownEnvironment(`The architecture has no environment "${name}"; ${has}.`);
}

interface Place {
  readonly project_id: string;
  readonly region: string;
}

function hydrateDirector({ director, dataflows }: Architecture, place: Place): HydratedDirector {
  const { name, deployment } = director;
  const own = { infrastructure: `${name}-infra`, topics: directorTopics(director.topic_prefix) };
  const all = { ...dataflows, [own.infrastructure]: infrastructureOf({ ...director, ...own }) };
  const environment_vars = { ...lookups(all, name), ...deployment.environment_vars };
  return {
    ...director,
    ...own,
    service_account: director.service_account ?? accountId(name),
    deployment: hydrateDeployment({ ...deployment, environment_vars }, name, name, place),
  };
}

/** The names of a director's topics; the prefix tells several directors of a project apart. */
export function directorTopics(prefix: string | undefined): DirectorTopics {
  const named = (name: string): string => (prefix === undefined ? name : `${prefix}-${name}`);
  return {
    commands: Object.fromEntries(COMMAND_TOPICS.map((topic) => [topic, named(topic)])) as Record<
      CommandTopic,
      string
    >,
    events: named('director-events'),
    deadLetters: named('director-dead-letters'),
  };
}

function hydrateDeployment(
  deployment: Deployment,
  service: string,
  repository: string,
  place: Place,
): HydratedDeployment {
  const region = deployment.region ?? place.region;
  const image_repo = deployment.image_repo ?? repository;
  const image = deployment.image ?? `${region}-docker.pkg.dev/${place.project_id}/${image_repo}/${service}`;
  return { ...deployment, region, image_repo, image };
}

type Listener = Pick<
  HydratedDirector,
  'name' | 'topics' | 'command_topic' | 'completion_topic' | 'infrastructure'
>;

/** The topics and subscriptions that the director listens and speaks on. */
function infrastructureOf(director: Listener): HydratedDataflow {
  const { topics, name, command_topic, completion_topic } = director;
  const itself = (lookup: ServiceMapping['lookup'] = { method: 'yaml' }): ServiceMapping => ({
    name,
    lookup,
  });
  const topic = (id: string, producer?: ServiceMapping): Resources['topics'][number] => ({
    name: id,
    labels: {},
    iam_access_policy: [],
    teardown_protection: false,
    ...(producer ? { producer_service: producer } : {}),
  });
  const older = (spec: Listener['command_topic']): Resources['topics'] =>
    spec ? [topic(spec.name, itself(spec.lookup))] : [];
  const commands = [...Object.values(topics.commands), ...(command_topic ? [command_topic.name] : [])];
  return {
    name: director.infrastructure,
    description: `The topics of ${name}`,
    lifecycle: { strategy: 'permanent', keep_resources_on_test: false },
    services: {},
    modules: {},
    resources: {
      topics: [
        ...Object.values(topics.commands).map((id) => topic(id)),
        ...older(command_topic),
        topic(topics.events, itself()),
        ...older(completion_topic),
        topic(topics.deadLetters, itself()),
      ],
      subscriptions: [
        ...commands.map((id) => pullSubscription(id, itself())),
        pullSubscription(topics.deadLetters),
      ],
      gcs_buckets: [],
    },
  };
}

/** Waiting never burns delivery attempts, so none has dead letters of Google's own. */
function pullSubscription(topic: string, consumer?: ServiceMapping): Resources['subscriptions'][number] {
  return {
    name: `${topic}-sub`,
    topic,
    ...(consumer ? { consumer_service: consumer } : {}),
    labels: {},
    iam_access_policy: [],
    teardown_protection: false,
    ack_deadline_seconds: 60,
    message_retention_duration: '7d' as Resources['subscriptions'][number]['message_retention_duration'],
    expiration: 'never',
    enable_message_ordering: false,
    enable_exactly_once_delivery: false,
  };
}

/** A legal account id that follows from any name. */
export function accountId(name: string, suffix = ''): string {
  const id = `${name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^[^a-z]+/, '')}`.slice(0, 30 - suffix.length);
  return `${id.replace(/-+$/, '')}${suffix}`.padEnd(6, '0');
}

/** The environment variables that links by `env` give a service: the names of its resources in any dataflow. */
function lookups(
  dataflows: Readonly<Record<string, { readonly resources: Resources }>>,
  service: string,
): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const { mapping, resource, suffix } of Object.values(dataflows).flatMap(({ resources }) =>
    linksOf(resources),
  )) {
    if (mapping.name !== service || mapping.lookup.method !== 'env') continue;
    variables[mapping.lookup.key ?? `${upperSnake(resource)}_${suffix}`] = resource;
  }
  return variables;
}

/**
 * What a service finds in its `resources.yaml`: the resources that it is linked with by `yaml`, in the form in which
 * they were written, over all dataflows. Undefined when there are none.
 */
export function resourcesFileOf(
  dataflows: Readonly<Record<string, { readonly resources: Resources }>>,
  service: string,
): object | undefined {
  const mine = (mapping: ServiceMapping | undefined): boolean =>
    mapping?.name === service && mapping.lookup.method === 'yaml';
  const all = Object.values(dataflows);
  const file = {
    topics: all.flatMap(({ resources }) => resources.topics.filter((topic) => mine(topic.producer_service))),
    subscriptions: all.flatMap(({ resources }) =>
      resources.subscriptions.filter((item) => mine(item.consumer_service)),
    ),
    gcs_buckets: all.flatMap(({ resources }) =>
      resources.gcs_buckets.flatMap((bucket) => {
        const producers = bucket.producers.filter(mine);
        const consumers = bucket.consumers.filter(mine);
        return producers.length + consumers.length > 0 ? [{ ...bucket, producers, consumers }] : [];
      }),
    ),
  };
  const filled = Object.entries(file).filter(([, items]) => items.length > 0);
  return filled.length > 0 ? Object.fromEntries(filled) : undefined;
}

interface Link {
  readonly mapping: ServiceMapping;
  readonly resource: string;
  /** What the name of the variable ends with. */
  readonly suffix: string;
}

function linksOf({ topics, subscriptions, gcs_buckets }: Resources): Link[] {
  const link = (mapping: ServiceMapping | undefined, resource: string, suffix: string): Link[] =>
    mapping ? [{ mapping, resource, suffix }] : [];
  return [
    ...topics.flatMap((topic) => link(topic.producer_service, topic.name, 'TOPIC_ID')),
    ...subscriptions.flatMap((item) => link(item.consumer_service, item.name, 'SUB_ID')),
    ...gcs_buckets.flatMap((bucket) => [
      ...bucket.producers.flatMap((mapping) => link(mapping, bucket.name, 'WRITE_BUCKET')),
      ...bucket.consumers.flatMap((mapping) => link(mapping, bucket.name, 'READ_BUCKET')),
    ]),
  ];
}

export function upperSnake(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]+/g, '_');
}
