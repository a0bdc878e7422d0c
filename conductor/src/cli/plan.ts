import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import { EXIT } from '../failure.ts';
import { conductor } from '../index.ts';
import type { PlanResult } from '../plan.ts';
import type { CommandRun } from './command.ts';
import { runOf, targetOf } from './input.ts';
import { inSeconds } from './render/words.ts';
import { withRenderer } from './run.ts';
import type { Paint, Terminal } from './terminal.ts';

export const run: CommandRun = async (input) => {
  const { options, terminal } = input;
  const result = await withRenderer(input, { ...targetOf(input), ...runOf(input) }, (ready) =>
    conductor(ready).plan(),
  );
  if (terminal.isJson) terminal.data(JSON.stringify({ type: 'plan', ...result }));
  else show(result, terminal);
  if (result.plans.some(({ plan }) => plan.refused.length > 0)) return EXIT.failed;
  const changes = result.plans.some(({ plan }) => plan.changes.length > 0);
  return changes && options.flag('detailed-exitcode') ? EXIT.changes : EXIT.done;
};

const MARKS: Readonly<Record<string, string>> = { create: '+', update: '~', replace: '±', delete: '-' };

function show({ plans, notes }: PlanResult, terminal: Terminal): void {
  const { dataPaint: paint } = terminal;
  for (const note of notes) terminal.data(paint.yellow(note));
  for (const { stack, operation, plan } of plans) {
    const counts = `${plan.changes.length} to change, ${plan.unchanged} unchanged`;
    terminal.data(`${paint.bold(`${stack} ${operation}`)}: ${counts}`);
    for (const line of linesOf(plan, paint)) terminal.data(`  ${line}`);
  }
  if (plans.every(({ plan }) => plan.changes.length === 0)) terminal.data('Nothing to change.');
}

function linesOf(plan: PlanSummary, paint: Paint): string[] {
  const lines = plan.changes.map(({ unit, action, fields, because }) => {
    const mark = MARKS[action] ?? '?';
    const colour = action === 'create' ? paint.green : action === 'update' ? paint.yellow : paint.red;
    const detail = because ?? (unit.startsWith('grants/') ? undefined : fields?.join(', '));
    return `${colour(`${mark} ${unit}`)}${detail ? paint.dim(`  ${detail}`) : ''}`;
  });
  for (const { change, member, role, on, reason } of plan.grants) {
    const verb = change === 'gained' ? paint.green('gains') : paint.red('loses');
    lines.push(
      `${member.replace(/^serviceAccount:/, '')} ${verb} ${role} on ${on}${reason ? paint.dim(`  because ${reason}`) : ''}`,
    );
  }
  for (const { unit, because, fix } of plan.refused) {
    lines.push(
      `${paint.red(`✗ ${unit}`)} would fail: ${because}${fix === undefined ? '' : `\n    fix: ${fix}`}`,
    );
  }
  for (const { unit, because } of plan.kept) lines.push(`${paint.yellow(`= ${unit}`)} stays: ${because}`);
  for (const warning of plan.warnings) lines.push(paint.red(`! ${warning}`));
  if (plan.changes.length > 0)
    lines.push(paint.dim(`about ${inSeconds(plan.seconds)} along ${plan.critical_path.join(' → ')}`));
  return lines;
}
