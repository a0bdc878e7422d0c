/** The director's deployments: which there are, and all that is known of one. */

import type { DeploymentReport } from '@service-director/shared/contract/event.ts';
import type {
  ApprovalView,
  DeploymentBrief,
  DeploymentDetail,
} from '@service-director/shared/contract/state.ts';
import { DEPLOYMENT_STATUSES } from '@service-director/shared/contract/status.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import { run as approve } from './approve.ts';
import { atDesk, LOOK_SECONDS } from './at-desk.ts';
import { run as cancel } from './cancel.ts';
import type { CommandInput, CommandRun } from './command.ts';
import { choiceOf, demandWord, numberOf, usage } from './input.ts';
import { type JournalLine, journalText } from './render/journal.ts';
import { planCounts, planLines } from './render/plan.ts';
import { inSeconds, paintResult, paintStatus } from './render/words.ts';
import { run as rollback } from './rollback.ts';
import type { Paint, Terminal } from './terminal.ts';

export const run: CommandRun = (input) => {
  const [word] = input.words;
  switch (word) {
    case 'get':
      return get(input);
    case 'logs':
      return logs(input);
    case 'approve':
      return approve(aboutOne(input));
    case 'reject':
      return approve(aboutOne(input, 'reject'));
    case 'cancel':
      return cancel(aboutOne(input));
    case 'rollback':
      return rollback(aboutOne(input, 'deployment'));
    default:
      return list(input);
  }
};

/** As if the command of that name had been typed, with that option. */
function aboutOne(input: CommandInput, set?: string): CommandInput {
  const { words, options } = input;
  const flag = (name: string): boolean => name === set || options.flag(name);
  return { ...input, words: words.slice(1), options: { ...options, flag } };
}

function list(input: CommandInput): Promise<ExitCode> {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? '20', 1, 500);
  const [named, after] = [options.text('stack'), options.text('after')];
  const status = choiceOf(options, 'status', DEPLOYMENT_STATUSES);
  if (after !== undefined && !PLACE.test(after))
    throw usage(`--after ${after} is no place in a list`, 'copy it from the end of the list before');
  return atDesk(input, 0, LOOK_SECONDS, async ({ stackNamed, ask }) => {
    const owner = named === undefined ? undefined : await stackNamed(named);
    const stack = owner && `${owner.scope}/${owner.dataflow}`;
    const page = await ask((director) => director.deployments({ stack, status, limit, after }));
    if (terminal.isJson) {
      terminal.data(JSON.stringify({ type: 'deployments', ...page }));
      return EXIT.done;
    }
    for (const line of listLines(page.deployments, terminal.dataPaint)) terminal.data(line);
    if (page.deployments.length === 0) terminal.progress(`${noneWords(stack, status, after)}\n`);
    if (page.next !== undefined) {
      const same = ['stack', 'status', 'limit'].flatMap((name) => {
        const text = options.text(name);
        return text === undefined ? [] : [`--${name} ${text}`];
      });
      const more = ['conductor deployments', ...same, `--after ${page.next}`].join(' ');
      terminal.progress(`older ones: ${terminal.asTyped(more)}\n`);
    }
    return EXIT.done;
  });
}

/** A time, and an id. */
const PLACE = /^\d{4}-[^/]*\/./;

function noneWords(stack: string | undefined, status: string | undefined, after: string | undefined): string {
  if (after !== undefined) return 'there are no older ones';
  const which = [stack === undefined ? '' : ` of ${stack}`, status === undefined ? '' : ` in ${status}`].join(
    '',
  );
  return which === '' ? 'nothing was deployed yet' : `there is no deployment${which}`;
}

/** In columns as wide as they have to be; what it came to may be of any length, and its id is last, to be copied. */
function listLines(all: readonly DeploymentBrief[], paint: Paint): string[] {
  const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => text.length));
  const stacks = widest(all.map(({ stack }) => stack));
  const operations = widest(all.map(({ operation }) => operation));
  return all.map((brief) => {
    const { created_at, stack, operation, id } = brief;
    return [
      paint.dim(created_at),
      paint.bold(stack.padEnd(stacks)),
      operation.padEnd(operations),
      statusWords(brief, paint),
      paint.dim(`(${id})`),
    ].join(' ');
  });
}

/** `succeeded, version 3, rolled back by …` */
function statusWords(brief: DeploymentBrief, paint: Paint): string {
  const { status, dry_run, version, position, waiting_for, rolled_back_by, priority } = brief;
  return [
    paintStatus(status, paint),
    dry_run && 'dry run',
    version !== undefined && `version ${version}`,
    position !== undefined && `${priority} priority, place ${position} in its queue`,
    waiting_for !== undefined && `waits for ${waiting_for}`,
    rolled_back_by !== undefined && paint.yellow(`rolled back by ${rolled_back_by}`),
  ]
    .filter((words) => words !== false)
    .join(', ');
}

