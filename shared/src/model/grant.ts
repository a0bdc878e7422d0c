/** Who gets which role on what, and because of which line of the architecture. */
import type { Bucket, ServiceMapping, Subscription, Topic } from './architecture.ts';
import { accountId, type Hydrated, type HydratedDataflow, type HydratedService } from './hydrate.ts';
import { type UnitId, unitId } from './unit.ts';

export interface Grant {
  /** The unit that the role is on. */
  readonly on: UnitId;
  readonly role: string;
  /** As in a policy: `serviceAccount:api@p.iam.gserviceaccount.com`. */
  readonly member: string;
  /** The link that implies it, as a clause: `api publishes to orders`. */
  readonly reason: string;
}

/** The whole address of an account that is given by its id, or already as an address. */
export function emailOf(account: string, project: string): string {
  return account.includes('@') ? account : `${account}@${project}.iam.gserviceaccount.com`;
}

/** The account that pushes of a subscription come from, where none is named. */
export function pushAccount(subscription: string): string {
  return accountId(subscription, '-push');
}

/** Google's own account that moves messages to dead letter topics and signs pushes. */
export function pubsubAgent(projectNumber: string): string {
  return `service-${projectNumber}@gcp-sa-pubsub.iam.gserviceaccount.com`;
}

/** What the links of one dataflow's resources and services imply, on the narrowest resource each. */
export function grantsOf(dataflow: HydratedDataflow, architecture: Hydrated, projectNumber: string): Grant[] {
  const members: Members = {
    account: (account) => `serviceAccount:${emailOf(account, architecture.project_id)}`,
    service: (service) => members.account(accountOf(architecture, service)),
    pubsubAgent: `serviceAccount:${pubsubAgent(projectNumber)}`,
  };
  const { topics, subscriptions, gcs_buckets } = dataflow.resources;
  return [
    ...topics.flatMap((topic) => grantsOfTopic(topic, members)),
    ...subscriptions.flatMap((subscription) => grantsOfSubscription(subscription, members)),
    ...gcs_buckets.flatMap((bucket) => grantsOfBucket(bucket, members)),
    ...Object.values(dataflow.services).flatMap((service) => grantsOfService(service, members)),
  ];
}

/** The members of policies that links lead to. */
interface Members {
  account(account: string): string;
  service(service: string): string;
  readonly pubsubAgent: string;
}

function grantsOfTopic(topic: Topic, members: Members): Grant[] {
  const on = unitId('topic', topic.name);
  const publisher = ['roles/pubsub.publisher', 'roles/pubsub.viewer'];
  return [
    ...link(on, topic.producer_service, publisher, `publishes to ${topic.name}`, members),
    ...policies(on, topic, members),
  ];
}

function grantsOfSubscription(subscription: Subscription, members: Members): Grant[] {
  const { name, topic, consumer_service, dead_letter_policy, push } = subscription;
  const on = unitId('subscription', name);
  const subscriber = ['roles/pubsub.subscriber', 'roles/pubsub.viewer'];
  const grants = [
    ...link(on, consumer_service, subscriber, `consumes ${name}`, members),
    ...link(unitId('topic', topic), consumer_service, ['roles/pubsub.viewer'], `consumes ${name}`, members),
    ...policies(on, subscription, members),
  ];
  if (dead_letter_policy) {
    const letters = dead_letter_policy.dead_letter_topic;
    const why = { member: members.pubsubAgent, reason: `${name} sends its dead letters to ${letters}` };
    grants.push({ on, role: 'roles/pubsub.subscriber', ...why });
    grants.push({ on: unitId('topic', letters), role: 'roles/pubsub.publisher', ...why });
  }
  if (push?.service !== undefined) {
    grants.push({
      on: unitId('service', push.service),
      role: 'roles/run.invoker',
      member: members.account(push.service_account ?? pushAccount(name)),
      reason: `${name} pushes to ${push.service}`,
    });
  }
  return grants;
}

function grantsOfBucket(bucket: Bucket, members: Members): Grant[] {
  const on = unitId('bucket', bucket.name);
  return [
    ...bucket.producers.flatMap((by) =>
      link(on, by, ['roles/storage.objectAdmin'], `writes to ${bucket.name}`, members),
    ),
    ...bucket.consumers.flatMap((by) =>
      link(on, by, ['roles/storage.objectViewer'], `reads ${bucket.name}`, members),
    ),
    ...policies(on, bucket, members),
  ];
}

function grantsOfService({ name, dependencies }: HydratedService, members: Members): Grant[] {
  return dependencies.map((dependency) => ({
    on: unitId('service', dependency),
    role: 'roles/run.invoker',
    member: members.service(name),
    reason: `${name} depends on ${dependency}`,
  }));
}

function link(
  on: UnitId,
  by: ServiceMapping | undefined,
  roles: readonly string[],
  does: string,
  members: Members,
): Grant[] {
  if (!by) return [];
  return roles.map((role) => ({ on, role, member: members.service(by.name), reason: `${by.name} ${does}` }));
}

function policies(
  on: UnitId,
  { name, iam_access_policy }: Topic | Subscription | Bucket,
  members: Members,
): Grant[] {
  return iam_access_policy.map((policy) => ({
    on,
    role: policy.role,
    member: policy.type === 'service' ? members.service(policy.name) : members.account(policy.name),
    reason: `iam_access_policy of ${name}`,
  }));
}

/** The account that a service runs as; the director is a service too. */
export function accountOf(architecture: Hydrated, service: string): string {
  if (service === architecture.director.name) return architecture.director.service_account;
  for (const { services } of Object.values(architecture.dataflows)) {
    const found = services[service];
    if (found) return found.service_account;
  }
  throw new Error(`No service ${service}`);
}
