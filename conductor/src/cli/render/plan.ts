/** A plan in lines: what would change, who gains or loses what, what stays and what would fail. */
import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import type { Paint } from '../terminal.ts';
import { inSeconds } from './words.ts';

const MARKS: Readonly<Record<string, string>> = { create: '+', update: '~', replace: '±', delete: '-' };

export function planLines(plan: PlanSummary, paint: Paint): string[] {
  const lines = plan.changes.flatMap((change) => [changeLine(change, paint), ...withinLines(change, paint)]);
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
  return [...lines, ...pathLines(plan).map(paint.dim)];
}

/** How long a module takes nobody knows before: its tool says what it does, not for how long. */
export function secondsKnown({ seconds, critical_path }: PlanSummary): number | undefined {
  return critical_path.some((unit) => unit.startsWith('module/')) ? undefined : seconds;
}

function pathLines(plan: PlanSummary): string[] {
  if (plan.changes.length === 0) return [];
  const path = plan.critical_path.join(' → ');
  const seconds = secondsKnown(plan);
  if (seconds !== undefined) return [`about ${inSeconds(seconds)} along ${path}`];
  return plan.critical_path.length > 1 ? [`longest path: ${path}`] : [];
}

type UnitChange = PlanSummary['changes'][number];
type ResourceLine = NonNullable<UnitChange['resources']>[number];

function changeLine({ unit, action, fields, because, drifted, resources }: UnitChange, paint: Paint): string {
  // What a grant changes stands further down; what a module changes, by resource under it.
  const isTold = unit.startsWith('grants/') || resources !== undefined;
  const told = because ?? (isTold ? undefined : fields?.join(', '));
  const detail = [told, drifted ? 'changed since it was applied' : undefined].filter(Boolean).join('; ');
  return `${colourOf(action, paint)(`${MARKS[action] ?? '?'} ${unit}`)}${detail ? paint.dim(`  ${detail}`) : ''}`;
}

/** The resources of a module. */
function withinLines({ unit, action, resources, fields = [] }: UnitChange, paint: Paint): string[] {
  if (resources && resources.length > 0) return resources.map((resource) => resourceLine(resource, paint));
  if (!unit.startsWith('module/') || action === 'delete') return [];
  const outputs = fields.length > 0 ? `: ${fields.join(', ')}` : '';
  const told = resources
    ? `    only its outputs change${outputs}`
    : '    its resources are known once what its variables refer to is there';
  return [paint.dim(told)];
}

/** As Terraform marks them, and in words what it has no mark for. */
const RESOURCE_MARKS: Readonly<Record<string, string>> = {
  create: '+',
  update: '~',
  replace: '-/+',
  delete: '-',
};

function resourceLine({ address, action, fields, because }: ResourceLine, paint: Paint): string {
  const detail = [because, fields?.join(', ')].filter((text) => text !== undefined && text !== '').join('; ');
  const told = `${RESOURCE_MARKS[action] ?? action} ${address}`;
  return `    ${colourOf(action, paint)(told)}${detail ? paint.dim(`  ${detail}`) : ''}`;
}

function colourOf(action: string, paint: Paint): (text: string) => string {
  if (action === 'replace' || action === 'delete' || action === 'forget') return paint.red;
  return action === 'create' ? paint.green : paint.yellow;
}

/** `3 to change, 5 unchanged` */
export function planCounts({ changes, unchanged }: PlanSummary): string {
  return `${changes.length} to change, ${unchanged} unchanged`;
}
