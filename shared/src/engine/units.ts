/** From a hydrated architecture to the units of its graph. */
import type { Bucket, Module, Subscription, Topic } from '../model/architecture.ts';
import { type Duration, secondsOf } from '../model/fields.ts';
import { emailOf, type Grant, grantsOf, pushAccount } from '../model/grant.ts';
import { type Hydrated, type HydratedDataflow, type HydratedService, upperSnake } from '../model/hydrate.ts';
import { resolveTexts } from '../model/reference.ts';
import { rolloutSpec } from '../model/rollout.ts';
import { ACCOUNTS, type Owner, output, type Stage, type Unit, type UnitId, unitId } from '../model/unit.ts';

export interface UnitOptions {
  /** Twelve digits: the names of Google's own accounts hold it. */
  readonly projectNumber: string;
  /** By digest, for each service that is to be deployed; a service without one is left out. */
  readonly images?: Readonly<Record<string, string>>;
  /** What services find in SERVICE_DIRECTOR_URL. */
  readonly directorUrl?: string | undefined;
}

/** All units of one dataflow of the user's. Those that they need of other dataflows are in `unitsOf` these. */
export function unitsOf(architecture: Hydrated, dataflow: HydratedDataflow, options: UnitOptions): Unit[] {
  const build = builder(architecture, dataflow, options);
  const { topics, subscriptions, gcs_buckets } = dataflow.resources;
  const services = Object.values(dataflow.services);
  const grants = grantsOf(dataflow, architecture, options.projectNumber);
  const accounts = accountsOf(architecture, dataflow, grants);
  const units: Unit[] = [
    ...accounts.map((account) => build.account(account)),
    ...accounts.map((account) => build.actAs(account)),
    ...topics.map(build.topic),
    ...Object.entries(dataflow.modules).map(([name, module]) => build.module(name, module)),
    ...subscriptions.map(build.subscription),
    ...gcs_buckets.map(build.bucket),
    ...services.flatMap((service) => {
      const image = options.images?.[service.name];
      return image === undefined ? [] : [build.service(service, image, grants)];
    }),
    ...build.grants(grants),
  ];
  return withStages(units.filter((unit) => unit.kind !== 'service-account' || !unit.spec.name.includes('@')));
}

/**
 * The ids of the accounts that a dataflow has to do with: those that its services run as, and those that are granted
 * something in it, be they of other dataflows. Whoever comes first makes them. Addresses of accounts elsewhere stay as they are.
 */
function accountsOf(
  { director, project_id }: Hydrated,
  { services, resources }: HydratedDataflow,
  grants: readonly Grant[],
): string[] {
  const here = new RegExp(`^serviceAccount:([^@]+)@${project_id}\\.iam\\.gserviceaccount\\.com$`);
  const accounts = [
    ...Object.values(services).map(({ service_account }) => service_account),
    ...resources.subscriptions.flatMap(({ push }) => push?.service_account ?? []),
    ...grants.flatMap(({ member }) => here.exec(member)?.[1] ?? []),
  ];
  return [...new Set(accounts)].filter((account) => account !== director.service_account);
}

/** What stands on the first column of a stage stands on all that need it: stages follow the graph. */
export function withStages(units: readonly Unit[]): Unit[] {
  const byId = new Map(units.map((unit) => [unit.id, unit]));
  const stages = new Map<UnitId, Stage>();
  const stageOf = (id: UnitId): Stage => {
    const known = stages.get(id);
    if (known) return known;
    const unit = byId.get(id);
    if (!unit) return id.startsWith('service/') ? 'deploy' : 'setup';
    stages.set(id, unit.stage);
    const needsService = unit.needs.some((need) => stageOf(need) === 'deploy');
    const stage = needsService ? 'deploy' : unit.stage;
    stages.set(id, stage);
    return stage;
  };
  return units.map((unit) => ({ ...unit, stage: stageOf(unit.id) }));
}

