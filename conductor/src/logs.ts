/** What a service writes, out of Cloud Logging. */
import { CloudError, isTransient } from '@service-director/shared/cloud/error.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { didYouMean } from '@service-director/shared/model/diagnostic.ts';
import type { logging_v2 } from 'googleapis/build/src/apis/logging/v2.js';
import type { BareContext, ProgramPlace, RunContext } from './context.ts';
import { EXIT, Failure } from './failure.ts';

export interface LogLine {
  /** RFC 3339. */
  readonly time: string;
  /** `DEFAULT`, `INFO`, `WARNING`, `ERROR` and the like. */
  readonly severity: string;
  readonly message: string;
  /** What a structured line holds beside its message. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly revision: string;
}

export interface LogOptions {
  /** Goes on as it is written, until the signal of the look is aborted. */
  readonly follow?: boolean;
  /** How many lines, the newest; at most 1,000. Default 100. */
  readonly limit?: number;
  readonly onLine: (line: LogLine) => void;
}

type Entry = logging_v2.Schema$LogEntry;
type Page = logging_v2.Schema$ListLogEntriesResponse;

const POLL_MS = 1_500;
/** How late an entry may arrive and still be noticed when following. Milliseconds. */
const LATE_MS = 30_000;
const PAGE = 1_000;

/** Of a service of the architecture, or of the director; oldest first. */
export function tellLogs(service: string, context: RunContext, options: LogOptions): Promise<void> {
  return tellLogsAt(placeOf(service, context), context, options);
}

/** Of the director, with an architecture or without one. */
export function tellDirectorLogs(context: RunContext | BareContext, options: LogOptions): Promise<void> {
  if (context.architecture) return tellLogs(context.architecture.director.name, context, options);
  if (context.place) return tellLogsAt(context.place, context, options);
  throw new Failure('The log of a director is in its project, which its URL does not tell', {
    exitCode: EXIT.usage,
    fix: 'name the FILE of the architecture that it came with',
  });
}

type Where = Pick<RunContext, 'clock' | 'signal'>;

async function tellLogsAt(
  place: ProgramPlace,
  { clock, signal }: Where,
  { follow = false, limit = 100, onLine }: LogOptions,
): Promise<void> {
  const context: Reading = { cloud: place.cloud, signal };
  const filter = filterOf(place);
  const { entries } = await list(context, { filter, orderBy: 'timestamp desc', pageSize: limit });
  const first = (entries ?? []).toReversed();
  for (const entry of first) onLine(lineOf(entry));
  if (!follow) return;

  const told = new Map(first.map((entry) => [nameOf(entry), timeOf(entry)]));
  // What the limit left out stays left out, though it may be young.
  const floor = first.length < limit ? 0 : timeOf(first[0]) + 1;
  let newest = timeOf(first.at(-1));
  for (;;) {
    await clock.sleep(POLL_MS, signal).catch(() => {});
    if (signal.aborted) return;
    const since = Math.max(floor, newest - LATE_MS);
    for (const [name, time] of told) if (time < since) told.delete(name);
    for (const entry of await listSince(since, filter, context)) {
      if (told.has(nameOf(entry))) continue;
      told.set(nameOf(entry), timeOf(entry));
      newest = Math.max(newest, timeOf(entry));
      onLine(lineOf(entry));
    }
  }
}

interface Reading {
  readonly cloud: ProgramPlace['cloud'];
  readonly signal: AbortSignal;
}

function filterOf({ name, region }: ProgramPlace): string {
  return [
    'resource.type="cloud_run_revision"',
    `resource.labels.service_name="${name}"`,
    `resource.labels.location="${region}"`,
  ].join(' ');
}

function placeOf(name: string, { architecture, reach }: RunContext): ProgramPlace {
  const { director, dataflows } = architecture;
  const services = [director, ...Object.values(dataflows).flatMap((flow) => Object.values(flow.services))];
  const service = services.find((one) => one.name === name);
  if (service) return { cloud: reach.cloud, name, region: service.deployment.region };
  const names = services.map((one) => one.name);
  const near = didYouMean(name, names);
  throw new Failure(`There is no service "${name}"${near ? `; did you mean "${near}"?` : ''}`, {
    exitCode: EXIT.usage,
    fix: `the architecture has: ${names.join(', ')}`,
  });
}

/** All since then, oldest first. What fails and may pass is asked again at the next turn. */
async function listSince(since: number, filter: string, context: Reading): Promise<Entry[]> {
  const all: Entry[] = [];
  const request = {
    filter: `${filter} timestamp>="${timestamp(since)}"`,
    orderBy: 'timestamp asc',
    pageSize: PAGE,
  };
  try {
    let pageToken: string | undefined;
    do {
      const page: Page = await list(context, { ...request, ...(pageToken ? { pageToken } : {}) });
      all.push(...(page.entries ?? []));
      pageToken = page.nextPageToken ?? undefined;
    } while (pageToken !== undefined);
  } catch (error) {
    if (!(error instanceof Failure) || !isTransient(CloudError.from(error.cause))) throw error;
  }
  return all;
}

async function list(
  { cloud, signal }: Reading,
  request: logging_v2.Schema$ListLogEntriesRequest,
): Promise<Page> {
  try {
    const logging = await cloud.logging();
    const resourceNames = [`projects/${cloud.project}`];
    return (await logging.entries.list({ requestBody: { resourceNames, ...request } })).data;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw Failure.from(error, 'reading the log');
  }
}

function lineOf(entry: Entry): LogLine {
  const { message, fields } = contentOf(entry);
  return {
    time: entry.timestamp ?? '',
    severity: entry.severity ?? 'DEFAULT',
    message,
    fields,
    revision: entry.resource?.labels?.revision_name ?? '',
  };
}

function contentOf({
  textPayload,
  jsonPayload,
  httpRequest,
  protoPayload,
}: Entry): Pick<LogLine, 'message' | 'fields'> {
  if (jsonPayload) {
    const { message, ...fields } = jsonPayload;
    return { message: typeof message === 'string' ? message : '', fields };
  }
  if (textPayload) return { message: textPayload, fields: {} };
  if (httpRequest) {
    const { requestMethod, requestUrl, status, latency } = httpRequest;
    return { message: [requestMethod, status, requestUrl, latency].filter(Boolean).join(' '), fields: {} };
  }
  return { message: '', fields: protoPayload ?? {} };
}

function timeOf(entry: Entry | undefined): number {
  return Date.parse(entry?.timestamp ?? '') || 0;
}

/** Insert ids are unique for one moment of one log. */
function nameOf({ timestamp: time, logName, insertId }: Entry): string {
  return `${time} ${logName} ${insertId}`;
}
