/** Subscriptions as things to manage: the part of `google.pubsub.v1.Subscriber` that moves no messages. */
import { randomUUID } from 'node:crypto';
import type { LocalCloud } from '../../cloud.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { Access, Call, Method } from '../../service.ts';
import { type Broker, type Subscription, showSubscription } from './broker.ts';
import { exists, PAGE_SIZES, projectName, readName, readProject } from './names.ts';
import { changedSubscription, subscriptionSettings } from './settings.ts';

export function subscriptionMethods(
  cloud: LocalCloud,
  broker: Broker,
  /** Throws unless the caller may let the pushes of a subscription in this project carry an account's tokens. */
  demandActAs: (call: Call, project: string, pushConfig: JsonObject[string]) => void,
): Record<string, Method> {
  const { projects } = cloud;
  const nameOf = (name: JsonObject[string], field = 'name'): string =>
    readName(projects, 'subscriptions', name, field);
  const find = (name: JsonObject[string]): Subscription => broker.subscription(nameOf(name, 'subscription'));
  const on =
    (permission: string) =>
    ({ subscription }: JsonObject): Access => ({
      permission,
      resource: nameOf(subscription, 'subscription'),
    });

  /** Fills in a name that the caller left to us, which only gRPC allows. */
  function created({ name, topic }: JsonObject): { name: string; topic: string } {
    const topicName = readName(projects, 'topics', topic, 'topic');
    const given = name === undefined || name === '';
    return {
      name: given ? `${projectName(topicName)}/subscriptions/s-${randomUUID()}` : nameOf(name),
      topic: topicName,
    };
  }

  /** Sees to it that what new settings name exists and may be used. What was there before is not asked again. */
  function checked(settings: JsonObject, call: Call, before: JsonObject = {}): JsonObject {
    const { deadLetterPolicy: policy, pushConfig } = settings;
    const isNew = (field: string): boolean =>
      JSON.stringify(before[field]) !== JSON.stringify(settings[field]);
    if (isNew('pushConfig')) demandActAs(call, projectName(String(settings.name)), pushConfig);
    if (!isObject(policy) || !isNew('deadLetterPolicy')) return settings;
    const deadLetterTopic = readName(projects, 'topics', policy.deadLetterTopic ?? '', 'dead_letter_topic');
    broker.topic(deadLetterTopic);
    return { ...settings, deadLetterPolicy: { ...policy, deadLetterTopic } };
  }

  return {
    CreateSubscription: {
      access: (request) => {
        const { name, topic } = created(request);
        return [
          { permission: 'pubsub.subscriptions.create', resource: projectName(name) },
          { permission: 'pubsub.topics.attachSubscription', resource: topic },
        ];
      },
      handle(request, call) {
        const { name, topic } = created(request);
        if (broker.findSubscription(name)) throw exists(name);
        broker.topic(topic);
        const settings = subscriptionSettings({ ...request, name, topic, detached: false });
        return showSubscription(broker.addSubscription(checked(settings, call)));
      },
    },
    GetSubscription: {
      access: on('pubsub.subscriptions.get'),
      handle: ({ subscription }) => showSubscription(find(subscription)),
    },
    UpdateSubscription: {
      access: ({ subscription }) => ({
        permission: 'pubsub.subscriptions.update',
        resource: nameOf(isObject(subscription) ? subscription.name : undefined, 'subscription.name'),
      }),
      handle(request, call) {
        const subscription = find(isObject(request.subscription) ? request.subscription.name : undefined);
        const { settings } = subscription;
        const changed = checked(changedSubscription(settings, request), call, settings);
        broker.changeSubscription(subscription, changed);
        return showSubscription(subscription);
      },
    },
    ListSubscriptions: {
      access: ({ project }) => ({
        permission: 'pubsub.subscriptions.list',
        resource: readProject(projects, project),
      }),
      handle(request) {
        const project = readProject(projects, request.project);
        const inProject = broker.subscriptions().filter(({ name }) => projectName(name) === project);
        const { items, nextPageToken } = page(inProject, ({ name }) => name, request, PAGE_SIZES);
        return { subscriptions: items.map(showSubscription), nextPageToken };
      },
    },
    DeleteSubscription: {
      access: on('pubsub.subscriptions.delete'),
      handle({ subscription }) {
        broker.removeSubscription(find(subscription));
        return {};
      },
    },
    ModifyPushConfig: {
      access: on('pubsub.subscriptions.update'),
      handle({ subscription: name, pushConfig }, call) {
        const subscription = find(name);
        const { settings } = subscription;
        const changed = subscriptionSettings({ ...settings, pushConfig });
        broker.changeSubscription(subscription, checked(changed, call, settings));
        return {};
      },
    },
  };
}
