/** Names of topics, subscriptions and snapshots. */
import { GoogleError, invalid } from '../../error.ts';
import type { Json } from '../../json.ts';
import type { Projects } from '../../projects.ts';

export type Collection = 'topics' | 'subscriptions' | 'snapshots';

/** What a subscription of a deleted topic says instead of its name. */
export const DELETED_TOPIC = '_deleted-topic_';

/** How many a list has on one page. */
export const PAGE_SIZES = { usual: 100, most: 1_000 };

const NAME = /^projects\/([^/]+)\/(topics|subscriptions|snapshots)\/(?!goog)[A-Za-z][\w.~+%-]{2,254}$/;

/** The name with the project's id in it, or INVALID_ARGUMENT. `field` is what the error calls it. */
export function readName(
  projects: Projects,
  collection: Collection,
  name: Json | undefined,
  field = 'name',
): string {
  const match = typeof name === 'string' ? NAME.exec(name) : null;
  const [whole = '', project = '', found] = match ?? [];
  if (found !== collection) throw invalidName(field, typeof name === 'string' ? name : '');
  const id = projects.find(project)?.projectId ?? project;
  return id === project ? whole : whole.replace(project, id);
}

/** `projects/p`, with the project's id, or INVALID_ARGUMENT. */
export function readProject(projects: Projects, name: Json | undefined): string {
  const [, project] = (typeof name === 'string' ? /^projects\/([^/]+)$/.exec(name) : null) ?? [];
  if (project === undefined) throw invalidName('project', typeof name === 'string' ? name : '');
  return `projects/${projects.find(project)?.projectId ?? project}`;
}

function invalidName(field: string, name: string): GoogleError {
  return invalid(
    `Invalid resource name given (${field}=${name}). Refer to https://cloud.google.com/pubsub/docs/admin#resource_names for more information.`,
  );
}

/** The last part: what Google's messages name a resource by. */
export function shortName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

/** `projects/p` of any name in it. */
export function projectName(name: string): string {
  return name.split('/', 2).join('/');
}

export function missing(name: string): GoogleError {
  return new GoogleError('NOT_FOUND', `Resource not found (resource=${shortName(name)}).`);
}

export function exists(name: string): GoogleError {
  return new GoogleError(
    'ALREADY_EXISTS',
    `Resource already exists in the project (resource=${shortName(name)}).`,
  );
}
