/** What a director stands on: made by the conductor, with the same walk that the director runs. */
import { emailOf } from '../model/grant.ts';
import { accountId, type Hydrated, type HydratedService } from '../model/hydrate.ts';
import { type Owner, type Unit, type UnitId, unitId } from '../model/unit.ts';
import { builder, withStages } from './units.ts';

export interface InfrastructureOptions {
  readonly projectNumber: string;
  /** By digest; without it the director's service is left out. */
  readonly directorImage?: string | undefined;
  /** More that the director finds in its environment; DIRECTOR_STATE in it says where its state is. */
  readonly directorEnv?: Readonly<Record<string, string>>;
}

/** All units of the director's own infrastructure: APIs, accounts, build inputs, topics, the database of its state, and the director itself. */
export function infrastructureUnits(architecture: Hydrated, options: InfrastructureOptions): Unit[] {
  const { project_id: project, director } = architecture;
  const owner: Owner = { scope: director.name, dataflow: director.infrastructure };
  const dataflow = architecture.dataflows[director.infrastructure];
  if (!dataflow) throw new Error('The architecture is not hydrated');
  // Several architectures may share a director: what it stands on belongs to it, not to one of them.
  const isProtected = director.teardown_protection || architecture.teardown_protection;
  const build = builder(
    { ...architecture, scope: director.name, labels: {}, teardown_protection: isProtected },
    dataflow,
    options,
  );
  const names = infrastructureNames(architecture);
  const whose = director.teardown_protection ? 'director' : 'environment';
  const protection = isProtected ? { protection: `the ${whose} has teardown_protection` } : {};
  const unit = (
    kind: string,
    name: string,
    stage: Unit['stage'],
    needs: readonly UnitId[],
    spec: object,
  ): Unit => ({
    id: unitId(kind, name),
    engine: 'gcp',
    kind,
    owner,
    stage,
    needs,
    spec: { name, ...spec },
    ...protection,
  });
  const enabled = [unitId('apis', director.name)];
  const directorMember = `serviceAccount:${emailOf(director.service_account, project)}`;
  const builderMember = `serviceAccount:${emailOf(names.builder, project)}`;
  const binding = (role: string, member: string, reason: string) => ({ role, member, reason });
  const repositories = repositoriesOf(architecture);
  const database = databaseOf(directorState(architecture, options));
  const accounts = [director.service_account, names.builder].filter((account) => !account.includes('@'));
  const accountNeeds = accounts.map((account) => unitId('service-account', account));

  const units: Unit[] = [
    unit('apis', director.name, 'identity', [], { services: apisOf(database) }),
    ...accounts.map((account) =>
      unit('service-account', account, 'identity', enabled, { displayName: account }),
    ),
    unit('grants', `project/${project}`, 'identity', accountNeeds, {
      on: `projects/${project}`,
      bindings: [
        ...directorRoles(architecture, database).map(({ role, reason }) =>
          binding(role, directorMember, reason),
        ),
        binding('roles/logging.logWriter', builderMember, 'builds write logs'),
      ],
    }),
    unit('bucket', names.staging, 'setup', enabled, {
      location: architecture.location.toUpperCase(),
      storageClass: 'STANDARD',
      labels: {},
      versioning: false,
      lifecycle: [{ action: { type: 'Delete' }, condition: { age: 7 } }],
      removeObjects: true,
    }),
    unit('grants', `bucket/${names.staging}`, 'setup', [unitId('bucket', names.staging), ...accountNeeds], {
      on: `buckets/${names.staging}`,
      bindings: [binding('roles/storage.objectViewer', builderMember, 'builds read their source')],
    }),
    ...repositories.flatMap(({ location, name }) => {
      const id = `${location}/${name}`;
      const path = `projects/${project}/locations/${location}/repositories/${name}`;
      return [
        unit('repository', id, 'setup', enabled, {
          name,
          location,
          description: `Images deployed by ${director.name}`,
          labels: {},
        }),
        unit('grants', `repository/${id}`, 'setup', [unitId('repository', id), ...accountNeeds], {
          on: path,
          bindings: [
            binding('roles/artifactregistry.writer', builderMember, 'builds push their images'),
            binding('roles/artifactregistry.reader', directorMember, `${director.name} deploys the images`),
          ],
        }),
      ];
    }),
    ...dataflow.resources.topics.map((topic) => withNeeds(build.topic(topic), enabled)),
    ...dataflow.resources.subscriptions.map((subscription) =>
      withNeeds(build.subscription(subscription), enabled),
    ),
    ...build.grants(topicGrants(architecture)).map((grants) => withNeeds(grants, accountNeeds)),
    ...(database === undefined
      ? []
      : [unit('firestore-database', database, 'deploy', enabled, databaseSpec(database, architecture))]),
    ...directorService(architecture, options, database, unit),
  ];
  return withStages(units);
}

