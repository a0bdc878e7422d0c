/** Stands in for a terminal in tests: records what is written, and shows what a screen would show of it. */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { runCli } from './cli.ts';
import { type Output, openTerminal, type Terminal } from './terminal.ts';

export interface CliAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One call of the conductor, into pipes. */
export async function callCli(
  argv: readonly string[],
  { cwd = '/', env = {} }: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<CliAnswer> {
  const [stdout, stderr] = [recorder(undefined), recorder(undefined)];
  const code = await runCli({ argv, stdout, stderr, env, cwd });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

export interface TestTerminal {
  readonly terminal: Terminal;
  readonly stdout: Recorder;
  readonly stderr: Recorder;
}

export interface TestTerminalOptions {
  /** Of the screen; without it both streams are pipes. */
  readonly columns?: number;
  readonly rows?: number;
  readonly json?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export function testTerminal(options: TestTerminalOptions = {}): TestTerminal {
  const { columns, rows = 24, json = false, env = {} } = options;
  const open = (): Recorder => recorder(columns === undefined ? undefined : { columns, rows });
  const [stdout, stderr] = [open(), open()];
  return { terminal: openTerminal({ stdout, stderr, env, json }), stdout, stderr };
}

export interface Recorder extends Output {
  /** Everything that was written. */
  text(): string;
  /** All lines that a screen would show, those that have scrolled off it too. */
  lines(): string[];
  /** As a user does with a window; what is written from then on is wrapped there. */
  resize(columns: number): void;
}

function recorder(size: { columns: number; rows: number } | undefined): Recorder {
  let written = '';
  let columns = size?.columns ?? Number.POSITIVE_INFINITY;
  const screen = emulate(size?.rows ?? Number.POSITIVE_INFINITY);
  return {
    isTTY: size !== undefined,
    ...(size ? { rows: size.rows } : {}),
    get columns() {
      return columns;
    },
    write(text) {
      written += text;
      screen.write(text, columns);
    },
    text: () => written,
    lines: () => screen.lines(),
    resize(now) {
      screen.rewrap(now);
      columns = now;
    },
  };
}

/** What a screen obeys instead of showing it. */
const CODE = new RegExp(`(${'\u001b'}\\[\\d*[A-Za-z])`);

/** A screen that knows of ANSI what we write: cursor up, erase to the end, colours. */
function emulate(rows: number) {
  /** A line that was wrapped goes on in the next. */
  let lines: { text: string; wrapped: boolean }[] = [{ text: '', wrapped: false }];
  let row = 0;
  /** The first line that has not scrolled off: the cursor gets no higher. */
  let top = 0;

  function lineFeed(wrapped: boolean): void {
    const line = lines[row];
    if (line) line.wrapped = wrapped;
    row++;
    if (!lines[row]) lines[row] = { text: '', wrapped: false };
    top = Math.max(top, row - rows + 1);
  }

  function put(character: string, columns: number): void {
    if ((lines[row]?.text.length ?? 0) >= columns) lineFeed(true);
    const line = lines[row];
    if (line) line.text += character;
  }

  function obey(code: string): void {
    const up = /^.\[(\d+)A$/.exec(code)?.[1];
    if (up !== undefined) row = Math.max(top, row - Number(up));
    else if (code === '\u001b[0J') lines = [...lines.slice(0, row), { text: '', wrapped: false }];
    else if (!/^.\[\d+m$/.test(code)) throw new Error(`What is ${JSON.stringify(code)}?`);
  }

  return {
    write(text: string, columns: number): void {
      for (const part of text.split(CODE)) {
        if (part.startsWith('\u001b')) obey(part);
        else
          for (const character of part) {
            if (character === '\n') lineFeed(false);
            else put(character, columns);
          }
      }
    },
    lines: () => lines.map(({ text }) => text),
    /** As terminals do when they become narrower. */
    rewrap(columns: number): void {
      const before = lines.slice(0, row);
      const after = before.flatMap(({ text, wrapped }) => {
        const parts = text.match(new RegExp(`.{1,${columns}}`, 'g')) ?? [''];
        return parts.map((part, at) => ({ text: part, wrapped: wrapped || at < parts.length - 1 }));
      });
      lines = [...after, ...lines.slice(row)];
      row += after.length - before.length;
      top = Math.max(top, row - rows + 1);
    },
  };
}

export interface ManualClock extends Clock {
  /** Moves the time on, and does what was to be done by then. */
  pass(ms: number): void;
}

export function manualClock(): ManualClock {
  let now = 0;
  let tasks: { readonly at: number; readonly task: () => void }[] = [];
  const after: Clock['after'] = (ms, task) => {
    const entry = { at: now + ms, task };
    tasks.push(entry);
    return () => {
      tasks = tasks.filter((other) => other !== entry);
    };
  };
  return {
    now: () => now,
    after,
    sleep: (ms) => new Promise((resolve) => void after(ms, resolve)),
    pass(ms) {
      const until = now + ms;
      for (;;) {
        const next = tasks.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        tasks = tasks.filter((other) => other !== next);
        now = next.at;
        next.task();
      }
      now = until;
    },
  };
}
