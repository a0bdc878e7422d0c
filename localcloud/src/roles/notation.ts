/** How the table of predefined roles is written: permissions by service and resource, roles as sets of them. */

export interface PredefinedRole {
  /** `roles/pubsub.publisher`. */
  readonly name: string;
  readonly title: string;
  readonly permissions: ReadonlySet<string>;
}

/** `{ topics: 'get list' }` of `pubsub` is `pubsub.topics.get` and `pubsub.topics.list`. */
export function permissions(service: string, verbs: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(verbs).flatMap(([resource, text]) =>
    text.split(' ').map((verb) => `${service}.${resource}.${verb}`),
  );
}

export function role(name: string, title: string, ...sets: readonly (readonly string[])[]): PredefinedRole {
  return { name: `roles/${name}`, title, permissions: new Set(sets.flat()) };
}

/** What most roles that are granted on a project hold beside their own. */
export const SEE_PROJECT = permissions('resourcemanager', { projects: 'get' });
export const SEE_PROJECTS = permissions('resourcemanager', { projects: 'get list' });
export const SEE_SERVICES = permissions('serviceusage', { services: 'get list' });