export interface InfrastructureNames {
  /** The id of the account that builds run as. */
  readonly builder: string;
  /** The bucket for sources on their way into a build. */
  readonly staging: string;
}

export function infrastructureNames({ project_id, director }: Hydrated): InfrastructureNames {
  return {
    builder: accountId(director.name, '-build'),
    staging: `${project_id}-${director.name}`.slice(0, 63).replace(/-+$/, ''),
  };
}

/** Where images go: each repository that a service, or the director, names. */
export function repositoriesOf({ dataflows, director }: Hydrated): { location: string; name: string }[] {
  const deployments = [
    director,
    ...Object.values(dataflows).flatMap(({ services }) => Object.values(services)),
  ].map(({ deployment }) => deployment);
  const named = deployments.map(({ region, image_repo }) => ({ location: region, name: image_repo }));
  return [
    ...new Map(named.map((repository) => [`${repository.location}/${repository.name}`, repository])).values(),
  ];
}

/** Addresses of the services that depend on the director: they ask it over HTTP. */
function dependantsOf({ dataflows, director, project_id }: Hydrated): string[] {
  return Object.values(dataflows)
    .flatMap(({ services }) => Object.values(services))
    .filter(({ dependencies }) => dependencies.includes(director.name))
    .map(({ service_account }) => emailOf(service_account, project_id));
}

/**
 * Where the director keeps its state, as it is told in DIRECTOR_STATE: `firestore:<database>`, `sqlite:<path>`. By
 * default a database of its own, for the disk of a Cloud Run instance ends with the instance.
 */
function directorState(
  { director }: Hydrated,
  { directorEnv = {} }: Pick<InfrastructureOptions, 'directorEnv'>,
): string {
  const asked = director.deployment.environment_vars.DIRECTOR_STATE ?? directorEnv.DIRECTOR_STATE;
  return asked ?? `firestore:${databaseId(director.name)}`;
}

/** Google wants four characters at least. Two directors that meet in one database have each a part of their own in it. */
function databaseId(directorName: string): string {
  return directorName.length < 4 ? `${directorName}-state` : directorName;
}

/** The Firestore database that the state is in; undefined when it is elsewhere. */
function databaseOf(state: string): string | undefined {
  return /^firestore:(.+)$/.exec(state)?.[1];
}

/** One that somebody named is made where it is missing, and its settings are theirs. */
function databaseSpec(database: string, { director }: Hydrated): object {
  const isOwn = database === databaseId(director.name);
  return { location: director.deployment.region, ...(isOwn ? { deleteProtection: true } : {}) };
}

/** What the whole of the product calls in this project. */
function apisOf(database: string | undefined): string[] {
  return [
    'artifactregistry.googleapis.com',
    'cloudbuild.googleapis.com',
    'cloudresourcemanager.googleapis.com',
    ...(database === undefined ? [] : ['firestore.googleapis.com']),
    'iam.googleapis.com',
    'iamcredentials.googleapis.com',
    'logging.googleapis.com',
    'pubsub.googleapis.com',
    'run.googleapis.com',
    'storage.googleapis.com',
  ];
}

/** The roles that a director takes on the project, by what there is to do. */
function directorRoles(
  { dataflows }: Hydrated,
  database: string | undefined,
): { role: string; reason: string }[] {
  const flows = Object.values(dataflows);
  const has = (test: (flow: (typeof flows)[number]) => boolean): boolean => flows.some(test);
  const roles = [{ role: 'roles/browser', reason: 'it reads the number of the project' }];
  if (has(({ resources }) => resources.topics.length + resources.subscriptions.length > 0)) {
    roles.push({ role: 'roles/pubsub.admin', reason: 'it makes topics and subscriptions' });
  }
  if (has(({ resources }) => resources.gcs_buckets.length > 0)) {
    roles.push({ role: 'roles/storage.admin', reason: 'it makes buckets' });
  }
  if (has(({ services }) => Object.keys(services).length > 0)) {
    roles.push({ role: 'roles/run.admin', reason: 'it deploys services' });
  }
  if (has(({ services }) => Object.values(services).some(isWatchedByErrors))) {
    roles.push({ role: 'roles/logging.viewer', reason: 'it counts the errors of new revisions' });
  }
  if (has(({ services, resources }) => Object.keys(services).length > 0 || resources.topics.length > 0)) {
    roles.push({
      role: 'roles/iam.serviceAccountAdmin',
      reason: 'it makes the accounts that services run as',
    });
  }
  if (database !== undefined) {
    roles.push({ role: 'roles/datastore.user', reason: `it keeps its state in the database ${database}` });
  }
  return roles;
}

