/** What clients of a dialect asked for, with the deployment that each became, newest first. */
import { type Scopes, visible } from '../http/demand.ts';
import { behind, NEWEST_FIRST } from '../http/listing.ts';
import type { Caller } from '../http/roles.ts';
import type { CommandRecord, DeploymentRecord } from '../store/records.ts';
import { type Store, timedPlace } from '../store/store.ts';

export interface Known {
  readonly command: CommandRecord;
  readonly record: DeploymentRecord;
}

export interface Question {
  /** By which what is asked for in the dialect is joined. */
  readonly correlationId: string;
  readonly caller: Caller;
  /** Undefined for a command that was not asked for in the dialect. */
  knownOf(command: CommandRecord): Promise<Known | undefined>;
  fits(known: Known): boolean;
}

export interface Reach {
  readonly store: Store;
  readonly scopes: Scopes;
}

/** So many behind a place of `placeOf`: of those that fit what the caller may see. */
export async function newestKnown(
  { correlationId, caller, knownOf, fits }: Question,
  place: string | undefined,
  count: number,
  { store, scopes }: Reach,
): Promise<Known[]> {
  const known = new Map<CommandRecord, Known>();
  const where = { field: 'correlationId', is: correlationId };
  const query = { collection: 'commands', where, ...NEWEST_FIRST } as const;
  async function keep(commands: readonly CommandRecord[]): Promise<CommandRecord[]> {
    const all = (await Promise.all(commands.map(knownOf))).flatMap((one) => one ?? []);
    const fitting = all.filter(fits);
    const seen = new Set(
      await visible(
        caller,
        fitting.map(({ record }) => record),
        scopes,
      ),
    );
    return fitting.flatMap((one) => {
      if (!seen.has(one.record)) return [];
      known.set(one.command, one);
      return [one.command];
    });
  }
  const found = await behind({ query, keep, placeOf }, place, count, store);
  return found.flatMap((command) => known.get(command) ?? []);
}

export function placeOf({ receivedAt, id }: CommandRecord): string {
  return timedPlace(receivedAt, id);
}
