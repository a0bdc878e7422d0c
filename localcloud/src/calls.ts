/** The newest calls, as an audit log has them: what was asked, by whom, and how it ended. */
import type { Code } from './error.ts';

export interface CallRecord {
  /** Counts all calls since the start. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly api: string;
  readonly method: string;
  readonly resource: string;
  /** The caller's email. */
  readonly caller: string;
  /** Whether the method may change anything. */
  readonly mutating: boolean;
  readonly code: Code | 'OK';
  readonly ms: number;
}

export interface Calls {
  add(record: Omit<CallRecord, 'number'>): void;
  /** Those after that number, oldest first. */
  since(number: number): CallRecord[];
}

const KEPT = 20_000;

export function openCalls(): Calls {
  const records: CallRecord[] = [];
  let number = 0;
  return {
    add(record) {
      records.push({ number: ++number, ...record });
      if (records.length > 2 * KEPT) records.splice(0, KEPT);
    },
    since: (from) => records.slice(Math.max(0, records.length - (number - from))),
  };
}
