/** How a deployment is taken back: stopped, undone, or destroyed with all that its stack has. */
import { IdempotencyKey } from '@service-director/shared/contract/rest/nestor-request.ts';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { never } from '@service-director/shared/kit/never.ts';
import type { Request } from 'express';
import { readValue } from '../../deployments/reading.ts';
import { callerOf, whoCalls } from '../../http/authenticate.ts';
import { queryOf } from '../../http/query.ts';
import { demandPermitted } from '../../http/roles.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  keys,
  type StackRecord,
} from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { Known } from '../known.ts';
import { aboutOf, commandIdOf, idOf } from './document.ts';
import { knownFrom } from './reading.ts';
import { Refused } from './refused.ts';
import { demandTaken, type SendingContext, send } from './sending.ts';

const MODES = ['cancel', 'rollback', 'destroy'] as const;
type Mode = (typeof MODES)[number];

export interface Undone {
  readonly mode: Mode;
  /** The deployment that undoes it; a cancel is none. */
  readonly by: string | undefined;
}

/**
 * Without a mode: what has not ended is stopped, what has changed anything is undone. The same again under the same
 * Idempotency-Key begins nothing anew. Throws Refused.
 */
export async function undo(request: Request, known: Known, context: SendingContext): Promise<Undone> {
  const asked = queryOf(request, 'mode');
  const mode = MODES.find((one) => one === asked);
  if (asked !== undefined && mode === undefined)
    throw new Refused(400, 'VALIDATION_FAILED', `mode is one of ${MODES.join(', ')}`);
  const chosen = mode ?? (await modeFor(request, known, context.store));
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

/** What the same call chose before is not chosen anew, whatever has become of the deployment since. */
async function modeFor(request: Request, { command, record }: Known, store: Store): Promise<Mode> {
  for (const mode of ['cancel', 'rollback'] as const) {
    const id = idOfCall(`${idOf(command)}.${mode}`, request);
    if (id !== undefined && (await isTaken(id, store))) return mode;
  }
  await demandNewest(record, store);
  // What was stopped before it changed anything leaves nothing to undo.
  const isAsBefore = record.status === 'cancelled' && record.version === undefined;
  return isEnded(record.status) && !isAsBefore ? 'rollback' : 'cancel';
}

/** By its key, which is one for each call and not for each try; undefined without one. Throws Refused. */
function idOfCall(prefix: string, request: Request): string | undefined {
  const key = IdempotencyKey.optional().safeParse(request.get('idempotency-key'));
  if (!key.success)
    throw new Refused(400, 'VALIDATION_FAILED', key.error.issues.map(({ message }) => message).join('; '));
  if (key.data === undefined) return undefined;
  return `${prefix}-k${fingerprint([callerOf(request), key.data]).slice(0, 10)}`;
}

/** What ends the id of a try: its number, or the name of its call. */
const TRY = /^-(\d{1,9}|k[0-9a-f]{10})$/;

async function isTaken(id: string, store: Store): Promise<boolean> {
  return (await readValue<CommandRecord>(keys.command(commandIdOf(id)), store)) !== undefined;
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

/** What is stopped, or about to, is answered for as it was the first time. */
async function cancel(
  request: Request,
  { command, record }: Known,
  context: SendingContext,
): Promise<Undone> {
  const { store, scopes } = context;
  const cancelled: Undone = { mode: 'cancel', by: undefined };
  const id = idOfCall(`${idOf(command)}.cancel`, request);
  const isAsked = id !== undefined && (await isTaken(id, store));
  if (!isAsked && isStopped(record)) {
    demandPermitted(whoCalls(request), 'cancel', await scopes.placeOf(record.scope));
    return cancelled;
  }
  if (!isAsked && isEnded(record.status))
    throw new Refused(409, 'NOT_POSSIBLE_NOW', `It has ended, and is ${record.status}`);
  const receipt = await send(request, 'cancel', { deployment: record.id }, context, id);
  // Of two who ask at the same time one may find nothing left to stop.
  const now = await readValue<DeploymentRecord>(keys.deployment(record.id), store);
  if (!now || !isStopped(now)) demandTaken(receipt, 409);
  return cancelled;
}

function isStopped({ status }: DeploymentRecord): boolean {
  return status === 'cancelling' || status === 'cancelled';
}

export interface Way {
  /** Default: the version before it. */
  readonly targetVersion?: number | undefined;
  readonly reason?: string | undefined;
}

/**
 * Resolves with the id of the deployment that brings it back. Asked again while that runs, after it succeeded, or under
 * the same Idempotency-Key, with the same. Throws Refused.
 */
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
  const next = await nextOf(`${idOf(command)}.${what}`, isDone, request, context.store);
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
  const next = await nextOf(`${idOf(command)}.destroy`, false, request, context.store);
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

/** What this call began, the try that runs already, or, where once is enough, has succeeded; else the id of a new one. */
async function nextOf(
  prefix: string,
  isOnceEnough: boolean,
  request: Request,
  store: Store,
): Promise<{ id: string; isThere: boolean }> {
  const own = idOfCall(prefix, request);
  const tries = (await knownFrom(`${prefix}-`, store))
    .map(({ command, record }) => ({ id: idOf(command), status: record.status }))
    .filter(({ id }) => TRY.test(id.slice(prefix.length)));
  const there =
    tries.find(({ id }) => id === own) ??
    tries.find(({ status }) => !isEnded(status) || (isOnceEnough && status === 'succeeded'));
  if (there) return { id: there.id, isThere: true };
  const taken = new Set(tries.map(({ id }) => id));
  let number = 1;
  while (taken.has(`${prefix}-${number}`)) number++;
  return { id: own ?? `${prefix}-${number}`, isThere: false };
}
