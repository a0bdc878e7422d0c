/** Reads what the views are made of. */
import type { StackId } from '@service-director/shared/model/unit.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
  keys,
  type LockRecord,
  type QueueRecord,
  type StackRecord,
} from '../store/records.ts';
import type { Key, Store } from '../store/store.ts';
import { type Holding, type JournalLine, journalLineOf, type Surroundings } from './views.ts';

export async function surroundingsOf(stack: StackId, store: Store): Promise<Surroundings> {
  const [record, lock, queue] = await Promise.all([
    readValue<StackRecord>(keys.stack(stack), store),
    readValue<LockRecord>(keys.lock(stack), store),
    listAll<QueueRecord>(store, { collection: 'queue', prefix: `${stack}//` }),
  ]);
  return { stack: record, lock, queue: queue.map(({ value }) => value) };
}

/** What decides when it has its turn: of what has ended, nothing does. */
export async function aroundOf({ stack, status }: DeploymentRecord, store: Store): Promise<Surroundings> {
  return isEnded(status) ? { stack: undefined, lock: undefined, queue: [] } : surroundingsOf(stack, store);
}

/** The deployment that has the lease, with its journal. */
export async function holdingOf({ stack }: Surroundings, store: Store): Promise<Holding | undefined> {
  const id = stack?.lease?.deployment;
  if (id === undefined) return undefined;
  const [record, entries] = await Promise.all([
    readValue<DeploymentRecord>(keys.deployment(id), store),
    entriesOf(id, store),
  ]);
  return record && { record: await withRequester(record, store), entries };
}

/** Records of the first release do not name who asked; their commands do. */
export async function withRequester(record: DeploymentRecord, store: Store): Promise<DeploymentRecord> {
  if (record.requester !== undefined) return record;
  const asked = await readValue<CommandRecord>(keys.command(record.command), store);
  const requester = asked?.command?.requester;
  return requester === undefined ? record : { ...record, requester };
}

export async function journalOf({ id, stack }: DeploymentRecord, store: Store): Promise<JournalLine[]> {
  return (await entriesOf(id, store)).map((entry) => journalLineOf(entry, stack));
}

async function entriesOf(deployment: string, store: Store): Promise<JournalEntry[]> {
  const rows = await listAll<JournalEntry>(store, { collection: 'journal', prefix: `${deployment}/` });
  return rows.map(({ value }) => value);
}

export async function readValue<T>(key: Key, store: Store): Promise<T | undefined> {
  return (await store.get<T>(key))?.value;
}
