/**
 * What every engine that drives a tool needs: the least environment, a log that is followed, a note of who runs, masks.
 *
 * A tool outlives its director. It is the leader of its own process group, writes into files and not into pipes, and
 * stands in a note with the time of its start, so that whoever comes next knows it from another with its number.
 */
import type { ChildProcess } from 'node:child_process';
import { type FileHandle, open, readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { sep } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { start } from '@service-director/shared/kit/process.ts';
import { z } from 'zod';

/** Where programs are looked for when the environment does not say. */
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a tool sees: nothing of ours but what was given for it. */
export function leastEnvironment(
  home: string,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return { PATH: USUAL_PATH, ...given, HOME: home };
}

export interface ToolCall {
  readonly binary: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All of it. */
  readonly env: Readonly<Record<string, string>>;
  /** `<log>.out` and `<log>.err` are written by the tool. */
  readonly log: string;
  /** The file in which its number is noted while it runs. */
  readonly note: string;
}

export interface Following {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Between the interrupt and the end by force. */
  readonly graceMs: number;
  readonly onLine: (line: string, stream: 'out' | 'err') => void;
  /** Called every now and then, and after new lines; where it rejects the tool is stopped, and that is what is thrown. */
  readonly meanwhile?: () => Promise<void>;
}

export interface ToolEnd {
  /** Undefined where it was not our child: only its traces tell. */
  readonly code: number | null | undefined;
  /** What ended it by force. */
  readonly killedBy?: NodeJS.Signals;
  /** Whether we told it to stop. */
  readonly stopped: boolean;
}

const Note = z.object({ pid: z.number().int().positive(), started: z.string(), log: z.string() });
type Note = z.output<typeof Note>;

/** Rejects when it cannot be started. Whatever way it ends, nothing of its group is left. */
export async function runTool(call: ToolCall, following: Following): Promise<ToolEnd> {
  const { child, exit } = await startTool(call);
  let isOver = false;
  const gone = exit.then(() => {
    isOver = true;
  });
  const pid = child.pid ?? 0;
  await writeNote(call.note, { pid, started: (await startOf(pid)) ?? '', log: call.log });
  const stopped = await accompany(pid, call.log, {
    ...following,
    hasEnded: async () => isOver,
    gone,
  });
  await rm(call.note, { force: true });
  return { ...(await exit), stopped };
}

/** Waits for a tool that somebody else started, and tells what it says from the beginning. Undefined where none runs. */
export async function adoptTool(
  note: string,
  dir: string,
  following: Following,
): Promise<ToolEnd | undefined> {
  const found = (await readNote(note)) ?? (await leaderIn(dir));
  if (found === undefined || !(await isAlive(found))) return undefined;
  const hasEnded = async (): Promise<boolean> => !(await isAlive(found));
  const stopped = await accompany(found.pid, found.log, { ...following, hasEnded, gone: undefined });
  await rm(note, { force: true });
  return { code: undefined, stopped };
}

async function startTool({ binary, args, cwd, env, log }: ToolCall): Promise<{
  child: ChildProcess;
  exit: Promise<Omit<ToolEnd, 'stopped'>>;
}> {
  const files = await Promise.all(['out', 'err'].map((stream) => open(`${log}.${stream}`, 'w', 0o600)));
  try {
    const child = start(binary, args, { cwd, env, stdio: ['ignore', ...files.map(({ fd }) => fd)] });
    const exit = new Promise<Omit<ToolEnd, 'stopped'>>((resolve) => {
      child.once('exit', (code, signal) =>
        resolve({ code, ...(signal === null ? {} : { killedBy: signal }) }),
      );
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return { child, exit };
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

interface Accompanied extends Following {
  hasEnded(): Promise<boolean>;
  /** Where we are told. */
  readonly gone: Promise<void> | undefined;
}

/** How often one looks for new lines. Milliseconds. */
const LOOK_MS = 100;

/** Follows a tool to its end; true when it was told to stop. */
async function accompany(pid: number, log: string, following: Accompanied): Promise<boolean> {
  const { clock, signal, onLine, meanwhile, hasEnded, gone } = following;
  const out = await follower(`${log}.out`, (line) => onLine(line, 'out'));
  const err = await follower(`${log}.err`, (line) => onLine(line, 'err'));
  let calm: (() => void) | undefined;
  let failure: { readonly error: unknown } | undefined;
  const stop = (): void => {
    calm ??= interrupt(pid, following);
  };
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      // Asked before the last reading: what it said before its end is then in the file.
      const isOver = await hasEnded();
      const news = [await out.read(), await err.read()].some((more) => more);
      failure ??= await failureIn(meanwhile);
      if (failure) stop();
      if (isOver && !news) break;
      if (!news) await Promise.race([clock.sleep(LOOK_MS), ...(gone ? [gone] : [])]);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    calm?.();
    signalGroup(pid, 'SIGKILL');
    await out.close();
    await err.close();
  }
  if (failure) throw failure.error;
  return calm !== undefined;
}

async function failureIn(
  task: (() => Promise<void>) | undefined,
): Promise<{ readonly error: unknown } | undefined> {
  try {
    await task?.();
    return undefined;
  } catch (error) {
    return { error };
  }
}

/** An interrupt to the whole group, and the end by force where that is not heard; the returned function calls it off. */
function interrupt(pid: number, { clock, graceMs }: Pick<Following, 'clock' | 'graceMs'>): () => void {
  signalGroup(pid, 'SIGINT');
  return clock.after(graceMs, () => signalGroup(pid, 'SIGKILL'));
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** Characters: what is longer is cut. Of what cannot be read whole nothing is believed. */
export const LONGEST_LINE = 64_000;
/** Characters of a line that is shown. */
const LONGEST_SHOWN = 10_000;
const CHUNK_BYTES = 256 * 1024;

export function shown(line: string): string {
  return line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)} … (cut)` : line;
}

/** Reads on in a file that grows, in constant memory; `read` is true where there was more. */
async function follower(
  path: string,
  onLine: (line: string) => void,
): Promise<{ read(): Promise<boolean>; close(): Promise<void> }> {
  const file: FileHandle | undefined = await open(path, 'r').catch(() => undefined);
  const buffer = Buffer.alloc(CHUNK_BYTES);
  const decoder = new StringDecoder('utf8');
  let place = 0;
  let rest = '';

  function take(text: string): void {
    const lines = text.split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      onLine((rest + line.slice(0, LONGEST_LINE)).slice(0, LONGEST_LINE));
      rest = '';
    }
    if (rest.length < LONGEST_LINE) rest += last.slice(0, LONGEST_LINE);
  }

  return {
    async read() {
      const { bytesRead = 0 } = (await file?.read(buffer, 0, CHUNK_BYTES, place)) ?? {};
      place += bytesRead;
      take(decoder.write(buffer.subarray(0, bytesRead)));
      return bytesRead > 0;
    },
    async close() {
      if (rest) onLine(rest.slice(0, LONGEST_LINE));
      await file?.close();
    },
  };
}

/** Both at once or none: a note that is half written would name a stranger. */
async function writeNote(path: string, note: Note): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function readNote(path: string): Promise<Note | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : Note.parse(JSON.parse(text));
}

/** A process as one knows it again: numbers are given anew, with another time of start. */
export interface Known {
  readonly pid: number;
  readonly started: string;
}

export async function isAlive({ pid, started }: Known): Promise<boolean> {
  return (await startOf(pid)) === started;
}

/** When it was started, in ticks since the machine was, with the machine's own start; undefined when it is gone, or nobody waits for its end. */
export async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return process.platform === 'linux' ? undefined : existing(pid);
  // The name stands in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return `${boot.trim()} ${fields[19]}`;
}

/** Where no file tells more, the number must do. */
function existing(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return 'running';
  } catch {
    return undefined;
  }
}

/** The leader of a group that works in the folder: one whose director died before it could note it down. */
async function leaderIn(dir: string): Promise<Note | undefined> {
  const own = groupOf(await readFile('/proc/self/stat', 'utf8').catch(() => ''));
  for (const member of await workersIn(dir)) {
    const pid = groupOf(await readFile(`/proc/${member}/stat`, 'utf8').catch(() => ''));
    const started = await startOf(pid);
    if (started !== undefined && pid > 1 && pid !== own) return { pid, started, log: '' };
  }
  return undefined;
}

function groupOf(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
}

async function workersIn(dir: string): Promise<number[]> {
  const workers: number[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (cwd === dir || cwd.startsWith(dir + sep)) workers.push(Number(name));
  }
  return workers;
}

/** Ends by force what a dead tool left running in its folder. */
export async function endStrays(dir: string): Promise<void> {
  for (const pid of await workersIn(dir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone by itself, or not ours to end.
    }
  }
}

export const HIDDEN = '(sensitive)';

/** Shorter ones are in every other word. */
const SHORTEST_SECRET = 6;

/** Hides what must not be shown, in whatever it stands. */
export interface Mask {
  /** Every text within a value is secret from now on. */
  add(value: unknown): void;
  text(text: string): string;
  /** The same value with all texts masked, keys too. */
  record(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
}

export function mask(): Mask {
  const secrets = new Set<string>();
  /** Made when it is asked for; undefined where the secrets have changed since. */
  let pattern: RegExp | undefined;

  function add(value: unknown): void {
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) add(inner);
    if (typeof value !== 'string' && typeof value !== 'number') return;
    pattern = undefined;
    // Logs come line by line, and in JSON: so do secrets.
    for (const line of [String(value), ...String(value).split('\n')])
      for (const form of [line.trim(), JSON.stringify(line.trim()).slice(1, -1)])
        if (form.length >= SHORTEST_SECRET && form !== HIDDEN) secrets.add(form);
  }

  function text(plain: string): string {
    if (secrets.size === 0) return plain;
    pattern ??= new RegExp(
      [...secrets]
        .sort((a, b) => b.length - a.length)
        .map((secret) => secret.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
        .join('|'),
      'g',
    );
    return plain.replace(pattern, HIDDEN);
  }

  function deep(value: unknown): unknown {
    if (typeof value === 'string') return text(value);
    if (typeof value === 'number') return text(String(value)) === String(value) ? value : HIDDEN;
    if (Array.isArray(value)) return value.map(deep);
    if (typeof value !== 'object' || value === null) return value;
    return record(value);
  }

  function record(value: object): Record<string, unknown> {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [text(key), deep(inner)]));
  }

  return { add, text, record };
}
