/** Cloud Logging: what is written is found again. The behaviour in words: `logging.md`. */
import type { LocalCloud } from '../cloud.ts';
import { invalid } from '../error.ts';
import type { Logs } from '../internal.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';
import type { Access, Service } from '../service.ts';
import { isTooLarge, type LogEntry, openEntries, projectOfLog } from './logging/entries.ts';
import { parseFilter } from './logging/filter.ts';

const MAX_PAGE = 1_000;

export function logging(cloud: LocalCloud): { service: Service; logs: Logs } {
  const entries = openEntries(cloud.store, cloud.clock);

  /** Projects may be named by number; entries are kept by id. */
  const idOf = (project: string): string => cloud.projects.find(project)?.projectId ?? project;

  function canonical(logName: string): string {
    const project = projectOfLog(logName);
    return project === undefined ? logName : logName.replace(project, idOf(project));
  }

  /** The entries of a write request, with the request's defaults in them. */
  function written(request: JsonObject): JsonObject[] {
    return list(request.entries)
      .filter(isObject)
      .map((entry) => ({
        ...entry,
        logName: canonical(String(entry.logName ?? request.logName ?? '')),
        resource: entry.resource ?? request.resource,
        ...(request.labels === undefined && entry.labels === undefined
          ? {}
          : { labels: { ...object(request.labels), ...object(entry.labels) } }),
      }));
  }

  const onProjects = (permission: string, projects: readonly string[]): Access[] =>
    [...new Set(projects)].map((project) => ({ permission, resource: `projects/${project}` }));

  /** The projects that a read names, at the front of `projects/p[/locations/…/views/v]`. */
  function projectsOf(names: readonly string[]): string[] {
    return names.map((name) => {
      const project = /^projects\/([^/]+)(\/locations\/.+)?$/.exec(name)?.[1];
      if (project === undefined) throw invalid(`Only projects are supported here: ${name}`, 'resourceNames');
      return idOf(project);
    });
  }

  function listEntries(request: JsonObject): JsonObject {
    const { pageSize = 50, orderBy = 'timestamp asc', filter = '' } = request;
    const size = Number(pageSize) || 50;
    if (size < 0 || size > MAX_PAGE)
      throw invalid(`page_size must be between 0 and ${MAX_PAGE}.`, 'pageSize');
    const order = /^(timestamp( asc)?)?$/.test(String(orderBy)) ? 1 : -1;
    if (order < 0 && orderBy !== 'timestamp desc')
      throw invalid(`Unsupported order: ${String(orderBy)}`, 'orderBy');
    const matches = parseFilter(String(filter));
    const after = readToken(request.pageToken);
    const found = [...new Set(projectsOf(list(request.resourceNames).map(String)))]
      .flatMap((project) => entries.of(project))
      .filter(matches)
      .sort((a, b) => order * compare(a, b))
      .filter((entry) => after === undefined || order * compare(entry, after) > 0);
    const page = found.slice(0, size);
    const lastEntry = page.at(-1);
    const more = found.length > page.length && lastEntry !== undefined;
    return { entries: page, ...(more ? { nextPageToken: writeToken(lastEntry) } : {}) };
  }

  const service: Service = {
    name: 'logging',
    host: 'logging.googleapis.com',
    title: 'Cloud Logging API',
    needsEnabling: false,
    protos: ['google/logging/v2/logging.proto'],
    methods: {
      'google.logging.v2.LoggingServiceV2': {
        WriteLogEntries: {
          access: (request) =>
            onProjects(
              'logging.logEntries.create',
              written(request).flatMap((entry) => projectOfLog(String(entry.logName)) ?? []),
            ),
          handle(request) {
            const complete = written(request);
            for (const entry of complete) {
              if (projectOfLog(entry.logName === undefined ? '' : String(entry.logName)) === undefined)
                throw invalid('Log entry with empty or invalid log_name.', 'entries.logName');
              if (!isObject(entry.resource))
                throw invalid('Log entry with missing resource.', 'entries.resource');
            }
            if (request.dryRun !== true) for (const entry of complete) entries.add(entry);
            return {};
          },
        },
        ListLogEntries: {
          access: (request) =>
            onProjects('logging.logEntries.list', projectsOf(list(request.resourceNames).map(String))),
          handle(request) {
            if (list(request.resourceNames).length === 0)
              throw invalid('resource_names must not be empty.', 'resourceNames');
            return listEntries(request);
          },
        },
        ListLogs: {
          access: (request) => onProjects('logging.logs.list', projectsOf(parentsOf(request))),
          handle(request) {
            const names = projectsOf(parentsOf(request)).flatMap((project) =>
              entries.of(project).map((entry) => entry.logName),
            );
            return { logNames: [...new Set(names)].sort() };
          },
        },
        DeleteLog: {
          access: (request) =>
            onProjects('logging.logs.delete', [idOf(projectOfLog(logNameOf(request)) ?? '')]),
          handle(request) {
            entries.drop(canonical(logNameOf(request)));
            return {};
          },
        },
      },
    },
  };

  return { service, logs: { write: (entry) => entries.add(isTooLarge(entry) ? cut(entry) : entry) } };
}

function parentsOf(request: JsonObject): string[] {
  return [request.parent ?? '', ...list(request.resourceNames)].map(String);
}

/** What the local cloud itself writes is not refused for its size: its payload becomes a text that fits. */
function cut({ jsonPayload, textPayload, ...entry }: JsonObject): JsonObject {
  const text = typeof textPayload === 'string' ? textPayload : JSON.stringify(jsonPayload ?? '');
  return { ...entry, textPayload: text.slice(0, 40_000) };
}

/** The log id arrives decoded from a path, and is kept encoded. */
function logNameOf(request: JsonObject): string {
  const [project, id = ''] = String(request.logName).split('/logs/');
  return `${project}/logs/${id.includes('%') ? id : encodeURIComponent(id)}`;
}

/** What orders entries. */
type Place = Pick<LogEntry, 'timestamp' | 'insertId'>;

function compare(a: Place, b: Place): number {
  const order = Date.parse(a.timestamp) - Date.parse(b.timestamp);
  if (order !== 0) return order;
  return a.insertId < b.insertId ? -1 : Number(a.insertId > b.insertId);
}

/** Where a page ended: its last entry. */
function writeToken({ timestamp, insertId }: Place): string {
  return Buffer.from(`${timestamp} ${insertId}`).toString('base64url');
}

function readToken(token: Json | undefined): Place | undefined {
  if (token === undefined || token === '') return undefined;
  const [timestamp, insertId] = Buffer.from(String(token), 'base64url').toString().split(' ');
  if (insertId === undefined || timestamp === undefined || Number.isNaN(Date.parse(timestamp)))
    throw invalid('page_token is invalid.', 'pageToken');
  return { timestamp, insertId };
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function object(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}
