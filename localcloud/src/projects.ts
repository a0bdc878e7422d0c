/** Projects and the APIs enabled in them. */
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { GoogleError } from './error.ts';
import type { Store, Table } from './store.ts';

export interface Project {
  readonly projectId: string;
  /** Twelve digits. */
  readonly number: string;
  readonly displayName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createTime: string;
  readonly state: 'ACTIVE' | 'DELETE_REQUESTED';
  readonly updateTime?: string;
  /** When it was asked to be deleted. */
  readonly deleteTime?: string;
}

export interface Projects {
  create(projectId: string, more?: { displayName?: string; labels?: Record<string, string> }): Project;
  /** By id or by number. */
  find(idOrNumber: string): Project | undefined;
  /** By id or by number; for a missing one the refusal that Google gives, which does not tell missing from forbidden. */
  get(idOrNumber: string): Project;
  update(project: Project): void;
  list(): Project[];
  /** Marks the API enabled now; it answers after `delayMs`, by default once the change has propagated. */
  enable(projectId: string, host: string, delayMs?: number): void;
  disable(projectId: string, host: string): void;
  /** As Service Usage tells: at once. */
  isEnabled(projectId: string, host: string): boolean;
  /** As the API itself behaves: after propagation. */
  answers(projectId: string, host: string): boolean;
  enabled(projectId: string): string[];
}

export function openProjects(store: Store, clock: Clock, propagationMs: number): Projects {
  const rows: Table<Project> = store.table('projects');
  /** `<project>/<host>` → when the API begins to answer, in milliseconds since 1970. */
  const apis: Table<number> = store.table('projects.apis');

  const find = (idOrNumber: string): Project | undefined =>
    rows.get(idOrNumber) ?? rows.values().find((project) => project.number === idOrNumber);

  return {
    find,
    get(idOrNumber) {
      const project = find(idOrNumber);
      if (project) return project;
      const what = `projects/${idOrNumber}`;
      throw new GoogleError(
        'PERMISSION_DENIED',
        `Permission denied on resource '${what}' (or it may not exist).`,
      );
    },
    create(projectId, more = {}) {
      if (rows.has(projectId)) throw new GoogleError('ALREADY_EXISTS', 'Requested entity already exists');
      const project: Project = {
        projectId,
        number: numberOf(projectId),
        displayName: more.displayName ?? projectId,
        labels: more.labels ?? {},
        createTime: timestamp(clock.now()),
        state: 'ACTIVE',
      };
      rows.set(projectId, project);
      return project;
    },
    update: (project) => rows.set(project.projectId, project),
    list: () => [...rows.values()],
    enable(projectId, host, delayMs = propagationMs) {
      if (!apis.has(`${projectId}/${host}`)) apis.set(`${projectId}/${host}`, clock.now() + delayMs);
    },
    disable: (projectId, host) => void apis.delete(`${projectId}/${host}`),
    isEnabled: (projectId, host) => apis.has(`${projectId}/${host}`),
    answers: (projectId, host) =>
      (apis.get(`${projectId}/${host}`) ?? Number.POSITIVE_INFINITY) <= clock.now(),
    enabled: (projectId) =>
      [...apis.entries()].flatMap(([key]) =>
        key.startsWith(`${projectId}/`) ? [key.slice(projectId.length + 1)] : [],
      ),
  };
}

/** Twelve digits that follow from the id, so that the same project has the same number in every local cloud. */
function numberOf(projectId: string): string {
  let hash = 0;
  for (const char of projectId) hash = (hash * 131 + (char.codePointAt(0) ?? 0)) % 899_999_999_999;
  return String(100_000_000_000 + hash);
}
