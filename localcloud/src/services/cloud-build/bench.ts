/** What one build works with. */
import { type Ran, run } from '@service-director/shared/kit/process.ts';
import type { Blob, Blobs } from '../../store.ts';
import type { InstallCache } from './install-cache.ts';
import type { Machine } from './machine.ts';

export interface Bench {
  readonly blobs: Blobs;
  readonly machine: Machine;
  readonly cache: InstallCache;
  /** The unpacked source. */
  readonly workspace: string;
  /** An empty folder for whatever programs keep at home. */
  readonly home: string;
  /** Aborted when the build is to end. */
  readonly signal: AbortSignal;
  /** Writes a line to the build's log. */
  say(line: string): void;
}

/** An image whose blobs are in the store. */
export interface BuiltImage {
  readonly config: Blob;
  /** Lowest first. */
  readonly layers: readonly Blob[];
}

/** Runs a program in a folder to its end, its output in the log. Its whole process group is ended on abort. */
export function runIn(
  bench: Bench,
  folder: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const [program = '', ...args] = command;
  bench.say(`Running "${[program.split('/').at(-1), ...args].join(' ')}"`);
  return run(program, args, {
    cwd: folder,
    env: { ...bench.machine.environment(bench.home), ...env },
    signal: bench.signal,
    onLine: (line) => bench.say(line),
  });
}
