/** A live picture on a terminal: what runs, what waits and why, each with its time; what is over scrolls by above. */
import { stripVTControlCharacters } from 'node:util';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import type { ConductorEvent } from '../../event.ts';
import type { Terminal } from '../terminal.ts';
import type { Renderer } from './render.ts';
import {
  completedText,
  diagnosticText,
  inSeconds,
  logText,
  paintResult,
  type Step,
  stepOf,
  waitedFor,
} from './words.ts';

interface Running {
  readonly phase: string;
  readonly task: string;
  readonly since: number;
  text: string;
  waiting: boolean;
}

const FRAME_MS = 100;
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** So many running things of a phase are shown; the rest is counted. */
const MOST_LINES = 16;
/** Phases in which the director works. */
const COMMANDING: ReadonlySet<string> = new Set(['setup', 'deploy', 'teardown', 'rollback', 'drift']);

export function renderTty(terminal: Terminal, clock: Clock = systemClock): Renderer {
  const { paint, progress, asTyped } = terminal;
  const running = new Map<string, Running>();
  const phases = new Map<string, number>();
  /** How wide each line of the picture is. */
  let drawn: readonly number[] = [];
  let frame = 0;
  let stop = (): void => {};
  let open = true;

  /** On a screen that has become narrower since, a line takes several rows. */
  function erase(): void {
    const rows = drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / terminal.columns)), 0);
    if (rows > 0) progress(`\u001b[${rows}A\u001b[0J`);
    drawn = [];
  }

  function above(text: string): void {
    erase();
    progress(text.endsWith('\n') ? text : `${text}\n`);
    draw();
  }

  function draw(): void {
    if (!open) return;
    const now = clock.now();
    const spin = paint.cyan(SPINNER[frame % SPINNER.length] ?? '');
    const all = [...phases].flatMap(([phase, since]) => linesOf(phase, since, now, spin));
    const lines = within(all, terminal.rows - 1).map((line) => fit(line, terminal.columns));
    erase();
    if (lines.length > 0) progress(`${lines.join('\n')}\n`);
    drawn = lines.map((line) => stripVTControlCharacters(line).length);
  }

  function linesOf(phase: string, since: number, now: number, spin: string): string[] {
    const head = `${spin} ${paint.bold(phase)} ${paint.dim(inSeconds((now - since) / 1000))}`;
    const mine = [...running.values()].filter((one) => one.phase === phase);
    const shown = mine.slice(0, MOST_LINES).map((one) => {
      const mark = one.waiting ? paint.yellow('…') : spin;
      const why = one.waiting ? paint.yellow(`waiting: ${one.text}`) : paint.dim(one.text);
      return `  ${mark} ${one.task} ${paint.dim(inSeconds((now - one.since) / 1000))} ${why}`;
    });
    const rest = mine.length - shown.length;
    return rest > 0 ? [head, ...shown, paint.dim(`  and ${rest} more`)] : [head, ...shown];
  }

  function tick(): void {
    stop = clock.after(FRAME_MS, () => {
      frame++;
      draw();
      if (open) tick();
    });
  }
  tick();

  function step(found: Step): void {
    const key = `${found.phase} ${found.task}`;
    const before = running.get(key);
    if (found.kind === 'finished') {
      running.delete(key);
      const quiet = found.result === 'unchanged' || found.result === 'reused';
      if (!quiet) above(finished(found));
      return;
    }
    const since = before?.since ?? clock.now();
    running.set(key, {
      phase: found.phase,
      task: found.task,
      since,
      text: oneLine(found.text),
      waiting: found.kind === 'waiting',
    });
  }

  /** What a stack as a whole waits for shows for as long as it does. */
  function wait(stack: string, text: string): void {
    step({ kind: 'waiting', phase: commanding(), task: stack, text });
  }

  function standing({ stack, status }: { stack: string; status: string }): void {
    if (status === 'awaiting_approval') wait(stack, 'an approval');
    else if (status !== 'waiting_for_lock') running.delete(`${commanding()} ${stack}`);
  }

  function finished({ task, result = '', seconds, text }: Step): string {
    const mark =
      result === 'failed'
        ? paint.red('✗')
        : result === 'kept' || result === 'skipped'
          ? paint.yellow('•')
          : paint.green('✓');
    const took = seconds === undefined ? '' : paint.dim(` ${inSeconds(seconds)}`);
    return `  ${mark} ${task} ${paintResult(result, paint)}${took}${text === '' ? '' : ` ${text}`}`;
  }

  /** What the director does shows under the phase that asked it. */
  const commanding = (): string => [...phases.keys()].findLast((phase) => COMMANDING.has(phase)) ?? 'setup';

  return {
    show(event: ConductorEvent) {
      const found = stepOf(event, commanding());
      if (found) return step(found);
      switch (event.type) {
        case 'started':
          return above(`${event.operation} ${paint.bold(event.architecture)} in ${event.project}`);
        case 'started-at':
          return above(`${event.operation} at ${paint.bold(event.director)}`);
        case 'phase-started':
          phases.set(event.phase, clock.now());
          return draw();
        case 'phase-finished':
          phases.delete(event.phase);
          for (const [key, one] of running) if (one.phase === event.phase) running.delete(key);
          return above(
            `${event.status === 'failed' ? paint.red('✗') : paint.green('✓')} ${paint.bold(event.phase)} ${paint.dim(inSeconds(event.seconds))}`,
          );
        case 'deployment-waiting':
          return wait(event.stack, waitedFor(event));
        case 'director':
          if (event.event.type === 'status') standing(event.event);
          return;
        case 'diagnostic':
          return above(diagnosticText(event.diagnostic, terminal));
        case 'note':
          return above(asTyped(event.message));
        case 'service-log':
          return above(logText(event, paint));
        case 'completed':
          return above(completedText(event, paint));
        default:
          return;
      }
    },
    close() {
      open = false;
      stop();
      erase();
    },
  };
}

/** As many as fit on the screen: what has scrolled off it could not be taken away again. */
function within(lines: readonly string[], most: number): readonly string[] {
  if (lines.length <= most) return lines;
  const shown = Math.max(0, most - 1);
  return [...lines.slice(0, shown), `  and ${lines.length - shown} more`];
}

/** A line that breaks would take more rows than it is counted for. */
function oneLine(text: string): string {
  return stripVTControlCharacters(text).replace(/\s+/g, ' ').trim();
}

/** Cut to the width of the screen; colour codes take no room. */
function fit(text: string, columns: number): string {
  let width = 0;
  let out = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are made of one
  for (const part of text.split(/(\u001b\[\d+m)/)) {
    if (part.startsWith('\u001b')) {
      out += part;
      continue;
    }
    const room = Math.max(0, columns - 1 - width);
    out += part.length > room ? `${part.slice(0, Math.max(0, room - 1))}…` : part;
    width += part.length;
    if (width >= columns - 1) return text.includes('\u001b') ? `${out}\u001b[0m` : out;
  }
  return out;
}
