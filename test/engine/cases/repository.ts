/** A repository, as the tests of the engine try it. */
import { LOCATION, REGION } from '../bench.ts';
import { type KindCase, LABEL_CHANGES, LABELS, record } from './case.ts';

const path = (name: string): string => `/v1/${LOCATION}/repositories/${name}`;

export const repository: KindCase = {
  spec: async (name) => ({ name, location: REGION, description: 'Images', labels: LABELS }),
  fixed: ['name', 'location'],
  changes: [
    ...LABEL_CHANGES,
    { what: 'another description', to: { description: 'Pictures' }, shows: ['description'] },
    { what: 'no description any more', to: { description: '' }, shows: ['description'] },
  ],
  drifts: [
    {
      what: 'its description was changed',
      by: (name, bench) =>
        bench.call('PATCH', `${path(name)}?updateMask=description`, { description: 'Mine' }),
      shows: ['description'],
    },
  ],
  stranger: (name, bench) =>
    bench.call('POST', `/v1/${LOCATION}/repositories?repositoryId=${name}`, { format: 'DOCKER' }),
  async label(name, key, bench) {
    const { labels } = await bench.call('GET', path(name));
    const body = { labels: { ...record(labels), [key]: 'yes' } };
    await bench.call('PATCH', `${path(name)}?updateMask=labels`, body);
  },
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'artifactregistry',
    observe: 'GetRepository',
    create: 'CreateRepository',
    update: 'UpdateRepository',
    remove: 'DeleteRepository',
    poll: 'GetOperation',
  },
  host: 'artifactregistry.googleapis.com',
};
