/** Long-running operations: https://google.aip.dev/151 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { GoogleError, toGoogleError } from './error.ts';
import type { JsonObject } from './json.ts';
import type { Store, Table } from './store.ts';

/** `google.longrunning.Operation` in its canonical JSON. */
export type Operation = {
  name: string;
  done?: boolean;
  metadata?: JsonObject;
  error?: JsonObject;
  response?: JsonObject;
};

export interface Running {
  readonly name: string;
  /** Aborted when somebody cancels the operation. */
  readonly signal: AbortSignal;
  /** Replaces the metadata; its `@type` stays. */
  progress(metadata: JsonObject): void;
}

export interface StartOptions {
  /** What the name begins with: `projects/p/locations/l` gives `projects/p/locations/l/operations/<id>`; empty, `operations/<id>`. */
  readonly parent: string;
  /** With its `@type`. */
  readonly metadata: JsonObject;
  /** The last part of the name; a random UUID by default. */
  readonly id?: string;
  /** Does the work; what it returns becomes the response (with its `@type`), what it throws the error. */
  work(running: Running): Promise<JsonObject>;
}

export interface Operations {
  /** Starts the work and returns at once. */
  start(options: StartOptions): Operation;
  /** One that is done before it began. */
  done(parent: string, metadata: JsonObject, response: JsonObject): Operation;
  get(name: string): Operation;
  find(name: string): Operation | undefined;
  list(parent: string): Operation[];
  cancel(name: string): void;
  delete(name: string): void;
  /** Resolves with the operation once it is done, or as it stands after `timeoutMs`. */
  wait(name: string, timeoutMs: number, signal: AbortSignal): Promise<Operation>;
}

export function openOperations(store: Store, clock: Clock): Operations {
  const rows: Table<Operation> = store.table('operations');
  const running = new Map<string, { abort: AbortController; finished: Promise<void> }>();

  // What an earlier run of the local cloud did not finish will not finish now.
  for (const operation of rows.values()) {
    if (operation.done) continue;
    const error = new GoogleError(
      'ABORTED',
      'The local cloud was stopped while this operation ran.',
    ).status();
    rows.set(operation.name, { ...operation, done: true, error });
  }

  function get(name: string): Operation {
    const operation = rows.get(name);
    if (!operation) throw new GoogleError('NOT_FOUND', `Operation ${name} not found.`);
    return operation;
  }

  async function work(name: string, abort: AbortController, options: StartOptions): Promise<void> {
    const update = (change: Partial<Operation>): void => rows.set(name, { ...get(name), ...change });
    try {
      const response = await options.work({
        name,
        signal: abort.signal,
        progress: (metadata) => update({ metadata: { ...options.metadata, ...metadata } }),
      });
      if (rows.has(name)) update({ done: true, response });
    } catch (error) {
      const cancelled = abort.signal.aborted && !(error instanceof GoogleError);
      const answer = cancelled
        ? new GoogleError('CANCELLED', 'The operation was cancelled.')
        : toGoogleError(error);
      if (rows.has(name)) update({ done: true, error: answer.status() });
    } finally {
      running.delete(name);
    }
  }

  return {
    get,
    find: (name) => rows.get(name),
    start(options) {
      const id = options.id ?? randomUUID();
      const name = options.parent === '' ? `operations/${id}` : `${options.parent}/operations/${id}`;
      const operation: Operation = { name, metadata: options.metadata };
      rows.set(name, operation);
      const abort = new AbortController();
      const finished = Promise.resolve().then(() => work(name, abort, options));
      running.set(name, { abort, finished });
      return operation;
    },
    done(parent, metadata, response) {
      const operation: Operation = {
        name: `${parent}/operations/${randomUUID()}`,
        metadata,
        done: true,
        response,
      };
      rows.set(operation.name, operation);
      return operation;
    },
    list: (parent) =>
      [...rows.values()].filter((operation) =>
        operation.name.startsWith(parent === '' ? 'operations/' : `${parent}/operations/`),
      ),
    cancel(name) {
      get(name);
      running.get(name)?.abort.abort();
    },
    delete(name) {
      get(name);
      rows.delete(name);
    },
    async wait(name, timeoutMs, signal) {
      const finished = running.get(name)?.finished;
      if (!get(name).done && finished) {
        const stop = new AbortController();
        await Promise.race([
          finished,
          clock.sleep(timeoutMs, AbortSignal.any([signal, stop.signal])).catch(() => {}),
        ]);
        stop.abort();
      }
      return get(name);
    },
  };
}
