/**
 * A Firestore database in native mode.
 *
 * It can bear no mark: a database has no labels, and the tags that it may have are defined outside of the project. So
 * one of the right name is taken as it is, wherever it lies, as long as it can be read and written as Firestore.
 *
 * REST reference: https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases
 */
import { z } from 'zod';
import { CloudError, found } from '../cloud/error.ts';
import { compare } from '../model/change.ts';
import { defineKind } from './kind.ts';

const FirestoreDatabaseSpec = z.strictObject({
  /** `(default)`, or the id of another. */
  name: z.string(),
  /** Where it is made: a region, or `eur3`, `nam5`. It never moves, so one that is there may lie elsewhere. */
  location: z.string(),
  /** Whether it can be deleted only after somebody has allowed that. Left out, it is as whoever made it wants it. */
  deleteProtection: z.boolean().optional(),
});
type FirestoreDatabaseSpec = z.output<typeof FirestoreDatabaseSpec>;

export const firestoreDatabase = defineKind({
  kind: 'firestore-database',
  api: 'firestore.googleapis.com',
  spec: FirestoreDatabaseSpec,
  permissions: {
    // Of Firestore's own, `datastore.databases.get` is the one that begins transactions.
    observe: ['datastore.databases.getMetadata'],
    apply: ['datastore.databases.create', 'datastore.databases.update', 'datastore.operations.get'],
    remove: [],
  },
  takes: { create: 30, update: 5, remove: 0 },
  holdsData: true,

  path: ({ name }, { project }) => `projects/${project}/databases/${name}`,

  async observe(path, cloud) {
    const firestore = await cloud.firestore();
    return (await found(firestore.projects.databases.get({ name: path })))?.data;
  },

  owner: () => 'unmarked',

  compare(spec, live) {
    if (live.type === 'DATASTORE_MODE') return { action: 'replace', because: 'it is in Datastore mode' };
    return compare({ deleteProtectionState: [protectionOf(spec), live.deleteProtectionState] });
  },

  async create(_path, spec, { cloud }) {
    const firestore = await cloud.firestore();
    const { data } = await firestore.projects.databases.create({
      parent: `projects/${cloud.project}`,
      databaseId: spec.name,
      requestBody: {
        type: 'FIRESTORE_NATIVE',
        // The edition that indexes every field by itself.
        databaseEdition: 'STANDARD',
        locationId: spec.location,
        ...settings(spec),
      },
    });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async update(path, spec, { cloud, fields }) {
    const firestore = await cloud.firestore();
    const { data } = await firestore.projects.databases.patch({
      name: path,
      updateMask: fields.join(','),
      requestBody: settings(spec),
    });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  stays: 'it holds the state that the next director goes on with',
  remove: async () => undefined,

  async poll(operation, cloud) {
    const firestore = await cloud.firestore();
    const { data } = await firestore.projects.databases.operations.get({ name: operation });
    if (data.error) return CloudError.from(data.error);
    return data.done ? 'done' : 'running';
  },

  outputs: ({ locationId }, path) => ({
    name: path.split('/').at(-1) ?? '',
    location: locationId ?? '',
    path,
  }),
});

function settings(spec: FirestoreDatabaseSpec): { deleteProtectionState?: string } {
  const deleteProtectionState = protectionOf(spec);
  return deleteProtectionState === undefined ? {} : { deleteProtectionState };
}

function protectionOf({ deleteProtection }: FirestoreDatabaseSpec): string | undefined {
  if (deleteProtection === undefined) return undefined;
  return deleteProtection ? 'DELETE_PROTECTION_ENABLED' : 'DELETE_PROTECTION_DISABLED';
}
