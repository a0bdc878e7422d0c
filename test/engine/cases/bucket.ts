/** A bucket, as the tests of the engine try it. */
import { PROJECT } from '../bench.ts';
import { type KindCase, LABEL_CHANGES, LABELS } from './case.ts';

const path = (name: string): string => `/storage/v1/b/${name}`;

const DELETE_OLD = { action: { type: 'Delete' }, condition: { age: 30 } };
const COLD_SOON = {
  action: { type: 'SetStorageClass', storageClass: 'COLDLINE' },
  condition: { age: 7, matchesStorageClass: ['STANDARD'] },
};

export const bucket: KindCase = {
  spec: async (name) => ({
    name,
    location: 'EU',
    storageClass: 'STANDARD',
    labels: LABELS,
    versioning: true,
    lifecycle: [DELETE_OLD],
    removeObjects: false,
  }),
  fixed: ['name', 'removeObjects'],
  changes: [
    ...LABEL_CHANGES,
    { what: 'another class', to: { storageClass: 'NEARLINE' }, shows: ['storageClass'] },
    { what: 'no versions any more', to: { versioning: false }, shows: ['versioning'] },
    { what: 'another lifecycle', to: { lifecycle: [DELETE_OLD, COLD_SOON] }, shows: ['lifecycle'] },
    { what: 'no lifecycle any more', to: { lifecycle: [] }, shows: ['lifecycle'] },
  ],
  replacements: [{ what: 'another place', to: { location: 'US' }, because: /it moves from EU to US/ }],
  drifts: [
    {
      what: 'its versions were switched off, and a label put on it',
      by: (name, bench) =>
        bench.call('PATCH', path(name), { versioning: { enabled: false }, labels: { cost: 'high' } }),
      shows: ['labels', 'versioning'],
    },
    {
      what: 'its class and its lifecycle were changed',
      by: (name, bench) =>
        bench.call('PATCH', path(name), { storageClass: 'ARCHIVE', lifecycle: { rule: [COLD_SOON] } }),
      shows: ['storageClass', 'lifecycle'],
    },
  ],
  stranger: (name, bench) => bench.call('POST', `/storage/v1/b?project=${PROJECT}`, { name, location: 'EU' }),
  label: (name, key, bench) => bench.call('PATCH', path(name), { labels: { [key]: 'yes' } }),
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'storage',
    observe: 'buckets.get',
    create: 'buckets.insert',
    update: 'buckets.patch',
    remove: 'buckets.delete',
  },
};
