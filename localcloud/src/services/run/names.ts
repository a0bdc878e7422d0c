/** Names of Cloud Run's resources. Projects may be named by number; what is kept has their id. */
import { GoogleError, invalid } from '../../error.ts';
import type { Projects } from '../../projects.ts';
import { isRegion } from '../locations.ts';

export interface ServiceName {
  readonly project: string;
  readonly location: string;
  /** The id alone. */
  readonly service: string;
  /** `projects/p/locations/l/services/s`. */
  readonly full: string;
}

/** The name with the project's id in the place of its number. */
export function canonical(projects: Projects, name: string): string {
  return name.replace(/^projects\/([^/]+)/, (_, project: string) => {
    return `projects/${projects.find(project)?.projectId ?? project}`;
  });
}

/** Reads a canonical name, of a service or of something below it. */
export function serviceName(name: string): ServiceName {
  const [, project = '', , location = '', , service = ''] = name.split('/');
  return {
    project,
    location,
    service,
    full: `projects/${project}/locations/${location}/services/${service}`,
  };
}

export function shortName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

/** Refuses a location that Cloud Run does not have. */
export function demandRegion(location: string): void {
  if (isRegion(location)) return;
  throw new GoogleError('NOT_FOUND', `Location ${location} is not found or access is unauthorized.`);
}

/** Refuses what is no id of a service. */
export function demandServiceId(id: string): void {
  if (/^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$/.test(id)) return;
  throw invalid(
    `Invalid service id '${id}': it must use only lowercase letters, digits and hyphens, must begin with a letter, cannot end with a hyphen, and must have less than 50 characters.`,
    'service_id',
  );
}

/** In Google's words. */
export function missing(kind: 'SERVICE' | 'REVISION', name: string): GoogleError {
  const { project, location } = serviceName(name);
  return new GoogleError(
    'NOT_FOUND',
    `Resource '${shortName(name)}' of kind '${kind}' in region '${location}' in project '${project}' does not exist.`,
  );
}
