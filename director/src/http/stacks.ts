/** Stacks over HTTP: which there are, how each stands, how it came to that, and who asked for it. */
import type { AuditTrail, History, ReadTrail, StackState } from '@service-director/shared/contract/state.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import type { UnitState } from '@service-director/shared/model/state.ts';
import { type Owner, type StackId, stackOf } from '@service-director/shared/model/unit.ts';
import { type Request, Router } from 'express';
import { holdingOf, readValue, surroundingsOf } from '../deployments/reading.ts';
import { auditLineOf, lockOf, type Surroundings, stateOf, versionsOf } from '../deployments/views.ts';
import { verifyChain } from '../store/audit.ts';
import { listAll } from '../store/list-all.ts';
import {
  type AuditHead,
  type AuditRecord,
  type DeploymentRecord,
  keys,
  type LockRecord,
  type ReadRecord,
  type StackRecord,
  type VersionRecord,
} from '../store/records.ts';
import type { Store } from '../store/store.ts';
import { whoCalls } from './authenticate.ts';
import { demand, type Scopes, visible } from './demand.ts';
import { Problem } from './problem.ts';
import { limitOf } from './query.ts';
import type { Reads } from './reads.ts';
import type { Caller } from './roles.ts';

const VERSIONS = 10;
const MOST_VERSIONS = 1_000;
const AUDIT_ROWS = 100;
const MOST_AUDIT_ROWS = 10_000;
/** Characters; nothing longer was ever kept. */
const LONGEST_NAME = 300;

function ownerIn({ params }: Request): Owner {
  return { scope: String(params.scope), dataflow: String(params.dataflow) };
}

export interface StacksContext {
  readonly store: Store;
  readonly scopes: Scopes;
  readonly reads: Reads;
}

export function stackRoutes({ store, scopes, reads }: StacksContext): Router {
  const router = Router();
  const reading = demand('read-state', ({ params }) => scopes.placeOf(String(params.scope)));

  router.get('/stacks', demand('read'), async (request, response) => {
    const [stacks, units, locks] = await Promise.all([
      listAll<StackRecord>(store, { collection: 'stacks' }),
      listAll<UnitState>(store, { collection: 'units' }),
      listAll<LockRecord>(store, { collection: 'locks' }),
    ]);
    const counts = Map.groupBy(units, ({ id }) => id.split('//')[0]);
    const lockBy = new Map(locks.map(({ value }) => [value.stack, value]));
    const seen = await visible(
      whoCalls(request),
      stacks.map(({ value }) => value),
      scopes,
    );
    const told = seen.map((stack) =>
      entryOf(stack, counts.get(stack.stack)?.length ?? 0, lockBy.get(stack.stack), store),
    );
    response.json({ stacks: await Promise.all(told) });
  });

  router.get('/stacks/:scope/:dataflow', reading, async (request, response) => {
    const record = await demandStack(ownerIn(request), whoCalls(request), { store, scopes });
    reads.note(request, record.stack, 'state');
    response.json(await wholeOf(record, store));
  });

  router.get('/stacks/:scope/:dataflow/history', reading, async (request, response) => {
    const limit = limitOf(request, VERSIONS, MOST_VERSIONS);
    const { stack, version } = await demandStack(ownerIn(request), whoCalls(request), { store, scopes });
    reads.note(request, stack, 'history');
    response.json(await historyOf(stack, version, limit, store));
  });

  router.get('/stacks/:scope/:dataflow/audit', reading, async (request, response) => {
    const limit = limitOf(request, AUDIT_ROWS, MOST_AUDIT_ROWS);
    const { stack } = await demandStack(ownerIn(request), whoCalls(request), { store, scopes });
    reads.note(request, stack, 'audit');
    response.json(await auditOf(stack, limit, store));
  });

  return router;
}

/** The state of one, as it stands. */
export async function wholeOf(record: StackRecord, store: Store): Promise<StackState> {
  const { stack } = record;
  const [around, units] = await Promise.all([
    surroundingsOf(stack, store),
    listAll<UnitState>(store, { collection: 'units', prefix: `${stack}//` }),
  ]);
  const states = units.map(({ value }) => value);
  return stateOf(around.stack ?? record, around, await holdingOf(around, store), states);
}

