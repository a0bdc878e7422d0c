/** What a project may be called, how it is found, and how the two versions of the API show it. */
import { createHash } from 'node:crypto';
import { invalid } from '../../error.ts';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import type { Project } from '../../projects.ts';

export function checkProjectId(id: string): void {
  if (/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/.test(id)) return;
  throw invalid(
    `The project ID "${id}" must have 6 to 30 lowercase letters, digits and hyphens, begin with a letter, and not end with a hyphen.`,
    'project_id',
  );
}

export function readDisplayName(name: string): string {
  if (/^[\w\-'"! ]{4,30}$/.test(name)) return name;
  throw invalid(
    `The project display name "${name}" must have 4 to 30 letters, digits, single or double quotes, hyphens, spaces and exclamation points.`,
    'display_name',
  );
}

export function readLabels(json: Json | undefined): Record<string, string> {
  const labels = Object.entries(isObject(json) ? json : {}).map(
    ([key, value]) => [key, String(value)] as const,
  );
  if (labels.length > 64) throw invalid('A project can have at most 64 labels.', 'labels');
  for (const [key, value] of labels) {
    if (/^[a-z][a-z0-9_-]{0,62}$/.test(key) && /^[a-z0-9_-]{0,63}$/.test(value)) continue;
    throw invalid(`The label "${key}": "${value}" is not valid.`, 'labels');
  }
  return Object.fromEntries(labels);
}

export function etagOf(project: Project): string {
  return `W/"${createHash('sha256').update(JSON.stringify(project)).digest('hex').slice(0, 16)}"`;
}

/** As v3 shows it. */
export function describe(project: Project): JsonObject {
  return {
    name: `projects/${project.number}`,
    projectId: project.projectId,
    state: project.state,
    displayName: project.displayName,
    createTime: project.createTime,
    updateTime: project.updateTime ?? project.createTime,
    deleteTime: project.deleteTime,
    labels: { ...project.labels },
    etag: etagOf(project),
  };
}

/** As v1 shows it. */
export function describeV1(project: Project): JsonObject {
  return {
    projectNumber: project.number,
    projectId: project.projectId,
    lifecycleState: project.state,
    name: project.displayName,
    createTime: project.createTime,
    ...(Object.keys(project.labels).length > 0 ? { labels: { ...project.labels } } : {}),
  };
}

/** Whether all terms of `id:a* labels.team:shop state:ACTIVE` match. */
export function matches(project: Project, query: string): boolean {
  return (query.match(/(?:"[^"]*"|[^\s()])+/g) ?? [])
    .filter((term) => term !== 'AND')
    .every((term) => {
      const [, field = '', pattern = ''] = /^([\w.-]+)[:=](.*)$/.exec(term) ?? [];
      const value = fieldOf(project, field);
      if (value === null) throw invalid(`The filter term "${term}" is not supported.`, 'query');
      return value !== undefined && like(pattern.replace(/^"|"$/g, ''), value);
    });
}

/** Null for a field that cannot be asked for. */
function fieldOf(project: Project, field: string): string | undefined | null {
  const [, label] = /^labels\.(.+)$/.exec(field) ?? [];
  if (label !== undefined) return project.labels[label];
  const fields: Readonly<Record<string, string>> = {
    id: project.projectId,
    projectId: project.projectId,
    projectNumber: project.number,
    name: project.displayName,
    displayName: project.displayName,
    state: project.state,
    lifecycleState: project.state,
  };
  return fields[field] ?? null;
}

function like(pattern: string, value: string): boolean {
  const source = pattern
    .split('*')
    .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${source}$`, 'i').test(value);
}
