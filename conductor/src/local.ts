/** Starts the local cloud, or joins one that runs in the same folder. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import type { LocalReach } from './context.ts';
import { EXIT, Failure } from './failure.ts';

export interface LocalOptions {
  readonly dir: string;
  readonly port?: number | undefined;
  /** Milliseconds. */
  readonly propagationMs?: number | undefined;
  readonly seed?: number | undefined;
  /** A file of fault rules. */
  readonly faults?: string | undefined;
  readonly project?: string | undefined;
}

/** What a running local cloud leaves in its folder, so that others find it. */
export interface LocalCloudFile {
  readonly pid: number;
  readonly origin: string;
  readonly port: number;
  readonly project: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly propagationMs: number;
}

const FILE = 'cloud.json';
const LOCK = 'lock';
const START_MS = 30_000;

export function readLocalCloud(dir: string): LocalCloudFile | undefined {
  const file = join(dir, FILE);
  if (!existsSync(file)) return undefined;
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as LocalCloudFile;
    return isAlive(found.pid) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** The one that runs in the folder; a Failure where none does. */
export function demandLocalCloud(dir: string): LocalCloudFile {
  const running = readLocalCloud(resolve(dir));
  if (running) return running;
  throw new Failure(`No local cloud runs in ${dir}`, {
    exitCode: EXIT.unreachable,
    fix: 'conductor local start, or conductor up --local',
  });
}

/** Whether that very one still runs. */
export function isRunning({ pid }: LocalCloudFile): boolean {
  return isAlive(pid);
}

/** For a run that was under way on it. */
export function localCloudGone(dir: string): Failure {
  return new Failure(`The local cloud in ${dir} has stopped, and with it this run`, {
    exitCode: EXIT.unreachable,
    fix: 'run the same again: it starts the local cloud, and takes up where it is',
  });
}

/** Runs it in this process until it is told to stop. Resolves with what stops it. */
export async function serveLocalCloud(
  options: LocalOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<{ file: LocalCloudFile; stop(): Promise<void> }> {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  takeLock(dir);
  try {
    const { startLocalCloud, readFaultRules } = await import('@service-director/localcloud');
    const faults = options.faults === undefined ? [] : readFaultRules(readJson(options.faults));
    const propagationMs = options.propagationMs ?? 2_000;
    const project = options.project ?? 'local-project';
    const running = await startLocalCloud({
      dir,
      propagationMs,
      faults,
      project,
      environment,
      ...(options.port === undefined ? {} : { port: options.port }),
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    }).catch((error) => {
      throw portInUse(error, options.port) ?? error;
    });
    const startedAt = new Date(systemClock.now()).toISOString();
    const file: LocalCloudFile = {
      pid: process.pid,
      origin: running.origin,
      port: running.port,
      project,
      startedAt,
      propagationMs,
    };
    writeFileSync(join(dir, FILE), `${JSON.stringify(file, null, 2)}\n`);
    return {
      file,
      async stop() {
        await running.stop();
        rmSync(join(dir, FILE), { force: true });
        rmSync(join(dir, LOCK), { force: true });
      },
    };
  } catch (error) {
    rmSync(join(dir, LOCK), { force: true });
    throw error;
  }
}

/** One that runs in the folder, or a new one in the background that outlives this process. */
export async function joinLocalCloud(options: LocalOptions, program: string): Promise<LocalCloudFile> {
  const dir = resolve(options.dir);
  const running = readLocalCloud(dir);
  if (running) return running;
  mkdirSync(dir, { recursive: true });
  const log = openSync(join(dir, 'local-cloud.log'), 'a');
  const args = [
    ['--dir', dir],
    options.port === undefined ? [] : ['--port', String(options.port)],
    options.propagationMs === undefined ? [] : ['--propagation', `${options.propagationMs / 1000}s`],
    options.seed === undefined ? [] : ['--seed', String(options.seed)],
    options.faults === undefined ? [] : ['--faults', resolve(options.faults)],
    options.project === undefined ? [] : ['--project', options.project],
  ].flat();
  const child = spawn(process.execPath, [program, 'local', 'start', ...args], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  child.unref();
  closeSync(log);
  let exited: number | null | undefined;
  child.once('exit', (code) => {
    exited = code;
  });
  for (const started = systemClock.now(); systemClock.now() - started < START_MS; ) {
    const found = readLocalCloud(dir);
    if (found) return found;
    // Another start may have been faster: then ours has ended, and the other one's file appears.
    if (exited !== undefined && lockHolder(dir) === undefined) break;
    await systemClock.sleep(25);
  }
  throw new Failure('The local cloud did not start', {
    exitCode: EXIT.unreachable,
    fix: `see ${join(options.dir, 'local-cloud.log')}`,
  });
}

export async function stopLocalCloud(dir: string): Promise<boolean> {
  const running = readLocalCloud(resolve(dir));
  if (!running) return false;
  process.kill(running.pid, 'SIGTERM');
  for (let waited = 0; isAlive(running.pid); waited += 50) {
    if (waited > 15_000) process.kill(running.pid, 'SIGKILL');
    await systemClock.sleep(50);
  }
  rmSync(join(resolve(dir), FILE), { force: true });
  rmSync(join(resolve(dir), LOCK), { force: true });
  return true;
}

/** What a run needs to know of the local cloud beside its endpoint. */
export function localReach(dir: string, { origin }: LocalCloudFile): LocalReach {
  return {
    dir: resolve(dir),
    directorEnv: ({ project_id, director }) => ({
      DIRECTOR_STATE: `sqlite:${join(resolve(dir), 'director', project_id, `${director.name}.sqlite`)}`,
      DIRECTOR_ACCESS: 'loopback',
    }),
    async ensureProject(id) {
      const found = await fetch(`${origin}/v3/projects/${id}`);
      if (found.ok) return;
      const response = await fetch(`${origin}/v3/projects`, {
        method: 'POST',
        body: JSON.stringify({ projectId: id, displayName: id }),
      });
      if (!response.ok && response.status !== 409) {
        throw new Failure(`The local cloud does not make the project ${id}: ${await response.text()}`, {
          exitCode: EXIT.unreachable,
        });
      }
      for (let wait = 20; !(await fetch(`${origin}/v3/projects/${id}`)).ok; wait *= 1.5)
        await systemClock.sleep(wait);
    },
  };
}

/** The same for a look, which makes nothing. */
export function localLook(dir: string, cloud: LocalCloudFile): LocalReach {
  return { ...localReach(dir, cloud), ensureProject: async () => {} };
}

/** One local cloud per folder. The lock is a file with the pid of its holder; a dead one's does not count. */
function takeLock(dir: string): void {
  const path = join(dir, LOCK);
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const holder = lockHolder(dir);
      if (holder !== undefined) {
        throw new Failure(`A local cloud runs in ${dir} already (pid ${holder})`, {
          fix: 'use it, stop it with conductor local stop, or name another --dir',
        });
      }
      rmSync(path, { force: true });
    }
  }
}

function lockHolder(dir: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(dir, LOCK), 'utf8'));
    return isAlive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function portInUse(error: unknown, port: number | undefined): Failure | undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) return undefined;
  return new Failure(`The port ${port} is in use`, {
    exitCode: EXIT.unreachable,
    fix: 'leave out --port: a free one is picked',
    cause: error,
  });
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Failure(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      exitCode: EXIT.usage,
    });
  }
}
