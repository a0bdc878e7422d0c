/**
 * The life of builds: queued, at work, ended.
 *
 *     QUEUED ──> WORKING ──> SUCCESS | FAILURE | INTERNAL_ERROR
 *        │          └──────> TIMEOUT | CANCELLED
 *        └─────────────────> EXPIRED | CANCELLED
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { LocalCloud } from '../../cloud.ts';
import { type Code, GoogleError } from '../../error.ts';
import type { JsonObject } from '../../json.ts';
import type { Table } from '../../store.ts';
import { construct, type Workshop } from './construct.ts';
import { BuildFailure, Ended } from './failure.ts';
import { type BuildRow, durationMs } from './row.ts';

export interface Life {
  /** Queues a build; the answer is its operation. */
  submit(row: BuildRow, account: string): JsonObject;
  /** Resolves when nothing of the build runs any more. */
  cancel(id: string): Promise<void>;
  /** Ends builds that an earlier run of the local cloud left at work. */
  settle(): Promise<void>;
  /** Ends all builds. */
  stop(): Promise<void>;
}

/** So many work at a time. */
const PLACES = 2;

export function openLife(cloud: LocalCloud, rows: Table<BuildRow>, workshop: Workshop): Life {
  const folder = join(cloud.store.dir, 'builds');
  const running = new Map<string, { abort: AbortController; over: Promise<void> }>();
  const queue = openQueue(PLACES);
  const now = (): string => timestamp(cloud.clock.now());

  function update(id: string, change: JsonObject): JsonObject {
    const row = rows.get(id);
    const build = { ...row?.build, ...change };
    if (row) rows.set(id, { ...row, build });
    return build;
  }

  /** Runs the build when it is its turn; returns how it ended. */
  async function live(
    row: BuildRow,
    account: string,
    abort: AbortController,
    tell: () => void,
  ): Promise<JsonObject> {
    const { id, build } = row;
    const report = (change: JsonObject): void => {
      update(id, change);
      tell();
    };
    const end = (status: Ended['status'], message: string): void => abort.abort(new Ended(status, message));
    const stopExpiry = cloud.clock.after(durationMs(build.queueTtl, 'queue_ttl'), () =>
      end('EXPIRED', 'The build was queued for longer than its queueTtl.'),
    );
    let leave = (): void => {};
    let stopTimer = (): void => {};
    try {
      leave = await queue.enter(abort.signal);
      stopExpiry();
      stopTimer = cloud.clock.after(durationMs(build.timeout, 'timeout'), () =>
        end('TIMEOUT', `The build took longer than its timeout of ${String(build.timeout)}.`),
      );
      report({ status: 'WORKING', startTime: now() });
      await construct(cloud, workshop, {
        row,
        account: { type: 'serviceAccount', email: account },
        folder: join(folder, id),
        signal: abort.signal,
        timeOut: (message) => end('TIMEOUT', message),
        report,
      });
      abort.signal.throwIfAborted();
      return { status: 'SUCCESS' };
    } catch (error) {
      return endingOf(abort.signal.aborted ? abort.signal.reason : error);
    } finally {
      stopExpiry();
      stopTimer();
      await rm(join(folder, id), { recursive: true, force: true, maxRetries: 5 });
      leave();
    }
  }

  return {
    submit(row, account) {
      rows.set(row.id, row);
      const abort = new AbortController();
      const over = Promise.withResolvers<void>();
      running.set(row.id, { abort, over: over.promise });
      return cloud.operations.start({
        parent: '',
        id: `build/${row.project}/${Buffer.from(row.id).toString('base64')}`,
        metadata: metadataOf(row.build),
        async work({ signal, progress }) {
          const tell = (): void => progress(metadataOf(rows.get(row.id)?.build ?? row.build));
          signal.addEventListener('abort', () => abort.abort(CANCELLED()), { once: true });
          try {
            const ending = await live(row, account, abort, tell);
            const build = update(row.id, { ...ending, finishTime: now() });
            tell();
            if (build.status === 'SUCCESS') return { '@type': `${TYPE}.Build`, ...build };
            throw operationError(String(build.status));
          } finally {
            running.delete(row.id);
            over.resolve();
          }
        },
      });
    },
    async cancel(id) {
      const build = running.get(id);
      build?.abort.abort(CANCELLED());
      await build?.over;
    },
    async settle() {
      for (const { id, build } of rows.values()) {
        if (build.status === 'QUEUED' || build.status === 'WORKING')
          update(id, { ...endingOf(STOPPED()), finishTime: now() });
      }
      await rm(folder, { recursive: true, force: true });
    },
    async stop() {
      const all = [...running.values()];
      for (const { abort } of all) abort.abort(STOPPED());
      await Promise.all(all.map(({ over }) => over));
    },
  };
}

const TYPE = 'type.googleapis.com/google.devtools.cloudbuild.v1';
const CANCELLED = () => new Ended('CANCELLED', 'The build was cancelled.');
const STOPPED = () => new Ended('INTERNAL_ERROR', 'The local cloud was stopped before the build ended.');

function metadataOf(build: JsonObject): JsonObject {
  return { '@type': `${TYPE}.BuildOperationMetadata`, build };
}

function endingOf(error: unknown): JsonObject {
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof Ended) return { status: error.status, statusDetail: detail };
  if (error instanceof BuildFailure) {
    return { status: 'FAILURE', statusDetail: detail, failureInfo: { type: error.type, detail } };
  }
  return { status: 'INTERNAL_ERROR', statusDetail: `The local cloud failed: ${detail}` };
}

function operationError(status: string): GoogleError {
  const codes: Readonly<Record<string, Code>> = {
    CANCELLED: 'CANCELLED',
    TIMEOUT: 'DEADLINE_EXCEEDED',
    EXPIRED: 'DEADLINE_EXCEEDED',
    INTERNAL_ERROR: 'INTERNAL',
  };
  return new GoogleError(codes[status] ?? 'UNKNOWN', 'Build failed; check build logs for details');
}

/** Places that are given in order; who waits can give up. */
function openQueue(places: number): { enter(signal: AbortSignal): Promise<() => void> } {
  let free = places;
  const waiting: (() => void)[] = [];
  const leave = (): void => {
    const next = waiting.shift();
    if (next) next();
    else free++;
  };
  return {
    async enter(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free--;
        return leave;
      }
      await new Promise<void>((resolve, reject) => {
        const enter = (): void => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        };
        const giveUp = (): void => {
          waiting.splice(waiting.indexOf(enter), 1);
          reject(signal.reason);
        };
        waiting.push(enter);
        signal.addEventListener('abort', giveUp, { once: true });
      });
      return leave;
    },
  };
}
