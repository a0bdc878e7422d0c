/** A subscription, as the tests of the engine try it. */
import { type Bench, type Json, PROJECT } from '../bench.ts';
import { type KindCase, LABEL_CHANGES, LABELS, record } from './case.ts';

const topicPath = (name: string): string => `projects/${PROJECT}/topics/${name}`;
const path = (name: string): string => `/v1/projects/${PROJECT}/subscriptions/${name}`;

const BACKOFF = { minimumBackoff: '5s', maximumBackoff: '60s' };
const LETTERS = { deadLetterTopic: topicPath('letters'), maxDeliveryAttempts: 5 };
const PUSH = { pushEndpoint: 'https://a.example/push' };
const TOKEN = {
  serviceAccountEmail: `pusher@${PROJECT}.iam.gserviceaccount.com`,
  audience: 'https://a.example',
};

export const subscription: KindCase = {
  async spec(name, bench) {
    for (const each of ['main', 'second', 'letters']) await bench.ensure('PUT', `/v1/${topicPath(each)}`, {});
    await bench.ensure('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId: 'pusher' });
    return {
      name,
      topic: topicPath('main'),
      labels: LABELS,
      ackDeadlineSeconds: 20,
      messageRetentionDuration: '86400s',
      expirationPolicy: {},
      retryPolicy: undefined,
      deadLetterPolicy: undefined,
      filter: 'attributes.kind = "order"',
      enableMessageOrdering: false,
      enableExactlyOnceDelivery: false,
      pushConfig: undefined,
    };
  },
  fixed: ['name'],
  changes: [
    ...LABEL_CHANGES,
    { what: 'a longer ack deadline', to: { ackDeadlineSeconds: 60 }, shows: ['ackDeadlineSeconds'] },
    {
      what: 'a shorter retention',
      to: { messageRetentionDuration: '3600s' },
      shows: ['messageRetentionDuration'],
    },
    { what: 'an end', to: { expirationPolicy: { ttl: '172800s' } }, shows: ['expirationPolicy'] },
    {
      what: 'another end',
      from: { expirationPolicy: { ttl: '172800s' } },
      to: { expirationPolicy: { ttl: '259200s' } },
      shows: ['expirationPolicy'],
    },
    { what: 'a retry policy', to: { retryPolicy: BACKOFF }, shows: ['retryPolicy'] },
    {
      what: 'another retry policy',
      from: { retryPolicy: BACKOFF },
      to: { retryPolicy: { ...BACKOFF, maximumBackoff: '90s' } },
      shows: ['retryPolicy'],
    },
    { what: 'a place for dead letters', to: { deadLetterPolicy: LETTERS }, shows: ['deadLetterPolicy'] },
    {
      what: 'more attempts before a letter is dead',
      from: { deadLetterPolicy: LETTERS },
      to: { deadLetterPolicy: { ...LETTERS, maxDeliveryAttempts: 10 } },
      shows: ['deadLetterPolicy'],
    },
    {
      what: 'exactly one delivery',
      to: { enableExactlyOnceDelivery: true },
      shows: ['enableExactlyOnceDelivery'],
    },
    { what: 'push', to: { pushConfig: PUSH }, shows: ['pushConfig'] },
    {
      what: 'push to elsewhere',
      from: { pushConfig: PUSH },
      to: { pushConfig: { pushEndpoint: 'https://b.example/push' } },
      shows: ['pushConfig'],
    },
    {
      what: 'push with a token',
      from: { pushConfig: PUSH },
      to: { pushConfig: { ...PUSH, oidcToken: TOKEN } },
      shows: ['pushConfig'],
    },
    {
      what: 'push with a token for another audience',
      from: { pushConfig: { ...PUSH, oidcToken: TOKEN } },
      to: { pushConfig: { ...PUSH, oidcToken: { ...TOKEN, audience: 'https://b.example' } } },
      shows: ['pushConfig'],
    },
  ],
  replacements: [
    {
      what: 'another topic',
      to: { topic: topicPath('second') },
      because: /its topic changes from .*topics\/main/,
    },
    {
      what: 'another filter',
      to: { filter: 'attributes.kind = "refund"' },
      because: /its filter changes/,
    },
    { what: 'no filter any more', to: { filter: '' }, because: /its filter changes/ },
    { what: 'ordering', to: { enableMessageOrdering: true }, because: /its message ordering changes/ },
  ],
  drifts: [
    {
      what: 'its deadline was changed, and dead letters put in',
      by: (name, bench) =>
        patch(name, bench, () => ({
          ackDeadlineSeconds: 99,
          deadLetterPolicy: { ...LETTERS, maxDeliveryAttempts: 7 },
        })),
      shows: ['ackDeadlineSeconds', 'deadLetterPolicy'],
    },
    {
      what: 'it was made to push',
      by: (name, bench) => bench.call('POST', `${path(name)}:modifyPushConfig`, { pushConfig: PUSH }),
      shows: ['pushConfig'],
    },
    {
      what: 'it was given an end and a label',
      by: (name, bench) =>
        patch(name, bench, ({ labels }) => ({
          labels: { ...record(labels), cost: 'high' },
          expirationPolicy: { ttl: '172800s' },
        })),
      shows: ['labels', 'expirationPolicy'],
    },
  ],
  stranger: (name, bench) =>
    bench.call('PUT', path(name), { topic: topicPath('second'), labels: { owner: 'somebody' } }),
  label: (name, key, bench) =>
    patch(name, bench, ({ labels }) => ({ labels: { ...record(labels), [key]: 'yes' } })),
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'pubsub',
    observe: 'GetSubscription',
    create: 'CreateSubscription',
    update: 'UpdateSubscription',
    remove: 'DeleteSubscription',
  },
  host: 'pubsub.googleapis.com',
};

async function patch(name: string, bench: Bench, change: (live: Json) => Json): Promise<void> {
  const changed = change(await bench.call('GET', path(name)));
  const subscription = { name: `projects/${PROJECT}/subscriptions/${name}`, ...changed };
  await bench.call('PATCH', path(name), { subscription, updateMask: Object.keys(changed).join(',') });
}
