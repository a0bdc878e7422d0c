/** What the dialect at `/api` reads of the store. */
import type { StackId } from '@service-director/shared/model/unit.ts';
import type { Request } from 'express';
import { statesOf } from '../../deployments/conclusion.ts';
import { readValue } from '../../deployments/reading.ts';
import { isRestorable, pastOf } from '../../deployments/rollback.ts';
import { whoCalls } from '../../http/authenticate.ts';
import { queryOf } from '../../http/query.ts';
import { demandPermitted, type Permission } from '../../http/roles.ts';
import { listAll } from '../../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type JournalEntry,
  keys,
  type LockRecord,
  type StackRecord,
  type VersionRecord,
} from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import { type Known, newestKnown, type Reach } from '../known.ts';
import { Refused } from './refused.ts';
import { statusesOf } from './resources.ts';
import { type Around, aboutOf, deploymentOf, type Snapshot, statusOf } from './views.ts';

/** Joins what was started here, so that it can be listed. */
export const STARTED = 'api';
const MOST = 500;
const LIMIT = 10;

/** Throws Refused 404. */
export async function demandKnown(
  request: Request,
  { store, scopes }: Reach,
  permission: Permission,
  missing = 'Deployment not found',
): Promise<Known> {
  const id = String(request.params.id);
  const isPossible = /^[\w.:-]{1,200}$/.test(id);
  const command = isPossible ? await readValue<CommandRecord>(keys.command(id), store) : undefined;
  const known = command && (await knownOf(command, store));
  if (!known) throw new Refused(404, missing);
  demandPermitted(whoCalls(request), permission, await scopes.placeOf(known.record.scope));
  return known;
}

/** Undefined for a command that was not started here. */
async function knownOf(command: CommandRecord, store: Store): Promise<Known | undefined> {
  const [deployment] = command.deployments;
  if (aboutOf(command).blueprintId === undefined || deployment === undefined) return undefined;
  const record = await readValue<DeploymentRecord>(keys.deployment(deployment), store);
  return record && { command, record };
}

export function limitOf(request: Request): number {
  const asked = queryOf(request, 'limit') ?? String(LIMIT);
  const limit = /^\d{1,6}$/.test(asked) ? Number(asked) : 0;
  if (limit < 1 || limit > MOST) throw new Refused(400, `limit is a number from 1 to ${MOST}`);
  return limit;
}

/** Newest first. */
export async function listed(request: Request, reach: Reach): Promise<Known[]> {
  const question = {
    correlationId: STARTED,
    caller: whoCalls(request),
    knownOf: (command: CommandRecord) => knownOf(command, reach.store),
    fits: filterOf(request),
  };
  return newestKnown(question, undefined, limitOf(request), reach);
}

function filterOf(request: Request): (known: Known) => boolean {
  const [blueprintId, environment, status] = ['blueprintId', 'environment', 'status'].map((name) =>
    queryOf(request, name),
  );
  return ({ command, record }) => {
    const about = aboutOf(command);
    return (
      (blueprintId === undefined || about.blueprintId === blueprintId) &&
      (environment === undefined || about.environment === environment) &&
      (status === undefined || statusOf(record) === status)
    );
  };
}

/** With the state that it left, for who may read that. */
export async function shown(
  { command, record }: Known,
  mayReadState: boolean,
  store: Store,
): Promise<object> {
  const entries = record.plan ? await journalOf(record, store) : [];
  const around = await aroundOf(record.stack, store);
  const snapshot =
    record.version === undefined || !mayReadState
      ? undefined
      : await snapshotOf(record.stack, record.version, around, store);
  return deploymentOf(command, record, snapshot, around, statusesOf(entries, record));
}

export async function journalOf({ id }: DeploymentRecord, store: Store): Promise<JournalEntry[]> {
  const rows = await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${id}/` });
  return rows.map(({ value }) => value);
}

export async function aroundOf(stack: StackId, store: Store): Promise<Around> {
  const [record, lock] = await Promise.all([
    readValue<StackRecord>(keys.stack(stack), store),
    readValue<LockRecord>(keys.lock(stack), store),
  ]);
  return { stack: record, lock };
}

/** As the stack stands. */
export async function currentOf(stack: StackId, around: Around, store: Store): Promise<Snapshot | undefined> {
  const version = around.stack?.version ?? 0;
  return version === 0 ? undefined : snapshotOf(stack, version, around, store);
}

/** As the stack stood after that version; undefined where that is not kept any more. */
export async function snapshotOf(
  stack: StackId,
  version: number,
  { stack: record }: Around,
  store: Store,
): Promise<Snapshot | undefined> {
  const now = record?.version ?? 0;
  const rows = await listAll<VersionRecord>(store, { collection: 'versions', prefix: `${stack}/` });
  const made = rows.find(({ value }) => value.version === version)?.value;
  const kept = new Set(rows.map(({ value }) => value.version));
  if (!made || version > now || !isRestorable(version, now, kept)) return undefined;
  const current = await statesOf(store, stack);
  const { states } = await pastOf(stack, current, now, version, store);
  return { states, version, at: made.at };
}
