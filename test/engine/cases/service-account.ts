/** A service account, as the tests of the engine try it. */
import { PROJECT } from '../bench.ts';
import type { KindCase } from './case.ts';

const pathOf = (name: string): string =>
  `projects/${PROJECT}/serviceAccounts/${name}@${PROJECT}.iam.gserviceaccount.com`;

export const serviceAccount: KindCase = {
  spec: async (name) => ({ name, displayName: 'Orders' }),
  fixed: ['name'],
  changes: [
    { what: 'another display name', to: { displayName: 'Refunds' }, shows: ['displayName'] },
    { what: 'no display name any more', to: { displayName: '' }, shows: ['displayName'] },
  ],
  drifts: [
    {
      what: 'its display name was changed',
      by: (name, bench) =>
        bench.call('PATCH', `/v1/${pathOf(name)}`, {
          serviceAccount: { name: pathOf(name), displayName: 'Mine' },
          updateMask: 'displayName',
        }),
      shows: ['displayName'],
    },
    {
      what: 'more was written into its description',
      async by(name, bench) {
        const { description } = await bench.call('GET', `/v1/${pathOf(name)}`);
        await bench.call('PATCH', `/v1/${pathOf(name)}`, {
          serviceAccount: { name: pathOf(name), description: `${description}; ask Ann` },
          updateMask: 'description',
        });
      },
      shows: ['description'],
    },
  ],
  stranger: (name, bench) =>
    bench.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, {
      accountId: name,
      serviceAccount: { description: 'Made by hand' },
    }),
  look: (name, bench) => bench.look(`/v1/${pathOf(name)}`),
  methods: {
    api: 'iam',
    observe: 'GetServiceAccount',
    create: 'CreateServiceAccount',
    update: 'PatchServiceAccount',
    remove: 'DeleteServiceAccount',
  },
  host: 'iam.googleapis.com',
};
