/**
 * A Pub/Sub subscription: what a consumer pulls from, or what is pushed to a service.
 *
 * REST reference: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
 */
import type { pubsub_v1 } from 'googleapis/build/src/apis/pubsub/v1.js';
import { z } from 'zod';
import { found } from '../cloud/error.ts';
import { type Change, compare } from '../model/change.ts';
import { defineKind } from './kind.ts';
import { labelsOf, labelsOver, ownerOfLabels, withoutSystemLabels } from './mark.ts';

const SubscriptionSpec = z.strictObject({
  name: z.string(),
  /** Full name. */
  topic: z.string(),
  labels: z.record(z.string(), z.string()),
  ackDeadlineSeconds: z.number(),
  messageRetentionDuration: z.string(),
  /** Without a time to live it never expires. */
  expirationPolicy: z.strictObject({ ttl: z.string().exactOptional() }),
  retryPolicy: z.strictObject({ minimumBackoff: z.string(), maximumBackoff: z.string() }).exactOptional(),
  deadLetterPolicy: z
    .strictObject({ deadLetterTopic: z.string(), maxDeliveryAttempts: z.number() })
    .exactOptional(),
  filter: z.string(),
  enableMessageOrdering: z.boolean(),
  enableExactlyOnceDelivery: z.boolean(),
  pushConfig: z
    .strictObject({
      pushEndpoint: z.string(),
      oidcToken: z.strictObject({ serviceAccountEmail: z.string(), audience: z.string() }).exactOptional(),
    })
    .exactOptional(),
});
type SubscriptionSpec = z.output<typeof SubscriptionSpec>;

export const subscription = defineKind({
  kind: 'subscription',
  api: 'pubsub.googleapis.com',
  spec: SubscriptionSpec,
  permissions: {
    observe: ['pubsub.subscriptions.get'],
    apply: ['pubsub.subscriptions.create', 'pubsub.subscriptions.update', 'pubsub.topics.attachSubscription'],
    remove: ['pubsub.subscriptions.delete'],
  },
  takes: { create: 1, update: 1, remove: 1 },

  path: ({ name }, { project }) => `projects/${project}/subscriptions/${name}`,

  async observe(path, cloud) {
    const pubsub = await cloud.pubsub();
    return (await found(pubsub.projects.subscriptions.get({ subscription: path })))?.data;
  },

  owner: (live) => ownerOfLabels(live.labels),

  compare(spec, live, owner) {
    const because = replacement(spec, live);
    if (because !== undefined) return { action: 'replace', because } satisfies Change;
    return compare({
      labels: [labelsOf(spec.labels, owner), withoutSystemLabels(live.labels)],
      ackDeadlineSeconds: [spec.ackDeadlineSeconds, live.ackDeadlineSeconds],
      messageRetentionDuration: [spec.messageRetentionDuration, live.messageRetentionDuration],
      expirationPolicy: [spec.expirationPolicy, live.expirationPolicy],
      retryPolicy: [spec.retryPolicy ?? {}, live.retryPolicy],
      deadLetterPolicy: [spec.deadLetterPolicy ?? {}, live.deadLetterPolicy],
      enableExactlyOnceDelivery: [spec.enableExactlyOnceDelivery, live.enableExactlyOnceDelivery],
      pushConfig: [spec.pushConfig ?? {}, pushOf(live)],
    });
  },

  async create(path, spec, { cloud, owner }) {
    const pubsub = await cloud.pubsub();
    const { name: _, ...rest } = spec;
    await pubsub.projects.subscriptions.create({
      name: path,
      requestBody: { ...rest, labels: labelsOf(spec.labels, owner) },
    });
    return undefined;
  },

  async update(path, spec, { cloud, owner, fields, live }) {
    const pubsub = await cloud.pubsub();
    const subscription = { ...spec, name: path, labels: labelsOver(live.labels, spec.labels, owner) };
    await pubsub.projects.subscriptions.patch({
      name: path,
      requestBody: { subscription, updateMask: fields.join(',') },
    });
    return undefined;
  },

  async remove(path, { cloud }) {
    const pubsub = await cloud.pubsub();
    await pubsub.projects.subscriptions.delete({ subscription: path });
    return undefined;
  },

  outputs: (_live, path) => ({ name: path.split('/').at(-1) ?? '', path }),
});

/** What Google cannot change in place. */
function replacement(spec: SubscriptionSpec, live: pubsub_v1.Schema$Subscription): string | undefined {
  if (live.topic === '_deleted-topic_') return 'its topic was deleted';
  if (live.topic !== spec.topic) return `its topic changes from ${live.topic}`;
  if ((live.filter ?? '') !== spec.filter) return 'its filter changes';
  if ((live.enableMessageOrdering ?? false) !== spec.enableMessageOrdering)
    return 'its message ordering changes';
  return undefined;
}

function pushOf({ pushConfig }: pubsub_v1.Schema$Subscription): object {
  if (!pushConfig?.pushEndpoint) return {};
  const { pushEndpoint, oidcToken } = pushConfig;
  return { pushEndpoint, ...(oidcToken ? { oidcToken } : {}) };
}
