/** How events are put into words: the same for lines and for the live picture. */
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import { formatDiagnostic } from '@service-director/shared/model/diagnostic.ts';
import type { ConductorEvent, Summary, TaskResult } from '../../event.ts';
import type { Paint } from '../terminal.ts';

/** One step of a run, wherever it happens: here, or in the director. */
export interface Step {
  readonly kind: 'started' | 'waiting' | 'finished';
  readonly phase: string;
  readonly task: string;
  readonly text: string;
  readonly result?: TaskResult | string;
  readonly seconds?: number;
}

/** Undefined for events that are no steps. */
export function stepOf(event: ConductorEvent, phaseOfDirector: string): Step | undefined {
  switch (event.type) {
    case 'task-started':
      return { kind: 'started', phase: event.phase, task: event.task, text: event.what };
    case 'task-waiting':
      return { kind: 'waiting', phase: event.phase, task: event.task, text: event.because };
    case 'task-finished':
      return {
        kind: 'finished',
        phase: event.phase,
        task: event.task,
        text: event.because ?? '',
        result: event.result,
        seconds: event.seconds,
      };
    case 'director':
      return directorStep(event.event, phaseOfDirector);
    default:
      return undefined;
  }
}

function directorStep(event: DirectorEvent, phase: string): Step | undefined {
  switch (event.type) {
    case 'unit-started':
      return { kind: 'started', phase, task: event.unit, text: event.change };
    case 'unit-waiting':
      return { kind: 'waiting', phase, task: event.unit, text: event.because };
    case 'unit-finished':
      return {
        kind: 'finished',
        phase,
        task: event.unit,
        text: event.because ?? '',
        result: event.result,
        seconds: event.seconds,
      };
    default:
      return undefined;
  }
}

export function paintResult(result: string, paint: Paint): string {
  if (result === 'failed') return paint.red(result);
  if (result === 'skipped' || result === 'cancelled' || result === 'kept') return paint.yellow(result);
  if (result === 'unchanged' || result === 'reused') return paint.dim(result);
  return paint.green(result);
}

export function inSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function diagnosticText(event: ConductorEvent & { type: 'diagnostic' }): string {
  return `${formatDiagnostic(event.diagnostic)}\n`;
}

/** The last lines of a run that went well. */
export function completedText(
  { operation, seconds, changes, summary }: ConductorEvent & { type: 'completed' },
  paint: Paint,
): string {
  const lines: string[] = [];
  for (const [name, url] of Object.entries(summary.urls)) lines.push(`  ${name}  ${paint.cyan(url)}`);
  for (const { unit, because } of summary.kept) lines.push(`  ${paint.yellow('kept')} ${unit}: ${because}`);
  const head =
    operation === 'plan'
      ? `planned in ${inSeconds(seconds)}`
      : `${paint.green('done')} in ${inSeconds(seconds)}: ${countsOf(summary, changes)}`;
  return [...lines, head, ''].join('\n');
}

function countsOf({ created, updated, deleted, kept }: Summary, changes: number): string {
  const parts = [
    [created, 'created'],
    [updated, 'updated'],
    [deleted, 'deleted'],
    [kept.length, 'kept'],
  ] as const;
  const told = parts.flatMap(([count, word]) => (count > 0 ? [`${count} ${word}`] : []));
  if (changes === 0) return ['nothing to change', ...told.filter((text) => text.endsWith('kept'))].join(', ');
  return told.join(', ');
}

export function failedText(
  { error, fix }: { error: string; fix?: string | undefined },
  paint: Paint,
): string {
  return `${paint.red('failed')} ${error}\n${fix === undefined ? '' : `  fix: ${fix}\n`}`;
}
