/** How events are put into words: the same for lines and for the live picture. */
import type { DirectorEvent } from '@service-director/shared/contract/event.ts';
import { type Diagnostic, formatDiagnostic } from '@service-director/shared/model/diagnostic.ts';
import { COMMANDS, type ConductorEvent, type Summary, type TaskResult } from '../../event.ts';
import type { Paint, Terminal } from '../terminal.ts';

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
      return { kind: 'started', phase: event.phase, task: event.task, text: doing(event.what) };
    case 'task-waiting':
      return { kind: 'waiting', phase: event.phase, task: event.task, text: waitText(event.because) };
    case 'task-finished':
      return {
        kind: 'finished',
        phase: event.phase,
        task: event.task,
        text: isCommand(event.task) ? '' : endText(event),
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
      return { kind: 'started', phase, task: event.unit, text: doing(event.change) };
    case 'unit-waiting':
      return { kind: 'waiting', phase, task: event.unit, text: waitText(event.because) };
    case 'unit-finished':
      return {
        kind: 'finished',
        phase,
        task: event.unit,
        text: endText(event),
        result: event.result,
        seconds: event.seconds,
      };
    default:
      return undefined;
  }
}

/** What a command came to is told by its units, and at the end of the run. */
function isCommand(task: string): boolean {
  return COMMANDS.has(task.slice(0, task.indexOf('/')));
}

/** A failure is told in short where it happens, and in full at the end of the run. */
function endText({ result, because = '' }: Ended): string {
  if (result !== 'failed') return because;
  const [line = ''] = because.split('\n');
  return line.length > LONGEST_FAILURE ? `${line.slice(0, LONGEST_FAILURE)}…` : line;
}

interface Ended {
  readonly result: string;
  readonly because?: string | undefined;
}

const LONGEST_FAILURE = 100;

/** What a service wrote last, under its failure. */
export function logText({ service, lines }: ConductorEvent & { type: 'service-log' }, paint: Paint): string {
  const told = lines.map(({ message, fields }) => `    ${message === '' ? JSON.stringify(fields) : message}`);
  return [`  ${paint.bold(`the last lines of ${service}`)}:`, ...told, ''].join('\n');
}

/** `the lock … of jo (migration), place 2 in its queue` */
export function waitedFor({ waitingFor, position }: ConductorEvent & { type: 'deployment-waiting' }): string {
  return position === undefined ? waitingFor : `${waitingFor}, place ${position} in its queue`;
}

/** What is begun with something of which nothing has to be changed is to look at it. */
function doing(change: string): string {
  return change === 'none' ? 'look' : change;
}

/** Google's refusals that pass, as what is waited for: as they are, they read like failures. All of it is in the JSON. */
function waitText(because: string): string {
  if (/has not been used in project|it is disabled/.test(because)) {
    const api = /([a-z]+\.googleapis\.com)\/overview/.exec(because)?.[1] ?? 'an API';
    return `${api}, which was just enabled, to take effect`;
  }
  const account = /^Service account ([^@\s]+)@\S+ does not exist/.exec(because)?.[1];
  return account === undefined ? because : `the new account ${account} to be known everywhere`;
}

export function paintResult(result: string, paint: Paint): string {
  if (result === 'failed') return paint.red(result);
  if (result === 'skipped' || result === 'cancelled' || result === 'kept') return paint.yellow(result);
  if (result === 'unchanged' || result === 'reused') return paint.dim(result);
  return paint.green(result);
}

/** Of a deployment. */
export function paintStatus(status: string, paint: Paint): string {
  if (status === 'succeeded') return paint.green(status);
  return status === 'failed' || status === 'cancelled' ? paint.red(status) : paint.yellow(status);
}

export function inSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Several lines; what to do about it as it is typed here. */
export function diagnosticText(diagnostic: Diagnostic, { asTyped }: Terminal): string {
  const { fix } = diagnostic;
  return formatDiagnostic(fix === undefined ? diagnostic : { ...diagnostic, fix: asTyped(fix) });
}

/** The last lines of a run that went well. */
export function completedText(
  { operation, seconds, changes, summary, dryRun }: ConductorEvent & { type: 'completed' },
  paint: Paint,
): string {
  const lines: string[] = [];
  for (const [name, url] of Object.entries(summary.urls)) lines.push(`  ${name}  ${paint.cyan(url)}`);
  for (const { unit, because } of summary.kept) lines.push(`  ${paint.yellow('kept')} ${unit}: ${because}`);
  const head = dryRun
    ? `planned in ${inSeconds(seconds)}: nothing was changed`
    : operation === 'plan'
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
