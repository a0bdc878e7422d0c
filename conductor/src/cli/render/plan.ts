/** A plan in lines: what would change, who gains or loses what, what stays and what would fail. */
import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import type { Paint } from '../terminal.ts';
import { inSeconds } from './words.ts';

const MARKS: Readonly<Record<string, string>> = { create: '+', update: '~', replace: '±', delete: '-' };

export function planLines(plan: PlanSummary, paint: Paint): string[] {
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

/** `3 to change, 5 unchanged` */
export function planCounts({ changes, unchanged }: PlanSummary): string {
  return `${changes.length} to change, ${unchanged} unchanged`;
}