function get(input: CommandInput): Promise<ExitCode> {
  const { terminal } = input;
  const id = demandId(input);
  return atDesk(input, 2, LOOK_SECONDS, async ({ ask }) => {
    const detail = await ask((director) => director.deployment(id));
    if (terminal.isJson) terminal.data(JSON.stringify({ type: 'deployment', ...detail }));
    else for (const line of detailLines(detail, terminal.dataPaint)) terminal.data(terminal.asTyped(line));
    return EXIT.done;
  });
}

function demandId(input: CommandInput): string {
  const [word = ''] = input.words;
  return demandWord(input, 1, 'The id of a deployment', `conductor deployments ${word} ID [FILE]`);
}

function detailLines(detail: DeploymentDetail, paint: Paint): string[] {
  const { id, stack, operation, report, events, approval, requester, reason, critical_path } = detail;
  const { plan, units, urls, error } = report;
  const heading = (text: string): string => `\n${paint.bold(text)}`;
  return [
    `${paint.bold(stack)} ${operation} ${statusWords(detail, paint)} ${paint.dim(`(${id})`)}`,
    `  asked by ${requester} at ${detail.created_at}${reason === undefined ? '' : `: ${reason}`}`,
    ...(detail.started_at === undefined ? [] : [`  started at ${detail.started_at}`]),
    ...(detail.ended_at === undefined ? [] : [`  ended at ${detail.ended_at}`]),
    ...(approval ? [`  ${approvalWords(approval)}`] : []),
    ...(error === undefined ? [] : [`  ${paint.red(error)}`]),
    ...(plan ? [heading(`plan ${plan.hash}: ${planCounts(plan)}`), ...indented(planLines(plan, paint))] : []),
    ...(units.length > 0 ? [heading('units')] : []),
    ...units.map(({ unit, result, because, fix }) => {
      const why = because === undefined ? '' : `: ${because}`;
      return `  ${unit} ${paintResult(result, paint)}${why}${fix === undefined ? '' : `\n    fix: ${fix}`}`;
    }),
    ...(critical_path ? [`  ${paint.dim(pathWords(critical_path))}`] : []),
    ...Object.entries(urls).map(([name, url]) => `  ${name}  ${paint.cyan(url)}`),
    ...(events.length > 0 ? [heading('journal')] : []),
    ...indented(events.map((line) => journalText(line, paint))),
  ];
}

/** `took 41.0 s along topic/orders 2.0 s → service/api 39.0 s` */
function pathWords({ seconds, steps }: NonNullable<DeploymentDetail['critical_path']>): string {
  const words = steps.map(({ unit, seconds: own }) => `${unit} ${inSeconds(own)}`);
  return `took ${inSeconds(seconds)} along ${words.join(' → ')}`;
}

const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

function approvalWords({ state, plan_hash, expires_at, by, at, reason }: ApprovalView): string {
  if (state === 'pending') return `awaits approval of plan ${plan_hash} until ${expires_at}`;
  if (state === 'expired') return `nobody approved plan ${plan_hash} by ${at}`;
  return `plan ${plan_hash} ${state} by ${by} at ${at}${reason === undefined ? '' : `: ${reason}`}`;
}

function logs(input: CommandInput): Promise<ExitCode> {
  const { options, terminal } = input;
  const id = demandId(input);
  const tell = (line: JournalLine): void =>
    terminal.data(terminal.isJson ? JSON.stringify(line) : journalText(line, terminal.dataPaint));
  // What is followed has no other end than its own.
  if (options.flag('follow'))
    return atDesk(input, 2, Number.POSITIVE_INFINITY, async ({ follow }) =>
      tellEnd(await follow(id, tell), terminal),
    );
  return atDesk(input, 2, LOOK_SECONDS, async ({ ask }) => {
    let after: number | undefined = 0;
    while (after !== undefined) {
      const from: number = after;
      const { lines, next } = await ask((director) => director.journal(id, from));
      for (const line of lines) tell(line);
      // Of one that goes on there is a next page, too, with nothing on it yet.
      after = lines.length > 0 ? next : undefined;
    }
    return EXIT.done;
  });
}

/** The journal ends with what was done last, and that may be nothing: then why is told beside it. */
function tellEnd({ status, error }: DeploymentReport, terminal: Terminal): ExitCode {
  if (status === 'succeeded') return EXIT.done;
  terminal.progress(`it is ${status}${error === undefined ? '' : `: ${error}`}\n`);
  return EXIT.failed;
}
