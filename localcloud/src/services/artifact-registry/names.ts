/** What things are called: resource names of the API, and image references as clients write them. */
import { GoogleError, invalid } from '../../error.ts';
import { isRegion } from '../locations.ts';

/** An image below a repository, by tag or digest. */
export interface Reference {
  readonly project: string;
  readonly location: string;
  readonly repository: string;
  /** `team/api`. */
  readonly image: string;
  /** A tag, or `sha256:…`. */
  readonly version: string;
}

/** `us-central1-docker.pkg.dev/p/r/name`, `…:tag`, `…@sha256:…`; throws INVALID_ARGUMENT for anything else. The tag is `latest` when none is given. */
export function readReference(text: string): Reference {
  const match = REFERENCE.exec(text);
  const [, location = '', project = '', repository = '', image = '', tag = 'latest', digest] = match ?? [];
  if (!match || !isImageName(image)) {
    throw invalid(
      `Invalid image reference "${text}": expected LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE, with :TAG or @sha256:DIGEST.`,
    );
  }
  return { project, location, repository, image, version: digest ?? tag };
}

const REFERENCE =
  /^([a-z0-9-]+)-docker\.pkg\.dev\/([a-z0-9.:-]+)\/([a-z0-9-]+)\/([^:@]+)(?::([\w][\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$/;

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const IMAGE_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);

/** As the distribution specification has names. */
export function isImageName(text: string): boolean {
  return text.length <= 255 && IMAGE_NAME.test(text);
}

export function isTag(text: string): boolean {
  return /^\w[\w.-]{0,127}$/.test(text);
}

/** `projects/p/locations/l/repositories/r`. */
export function repositoryName(project: string, location: string, repository: string): string {
  return `projects/${project}/locations/${location}/repositories/${repository}`;
}

/** The repository that a resource is in, or is: the first six parts of its name. */
export function repositoryOf(name: string): string {
  return name.split('/').slice(0, 6).join('/');
}

/** `us-central1-docker.pkg.dev/p/r`. */
export function registryUri(repository: string): string {
  const [, project = '', , location = '', , id = ''] = repository.split('/');
  return `${location}-docker.pkg.dev/${project}/${id}`;
}

/** An image name as an id in resource names: one part. */
export function packageId(image: string): string {
  return image.replaceAll('/', '%2F');
}

/** The image that a resource under `…/packages/P` is about. */
export function imageOf(name: string): string {
  return (name.split('/')[7] ?? '').replace(/%2f/gi, '/');
}

export function checkLocation(location: string): void {
  if (isRegion(location) || MULTI_REGIONS.has(location)) return;
  throw new GoogleError(
    'PERMISSION_DENIED',
    `Permission denied on 'locations/${location}' (or it may not exist).`,
  );
}

export function checkRepositoryId(id: string): void {
  if (/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(id)) return;
  throw invalid(
    `Invalid repository ID "${id}": it must be 1 to 63 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen.`,
    'repository_id',
  );
}

const MULTI_REGIONS = new Set(['us', 'europe', 'asia']);
