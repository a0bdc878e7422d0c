/** What the director has done, newest last. */
import type { DirectorEvent, PlanSummary } from '@service-director/shared/contract/event.ts';
import { EXIT } from '../failure.ts';
import type { News } from '../news.ts';
import type { CommandRun } from './command.ts';
import { architectureAt, numberOf } from './input.ts';
import { withLook } from './look.ts';
import { secondsKnown } from './render/plan.ts';
import { inSeconds, paintResult } from './render/words.ts';
import type { Paint } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const limit = numberOf('limit', options.text('limit') ?? '50', 1, 10_000);
  return withLook(
    input,
    0,
    async (conductor) => {
      await conductor.news({
        limit,
        follow: options.flag('follow'),
        onNews: (news) => terminal.data(terminal.isJson ? jsonOf(news) : textOf(news, terminal.dataPaint)),
      });
      return EXIT.done;
    },
    { architecture: architectureAt(input, 0) },
  );
};

function jsonOf({ time, stack, event }: News): string {
  return JSON.stringify({ time, ...(stack === undefined ? {} : { stack }), ...event });
}

function textOf({ time, stack, event }: News, paint: Paint): string {
  const words = wordsOf(event, paint).replace(/\s*\n\s*/g, ' ');
  return `${paint.dim(time)} ${paint.bold(stack ?? '-')} ${words}`;
}

function wordsOf(event: DirectorEvent, paint: Paint): string {
  switch (event.type) {
    case 'accepted':
      return `${event.command_type} of ${event.dataflow} accepted ${paint.dim(`(${event.command})`)}`;
    case 'planned':
      return plannedWords(event.plan);
    case 'status':
      return event.status;
    case 'unit-started':
      return `${event.unit} ${event.change}`;
    case 'unit-waiting':
      return `${event.unit} ${paint.yellow('waiting')}: ${event.because}`;
    case 'unit-finished': {
      const took = paint.dim(` (${inSeconds(event.seconds)})`);
      return `${event.unit} ${paintResult(event.result, paint)}${took}${because(event.because)}`;
    }
    case 'completed':
      return `${event.command_type ?? 'command'} ${paint.green('completed')} ${paint.dim(`(${event.command})`)}`;
    case 'failed':
    case 'rejected':
      return `${paint.red(event.type)} ${paint.dim(`(${event.command})`)}${because(event.error)}`;
  }
}

function plannedWords(plan: PlanSummary): string {
  const seconds = secondsKnown(plan);
  const about = seconds === undefined ? '' : `, about ${inSeconds(seconds)}`;
  return `planned: ${plan.changes.length} to change${about}`;
}

function because(text: string | undefined): string {
  return text === undefined ? '' : `: ${text}`;
}
