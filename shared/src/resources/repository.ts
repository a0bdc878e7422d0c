/**
 * An Artifact Registry repository for container images.
 *
 * REST reference: https://cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations.repositories
 */
import { z } from 'zod';
import { CloudError, found } from '../cloud/error.ts';
import { compare } from '../model/change.ts';
import { defineKind } from './kind.ts';
import { labelsOf, labelsOver, ownerOfLabels, withoutSystemLabels } from './mark.ts';

const RepositorySpec = z.strictObject({
  name: z.string(),
  location: z.string(),
  description: z.string(),
  labels: z.record(z.string(), z.string()),
});

export const repository = defineKind({
  kind: 'repository',
  api: 'artifactregistry.googleapis.com',
  spec: RepositorySpec,
  permissions: {
    observe: ['artifactregistry.repositories.get'],
    apply: ['artifactregistry.repositories.create', 'artifactregistry.repositories.update'],
    remove: ['artifactregistry.repositories.delete'],
  },
  takes: { create: 12, update: 1, remove: 5 },

  path: ({ name, location }, { project }) => `projects/${project}/locations/${location}/repositories/${name}`,

  async observe(path, cloud) {
    const artifacts = await cloud.artifacts();
    return (await found(artifacts.projects.locations.repositories.get({ name: path })))?.data;
  },

  owner: (live) => ownerOfLabels(live.labels),

  compare: (spec, live, owner) =>
    compare({
      labels: [labelsOf(spec.labels, owner), withoutSystemLabels(live.labels)],
      description: [spec.description, live.description],
    }),

  async create(path, spec, { cloud, owner }) {
    const artifacts = await cloud.artifacts();
    const { data } = await artifacts.projects.locations.repositories.create({
      parent: path.replace(/\/repositories\/.*/, ''),
      repositoryId: spec.name,
      requestBody: { format: 'DOCKER', description: spec.description, labels: labelsOf(spec.labels, owner) },
    });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async update(path, spec, { cloud, owner, fields, live }) {
    const artifacts = await cloud.artifacts();
    const labels = labelsOver(live.labels, spec.labels, owner);
    const requestBody = { description: spec.description, labels };
    await artifacts.projects.locations.repositories.patch({
      name: path,
      updateMask: fields.join(','),
      requestBody,
    });
    return undefined;
  },

  async remove(path, { cloud }) {
    const artifacts = await cloud.artifacts();
    const { data } = await artifacts.projects.locations.repositories.delete({ name: path });
    return data.name && !data.done ? { operation: data.name } : undefined;
  },

  async poll(operation, cloud) {
    const artifacts = await cloud.artifacts();
    const { data } = await artifacts.projects.locations.operations.get({ name: operation });
    if (data.error) return CloudError.from(data.error);
    return data.done ? 'done' : 'running';
  },

  outputs: (_live, path) => ({ path }),
});
