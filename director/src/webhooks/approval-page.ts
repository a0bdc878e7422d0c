/** What a link would decide, as a page: no script, nothing from anywhere else, and a form that leads to itself. */
import { createHash } from 'node:crypto';
import type { PlanSummary } from '@service-director/shared/contract/event.ts';
import { summaryOf } from '../deployments/report.ts';
import type { Found } from './approval-links.ts';
import { masked } from './mask.ts';

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h2 { margin-top: 2rem; font-size: 1.1rem; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { opacity: .7; } dd { margin: 0; }
code { font: .875rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
form { background: var(--soft); padding: 1rem; border-radius: .4rem; margin: 1.5rem 0; }
label { display: block; margin-bottom: .7rem; } input { font: inherit; width: 100%; box-sizing: border-box; }
button { font: inherit; font-weight: 600; padding: .4rem 1.2rem; }
.note { font-weight: 600; }
`;

const HASH = createHash('sha256').update(STYLE).digest('base64');

/** Lets in this one style, and lets the form lead to us alone. */
export const APPROVAL_POLICY = `default-src 'none'; style-src 'sha256-${HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;

/** Lines of a list; the rest is counted. */
const MOST_LINES = 200;
/** Characters. */
const LONGEST = 300;

const TITLES = { approve: 'Approve', reject: 'Reject' } as const;

export function approvalPage({ terms, record, standing }: Found): string {
  const title = `${TITLES[terms.decision]} ${record.stack}`;
  const facts = [
    ['deployment', code(record.id)],
    ['what', text(record.operation)],
    ['asked for by', text(record.requester ?? 'nobody that is known')],
    ...(record.reason === undefined ? [] : [['because', text(record.reason)]]),
    ['plan', code(terms.planHash)],
    ['until', text(standing.expires_at)],
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>${text(title)}</title><style>${STYLE}</style></head><body>
<h1>${text(title)}</h1>
<p class="note">${text(standing.note)}</p>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join('')}</dl>
${standing.state === 'open' ? formFor(terms.decision) : ''}
${record.plan?.hash === terms.planHash ? planOf(summaryOf(record.plan)) : ''}
</body></html>`;
}

/** Without an action it leads to where it came from. */
function formFor(decision: keyof typeof TITLES): string {
  return `<form method="post">
<label>Your name, for the record <input name="name" maxlength="100" autocomplete="name"></label>
<label>Why, if you like <input name="reason" maxlength="500" autocomplete="off"></label>
<button type="submit">${TITLES[decision]} this plan</button></form>`;
}

function planOf({ changes, kept, refused, grants, unchanged, seconds, warnings }: PlanSummary): string {
  return [
    `<p>${changes.length} to change, ${unchanged} as they are, about ${Math.ceil(seconds)} s.</p>`,
    section('What changes', changes.flatMap(changeLines)),
    section(
      'Who may do what',
      grants.map(
        ({ change, member, role, on }) =>
          `${change === 'gained' ? 'gains' : 'loses'}: ${code(member)} ${code(role)} on ${code(on)}`,
      ),
    ),
    section('What would fail', refused.map(lineWithCause)),
    section('What stays', kept.map(lineWithCause)),
    section('Mind', warnings.map(text)),
  ].join('');
}

type PlannedChange = PlanSummary['changes'][number];

function changeLines({ unit, action, fields, because, resources = [] }: PlannedChange): string[] {
  const within = resources.map((one) => `${code(unit)} › ${changeLine(one.address, one)}`);
  return [changeLine(unit, { action, fields, because }), ...within];
}

function changeLine(
  name: string,
  { action, fields = [], because }: Pick<PlannedChange, 'action' | 'fields' | 'because'>,
): string {
  const what = fields.length > 0 ? `: ${text(fields.join(', '))}` : '';
  return `${text(action)} ${code(name)}${what}${because === undefined ? '' : ` (${text(because)})`}`;
}

function lineWithCause({ unit, because }: { readonly unit: string; readonly because: string }): string {
  return `${code(unit)}: ${text(because)}`;
}

/** `lines`: HTML. */
function section(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return '';
  const rest = lines.length - MOST_LINES;
  const items = lines.slice(0, MOST_LINES).map((line) => `<li>${line}</li>`);
  return `<h2>${title}</h2><ul>${items.join('')}</ul>${rest > 0 ? `<p>and ${rest} more</p>` : ''}`;
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

/** Without what looks like a secret, and without letters that turn the others round. */
function text(value: string): string {
  return masked(value, LONGEST).replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
