/** How a deployment is taken back: stopped, undone, or destroyed with all that its stack has. */
import { never } from '@service-director/shared/kit/never.ts';
import type { Request } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { queryOf } from '../../http/query.ts';
import { type DeploymentRecord, isEnded, keys, type StackRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { Known } from '../known.ts';
import { aboutOf, idOf } from './document.ts';
import { knownAs } from './reading.ts';
import { Refused } from './refused.ts';
import { demandTaken, type SendingContext, send } from './sending.ts';

const MODES = ['cancel', 'rollback', 'destroy'] as const;
type Mode = (typeof MODES)[number];

export interface Undone {
  readonly mode: Mode;
  /** The deployment that undoes it; a cancel is none. */
  readonly by: string | undefined;
}

/** Without a mode: what has not ended is stopped, what has changed anything is undone. Throws Refused. */
export async function undo(request: Request, known: Known, context: SendingContext): Promise<Undone> {
  const asked = queryOf(request, 'mode');
  const mode = MODES.find((one) => one === asked);
  if (asked !== undefined && mode === undefined)
    throw new Refused(400, 'VALIDATION_FAILED', `mode is one of ${MODES.join(', ')}`);
  if (mode === undefined) await demandNewest(known.record, context.store);
  const chosen = mode ?? (isEnded(known.record.status) ? 'rollback' : 'cancel');
  switch (chosen) {
    case 'cancel':
      return cancel(request, known, context);
    case 'rollback':
      return { mode: 'rollback', by: await rollBack(request, known, {}, context) };
    case 'destroy':
      return destroy(request, known, context);
    default:
      return never(chosen);
  }
}

/** What came after it would be undone with it: nobody means that without saying so. */
async function demandNewest({ stack, version }: DeploymentRecord, store: Store): Promise<void> {
  const now = (await readValue<StackRecord>(keys.stack(stack), store))?.version ?? 0;
  if (version === undefined || version === now) return;
  throw new Refused(
    409,
    'NOT_POSSIBLE_NOW',
    `Others came after it: its version is ${version}, and the stack is at ${now}`,
    { hint: 'say ?mode=rollback to go back to the version before it, or ?mode=destroy to remove everything' },
  );
}

async function cancel(request: Request, { record }: Known, context: SendingContext): Promise<Undone> {
  if (isEnded(record.status))
    throw new Refused(409, 'NOT_POSSIBLE_NOW', `It has ended, and is ${record.status}`);
  demandTaken(await send(request, 'cancel', { deployment: record.id }, context), 409);
  return { mode: 'cancel', by: undefined };
}

export interface Way {
  /** Default: the version before it. */
  readonly targetVersion?: number | undefined;
  readonly reason?: string | undefined;
}

/** Resolves with the id of the deployment that brings it back. Asked again while that runs, or after it succeeded, with the same. */
export async function rollBack(
  request: Request,
  { command, record }: Known,
  { targetVersion, reason = 'undone over the API' }: Way,
  context: SendingContext,
): Promise<string> {
  if (!isEnded(record.status))
    throw new Refused(409, 'NOT_POSSIBLE_NOW', `It is still ${record.status}`, { hint: 'say ?mode=cancel' });
  if (targetVersion === undefined && record.version === undefined)
    throw new Refused(409, 'NOT_POSSIBLE_NOW', 'It changed nothing: there is nothing to bring back');
  const what = targetVersion === undefined ? 'rollback' : `rollback-to-${targetVersion}`;
  const isDone = targetVersion === undefined;
  const next = await nextOf(`${idOf(command)}.${what}`, isDone, context.store);
  if (next.isThere) return next.id;
  const target =
    targetVersion === undefined
      ? { deployment: record.id }
      : { dataflow: record.dataflow, scope: record.scope, to_version: targetVersion };
  const data = { ...target, reason, ...undoing(command) };
  demandTaken(await send(request, 'rollback', data, context, next.id), 409);
  return next.id;
}

async function destroy(
  request: Request,
  { command, record }: Known,
  context: SendingContext,
): Promise<Undone> {
  const next = await nextOf(`${idOf(command)}.destroy`, false, context.store);
  if (!next.isThere) {
    const { dataflow, scope } = record;
    const data = { dataflow, scope, ...undoing(command) };
    demandTaken(await send(request, 'teardown', data, context, next.id), 409);
  }
  return { mode: 'destroy', by: next.id };
}

function undoing(command: Known['command']): object {
  const { labels: _, annotations: __, request: ___, ...about } = aboutOf(command);
  // Whoever may ask for it has decided.
  return { auto_approve: true, about };
}

/** The try that runs already, or, where once is enough, has succeeded; else the id of a new one. */
async function nextOf(
  prefix: string,
  isOnceEnough: boolean,
  store: Store,
): Promise<{ id: string; isThere: boolean }> {
  for (let number = 1; ; number++) {
    const id = `${prefix}-${number}`;
    const known = await knownAs(id, store);
    if (!known) return { id, isThere: false };
    const { status } = known.record;
    if (!isEnded(status) || (isOnceEnough && status === 'succeeded')) return { id, isThere: true };
  }
}
