/** Plain lines, one for each thing that happened: for CI, for pipes, for reading later. */
import type { ConductorEvent } from '../../event.ts';
import type { Terminal } from '../terminal.ts';
import type { Renderer } from './render.ts';
import { completedText, diagnosticText, inSeconds, logText, paintResult, stepOf } from './words.ts';

export function renderPlain(terminal: Terminal): Renderer {
  const { paint, progress, asTyped } = terminal;
  let phase = '';
  const line = (text: string): void => progress(`${text}\n`);
  const quiet = new Set(['unchanged', 'reused']);
  /** What each waits for, so that it is said once. */
  const waits = new Map<string, string>();

  return {
    show(event) {
      switch (event.type) {
        case 'started':
          line(`${event.operation} ${paint.bold(event.architecture)} in ${event.project}`);
          return;
        case 'started-at':
          line(`${event.operation} at ${paint.bold(event.director)}`);
          return;
        case 'phase-started':
          phase = event.phase;
          line(paint.bold(`${event.phase}:`));
          return;
        case 'phase-finished':
          line(`${event.phase} ${paintResult(event.status, paint)} in ${inSeconds(event.seconds)}`);
          return;
        case 'diagnostic':
          line(diagnosticText(event.diagnostic, terminal));
          return;
        case 'note':
          line(asTyped(event.message));
          return;
        case 'service-log':
          progress(logText(event, paint));
          return;
        case 'completed':
          progress(completedText(event, paint));
          return;
        case 'task-started':
        case 'task-waiting':
        case 'task-finished':
        case 'director':
          step(event);
          return;
        // What is waited for is told as a note, with what can be done about it.
        case 'deployment-waiting':
        case 'task-output':
        case 'failed':
          return;
      }
    },
    close: () => {},
  };

  function step(event: ConductorEvent): void {
    const found = stepOf(event, phase);
    if (!found) return;
    const { kind, task, text, result, seconds } = found;
    if (kind === 'waiting') {
      if (waits.get(task) !== text) line(`  ${task}: ${paint.yellow('waiting')}: ${text}`);
      waits.set(task, text);
    }
    if (kind !== 'finished' || result === undefined || (quiet.has(result) && (seconds ?? 0) < 1)) return;
    const took = seconds === undefined ? '' : paint.dim(` (${inSeconds(seconds)})`);
    line(`  ${task}: ${paintResult(result, paint)}${took}${text === '' ? '' : `: ${text}`}`);
  }
}
