/** What there is, and whether it is well. */
import type { DirectorStatus } from '../director-status.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import type { ResourceStatus, ServiceStatus } from '../observe.ts';
import type { Overview, StackOverview } from '../overview.ts';
import type { DataflowStatus, Status } from '../status.ts';
import { type LastCommand, MOST_SHOWN, type Running } from '../under-way.ts';
import type { CommandRun } from './command.ts';
import { directorLine } from './director.ts';
import { architectureAt, numberOf } from './input.ts';
import { withLook } from './look.ts';
import type { Paint, Terminal } from './terminal.ts';

export const run: CommandRun = (input) => {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? String(MOST_SHOWN), 1, 500);
  const architecture = architectureAt(input, 0);
  return withLook(
    input,
    0,
    async (conductor) => {
      const found =
        architecture === undefined ? await conductor.overview(limit) : await conductor.status(limit);
      if (terminal.isJson) terminal.data(JSON.stringify({ type: 'status', ...found }));
      else if ('stacks' in found) showOverview(found, terminal);
      else show(found, terminal);
      return exitCodeOf(found);
    },
    { architecture },
  );
};

function exitCodeOf({ director, isWell }: Status | Overview): ExitCode {
  if (director.state === 'missing' || director.state === 'unreachable') return EXIT.unreachable;
  return isWell ? EXIT.done : EXIT.failed;
}

function show(status: Status, { data, dataPaint: paint, asTyped }: Terminal): void {
  const head = `${paint.bold(status.architecture)} in ${status.project}`;
  if (status.isEmpty) {
    data(`${head}: nothing is up; ${asTyped('conductor up')} stands it up`);
    return;
  }
  data(head);
  data('');
  data(directorLine(status.director, paint));
  for (const line of resourceLines(status.infrastructure, paint)) data(`  ${line}`);
  for (const dataflow of status.dataflows) {
    data('');
    for (const line of dataflowLines(dataflow, status.director, paint)) data(line);
  }
  for (const line of underWayLines(status, paint)) data(line);
  for (const note of [...disabledNotes(status), ...status.notes]) data(`\n${paint.yellow(asTyped(note))}`);
}

function showOverview(overview: Overview, { data, dataPaint: paint, asTyped }: Terminal): void {
  const { director, stacks, hasMoreStacks, notes } = overview;
  data(directorLine(director, paint));
  if (stacks.length > 0) data(`\n${paint.bold('stacks')}`);
  for (const stack of stacks) data(stackLine(stack, paint));
  if (hasMoreStacks) data(paint.dim(MORE));
  for (const line of underWayLines(overview, paint)) data(line);
  const isTold = director.state === 'ready' || director.state === 'not-ready';
  if (isTold && stacks.length === 0 && notes.length === 0) data('\nnothing was deployed by it yet');
  for (const note of notes) data(`\n${paint.yellow(asTyped(note))}`);
}

function stackLine({ stack, version, units, last }: StackOverview, paint: Paint): string {
  const counted = `version ${version}  ${units} unit${units === 1 ? '' : 's'}`;
  const newest = last ? `  ${paint.dim(newestWords(last))}` : '';
  return `  ${paint.bold(stack)}  ${counted}${newest}`;
}

function newestWords({ type, status, endedAt, id }: LastCommand): string {
  return `newest: ${type} ${status} at ${endedAt} (${id})`;
}

function underWayLines(
  { running, hasMoreRunning }: Pick<Status, 'running' | 'hasMoreRunning'>,
  paint: Paint,
): string[] {
  if (running.length === 0) return [];
  const lines = running.flatMap((one) => runningLines(one, paint)).map((line) => `  ${line}`);
  return ['', paint.bold('running'), ...lines, ...(hasMoreRunning ? [paint.dim(MORE)] : [])];
}

const MORE = '  and more: a larger --limit shows them';

