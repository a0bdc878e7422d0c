/** What there is, and whether it is well. */
import type { DirectorStatus } from '../director-status.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import type { ResourceStatus, ServiceStatus } from '../observe.ts';
import type { DataflowStatus, Running, Status } from '../status.ts';
import type { CommandRun } from './command.ts';
import { directorLine } from './director.ts';
import { withLook } from './look.ts';
import type { Paint, Terminal } from './terminal.ts';

export const run: CommandRun = (input) =>
  withLook(input, 0, async (conductor) => {
    const status = await conductor.status();
    if (input.terminal.isJson) input.terminal.data(JSON.stringify({ type: 'status', ...status }));
    else show(status, input.terminal);
    return exitCodeOf(status);
  });

function exitCodeOf({ director, isWell }: Status): ExitCode {
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
  if (status.running.length > 0) data(`\n${paint.bold('running')}`);
  for (const line of status.running.flatMap((one) => runningLines(one, paint))) data(`  ${line}`);
  for (const note of [...disabledNotes(status), ...status.notes]) data(`\n${paint.yellow(asTyped(note))}`);
}

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
    ...(last ? [paint.dim(`  newest: ${last.type} ${last.status} at ${last.endedAt} (${last.id})`)] : []),
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