/** A line of the list of stacks. */
export async function entryOf(
  stack: StackRecord,
  units: number,
  byHand: LockRecord | undefined,
  store: Store,
) {
  const around: Surroundings = { stack, lock: byHand, queue: [] };
  const lock = lockOf(around, await holdingOf(around, store));
  const { lease } = stack;
  return {
    stack: stack.stack,
    scope: stack.scope,
    dataflow: stack.dataflow,
    version: stack.version,
    units,
    locked: lock !== undefined,
    ...(lock ? { lock } : {}),
    ...(lease ? { lease: { deployment: lease.deployment, heartbeat_at: timestamp(lease.heartbeatAt) } } : {}),
  };
}

export async function historyOf(
  stack: StackId,
  current: number,
  limit: number,
  store: Store,
): Promise<History> {
  const found = await store.list<VersionRecord>({
    collection: 'versions',
    prefix: `${stack}/`,
    order: 'descending',
    limit,
  });
  const rows = found.map(({ value }) => value);
  const untold = rows.filter(({ operation }) => operation === undefined);
  const made = await Promise.all(
    untold.map(({ deployment }) => readValue<DeploymentRecord>(keys.deployment(deployment), store)),
  );
  const deployments = new Map(made.flatMap((record) => (record ? [[record.id, record]] : [])));
  return { stack, versions: versionsOf(current, rows, deployments) };
}

/** The newest rows, oldest first; the whole of the trail is checked. */
export async function auditOf(stack: StackId, limit: number, store: Store): Promise<AuditTrail> {
  const { rows, head } = await trailOf<AuditRecord>(stack, store);
  const broken = verifyChain(rows, head);
  return {
    stack,
    intact: broken === undefined,
    ...(broken === undefined ? {} : { broken_at: broken }),
    entries: rows.slice(-limit).map(auditLineOf),
  };
}

/** Who has read what is kept of it: the newest rows, oldest first; the whole of the trail is checked. */
export async function readsOfStack(stack: StackId, limit: number, store: Store): Promise<ReadTrail> {
  const { rows, head } = await trailOf<ReadRecord>(keys.reads(stack), store);
  const broken = verifyChain(rows, head);
  return {
    stack,
    intact: broken === undefined,
    ...(broken === undefined ? {} : { broken_at: broken }),
    entries: rows
      .slice(-limit)
      .map(({ sequence, at, what, by: who, hash }) => ({ sequence, at, what, who, hash })),
  };
}

/** Rows and head of one moment: what somebody added since the head was read is left out. */
async function trailOf<Row extends { readonly sequence: number }>(
  stack: StackId,
  store: Store,
): Promise<{ rows: readonly Row[]; head: AuditHead | undefined }> {
  let head = await readValue<AuditHead>(keys.auditHead(stack), store);
  for (;;) {
    const found = await listAll<Row>(store, { collection: 'audit', prefix: `${stack}/` });
    const now = await readValue<AuditHead>(keys.auditHead(stack), store);
    const { sequence: end = 0, from } = head ?? {};
    const rows = found.map(({ value }) => value).filter(({ sequence }) => sequence <= end);
    if (now?.from?.sequence === from?.sequence) return { rows, head };
    // Its oldest rows went meanwhile.
    head = now;
  }
}

/** How many stacks an error names. */
const MOST_NAMED = 20;

/** Throws a Problem 404 that names those that there are, as far as the caller may see them. */
export async function demandStack(
  { scope, dataflow }: { readonly scope: string; readonly dataflow: string },
  caller: Caller,
  { store, scopes }: { readonly store: Store; readonly scopes: Scopes },
): Promise<StackRecord> {
  const name = stackOf({ scope, dataflow });
  const found =
    name.length <= LONGEST_NAME ? await readValue<StackRecord>(keys.stack(name), store) : undefined;
  // Of a name with slashes in it another part may be the scope.
  if (found?.scope === scope && found.dataflow === dataflow) return found;
  const stacks = await listAll<StackRecord>(store, { collection: 'stacks' });
  const seen = await visible(
    caller,
    stacks.map(({ value }) => value),
    scopes,
  );
  const known = seen.slice(0, MOST_NAMED).map(({ stack }) => stack);
  throw new Problem(
    404,
    'Not found',
    `There is no stack ${name}`,
    known.length > 0
      ? `known are: ${known.join(', ')}${seen.length > known.length ? ', …' : ''}`
      : 'nothing was set up here yet: run conductor up',
  );
}
