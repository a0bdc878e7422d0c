/** A Firestore database, as the tests of the engine try it. */
import { PROJECT, REGION } from '../bench.ts';
import type { KindCase } from './case.ts';

const path = (name: string): string => `/v1/projects/${PROJECT}/databases/${name}`;

const UNPROTECTED = { deleteProtectionState: 'DELETE_PROTECTION_DISABLED' };

export const firestoreDatabase: KindCase = {
  spec: async (name) => ({ name, location: REGION, deleteProtection: true }),
  fixed: ['name', 'location'],
  changes: [
    { what: 'no protection any more', to: { deleteProtection: false }, shows: ['deleteProtectionState'] },
  ],
  drifts: [
    {
      what: 'its protection was taken away',
      by: (name, bench) => bench.call('PATCH', `${path(name)}?updateMask=deleteProtectionState`, UNPROTECTED),
      shows: ['deleteProtectionState'],
    },
  ],
  look: (name, bench) => bench.look(path(name)),
  methods: {
    api: 'firestore',
    observe: 'GetDatabase',
    create: 'CreateDatabase',
    update: 'UpdateDatabase',
    poll: 'GetOperation',
  },
  host: 'firestore.googleapis.com',
};
