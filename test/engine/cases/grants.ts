/** Grants on a topic that is there before, as the tests of the engine try them. */
import { type Bench, type Json, PROJECT } from '../bench.ts';
import type { KindCase } from './case.ts';

const pathOf = (name: string): string => `projects/${PROJECT}/topics/${name}`;

const PUBLISHER = { role: 'roles/pubsub.publisher', member: 'user:ann@example.com', reason: 'ann publishes' };
const VIEWER = { role: 'roles/pubsub.viewer', member: 'user:bob@example.com', reason: 'bob looks' };

export const grants: KindCase = {
  async spec(name, bench) {
    await bench.ensure('PUT', `/v1/${pathOf(name)}`, {});
    return { name, on: pathOf(name), bindings: [PUBLISHER] };
  },
  fixed: ['name', 'on'],
  changes: [
    {
      what: 'another member',
      to: { bindings: [PUBLISHER, VIEWER] },
      shows: ['user:bob@example.com roles/pubsub.viewer'],
    },
    {
      what: 'another role',
      to: { bindings: [PUBLISHER, { ...PUBLISHER, role: 'roles/pubsub.editor' }] },
      shows: ['user:ann@example.com roles/pubsub.editor'],
    },
    {
      what: 'a role less',
      from: { bindings: [PUBLISHER, VIEWER] },
      to: { bindings: [VIEWER] },
      shows: ['-user:ann@example.com roles/pubsub.publisher'],
    },
    {
      what: 'nothing any more',
      to: { bindings: [] },
      shows: ['-user:ann@example.com roles/pubsub.publisher'],
    },
  ],
  drifts: [
    {
      what: 'its grant was taken away',
      by: (name, bench) => writeBindings(name, [], bench),
      shows: ['user:ann@example.com roles/pubsub.publisher'],
    },
    {
      what: 'its grant was made conditional',
      by: (name, bench) => {
        const condition = {
          title: 'a while',
          expression: 'request.time < timestamp("2099-01-01T00:00:00Z")',
        };
        const { role, member } = PUBLISHER;
        return writeBindings(name, [{ role, members: [member], condition }], bench);
      },
      shows: ['user:ann@example.com roles/pubsub.publisher'],
    },
  ],
  async look(name, bench) {
    const policy = await bench.look(`/v1/${pathOf(name)}:getIamPolicy?options.requestedPolicyVersion=3`);
    return JSON.stringify(policy).includes('ann@example.com') ? policy : undefined;
  },
  methods: { api: 'pubsub', observe: 'GetIamPolicy', update: 'SetIamPolicy', remove: 'SetIamPolicy' },
  host: 'pubsub.googleapis.com',
};

async function writeBindings(name: string, bindings: Json[], bench: Bench): Promise<void> {
  await bench.call('POST', `/v1/${pathOf(name)}:setIamPolicy`, { policy: { version: 3, bindings } });
}
