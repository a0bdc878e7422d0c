/** What measures work with: folders, processes and clouds of their own, all of which are gone at the end. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readLocalCloud, stopLocalCloud } from '@service-director/conductor/local.ts';
import { end, start } from '@service-director/shared/kit/process.ts';
import { openTracer, type Tracer } from './tracer.ts';

export interface Workshop {
  /** Tells how far it is, on stderr. */
  say(text: string): void;
  /** A new folder. */
  folder(name: string): string;
  /** A new folder for a local cloud that `up --local` or `local start` begins. */
  cloudFolder(): CloudFolder;
  /** Starts this machine's Node; stopped at the end, if not before. */
  node(args: readonly string[], options: NodeOptions): Started;
  /** The tracer, up on a local cloud; the same for all who ask. */
  tracer(): Promise<Tracer>;
  /** What to do at the end, last things first. */
  onClose(task: () => Promise<void>): void;
  close(): Promise<void>;
}

export interface CloudFolder {
  readonly dir: string;
  /** Stops the local cloud; at the end at the latest. */
  stop(): Promise<void>;
}

export interface NodeOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly stdio?: 'ignore' | 'pipe';
}

export interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Ends it with SIGKILL, or with SIGTERM where it is given time; resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

/** A local cloud ends the processes that it started. */
const GRACE_MS = 15_000;
/** How long a local cloud may take to start. */
const START_MS = 10_000;

export function openWorkshop(say: (text: string) => void): Workshop {
  const dir = mkdtempSync(join(tmpdir(), 'service-director-bench-'));
  const closing: (() => Promise<void>)[] = [];
  const running = new Set<Started>();
  let tracer: Promise<Tracer> | undefined;
  let closed: Promise<void> | undefined;

  const folder = (name: string): string => mkdtempSync(join(dir, `${name}-`));

  async function close(): Promise<void> {
    for (const started of running) await started.stop(GRACE_MS);
    for (const task of closing.toReversed()) await task().catch((error) => say(String(error)));
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }

  const workshop: Workshop = {
    say,
    folder,
    cloudFolder() {
      const at = join(folder('cloud'), 'cloud');
      let stopped: Promise<void> | undefined;
      const stop = (): Promise<void> => {
        stopped ??= stopCloud(at);
        return stopped;
      };
      closing.push(stop);
      return { dir: at, stop };
    },
    node(args, { env, stdio = 'ignore' }) {
      if (closed) throw new Error('Nothing is started any more');
      const child = start(process.execPath, args, { env, stdio });
      const { pid } = child;
      if (pid === undefined) throw new Error(`${args[0]} could not be started`);
      const started: Started = { child, pid, stop: (graceMs = 0) => end(child, graceMs) };
      running.add(started);
      child.once('exit', () => running.delete(started));
      return started;
    },
    tracer() {
      tracer ??= openTracer(workshop);
      return tracer;
    },
    onClose: (task) => void closing.push(task),
    close() {
      closed ??= close();
      return closed;
    },
  };
  return workshop;
}

/** Stops the local cloud of a folder. One that a conductor began and did not wait for is waited for, so that none is left. */
async function stopCloud(dir: string): Promise<void> {
  const until = performance.now() + START_MS;
  while (existsSync(join(dir, 'local-cloud.log')) && !readLocalCloud(dir) && performance.now() < until)
    await sleep(50);
  await stopLocalCloud(dir);
}