/** What is missing for one reason is told once. */
function disabledNotes({ infrastructure, dataflows }: Status): string[] {
  const seen = [
    ...infrastructure,
    ...dataflows.flatMap(({ services, resources }) => [...services, ...resources]),
  ];
  const apis = [...new Set(seen.flatMap(({ disabledApi }) => disabledApi ?? []))].sort();
  return apis.length === 0
    ? []
    : [`not enabled in the project: ${apis.join(', ')}; conductor up enables them`];
}

function dataflowLines(
  { name, version, services, resources, last }: DataflowStatus,
  director: DirectorStatus,
  paint: Paint,
): string[] {
  const isTold = director.state === 'ready' || director.state === 'not-ready';
  const state = version === undefined ? (isTold ? 'never set up' : 'version unknown') : `version ${version}`;
  return [
    `${paint.bold(name)}  ${paint.dim(state)}`,
    ...services.map((service) => `  ${serviceLine(service, paint)}`),
    ...resourceLines(resources, paint).map((line) => `  ${line}`),
    ...(last ? [paint.dim(`  ${newestWords(last)}`)] : []),
  ];
}

function serviceLine({ name, state, because, url, revision, image }: ServiceStatus, paint: Paint): string {
  const colour = state === 'ready' ? paint.green : paint.red;
  return [
    `service ${name}`,
    colour(state),
    url && paint.cyan(url),
    revision,
    image && paint.dim(shortDigest(image)),
    because && paint.yellow(oneLine(because)),
  ]
    .filter(Boolean)
    .join('  ');
}

/** What is there, and what is simply missing, kind by kind; whatever needs a word on a line of its own. */
function resourceLines(resources: readonly ResourceStatus[], paint: Paint): string[] {
  const isPlain = ({ because, differs }: ResourceStatus): boolean => because === undefined && !differs;
  const present = resources.filter((one) => isPlain(one) && one.state === 'present');
  const missing = resources.filter((one) => isPlain(one) && one.state === 'missing');
  const rest = resources.filter((one) => !present.includes(one) && !missing.includes(one));
  return [
    ...namesByKind(present).map(([kind, names]) => {
      const what =
        kind === 'grants' ? `on ${names.length} resource${names.length === 1 ? '' : 's'}` : names.join(', ');
      return `${kind} ${paint.dim(what)}`;
    }),
    ...namesByKind(missing).map(([kind, names]) => `${kind} ${paint.red('missing')}: ${names.join(', ')}`),
    ...rest.map((one) => troubleLine(one, paint)),
  ];
}

function namesByKind(resources: readonly ResourceStatus[]): [string, string[]][] {
  const byKind = Map.groupBy(
    resources.map(({ unit }) => splitUnit(unit)),
    ({ kind }) => kind,
  );
  return [...byKind].map(([kind, units]) => [kind, units.map(({ name }) => name)]);
}

function troubleLine({ unit, state, because, differs }: ResourceStatus, paint: Paint): string {
  if (differs) return `${unit} ${paint.yellow(`differs: ${differs.join(', ')}`)}`;
  return `${unit} ${paint.red(state)}${because === undefined ? '' : `: ${oneLine(because)}`}`;
}

function runningLines({ command, type, stack, status, since, units }: Running, paint: Paint): string[] {
  return [
    `${stack ?? ''} ${type} ${paint.yellow(status)} since ${since} ${paint.dim(`(${command})`)}`.trim(),
    ...units.map(({ unit, waiting }) =>
      waiting === undefined ? `  ${unit}` : `  ${unit}: ${paint.yellow('waiting')}: ${oneLine(waiting)}`,
    ),
  ];
}

function splitUnit(unit: string): { kind: string; name: string } {
  const at = unit.indexOf('/');
  return { kind: unit.slice(0, at), name: unit.slice(at + 1) };
}

/** The first twelve digits of the digest; the tag where there is none. */
function shortDigest(image: string): string {
  return /@sha256:([0-9a-f]{12})/.exec(image)?.[1] ?? image.slice(image.lastIndexOf('/') + 1);
}

/** The whole of it is in the JSON. */
function oneLine(text: string): string {
  const [line = ''] = text.split('\n');
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

const LONGEST = 160;
