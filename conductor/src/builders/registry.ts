/** What is in the registry already. */
import type { Cloud } from '@service-director/shared/cloud/cloud.ts';
import { found } from '@service-director/shared/cloud/error.ts';
import type { HydratedDeployment } from '@service-director/shared/model/hydrate.ts';

/** The digest that a tag of an image names; undefined when there is no such tag, or no such repository yet. */
export async function digestOf(
  { region, image_repo, image }: Pick<HydratedDeployment, 'region' | 'image_repo' | 'image'>,
  tag: string,
  cloud: Cloud,
): Promise<string | undefined> {
  const artifacts = await cloud.artifacts();
  const name = `projects/${cloud.project}/locations/${region}/repositories/${image_repo}/packages/${packageOf(image)}/tags/${tag}`;
  const answer = await found(artifacts.projects.locations.repositories.packages.tags.get({ name }));
  return answer?.data.version?.split('/').at(-1);
}

function packageOf(image: string): string {
  return encodeURIComponent(image.split('/').slice(3).join('/'));
}
