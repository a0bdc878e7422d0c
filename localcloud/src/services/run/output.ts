/** What an instance prints, as log entries: https://cloud.google.com/run/docs/logging */
import type { Readable } from 'node:stream';
import { isObject, type Json, type JsonObject } from '../../json.ts';
import { severityName } from '../../severity.ts';

/** Longer lines are cut: an entry may have 256 KiB. */
const LONGEST_LINE = 200_000;

/** Calls `onLine` for each line of a stream of text, and for what is left at its end. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, LONGEST_LINE);
    for (const line of lines) onLine(line.replace(/\r$/, '').slice(0, LONGEST_LINE));
  });
  stream.on('end', () => rest !== '' && onLine(rest));
  stream.on('error', () => {});
}

/** The part of a log entry that a line makes: its payload, and what is lifted out of it. */
export function entryOf(line: string): JsonObject {
  const json = parse(line);
  if (!json) return { textPayload: line };
  const payload: JsonObject = {};
  const lifted: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    if (value === undefined) continue;
    const [field, lift] = LIFTED[name] ?? [];
    const moved = lift?.(value);
    if (field !== undefined && moved !== undefined && lifted[field] === undefined) lifted[field] = moved;
    else payload[name] = value;
  }
  const { message, ...others } = payload;
  const alone = typeof message === 'string' && Object.keys(others).length === 0;
  return { ...lifted, ...(alone ? { textPayload: message } : { jsonPayload: payload }) };
}

function parse(line: string): JsonObject | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const json: unknown = JSON.parse(line);
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

const DURATION = /^\d+(\.\d{1,9})?s$/;

type Lift = (value: Json) => Json | undefined;

const string: Lift = (value) => (typeof value === 'string' ? value : undefined);
const boolean: Lift = (value) => (typeof value === 'boolean' ? value : undefined);
const severity: Lift = (value) => severityName(String(value));
const time: Lift = (value) => (typeof value === 'string' && RFC3339.test(value) ? value : undefined);
/** An object with no other fields than these, whose values become texts where Google has 64-bit numbers. */
const only =
  (fields: Readonly<Record<string, 'string' | 'number' | 'boolean' | 'int64' | 'duration'>>): Lift =>
  (value) => {
    if (!isObject(value)) return undefined;
    const entries = Object.entries(value).map(([name, inner]) => {
      const type = fields[name];
      if (type === 'int64') return /^\d+$/.test(String(inner)) ? ([name, String(inner)] as const) : undefined;
      if (type === 'duration')
        return DURATION.test(String(inner)) ? ([name, String(inner)] as const) : undefined;
      return typeof inner === type ? ([name, inner] as const) : undefined;
    });
    return entries.every((entry) => entry !== undefined) ? Object.fromEntries(entries) : undefined;
  };
const labels: Lift = (value) =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]))
    : undefined;

/** What is taken out of the payload, where it goes, and how; what does not fit stays in the payload. */
const LIFTED: Readonly<Record<string, readonly [field: string, lift: Lift]>> = {
  severity: ['severity', severity],
  time: ['timestamp', time],
  timestamp: ['timestamp', time],
  httpRequest: [
    'httpRequest',
    only({
      requestMethod: 'string',
      requestUrl: 'string',
      requestSize: 'int64',
      status: 'number',
      responseSize: 'int64',
      userAgent: 'string',
      remoteIp: 'string',
      serverIp: 'string',
      referer: 'string',
      latency: 'duration',
      protocol: 'string',
    }),
  ],
  'logging.googleapis.com/trace': ['trace', string],
  'logging.googleapis.com/spanId': ['spanId', string],
  'logging.googleapis.com/trace_sampled': ['traceSampled', boolean],
  'logging.googleapis.com/insertId': ['insertId', string],
  'logging.googleapis.com/labels': ['labels', labels],
  'logging.googleapis.com/operation': [
    'operation',
    only({ id: 'string', producer: 'string', first: 'boolean', last: 'boolean' }),
  ],
  'logging.googleapis.com/sourceLocation': [
    'sourceLocation',
    only({ file: 'string', line: 'int64', function: 'string' }),
  ],
};
