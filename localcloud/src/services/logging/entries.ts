/** The log entries of each project: the newest are kept. */
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { invalid } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Store, Table } from '../../store.ts';

/** A `google.logging.v2.LogEntry` with what the local cloud fills in. */
export type LogEntry = JsonObject & {
  logName: string;
  timestamp: string;
  receiveTimestamp: string;
  insertId: string;
};

export interface Entries {
  /** Fills in what is missing and keeps the entry. Throws INVALID_ARGUMENT for one without a log name of a project, or too large. */
  add(entry: JsonObject): void;
  /** Those of a project, in the order in which they came. */
  of(projectId: string): LogEntry[];
  /** Removes a whole log. */
  drop(logName: string): void;
}

const KEPT = 10_000;
const MAX_BYTES = 256 * 1024;

export function isTooLarge(entry: JsonObject): boolean {
  return JSON.stringify(entry).length > MAX_BYTES;
}

/** `projects/p/logs/run.googleapis.com%2Fstdout` → `p`; undefined for what is no log of a project. */
export function projectOfLog(logName: string): string | undefined {
  return /^projects\/([^/]+)\/logs\/[^/]+$/.exec(logName)?.[1];
}

export function openEntries(store: Store, clock: Clock): Entries {
  const rows: Table<LogEntry> = store.table('logging.entries');
  /** By project: the keys of its rows by what makes an entry unique, oldest first. */
  const projects = new Map<string, Map<string, string>>();
  let last = 0;

  for (const [key, entry] of rows.entries()) {
    last = Math.max(last, Number(key));
    keysOf(projectOfLog(entry.logName) ?? '').set(identityOf(entry), key);
  }

  function keysOf(projectId: string): Map<string, string> {
    const keys = projects.get(projectId) ?? new Map<string, string>();
    projects.set(projectId, keys);
    return keys;
  }

  function complete(entry: JsonObject): LogEntry {
    const now = timestamp(clock.now());
    return {
      ...entry,
      logName: String(entry.logName),
      timestamp: String(entry.timestamp ?? now),
      receiveTimestamp: now,
      insertId: String(entry.insertId ?? (last + 1).toString(36).padStart(12, '0')),
    };
  }

  return {
    add(given) {
      const projectId = projectOfLog(String(given.logName ?? ''));
      if (projectId === undefined)
        throw invalid('A log entry needs a log name: projects/P/logs/LOG', 'logName');
      const entry = complete(given);
      if (isTooLarge(entry)) throw invalid('Log entry is larger than 256 KiB.');
      const keys = keysOf(projectId);
      const identity = identityOf(entry);
      const key = keys.get(identity) ?? String(++last);
      rows.set(key, entry);
      keys.set(identity, key);
      if (keys.size <= KEPT) return;
      for (const [oldest, oldestKey] of keys) {
        keys.delete(oldest);
        rows.delete(oldestKey);
        break;
      }
    },
    of: (projectId) => [...(projects.get(projectId)?.values() ?? [])].flatMap((key) => rows.get(key) ?? []),
    drop(logName) {
      const keys = keysOf(projectOfLog(logName) ?? '');
      for (const [identity, key] of [...keys]) {
        if (rows.get(key)?.logName !== logName) continue;
        keys.delete(identity);
        rows.delete(key);
      }
    },
  };
}

function identityOf(entry: LogEntry): string {
  return `${entry.timestamp} ${entry.insertId} ${entry.logName}`;
}
