/** What can be done with projects, whichever version of the API asks. */
import { randomUUID } from 'node:crypto';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { GoogleError } from '../../error.ts';
import { type Identity, member } from '../../identity.ts';
import type { JsonObject } from '../../json.ts';
import type { Project } from '../../projects.ts';
import type { Access } from '../../service.ts';
import { DEFAULT_ENABLED } from '../../well-known-apis.ts';
import { checkProjectId, matches, readDisplayName, readLabels } from './projects.ts';

export interface NewProject {
  readonly projectId: string;
  readonly displayName?: string;
  readonly labels?: Record<string, string>;
  /** What is enabled from the start; by default what Google enables. */
  readonly hosts?: readonly string[];
}

/** Enables an API in a project, in effect after `delayMs`. */
export type Enable = (project: Project, host: string, delayMs?: number) => void;

export interface ProjectActions {
  /** The name under which policies keep the project of `projects/ID` or `projects/NUMBER`. */
  nameOf(name: string): string;
  /** What IAM asks of a request that has the project in `name`. */
  on(verb: string): (request: JsonObject) => Access;
  get(name: string): Project;
  /** Those that the caller may get and that match. */
  visible(identity: Identity, query: string): Project[];
  /** Makes a project whose owner and APIs are in effect at once. */
  open(wanted: NewProject, owner: Identity): Project;
  /** As `open`, when the caller may. */
  create(wanted: NewProject, identity: Identity): Project;
  change(project: Project, change: Partial<Project>): Project;
  delete(project: Project): Project;
  undelete(project: Project): Project;
  /** An operation `operations/KIND.DIGITS` that has that response. */
  operation(kind: string, response: JsonObject, metadata: JsonObject): JsonObject;
}

/** How long a deleted project can be restored. */
const RESTORABLE_MS = 30 * 24 * 3_600_000;
/** Of a page of projects. */
export const SIZES = { usual: 500, most: 1_000 };

export function projectActions(cloud: LocalCloud, enable: Enable): ProjectActions {
  function open({ hosts = DEFAULT_ENABLED, projectId, ...more }: NewProject, owner: Identity): Project {
    const project = cloud.projects.create(projectId, more);
    const bindings = [{ role: 'roles/owner', members: [member(owner)] }];
    cloud.iam.setPolicy(`projects/${projectId}`, { bindings }, 0);
    for (const host of hosts) enable(project, host, 0);
    return project;
  }

  const nameOf = (name: string): string => {
    const [, id = ''] = name.split('/');
    return `projects/${cloud.projects.find(id)?.projectId ?? id}`;
  };

  const actions: ProjectActions = {
    nameOf,
    open,
    on: (verb) => (request) => ({
      permission: `resourcemanager.projects.${verb}`,
      resource: nameOf(String(request.name)),
    }),
    get: (name) => cloud.projects.get(name.split('/')[1] ?? ''),
    visible: (identity, query) =>
      cloud.projects
        .list()
        .filter((project) => matches(project, query))
        .filter(
          ({ projectId }) =>
            cloud.iam.test(identity, ['resourcemanager.projects.get'], `projects/${projectId}`).length > 0,
        ),
    create(wanted, identity) {
      checkProjectId(wanted.projectId);
      if (wanted.displayName !== undefined) readDisplayName(wanted.displayName);
      if (identity.type !== 'user') {
        throw new GoogleError(
          'PERMISSION_DENIED',
          'Service accounts cannot create projects without a parent.',
        );
      }
      return open(wanted, identity);
    },
    change(project, change) {
      const changed = { ...project, ...change, updateTime: timestamp(cloud.clock.now()) };
      cloud.projects.update(changed);
      return changed;
    },
    delete(project) {
      if (project.state === 'DELETE_REQUESTED') return project;
      const now = timestamp(cloud.clock.now());
      return actions.change(project, { state: 'DELETE_REQUESTED', deleteTime: now });
    },
    undelete({ deleteTime, ...project }) {
      if (deleteTime === undefined) {
        throw new GoogleError('FAILED_PRECONDITION', `Project ${project.projectId} is not deleted.`);
      }
      if (Date.parse(deleteTime) + RESTORABLE_MS <= cloud.clock.now()) {
        throw new GoogleError(
          'FAILED_PRECONDITION',
          `Project ${project.projectId} can no longer be restored.`,
        );
      }
      return actions.change(project, { state: 'ACTIVE' });
    },
    operation: (kind, response, metadata) =>
      cloud.operations.start({
        parent: '',
        id: `${kind}.${BigInt(`0x${randomUUID().replaceAll('-', '')}`) % 10n ** 19n}`,
        metadata,
        work: async () => response,
      }),
  };

  return actions;
}

/** The display name is called so in v3, and `name` in v1. */
export function readNewProject(json: JsonObject, displayName: JsonObject[string]): NewProject {
  return {
    projectId: String(json.projectId ?? ''),
    labels: readLabels(json.labels),
    ...(displayName === undefined || displayName === '' ? {} : { displayName: String(displayName) }),
  };
}
