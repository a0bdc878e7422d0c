/** Artifact Registry v1 for container images, with the registry that clients push to and pull from. */
import type { LocalCloud } from '../cloud.ts';
import type { Images } from '../internal.ts';
import type { Service } from '../service.ts';
import { openContents } from './artifact-registry/contents.ts';
import { distribution } from './artifact-registry/distribution.ts';
import { openImages } from './artifact-registry/images.ts';
import { packageMethods } from './artifact-registry/packages.ts';
import { openRepositories, repositoryMethods } from './artifact-registry/repositories.ts';

export function artifactRegistry(cloud: LocalCloud): { service: Service; images: Images } {
  const repositories = openRepositories(cloud);
  const contents = openContents(cloud);
  const registry = distribution(cloud, repositories, contents);
  return {
    images: openImages(cloud, repositories, contents),
    service: {
      name: 'artifactregistry',
      host: 'artifactregistry.googleapis.com',
      title: 'Artifact Registry API',
      protos: ['google/devtools/artifactregistry/v1/service.proto'],
      methods: {
        'google.devtools.artifactregistry.v1.ArtifactRegistry': {
          ...repositoryMethods(cloud, repositories, contents),
          ...packageMethods(cloud, repositories, contents),
        },
      },
      routes: registry.routes,
      start: registry.start,
    },
  };
}