/** Makes the units of one dataflow, kind by kind. */
export function builder(architecture: Hydrated, dataflow: HydratedDataflow, options: UnitOptions) {
  const { project_id: project, director } = architecture;
  const owner: Owner = { scope: architecture.scope, dataflow: dataflow.name };
  const isEphemeral = dataflow.lifecycle.strategy === 'ephemeral';

  const base = (kind: string, name: string, stage: Stage, isProtected = false) => ({
    id: unitId(kind, name),
    engine: 'gcp' as const,
    kind,
    owner,
    stage,
    ...protectionOf(isProtected, architecture.teardown_protection),
  });
  const labels = (own: Readonly<Record<string, string>>) => ({ ...architecture.labels, ...own });
  const accountNeed = (account: string): UnitId[] =>
    account.includes('@') ? [] : [unitId('service-account', account)];

  return {
    account(account: string): Unit {
      const spec = { name: account, displayName: account };
      return {
        ...base('service-account', account, 'identity'),
        owner: accountOwner(architecture),
        needs: [],
        spec,
      };
    },

    /** The director deploys as the account, and asks as it whether its grants are effective. */
    actAs(account: string): Unit {
      const member = `serviceAccount:${emailOf(director.service_account, project)}`;
      const on = unitId('service-account', account);
      const because = `${director.name} deploys as ${account}`;
      const asks = `${director.name} asks as ${account} whether its grants are effective`;
      return grantsUnit(on, [
        { on, role: 'roles/iam.serviceAccountUser', member, reason: because },
        { on, role: 'roles/iam.serviceAccountTokenCreator', member, reason: asks },
      ]);
    },

    topic(topic: Topic): Unit {
      return {
        ...base('topic', topic.name, 'setup', topic.teardown_protection),
        needs: [],
        spec: {
          name: topic.name,
          labels: labels(topic.labels),
          messageRetentionDuration: seconds(topic.message_retention_duration) ?? '',
        },
      };
    },

    subscription(subscription: Subscription): Unit {
      const { retry_policy: retry, dead_letter_policy: letters, push } = subscription;
      const topicPath = (name: string): string => `projects/${project}/topics/${name}`;
      return {
        ...base('subscription', subscription.name, 'setup', subscription.teardown_protection),
        needs: [
          unitId('topic', subscription.topic),
          ...(letters ? [unitId('topic', letters.dead_letter_topic)] : []),
          ...(push?.service === undefined ? [] : pushNeeds(subscription.name, push)),
        ],
        spec: {
          name: subscription.name,
          topic: topicPath(subscription.topic),
          labels: labels(subscription.labels),
          ackDeadlineSeconds: subscription.ack_deadline_seconds,
          messageRetentionDuration: seconds(subscription.message_retention_duration),
          expirationPolicy:
            subscription.expiration === 'never' ? {} : { ttl: seconds(subscription.expiration as Duration) },
          ...(retry
            ? {
                retryPolicy: {
                  minimumBackoff: seconds(retry.minimum_backoff),
                  maximumBackoff: seconds(retry.maximum_backoff),
                },
              }
            : {}),
          ...(letters
            ? {
                deadLetterPolicy: {
                  deadLetterTopic: topicPath(letters.dead_letter_topic),
                  maxDeliveryAttempts: letters.max_delivery_attempts,
                },
              }
            : {}),
          filter: subscription.filter ?? '',
          enableMessageOrdering: subscription.enable_message_ordering,
          enableExactlyOnceDelivery: subscription.enable_exactly_once_delivery,
          ...(push ? { pushConfig: pushConfig(subscription.name, push) } : {}),
        },
      };
    },

    bucket(bucket: Bucket): Unit {
      return {
        ...base('bucket', bucket.name, 'setup', bucket.teardown_protection),
        needs: [],
        spec: {
          name: bucket.name,
          location: (bucket.location ?? architecture.location).toUpperCase(),
          storageClass: bucket.storage_class,
          labels: labels(bucket.labels),
          versioning: bucket.versioning_enabled,
          lifecycle: bucket.lifecycle_rules.map(lifecycleRule),
          // What is ephemeral goes with its data; anything else keeps a bucket that is not empty.
          removeObjects: isEphemeral,
        },
      };
    },

    service(service: HydratedService, image: string, grants: readonly Grant[]): Unit {
      const { deployment, dependencies, service_account: account } = service;
      const email = emailOf(account, project);
      const urls = Object.fromEntries(
        dependencies
          .filter((name) => name !== director.name)
          .map((name) => [`${upperSnake(name)}_URL`, output(unitId('service', name), 'uri')]),
      );
      const directorUrl =
        options.directorUrl === undefined ? {} : { SERVICE_DIRECTOR_URL: options.directorUrl };
      const variables = resolveTexts(deployment.environment_vars, project);
      const healthPath = service.health_check?.path ?? '';
      // What the service finds on its start is there, and it may use it. A grant on another service waits for that one.
      const mine = grants.filter(
        ({ member, on }) => member === `serviceAccount:${email}` && !on.startsWith('service/'),
      );
      return {
        ...base('service', service.name, 'deploy'),
        needs: [
          ...accountNeed(account),
          unitId('grants', unitId('service-account', account)),
          ...new Set(mine.map(({ on }) => unitId('grants', on))),
          ...variables.needs,
        ],
        spec: {
          name: service.name,
          location: deployment.region,
          description: service.description ?? '',
          labels: labels(service.metadata),
          image,
          serviceAccount: email,
          env: { ...urls, ...directorUrl, ...Object(variables.value) },
          cpu: deployment.cpu,
          memory: deployment.memory,
          minInstances: deployment.min_instances,
          maxInstances: deployment.max_instances,
          port: service.health_check?.port ?? DEFAULT_PORT,
          healthPath,
          ...(deployment.rollout ? { rollout: rolloutSpec(deployment.rollout, healthPath) } : {}),
        },
      };
    },

    module(name: string, module: Module): Unit {
      const { engine, source, parallelism, workspace, depends_on } = module;
      const variables = resolveTexts(module.variables, project);
      return {
        ...base('module', name, 'setup', module.teardown_protection),
        engine,
        needs: [...new Set([...variables.needs, ...depends_on.map((other) => unitId('module', other))])],
        spec: {
          name,
          source,
          variables: variables.value,
          parallelism,
          ...(workspace === undefined ? {} : { workspace }),
        },
      };
    },

    /** One unit for each resource: all that is granted on it is written at once. */
    grants(grants: readonly Grant[]): Unit[] {
      const byResource = Map.groupBy(grants, ({ on }) => on);
      return [...byResource].flatMap(([on, list]) => (isLeftOut(on) ? [] : [grantsUnit(on, list)]));
    },
  };

  /** A service without an image is no unit, so nothing is granted on it. One of another dataflow is that one's to deploy. */
  function isLeftOut(on: UnitId): boolean {
    const [kind, name = ''] = splitOnce(on);
    if (kind !== 'service') return false;
    return dataflow.services[name] !== undefined && options.images?.[name] === undefined;
  }

  function grantsUnit(on: UnitId, list: readonly Grant[]): Unit {
    const accounts = list.flatMap(({ member }) => {
      const [, id, host] = /^serviceAccount:([^@]+)@(.+)$/.exec(member) ?? [];
      const isOurs = host === `${project}.iam.gserviceaccount.com` && id !== director.service_account;
      return isOurs && id !== undefined && on !== `service-account/${id}` ? [id] : [];
    });
    const isIdentity = on.startsWith('service-account/');
    const bindings = list.map(({ role, member, reason }) => ({ role, member, reason }));
    return {
      ...base('grants', on, isIdentity ? 'identity' : 'setup'),
      needs: [
        ...(isIdentity && on.includes('@') ? [] : [on]),
        ...new Set(accounts.map((account) => unitId('service-account', account))),
        // Whether a grant is effective is asked as its member.
        ...new Set(accounts.map((account) => unitId('grants', unitId('service-account', account)))),
      ],
      spec: { name: on, on: pathOf(on), bindings: unique(bindings) },
    };
  }

  function pathOf(on: UnitId): string {
    const [kind = '', name = ''] = splitOnce(on);
    switch (kind) {
      case 'topic':
        return `projects/${project}/topics/${name}`;
      case 'subscription':
        return `projects/${project}/subscriptions/${name}`;
      case 'bucket':
        return `buckets/${name}`;
      case 'service-account':
        return `projects/${project}/serviceAccounts/${emailOf(name, project)}`;
      case 'service':
        return `projects/${project}/locations/${regionOf(name)}/services/${name}`;
      default:
        throw new Error(`${on} has no path`);
    }
  }

  function regionOf(service: string): string {
    if (service === director.name) return director.deployment.region;
    const all = Object.values(architecture.dataflows);
    return (
      all.find(({ services }) => services[service])?.services[service]?.deployment.region ??
      architecture.region
    );
  }

  type Push = NonNullable<Subscription['push']>;

  function pushNeeds(name: string, push: Push): UnitId[] {
    const account = push.service_account ?? pushAccount(name);
    const service = push.service ?? '';
    return [
      ...accountNeed(account),
      unitId('grants', unitId('service-account', account)),
      unitId('service', service),
      unitId('grants', unitId('service', service)),
    ];
  }

  function pushConfig(name: string, push: Push): object {
    if (push.service === undefined) {
      const audience = push.audience ?? push.endpoint ?? '';
      const oidcToken = push.service_account && {
        serviceAccountEmail: emailOf(push.service_account, project),
        audience,
      };
      return { pushEndpoint: push.endpoint, ...(oidcToken ? { oidcToken } : {}) };
    }
    const uri = unitId('service', push.service);
    const path = push.path === '/' ? '' : push.path;
    return {
      pushEndpoint: output(uri, 'uri', { suffix: path }),
      oidcToken: {
        serviceAccountEmail: emailOf(push.service_account ?? pushAccount(name), project),
        audience: push.audience ?? output(uri, 'uri'),
      },
    };
  }
}

