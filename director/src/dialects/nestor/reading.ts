/** What the dialect at `/api/v1` reads of the store. */
import { STATUSES } from '@service-director/shared/contract/rest/nestor-answers.ts';
import { ID } from '@service-director/shared/contract/rest/nestor-request.ts';
import type { Request } from 'express';
import { readValue, surroundingsOf } from '../../deployments/reading.ts';
import { briefOf } from '../../deployments/views.ts';
import { whoCalls } from '../../http/authenticate.ts';
import { queryOf } from '../../http/query.ts';
import { demandPermitted, permitted } from '../../http/roles.ts';
import { listAll } from '../../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
  keys,
} from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { canonicalEnvironment } from '../environment.ts';
import { type Known, newestKnown, placeOf, type Reach } from '../known.ts';
import { aboutOf, commandIdOf } from './document.ts';
import { Refused } from './refused.ts';
import { standingOf, type Told } from './views.ts';

/** Joins what was asked for here, so that it can be listed. */
export const ASKED = 'api-v1';
const LIMIT = 20;
const MOST = 100;

/** Throws Refused 404, and a Problem 403 where the caller may not see it. */
export async function demandKnown(request: Request, { store, scopes }: Reach): Promise<Known> {
  const id = String(request.params.id);
  const known = await knownAs(id, store);
  if (!known)
    throw new Refused(404, 'RESOURCE_NOT_FOUND', `There is no deployment ${id.slice(0, 130)}`, { id });
  demandPermitted(whoCalls(request), 'read', await scopes.placeOf(known.record.scope));
  return known;
}

export async function knownAs(id: string, store: Store): Promise<Known | undefined> {
  if (!ID.test(id)) return undefined;
  const command = await readValue<CommandRecord>(keys.command(commandIdOf(id)), store);
  return command && knownOf(command, store);
}

/** All whose ids begin so. */
export async function knownFrom(prefix: string, store: Store): Promise<Known[]> {
  const rows = await listAll<CommandRecord>(store, { collection: 'commands', prefix: commandIdOf(prefix) });
  const all = await Promise.all(rows.map(({ value }) => knownOf(value, store)));
  return all.flatMap((one) => one ?? []);
}

/** Undefined for a command that was not asked for here. */
async function knownOf(command: CommandRecord, store: Store): Promise<Known | undefined> {
  const [deployment] = command.deployments;
  if (aboutOf(command).composer === undefined || deployment === undefined) return undefined;
  const record = await readValue<DeploymentRecord>(keys.deployment(deployment), store);
  return record && { command, record };
}

/** As whoever asks may know it. */
export async function told(
  { command, record }: Known,
  request: Request,
  { store, scopes }: Reach,
): Promise<Told> {
  const mayReadState = permitted(whoCalls(request), 'read-state', await scopes.placeOf(record.scope));
  const rows = await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${record.id}/` });
  const entries = rows.map(({ value }) => value);
  if (isEnded(record.status)) return { command, record, entries, mayReadState };
  const { waiting_for, position } = briefOf(record, await surroundingsOf(record.stack, store));
  return { command, record, entries, mayReadState, waiting: { for: waiting_for, position } };
}

export interface Page {
  readonly found: readonly Known[];
  /** What asks for the next. */
  readonly next: string | undefined;
}

/** Newest first. */
export async function listed(request: Request, reach: Reach): Promise<Page> {
  const limit = limitOf(request);
  const question = {
    correlationId: ASKED,
    caller: whoCalls(request),
    knownOf: (command: CommandRecord) => knownOf(command, reach.store),
    fits: filterOf(request),
  };
  const found = await newestKnown(question, placeIn(request), limit + 1, reach);
  const page = found.slice(0, limit);
  const last = found.length > limit ? page.at(-1) : undefined;
  return { found: page, next: last && Buffer.from(placeOf(last.command)).toString('base64url') };
}

function placeIn(request: Request): string | undefined {
  const token = queryOf(request, 'pageToken') ?? queryOf(request, 'page_token');
  return token === undefined ? undefined : Buffer.from(token, 'base64url').toString();
}

function limitOf(request: Request): number {
  const asked = queryOf(request, 'limit') ?? String(LIMIT);
  const limit = /^\d{1,6}$/.test(asked) ? Number(asked) : 0;
  if (limit >= 1 && limit <= MOST) return limit;
  throw new Refused(400, 'VALIDATION_FAILED', `limit is a number from 1 to ${MOST}`);
}

function filterOf(request: Request): (known: Known) => boolean {
  const composer = queryOf(request, 'composer') ?? queryOf(request, 'team');
  const environment = queryOf(request, 'environment');
  const status = queryOf(request, 'status');
  if (status !== undefined && !STATUSES.some((known) => known === status))
    throw new Refused(400, 'VALIDATION_FAILED', `status is one of ${STATUSES.join(', ')}`);
  return ({ command, record }) => {
    const about = aboutOf(command);
    return (
      (composer === undefined || about.composer === composer) &&
      (environment === undefined ||
        canonicalEnvironment(about.environment ?? '') === canonicalEnvironment(environment)) &&
      (status === undefined || standingOf(record).status === status)
    );
  };
}
