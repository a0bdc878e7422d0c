/** Child processes: started without a shell, as a group of their own, and really ended. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { systemClock } from './clock.ts';

export interface StartOptions {
  readonly cwd?: string;
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdio?: SpawnOptions['stdio'];
}

/** Starts a program as the leader of its own process group. */
export function start(command: string, args: readonly string[], options: StartOptions): ChildProcess {
  return spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env,
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
}

/** Ends the whole group: SIGTERM, and SIGKILL for what is left after `graceMs`. Resolves when the leader is gone. */
export async function end(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => {
    if (hasEnded(child)) resolve();
    else child.once('exit', () => resolve());
  });
  signalGroup(child.pid, 'SIGTERM');
  const stopTimer = systemClock.after(
    graceMs,
    () => child.pid !== undefined && signalGroup(child.pid, 'SIGKILL'),
  );
  await gone;
  stopTimer();
  signalGroup(child.pid, 'SIGKILL');
}

export interface Ran {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Never rejects for an exit code; rejects when it could not be started or was aborted. */
export async function run(
  command: string,
  args: readonly string[],
  options: StartOptions & {
    readonly signal?: AbortSignal;
    readonly onLine?: (line: string) => void;
    /** How much of each stream to keep, in characters; the newest is kept. Default 1,000,000. */
    readonly keep?: number;
  },
): Promise<Ran> {
  const { signal, onLine, keep = 1_000_000 } = options;
  signal?.throwIfAborted();
  const child = start(command, args, options);
  const kept = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    let rest = '';
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      kept[stream] = (kept[stream] + text).slice(-keep);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine?.(line);
    });
    child[stream]?.on('end', () => rest && onLine?.(rest));
  }
  const stop = (): void => void end(child, 2_000);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal?.throwIfAborted();
    return { code, ...kept };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
