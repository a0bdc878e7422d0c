/** Cloud Pub/Sub: see `pubsub.md`. */
import type { LocalCloud } from '../cloud.ts';
import { invalid } from '../error.ts';
import type { Accounts } from '../internal.ts';
import { isObject, type JsonObject } from '../json.ts';
import type { Call, Method, Service } from '../service.ts';
import { type Broker, openBroker, type Subscription, stopping } from './pubsub/broker.ts';
import { pushed } from './pubsub/consume.ts';
import { consumeMethods } from './pubsub/consume-methods.ts';
import { shortName } from './pubsub/names.ts';
import { resourcePolicyMethods } from './pubsub/policy-methods.ts';
import { openPush, type Push } from './pubsub/push.ts';
import { snapshotMethods } from './pubsub/snapshot-methods.ts';
import { openSnapshots } from './pubsub/snapshots.ts';
import { openStreams } from './pubsub/stream.ts';
import { subscriptionMethods } from './pubsub/subscription-methods.ts';
import { topicMethods } from './pubsub/topic-methods.ts';

/** How often retention, expiration and the rights of open streams are looked at. */
const SWEEP_MS = 1_000;

export function pubsub(cloud: LocalCloud, { accounts }: { accounts: Accounts }): { service: Service } {
  const pushes = new Map<Subscription, Push>();
  let state: 'starting' | 'running' | 'stopped' = 'starting';
  const broker: Broker = openBroker(cloud, { settled: setPush, removed: endPush });
  const snapshots = openSnapshots(cloud, broker);
  const streams = openStreams(cloud, broker, () => service);

  /** Starts, changes or ends pushing, as the settings of the subscription say. */
  function setPush(subscription: Subscription): void {
    const { push: terms } = subscription.terms;
    if (state !== 'running') return;
    if (!terms || subscription.terms.detached) {
      endPush(subscription);
      return;
    }
    const running = pushes.get(subscription);
    if (running) {
      running.change(terms);
      return;
    }
    subscription.dispatch.closeAll(pushed());
    pushes.set(subscription, openPush(cloud, accounts, subscription, terms));
  }

  function endPush(subscription: Subscription): void {
    pushes.get(subscription)?.stop();
    pushes.delete(subscription);
  }

  function demandActAs({ identity }: Call, project: string, pushConfig: JsonObject[string]): void {
    const token = isObject(pushConfig) ? pushConfig.oidcToken : undefined;
    if (!isObject(token)) return;
    const email = String(token.serviceAccountEmail);
    const account = accounts.find(email);
    const owner = account?.projectId ?? shortName(project);
    const resource = `projects/${owner}/serviceAccounts/${email}`;
    cloud.iam.demand(identity, { permission: 'iam.serviceAccounts.actAs', resource });
    if (!account || account.effectiveAt > cloud.clock.now()) {
      throw invalid(`Service account ${email} does not exist.`);
    }
    if (`projects/${account.projectId}` !== project) {
      throw invalid(`Service account ${email} must be in the project of the subscription.`);
    }
  }

  function sweep(): void {
    if (state !== 'running') return;
    broker.sweep();
    snapshots.sweep();
    streams.check();
    cloud.clock.after(SWEEP_MS, sweep);
  }

  /** After the last row is written nothing may be promised any more. */
  function demandRunning(): void {
    if (state === 'stopped') throw stopping();
  }

  function whileRunning(methods: Record<string, Method>): Record<string, Method> {
    const guarded = Object.entries(methods).map(([name, method]): [string, Method] => {
      const access: Method['access'] = (request) => {
        demandRunning();
        return method.access(request);
      };
      return [name, { ...method, access }];
    });
    return Object.fromEntries(guarded);
  }

  broker.load(snapshots.restore);

  const service: Service = {
    name: 'pubsub',
    host: 'pubsub.googleapis.com',
    title: 'Cloud Pub/Sub API',
    protos: ['google/pubsub/v1/pubsub.proto', 'google/iam/v1/iam_policy.proto'],
    methods: {
      'google.pubsub.v1.Publisher': whileRunning(topicMethods(cloud, broker, snapshots)),
      'google.pubsub.v1.Subscriber': whileRunning({
        ...subscriptionMethods(cloud, broker, demandActAs),
        ...consumeMethods(cloud, broker),
        ...snapshotMethods(cloud, broker, snapshots),
      }),
      'google.iam.v1.IAMPolicy': resourcePolicyMethods(cloud, broker, snapshots),
    },
    streams: {
      'google.pubsub.v1.Subscriber': {
        StreamingPull(stream, call) {
          demandRunning();
          streams.serve(stream, call);
        },
      },
    },
    start() {
      state = 'running';
      for (const subscription of broker.subscriptions()) setPush(subscription);
      sweep();
    },
    async stop() {
      state = 'stopped';
      for (const subscription of pushes.keys()) endPush(subscription);
      for (const { dispatch } of broker.subscriptions()) dispatch.closeAll(stopping());
      broker.close();
      await streams.gone();
    },
  };

  return { service };
}
