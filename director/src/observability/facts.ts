/** What the store knows that a gauge tells: every director of it reads the same. */
import { listAll } from '../store/list-all.ts';
import type { DeploymentRecord, DeploymentStatus, QueueRecord, StackRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';

export interface Facts {
  /** How many there are of each status that is no end. */
  readonly active: ReadonlyMap<DeploymentStatus, number>;
  /** Deployments that have a place in a queue, those that are worked on among them. */
  readonly queued: number;
  readonly stacks: number;
  /** State versions that were ever made, over all stacks. */
  readonly versions: number;
}

export const ACTIVE = [
  'queued',
  'planning',
  'waiting_for_lock',
  'awaiting_approval',
  'applying',
  'cancelling',
] as const satisfies readonly Exclude<DeploymentStatus, 'succeeded' | 'failed' | 'cancelled'>[];

/** Reads what is active, and one small document for each stack and each place in a queue: no history. */
export async function readFacts(store: Store): Promise<Facts> {
  const [counts, queue, stacks] = await Promise.all([
    Promise.all(
      ACTIVE.map(async (status) => {
        const where = { field: 'status', is: status };
        const found = await listAll<DeploymentRecord>(store, { collection: 'deployments', where });
        return [status, found.length] as const;
      }),
    ),
    listAll<QueueRecord>(store, { collection: 'queue' }),
    listAll<StackRecord>(store, { collection: 'stacks' }),
  ]);
  return {
    active: new Map(counts),
    queued: queue.length,
    stacks: stacks.length,
    versions: stacks.reduce((sum, { value }) => sum + value.version, 0),
  };
}
