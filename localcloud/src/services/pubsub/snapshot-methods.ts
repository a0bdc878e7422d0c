/** Snapshots and going back: the part of `google.pubsub.v1.Subscriber` that settles messages in bulk. */
import type { LocalCloud } from '../../cloud.ts';
import { invalid } from '../../error.ts';
import { isObject, type JsonObject } from '../../json.ts';
import { page } from '../../pages.ts';
import type { Method } from '../../service.ts';
import type { Broker, Subscription } from './broker.ts';
import { exists, PAGE_SIZES, projectName, readName, readProject } from './names.ts';
import { changedSnapshot, checkLabels } from './settings.ts';
import type { Snapshots } from './snapshots.ts';

export function snapshotMethods(
  cloud: LocalCloud,
  broker: Broker,
  snapshots: Snapshots,
): Record<string, Method> {
  const { projects } = cloud;
  const nameOf = (name: JsonObject[string]): string =>
    readName(projects, 'subscriptions', name, 'subscription');
  const snapshotName = (name: JsonObject[string]): string => readName(projects, 'snapshots', name);
  const find = (name: JsonObject[string]): Subscription => broker.subscription(nameOf(name));

  function seekSnapshot(subscription: Subscription, name: string): void {
    const { messages, settings } = snapshots.get(snapshotName(name));
    if (settings.topic !== subscription.settings.topic) {
      throw invalid('The snapshot and the subscription must be of the same topic.', 'snapshot');
    }
    broker.seek(subscription, (message) => messages.has(message), [...messages]);
  }

  return {
    Seek: {
      access: ({ subscription, snapshot }) => [
        { permission: 'pubsub.subscriptions.consume', resource: nameOf(subscription) },
        ...(typeof snapshot === 'string'
          ? [{ permission: 'pubsub.snapshots.seek', resource: snapshotName(snapshot) }]
          : []),
      ],
      handle({ subscription: name, time, snapshot }) {
        const subscription = find(name);
        if (typeof snapshot === 'string') seekSnapshot(subscription, snapshot);
        else if (typeof time === 'string') {
          const from = Date.parse(time);
          broker.seek(subscription, ({ publishedAt }) => publishedAt >= from, []);
        } else {
          throw invalid(
            'No target was specified in the SeekRequest. Must specify either a time or a snapshot.',
          );
        }
        return {};
      },
    },
    CreateSnapshot: {
      access: ({ name, subscription }) => [
        { permission: 'pubsub.snapshots.create', resource: projectName(snapshotName(name)) },
        { permission: 'pubsub.subscriptions.consume', resource: nameOf(subscription) },
      ],
      handle({ name: given, subscription, labels }) {
        const name = snapshotName(given);
        if (snapshots.find(name)) throw exists(name);
        checkLabels(labels);
        return snapshots.create(name, find(subscription), isObject(labels) ? labels : undefined).settings;
      },
    },
    GetSnapshot: {
      access: ({ snapshot }) => ({ permission: 'pubsub.snapshots.get', resource: snapshotName(snapshot) }),
      handle: ({ snapshot }) => snapshots.get(snapshotName(snapshot)).settings,
    },
    ListSnapshots: {
      access: ({ project }) => ({
        permission: 'pubsub.snapshots.list',
        resource: readProject(projects, project),
      }),
      handle(request) {
        const project = readProject(projects, request.project);
        const inProject = snapshots.all().filter(({ name }) => projectName(name) === project);
        const { items, nextPageToken } = page(inProject, ({ name }) => name, request, PAGE_SIZES);
        return { snapshots: items.map(({ settings }) => settings), nextPageToken };
      },
    },
    UpdateSnapshot: {
      access: ({ snapshot }) => ({
        permission: 'pubsub.snapshots.update',
        resource: snapshotName(isObject(snapshot) ? snapshot.name : undefined),
      }),
      handle(request) {
        const given = isObject(request.snapshot) ? request.snapshot : {};
        const snapshot = snapshots.get(snapshotName(given.name));
        snapshots.change(snapshot, changedSnapshot(snapshot.settings, request));
        return snapshot.settings;
      },
    },
    DeleteSnapshot: {
      access: ({ snapshot }) => ({ permission: 'pubsub.snapshots.delete', resource: snapshotName(snapshot) }),
      handle({ snapshot }) {
        snapshots.remove(snapshots.get(snapshotName(snapshot)));
        return {};
      },
    },
  };
}
