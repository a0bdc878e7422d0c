/** The help, made of what the commands say about themselves. */
import type { CliCommand, CliOption } from './command.ts';
import { type CommandName, commands } from './commands.ts';

/** What the commands are for, in the order in which somebody new needs them. Each command stands in one of them. */
export const GROUPS: readonly (readonly [string, readonly CommandName[]])[] = [
  ['An architecture', ['validate', 'plan', 'up', 'down', 'status', 'logs', 'schema']],
  ['A folder of Terraform code', ['deploy']],
  ['What the director does', ['deployments', 'approve', 'cancel', 'rollback', 'drift', 'events', 'director']],
  ['What it keeps', ['history', 'state', 'lock', 'unlock']],
  ['This machine', ['local', 'doctor', 'completion', 'version']],
];

/** What is longer has its summary on a line of its own. */
const WIDEST_USAGE = 36;

export function generalHelp(): string {
  const all: Readonly<Record<string, CliCommand>> = commands;
  return [
    'conductor: stands architectures up on Google Cloud, through a director that lives in your project',
    '',
    'Usage: conductor COMMAND [FILE] [OPTIONS]',
    '',
    ...GROUPS.flatMap(([heading, names]) => [
      `${heading}:`,
      ...names.flatMap((name) => (all[name] ? commandLines(all[name]) : [])),
      '',
    ]),
    'FILE is an architecture, or a folder with an architecture.yaml (default: the current folder).',
    'What only asks a director, or tells it something, needs none with --director-url URL, nor with --local where',
    'the local cloud has one director. conductor COMMAND --help tells more of one.',
    '',
    'Exit codes: 0 done, 1 failed, 2 changes (plan --detailed-exitcode), 64 usage, 65 invalid architecture,',
    '69 director or cloud unreachable, 77 permission missing, 124 timed out, 130 interrupted.',
    '',
  ].join('\n');
}

function commandLines({ usage, summary }: CliCommand): string[] {
  if (usage.length > WIDEST_USAGE) return [`  ${usage}`, `  ${' '.repeat(WIDEST_USAGE)}  ${summary}`];
  return [`  ${usage.padEnd(WIDEST_USAGE)}  ${summary}`];
}

/** They say of which architecture, and where, and how it is told; most commands have them. */
const COMMON: ReadonlySet<string> = new Set([
  'environment',
  'local',
  'local-dir',
  'endpoint',
  'director-url',
  'timeout',
  'json',
]);

export function commandHelp({ usage, summary, options }: CliCommand): string {
  const all = Object.entries(options);
  const width = Math.max(0, ...all.map((one) => nameOf(one).length));
  const section = (heading: string, some: typeof all): string[] =>
    some.length === 0
      ? []
      : ['', heading, ...some.map((one) => `  ${nameOf(one).padEnd(width)}  ${one[1].help}`)];
  const own = all.filter(([name]) => !COMMON.has(name));
  const common = all.filter(([name]) => COMMON.has(name));
  return [
    `Usage: conductor ${usage}`,
    '',
    summary,
    ...section('Options:', own),
    ...section(own.length > 0 ? 'Of which, where, and how it is told:' : 'Options:', common),
    '',
  ].join('\n');
}

function nameOf([name, { value, short }]: [string, CliOption]): string {
  const long = `--${name}${value === undefined ? '' : ` ${value}`}`;
  return short === undefined ? long : `-${short}, ${long}`;
}
