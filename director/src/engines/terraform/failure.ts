/** Why the tool failed, in its own words, with what to do. */
import { CloudError, type Reason } from '@service-director/shared/cloud/error.ts';
import type { Mask, ToolEnd } from '../tool.ts';
import { type Diagnostic, sentenceOf } from './messages.ts';
import { arePassing, PassingFault } from './passing.ts';

export type Phase = 'init' | 'plan' | 'apply' | 'destroy' | 'show' | 'workspace';

export interface Failure {
  readonly phase: Phase;
  readonly end: ToolEnd;
  readonly diagnostics: readonly Diagnostic[];
  /** The newest plain lines, in case there is no better word. */
  readonly tail: readonly string[];
}

/** Characters of a reason. */
const LONGEST_REASON = 1_500;

export function failureOf({ phase, end, diagnostics, tail }: Failure, { text }: Mask): CloudError {
  const began = `Terraform ${phase === 'apply' || phase === 'destroy' ? phase : 'plan'} failed: `;
  if (end.killedBy !== undefined && !end.stopped)
    return new CloudError(
      'unknown-outcome',
      `${began}it was ended by the system (${end.killedBy}) during ${phase}`,
      {
        fix: 'give it more memory where that was short, then run it again: what it had made is kept in its state',
      },
    );
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  const told = errors.length > 0 ? errors.map(sentenceOf) : errorsIn(tail.map(text));
  const said = told.join('; ') || lastOf(tail.map(text));
  const lock = lockOf(
    errors.map(({ summary, detail }) => `${summary}\n${detail}`).join('\n') || tail.join('\n'),
  );
  if (lock) return new CloudError('conflict', text(began + lock.because), { fix: text(lock.fix) });
  const message = began + cut(text(said) || `it ended with code ${end.code}`);
  if (changesNothing(phase) && arePassing(told))
    return new PassingFault('unknown-outcome', message, {
      fix: 'run it again; where it stays so, check whether the director reaches what the message names',
    });
  const { reason, fix } = kindOf(said, phase);
  return new CloudError(reason, message, { fix });
}

function cut(text: string): string {
  return text.length > LONGEST_REASON ? `${text.slice(0, LONGEST_REASON)} …` : text;
}

function changesNothing(phase: Phase): boolean {
  return phase === 'init' || phase === 'plan';
}

/** Each plain error begins with `Error: `. */
function errorsIn(tail: readonly string[]): readonly string[] {
  const [, ...errors] = tail.join('\n').split(/^Error: /m);
  const told = errors.map((error) => error.replace(/\s+/g, ' ').trim());
  const specific = new Set(
    told.filter((error) => !error.startsWith('Terraform encountered problems during')),
  );
  return specific.size > 0 ? [...specific] : told.slice(0, 1);
}

/** Where nothing says that it is an error the last lines must do. */
function lastOf(tail: readonly string[]): string {
  return tail.slice(-5).join(' ').replace(/\s+/g, ' ').trim();
}

/** Somebody holds the lock of the state: who, since when, and how one gets on. */
export function lockOf(text: string): { readonly because: string; readonly fix: string } | undefined {
  if (!/acquiring the state lock|state lock/i.test(text) || !/Lock Info|lock/i.test(text)) return undefined;
  const field = (name: string): string | undefined =>
    new RegExp(`^\\W*${name}:[ \\t]*(\\S.*?)\\s*$`, 'm').exec(text)?.[1];
  const [held, asked] = [/already locked: ID=(\S+)/.exec(text)?.[1], field('ID')];
  // Some backends show what we asked for in the place of what stands in our way.
  const isOurs = held !== undefined && held !== asked;
  const id = held ?? asked;
  const [who, since, doing] = isOurs ? [] : [field('Who'), field('Created'), field('Operation')];
  if (id === undefined && who === undefined && !/Error acquiring the state lock/.test(text)) return undefined;
  const by = who === undefined ? 'somebody else' : who;
  const when = since === undefined ? '' : ` since ${since}`;
  const what = doing === undefined ? '' : ` (${doing.replace(/^OperationType/, '').toLowerCase()})`;
  const unlock =
    id === undefined ? 'take the lock away in the backend' : `run terraform force-unlock ${id} in the module`;
  return {
    because: `the state is locked by ${by}${when}${what}`,
    fix: `wait until that has ended; if nobody works on it any more, ${unlock}, then run it again`,
  };
}

/** The first that fits tells. */
const KINDS: readonly (readonly [RegExp, Reason, string])[] = [
  [
    /no space left on device/i,
    'precondition',
    'free space in the work directory of the director (TERRAFORM_WORK_DIR), then run it again',
  ],
  [
    /could not (connect to|retrieve|query)|failed to (query|install|retrieve).*(provider|registry)|registry\.terraform\.io/i,
    'unknown-outcome',
    'check the versions of its providers and whether the director reaches their registry or mirror, then run it again',
  ],
  [
    /no valid credential|could not find default credentials|unable to authenticate|invalid.?client.?token|expired ?token|unauthenticated|\b401\b/i,
    'unauthenticated',
    'give the director credentials of that cloud, then run it again',
  ],
  [
    /access ?denied|insufficient permission|permission.?denied|not authorized|unauthorized|authorizationfailed|forbidden|\b403\b/i,
    'denied',
    'grant the permission that is missing, then run it again: only what is missing is made',
  ],
  [/prevent_destroy/i, 'refused', 'take prevent_destroy away where it is to go, then run it again'],
];

function kindOf(said: string, phase: Phase): { readonly reason: Reason; readonly fix: string } {
  const known = KINDS.find(([pattern]) => pattern.test(said));
  if (known) return { reason: known[1], fix: known[2] };
  const more = phase === 'apply' || phase === 'destroy' ? ': only what is missing is done' : '';
  return { reason: 'refused', fix: `correct what the message names, then run it again${more}` };
}
