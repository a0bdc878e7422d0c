/** `google.pubsub.v1.Publisher`: topics, and publishing to them. */
import type { LocalCloud } from '../../cloud.ts';
import type { JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { Access, Method } from '../../service.ts';
import type { Broker } from './broker.ts';
import { type Draft, readDraft } from './message.ts';
import { exists, PAGE_SIZES, projectName, readName, readProject } from './names.ts';
import { changedTopic, topicSettings } from './settings.ts';
import type { Snapshots } from './snapshots.ts';

/** `google.pubsub.v1.PublishRequest` as gRPC carries it. */
interface PublishRequest {
  readonly topic?: string;
  readonly messages?: readonly Draft[];
}

export function topicMethods(
  cloud: LocalCloud,
  broker: Broker,
  snapshots: Snapshots,
): Record<string, Method> {
  const nameOf = (name: JsonObject[string], field?: string): string =>
    readName(cloud.projects, 'topics', name, field);
  const onTopic =
    (permission: string) =>
    ({ topic }: JsonObject): Access => ({ permission, resource: nameOf(topic, 'topic') });

  function publish({ topic, messages = [] }: PublishRequest): { messageIds: string[] } {
    return { messageIds: broker.publish(broker.topic(nameOf(topic, 'topic')), messages) };
  }

  return {
    CreateTopic: {
      access: ({ name }) => ({
        permission: 'pubsub.topics.create',
        resource: projectName(nameOf(name)),
      }),
      handle(request) {
        const name = nameOf(request.name);
        if (broker.findTopic(name)) throw exists(name);
        return broker.addTopic(topicSettings({ ...request, name })).settings;
      },
    },
    UpdateTopic: {
      access: ({ topic }) => ({
        permission: 'pubsub.topics.update',
        resource: nameOf(nameIn(topic), 'topic.name'),
      }),
      handle(request) {
        const topic = broker.topic(nameOf(nameIn(request.topic)));
        broker.changeTopic(topic, changedTopic(topic.settings, request));
        return topic.settings;
      },
    },
    Publish: {
      access: ({ topic }) => ({ permission: 'pubsub.topics.publish', resource: nameOf(topic, 'topic') }),
      handle: ({ topic, messages }) =>
        publish({ topic: String(topic), messages: Array.isArray(messages) ? messages.map(readDraft) : [] }),
      grpc: publish,
    },
    GetTopic: {
      access: onTopic('pubsub.topics.get'),
      handle: ({ topic }) => broker.topic(nameOf(topic)).settings,
    },
    ListTopics: {
      access: ({ project }) => ({
        permission: 'pubsub.topics.list',
        resource: readProject(cloud.projects, project),
      }),
      handle(request) {
        const project = readProject(cloud.projects, request.project);
        const topics = broker.topics().filter(({ name }) => projectName(name) === project);
        const { items, nextPageToken } = page(topics, ({ name }) => name, request, PAGE_SIZES);
        return { topics: items.map(({ settings }) => settings), nextPageToken };
      },
    },
    ListTopicSubscriptions: {
      access: onTopic('pubsub.topics.get'),
      handle(request) {
        const names = [...broker.topic(nameOf(request.topic)).subscriptions].map(({ name }) => name);
        const { items, nextPageToken } = page(names, (name) => name, request, PAGE_SIZES);
        return { subscriptions: items, nextPageToken };
      },
    },
    ListTopicSnapshots: {
      access: onTopic('pubsub.topics.get'),
      handle(request) {
        const topic = broker.topic(nameOf(request.topic));
        const names = snapshots.all().filter(({ settings }) => settings.topic === topic.name);
        const { items, nextPageToken } = page(names, ({ name }) => name, request, PAGE_SIZES);
        return { snapshots: items.map(({ name }) => name), nextPageToken };
      },
    },
    DeleteTopic: {
      access: onTopic('pubsub.topics.delete'),
      handle({ topic }) {
        broker.removeTopic(broker.topic(nameOf(topic)));
        return {};
      },
    },
    DetachSubscription: {
      access({ subscription }) {
        const name = readName(cloud.projects, 'subscriptions', subscription, 'subscription');
        const topic = broker.findSubscription(name)?.topic?.name;
        return { permission: 'pubsub.topics.detachSubscription', resource: topic ?? projectName(name) };
      },
      handle({ subscription }) {
        broker.detach(broker.subscription(readName(cloud.projects, 'subscriptions', subscription)));
        return {};
      },
    },
  };
}

function nameIn(resource: JsonObject[string]): JsonObject[string] {
  return typeof resource === 'object' && resource !== null && 'name' in resource ? resource.name : undefined;
}
