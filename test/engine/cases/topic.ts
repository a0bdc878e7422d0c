/** A topic, as the tests of the engine try it. */
import { type Bench, type Json, PROJECT } from '../bench.ts';
import { type KindCase, LABEL_CHANGES, LABELS, record } from './case.ts';

export const topic: KindCase = {
  spec: async (name) => ({ name, labels: LABELS, messageRetentionDuration: '600s' }),
  fixed: ['name'],
  changes: [
    ...LABEL_CHANGES,
    {
      what: 'a longer retention',
      to: { messageRetentionDuration: '86400s' },
      shows: ['messageRetentionDuration'],
    },
    {
      what: 'no retention any more',
      to: { messageRetentionDuration: '' },
      shows: ['messageRetentionDuration'],
    },
  ],
  drifts: [
    {
      what: 'its retention was changed, and a label put on it',
      by: (name, bench) =>
        patch(name, bench, ({ labels }) => ({
          labels: { ...record(labels), cost: 'high' },
          messageRetentionDuration: '1200s',
        })),
      shows: ['labels', 'messageRetentionDuration'],
    },
    {
      what: 'a label of ours was taken off',
      by: (name, bench) =>
        patch(name, bench, ({ labels }) => {
          const { team: _, ...others } = record(labels);
          return { labels: others };
        }),
      shows: ['labels'],
    },
  ],
  stranger: (name, bench) => bench.call('PUT', path(name), { labels: { owner: 'somebody' } }),
  label: (name, key, bench) =>
    patch(name, bench, ({ labels }) => ({ labels: { ...record(labels), [key]: 'yes' } })),
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'pubsub',
    observe: 'GetTopic',
    create: 'CreateTopic',
    update: 'UpdateTopic',
    remove: 'DeleteTopic',
  },
  host: 'pubsub.googleapis.com',
};

const path = (name: string): string => `/v1/projects/${PROJECT}/topics/${name}`;

async function patch(name: string, bench: Bench, change: (live: Json) => Json): Promise<void> {
  const changed = change(await bench.call('GET', path(name)));
  const topic = { name: `projects/${PROJECT}/topics/${name}`, ...changed };
  await bench.call('PATCH', path(name), { topic, updateMask: Object.keys(changed).join(',') });
}
