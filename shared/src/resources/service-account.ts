/**
 * A service account: who a service is.
 *
 * REST reference: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts
 */
import { z } from 'zod';
import { found } from '../cloud/error.ts';
import { compare } from '../model/change.ts';
import { defineKind } from './kind.ts';
import { ownerOfText, ownerText } from './mark.ts';

const ServiceAccountSpec = z.strictObject({
  /** The part of the address before the @. */
  name: z.string(),
  displayName: z.string(),
});

export const serviceAccount = defineKind({
  kind: 'service-account',
  api: 'iam.googleapis.com',
  spec: ServiceAccountSpec,
  permissions: {
    observe: ['iam.serviceAccounts.get'],
    apply: ['iam.serviceAccounts.create', 'iam.serviceAccounts.update'],
    remove: ['iam.serviceAccounts.delete'],
  },
  takes: { create: 2, update: 1, remove: 1 },

  path: ({ name }, { project }) =>
    `projects/${project}/serviceAccounts/${name}@${project}.iam.gserviceaccount.com`,

  async observe(path, cloud) {
    const iam = await cloud.iam();
    return (await found(iam.projects.serviceAccounts.get({ name: path })))?.data;
  },

  owner: (live) => ownerOfText(live.description),

  compare: (spec, live, owner) =>
    compare({
      displayName: [spec.displayName, live.displayName],
      description: [ownerText(owner), live.description],
    }),

  async create(_path, { name, displayName }, { cloud, owner }) {
    const iam = await cloud.iam();
    const serviceAccount = { displayName, description: ownerText(owner) };
    await iam.projects.serviceAccounts.create({
      name: `projects/${cloud.project}`,
      requestBody: { accountId: name, serviceAccount },
    });
    return undefined;
  },

  async update(path, { displayName }, { cloud, owner, fields }) {
    const iam = await cloud.iam();
    const serviceAccount = { displayName, description: ownerText(owner) };
    await iam.projects.serviceAccounts.patch({
      name: path,
      requestBody: { serviceAccount, updateMask: fields.join(',') },
    });
    return undefined;
  },

  async remove(path, { cloud }) {
    const iam = await cloud.iam();
    await iam.projects.serviceAccounts.delete({ name: path });
    return undefined;
  },

  outputs: ({ email, uniqueId }, path) => ({
    email: email ?? path.split('/').at(-1) ?? '',
    uniqueId: uniqueId ?? '',
  }),
});