function isWatchedByErrors({ deployment: { rollout } }: HydratedService): boolean {
  return rollout?.check.max_error_percent !== undefined;
}

function topicGrants({
  director,
  project_id,
}: Hydrated): Parameters<ReturnType<typeof builder>['grants']>[0] {
  const member = `serviceAccount:${emailOf(director.service_account, project_id)}`;
  const { topics, command_topic, completion_topic } = director;
  const commands = [...Object.values(topics.commands), ...(command_topic ? [command_topic.name] : [])];
  const answers = [topics.events, topics.deadLetters, ...(completion_topic ? [completion_topic.name] : [])];
  return [
    ...commands.map((name) => ({
      on: unitId('subscription', `${name}-sub`),
      role: 'roles/pubsub.subscriber',
      member,
      reason: `${director.name} takes commands from ${name}`,
    })),
    ...answers.map((name) => ({
      on: unitId('topic', name),
      role: 'roles/pubsub.publisher',
      member,
      reason: `${director.name} answers on ${name}`,
    })),
  ];
}

function withNeeds(unit: Unit, needs: readonly UnitId[]): Unit {
  return { ...unit, needs: [...new Set([...unit.needs, ...needs])] };
}

type MakeUnit = (
  kind: string,
  name: string,
  stage: Unit['stage'],
  needs: readonly UnitId[],
  spec: object,
) => Unit;

function directorService(
  architecture: Hydrated,
  options: InfrastructureOptions,
  database: string | undefined,
  unit: MakeUnit,
): Unit[] {
  const { director, project_id: project, region } = architecture;
  const { directorImage, directorEnv = {} } = options;
  if (directorImage === undefined) return [];
  const { deployment, command_topic, completion_topic, topic_prefix, service_account: account } = director;
  // Architectures that were kept before there were roles have no rules.
  const rules = director.access ?? [];
  const callers = [...new Set(director.allowed_callers)];
  const allowed = [...callers, ...dependantsOf(architecture)];
  const invited = [...new Set([...callers, ...rules.map(({ principal }) => principal)].map(memberOf))];
  const env = {
    PROJECT_ID: project,
    REGION: region,
    DIRECTOR_NAME: director.name,
    DIRECTOR_ACCOUNT: account,
    DIRECTOR_ALLOWED: allowed.join(','),
    ...(rules.length > 0 ? { DIRECTOR_ROLES: JSON.stringify(rules) } : {}),
    DIRECTOR_STATE: directorState(architecture, options),
    // Its service is private: whoever gets through was let in by Cloud Run.
    DIRECTOR_FRONT_END: 'cloud-run',
    ...(topic_prefix === undefined ? {} : { DIRECTOR_TOPIC_PREFIX: topic_prefix }),
    ...(command_topic ? { DIRECTOR_LEGACY_COMMAND_TOPIC: command_topic.name } : {}),
    ...(completion_topic ? { DIRECTOR_LEGACY_COMPLETION_TOPIC: completion_topic.name } : {}),
    ...directorEnv,
    ...deployment.environment_vars,
  };
  const id = unitId('service', director.name);
  const repository = `${deployment.region}/${deployment.image_repo}`;
  const needs = [
    unitId('service-account', account),
    unitId('grants', `project/${project}`),
    unitId('grants', `repository/${repository}`),
    ...topicGrants(architecture).map(({ on }) => unitId('grants', on)),
    ...(database === undefined ? [] : [unitId('firestore-database', database)]),
  ];
  const service = unit('service', director.name, 'deploy', account.includes('@') ? needs.slice(1) : needs, {
    location: deployment.region,
    description: director.description ?? 'The Service Director of this project',
    labels: director.metadata,
    image: directorImage,
    serviceAccount: emailOf(account, project),
    env,
    cpu: deployment.cpu,
    memory: deployment.memory,
    minInstances: deployment.min_instances,
    maxInstances: deployment.max_instances,
    port: director.health_check?.port ?? 8080,
    healthPath: director.health_check?.path ?? '/health',
  });
  // Services that depend on it are granted that with their dataflow.
  if (invited.length === 0) return [service];
  const path = `projects/${project}/locations/${deployment.region}/services/${director.name}`;
  const bindings = invited.map((member) => ({
    role: 'roles/run.invoker',
    member,
    reason: 'it may call the director',
  }));
  return [service, unit('grants', id, 'deploy', [id], { on: path, bindings })];
}

/** As IAM writes it. */
function memberOf(principal: string): string {
  if (principal.includes(':')) return principal;
  return principal.endsWith('gserviceaccount.com') ? `serviceAccount:${principal}` : `user:${principal}`;
}
