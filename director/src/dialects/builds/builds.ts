/**
 * Builds in the store: each change of one is one commit with the newest of its repository, and conditional on what
 * it was.
 *
 *     (nothing) → PENDING → IN_PROGRESS → SUCCESS | FAILED
 *                    ↑  └────────────────────────────↑
 *                    └── reserved, and could not be started
 */
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { readValue } from '../../deployments/reading.ts';
import { Conflict, type Store, type Stored, type Write } from '../../store/store.ts';
import { executionNamesOf } from './names.ts';
import {
  type BuildId,
  type BuildRecord,
  buildKeys,
  FOLLOWS,
  idText,
  isFinished,
  type LatestRecord,
  type PointerRecord,
} from './records.ts';

/** It is not there, or not in a status in which that can be done. */
export class NotPossible extends Error {}

export interface Builds {
  get(id: BuildId): Promise<BuildRecord | undefined>;
  /** All or none; those that are PENDING are to be started. Rejects with Conflict when one of them, or what `more` demands to be absent, is there. */
  create(records: readonly BuildRecord[], more?: readonly Write[]): Promise<void>;
  /** PENDING → IN_PROGRESS under a name; what is reserved already stays so. Rejects with NotPossible. */
  reserve(id: BuildId): Promise<Reserved>;
  /** Back to PENDING, where nothing was started under the name. */
  release(id: BuildId, name: string): Promise<void>;
  /** The execution is there. */
  started(id: BuildId, name: string, arn: string): Promise<void>;
  /** IN_PROGRESS → SUCCESS or FAILED, by the execution of that name alone; what has ended stays as it ended. */
  finish(id: BuildId, name: string, how: Ending): Promise<void>;
  /** PENDING → FAILED; what was started in the meantime stays so. */
  failToStart(id: BuildId, error: string): Promise<void>;
  /** Whose execution that is. */
  ofExecution(name: string): Promise<BuildId | undefined>;
}

export type Reserved = BuildRecord & { readonly execution_name: string };
export type Ending =
  | { readonly status: 'SUCCESS' }
  | { readonly status: 'FAILED'; readonly error_msg: string };

export function buildsIn(store: Store, clock: Clock): Builds {
  const now = (): number => Math.floor(clock.now() / 1000);

  /** `step` gives what it becomes; undefined where nothing is to be done. Rejects with NotPossible. */
  async function change(
    id: BuildId,
    step: (build: BuildRecord) => Promise<Step | undefined> | Step | undefined,
  ): Promise<BuildRecord> {
    for (;;) {
      const found = await store.get<BuildRecord>(buildKeys.build(id));
      if (!found) throw new NotPossible(`There is no build ${idText(id)}`);
      const next = await step(found.value);
      if (!next) return found.value;
      const value = { ...next.build, updated_at: now() };
      try {
        await store.commit([...(await changeWrites(found, value)), ...(next.more ?? [])]);
        return value;
      } catch (error) {
        // Somebody else was faster: what they wrote decides anew.
        if (!(error instanceof Conflict)) throw error;
      }
    }
  }

  async function changeWrites(found: Stored<BuildRecord>, build: BuildRecord): Promise<Write[]> {
    if (!FOLLOWS[found.value.status].includes(build.status))
      throw new NotPossible(`The build ${idText(build)} is ${found.value.status}`);
    return [
      { type: 'put', key: buildKeys.build(build), value: build, if: found.version },
      ...(await latestWrites(build)),
      ...(isFinished(build) ? [{ type: 'delete', key: buildKeys.open(build), if: 'any' } as const] : []),
    ];
  }

  /** A late word on an older build does not make it the newest. */
  async function latestWrites({ repo, env, sk, status, updated_at }: BuildRecord): Promise<Write[]> {
    const key = buildKeys.latest({ repo, env });
    const found = await store.get<LatestRecord>(key);
    if (found && found.value.id.sk > sk) return [];
    const value: LatestRecord = { id: { repo, env, sk }, status, updated_at };
    return [{ type: 'put', key, value, if: found?.version ?? 'absent' }];
  }

  /** The first that is nobody's, or its own already. */
  async function nameFor(id: BuildId): Promise<{ name: string; isOwn: boolean }> {
    for (const name of executionNamesOf(id)) {
      const owner = await ofExecution(name);
      if (!owner || idText(owner) === idText(id)) return { name, isOwn: owner !== undefined };
    }
    throw new NotPossible(`There is no name left for an execution of ${idText(id)}`);
  }

  async function ofExecution(name: string): Promise<BuildId | undefined> {
    return (await readValue<PointerRecord>(buildKeys.execution(name), store))?.id;
  }

  return {
    get: (id) => readValue<BuildRecord>(buildKeys.build(id), store),
    ofExecution,

    async create(records, more = []) {
      const newest = await Promise.all(newestOf(records).map(latestWrites));
      await store.commit([
        ...records.flatMap((build): Write[] => [
          { type: 'put', key: buildKeys.build(build), value: build, if: 'absent' },
          ...openWrites(build),
        ]),
        ...newest.flat(),
        ...more,
      ]);
    },

    async reserve(id) {
      const build = await change(id, async (before) => {
        if (before.status === 'IN_PROGRESS') return undefined;
        const { name, isOwn } = await nameFor(id);
        const key = buildKeys.execution(name);
        return {
          build: { ...before, status: 'IN_PROGRESS', execution_name: name },
          more: isOwn ? [] : [{ type: 'put', key, value: { id: idOf(id) }, if: 'absent' }],
        };
      });
      const { execution_name } = build;
      if (execution_name === undefined) throw new NotPossible(`The build ${idText(id)} is ${build.status}`);
      return { ...build, execution_name };
    },

    async release(id, name) {
      await change(id, (before) => {
        if (!isAbout(before, name) || before.execution_arn !== undefined) return undefined;
        const { execution_name: _, ...build } = before;
        return { build: { ...build, status: 'PENDING' } };
      });
    },

    async started(id, name, arn) {
      await change(id, (before) =>
        isAbout(before, name) && before.execution_arn === undefined
          ? { build: { ...before, execution_arn: arn } }
          : undefined,
      );
    },

    async finish(id, name, how) {
      await change(id, (before) =>
        isAbout(before, name) ? { build: { ...before, ...how, finished_at: now() } } : undefined,
      );
    },

    async failToStart(id, error) {
      await change(id, (before) =>
        before.status === 'PENDING'
          ? { build: { ...before, status: 'FAILED', error_msg: error, finished_at: now() } }
          : undefined,
      );
    },
  };
}

/** What has ended elsewhere, and is only brought here, is not started again. */
function openWrites(build: BuildRecord): Write[] {
  if (isFinished(build)) return [];
  return [{ type: 'put', key: buildKeys.open(build), value: { id: idOf(build) }, if: 'absent' }];
}

interface Step {
  readonly build: BuildRecord;
  readonly more?: readonly Write[];
}

function isAbout({ status, execution_name }: BuildRecord, name: string): boolean {
  return status === 'IN_PROGRESS' && execution_name === name;
}

function idOf({ repo, env, sk }: BuildId): BuildId {
  return { repo, env, sk };
}

/** One for each repository in an environment: a commit writes a document once. */
function newestOf(records: readonly BuildRecord[]): BuildRecord[] {
  const groups = Map.groupBy(records, ({ repo, env }) => `${repo}/${env}`);
  return [...groups.values()].flatMap((group) =>
    group.toSorted((a, b) => (a.sk < b.sk ? 1 : -1)).slice(0, 1),
  );
}