const DEFAULT_PORT = 8080;

/** Services of several dataflows may run as one account. */
function accountOwner({ scope }: Hydrated): Owner {
  return { scope, dataflow: ACCOUNTS };
}

function protectionOf(own: boolean, everything: boolean): { protection?: string } {
  if (own) return { protection: 'it has teardown_protection' };
  return everything ? { protection: 'the environment has teardown_protection' } : {};
}

function seconds(duration: Duration | undefined): string | undefined {
  return duration === undefined ? undefined : `${secondsOf(duration)}s`;
}

function lifecycleRule({ action, condition }: Bucket['lifecycle_rules'][number]): object {
  const google = {
    age: condition.age_in_days,
    createdBefore: condition.created_before,
    isLive: condition.is_live,
    numNewerVersions: condition.num_newer_versions,
    daysSinceNoncurrentTime: condition.days_since_noncurrent_time,
    matchesStorageClass: condition.matches_storage_class,
    matchesPrefix: condition.matches_prefix,
    matchesSuffix: condition.matches_suffix,
  };
  return {
    action: { type: action.type, ...(action.storage_class ? { storageClass: action.storage_class } : {}) },
    condition: Object.fromEntries(Object.entries(google).filter(([, value]) => value !== undefined)),
  };
}

/** The same grant for several reasons is one grant. */
function unique(bindings: readonly { role: string; member: string; reason: string }[]): object[] {
  const byName = new Map<string, { role: string; member: string; reason: string }>();
  for (const binding of bindings) {
    const key = `${binding.role} ${binding.member}`;
    const before = byName.get(key);
    byName.set(key, before ? { ...before, reason: `${before.reason}; ${binding.reason}` } : binding);
  }
  return [...byName.values()];
}

function splitOnce(id: UnitId): [string, string] {
  const at = id.indexOf('/');
  return [id.slice(0, at), id.slice(at + 1)];
}
