/**
 * A Pub/Sub topic: the named channel that one service publishes to.
 *
 * REST reference: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics
 */
import { z } from 'zod';
import { found } from '../cloud/error.ts';
import { compare } from '../model/change.ts';
import { defineKind } from './kind.ts';
import { labelsOf, labelsOver, ownerOfLabels, withoutSystemLabels } from './mark.ts';

const TopicSpec = z.strictObject({
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  /** `604800s`; empty: Google keeps nothing for replay. */
  messageRetentionDuration: z.string(),
});
type TopicSpec = z.output<typeof TopicSpec>;

export const topic = defineKind({
  kind: 'topic',
  api: 'pubsub.googleapis.com',
  spec: TopicSpec,
  permissions: {
    observe: ['pubsub.topics.get'],
    apply: ['pubsub.topics.create', 'pubsub.topics.update'],
    remove: ['pubsub.topics.delete'],
  },
  takes: { create: 1, update: 1, remove: 1 },

  path: ({ name }, { project }) => `projects/${project}/topics/${name}`,

  async observe(path, cloud) {
    const pubsub = await cloud.pubsub();
    return (await found(pubsub.projects.topics.get({ topic: path })))?.data;
  },

  owner: (live) => ownerOfLabels(live.labels),

  compare: (spec, live, owner) =>
    compare({
      labels: [labelsOf(spec.labels, owner), withoutSystemLabels(live.labels)],
      messageRetentionDuration: [spec.messageRetentionDuration, live.messageRetentionDuration],
    }),

  async create(path, spec, { cloud, owner }) {
    const pubsub = await cloud.pubsub();
    await pubsub.projects.topics.create({
      name: path,
      requestBody: body(spec, labelsOf(spec.labels, owner)),
    });
    return undefined;
  },

  async update(path, spec, { cloud, owner, fields, live }) {
    const pubsub = await cloud.pubsub();
    const topic = { name: path, ...body(spec, labelsOver(live.labels, spec.labels, owner)) };
    await pubsub.projects.topics.patch({ name: path, requestBody: { topic, updateMask: fields.join(',') } });
    return undefined;
  },

  async remove(path, { cloud }) {
    const pubsub = await cloud.pubsub();
    await pubsub.projects.topics.delete({ topic: path });
    return undefined;
  },

  outputs: ({ name }, path) => ({ name: (name ?? path).split('/').at(-1) ?? '', path }),
});

function body({ messageRetentionDuration }: TopicSpec, labels: Record<string, string>) {
  return { labels, ...(messageRetentionDuration === '' ? {} : { messageRetentionDuration }) };
}
