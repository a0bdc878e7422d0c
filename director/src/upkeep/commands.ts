/**
 * Commands that ended long ago, each with its deployments and their journals, or not at all: they name each other, so that
 * neither is there without the other. The oldest first.
 *
 * What is kept all the same: of each stack the newest deployment, the newest that succeeded, and those that made a
 * version that is kept, so that each way back is there; what undid one that is kept; and what a build, or something that
 * is still to be told, names.
 */
import type { StackId } from '@service-director/shared/model/unit.ts';
import { buildKeys } from '../dialects/builds/records.ts';
import { listAll } from '../store/list-all.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  isEnded,
  type JournalEntry,
  keys,
  type VersionRecord,
} from '../store/records.ts';
import { type Stored, timedPlace, type Write } from '../store/store.ts';
import { type Batch, batchOf, deletion, MOST_AT_ONCE, pagesOf, type Round } from './round.ts';

/** How many are read at a time: each may have an architecture, or a plan, with it. */
const READ = 20;

/** A command and what became of it. */
interface Group {
  readonly command: Stored<CommandRecord>;
  readonly deployments: readonly Stored<DeploymentRecord>[];
}

type IsNamed = (deployment: DeploymentRecord) => Promise<boolean>;

/** `awaited`: deployments that must stay. */
export async function removeCommands(awaited: ReadonlySet<string>, round: Round): Promise<void> {
  const batch = batchOf(round);
  /** Named by what stays. Whatever undoes a deployment came after it, and is looked at after it. */
  const named = new Set(awaited);
  const ofStacks = namedByStacks(round);
  const isNamed: IsNamed = async ({ id, stack }) => named.has(id) || (await ofStacks(stack)).has(id);
  const stays = ({ deployments }: Group): void => {
    for (const { value } of deployments) if (value.rolledBackBy !== undefined) named.add(value.rolledBackBy);
  };

  const byTime = { collection: 'commands', by: 'time' } as const;
  for await (const rows of pagesOf<CommandRecord>(round, byTime, placeOf, READ))
    for (const command of rows) {
      if (command.value.receivedAt >= round.before) return batch.flush();
      await round.goOn();
      const group = await groupOf(command, round);
      if (await isOver(group, isNamed, round)) await remove(group, batch, () => stays(group), round);
      else stays(group);
    }
  await batch.flush();
}

function placeOf({ id, value: { receivedAt } }: Stored<CommandRecord>): string {
  return timedPlace(receivedAt, id);
}

async function groupOf(command: Stored<CommandRecord>, { store }: Round): Promise<Group> {
  const found = await Promise.all(
    command.value.deployments.map((id) => store.get<DeploymentRecord>(keys.deployment(id))),
  );
  return { command, deployments: found.flatMap((one) => one ?? []) };
}

/** Whether all of it ended long ago, and nothing that stays names any of it. */
async function isOver(
  { command: { id, value }, deployments }: Group,
  isNamed: IsNamed,
  { store, before }: Round,
): Promise<boolean> {
  const { status, endedAt, receivedAt } = value;
  if (status === 'accepted' || status === 'running' || (endedAt ?? receivedAt) >= before) return false;
  for (const { value: one } of deployments)
    if (!isEnded(one.status) || (one.endedAt ?? one.createdAt) >= before || (await isNamed(one)))
      return false;
  const untold = await store.list({ collection: 'outbox', prefix: `${id}.`, limit: 1 });
  return untold.length === 0 && !(await isOfBuild(id, store));
}

/** Of builds the pointer goes with the build: while it is there, somebody may ask how the execution went. */
async function isOfBuild(command: string, { get }: Round['store']): Promise<boolean> {
  const [, name] = /^build:(.+)$/.exec(command) ?? [];
  return name !== undefined && (await get(buildKeys.execution(name))) !== undefined;
}

async function remove(group: Group, batch: Batch, onKept: () => void, round: Round): Promise<void> {
  const own = [
    ...group.deployments.map((one) => deletion('deployments', one)),
    deletion('commands', group.command),
  ];
  const ids = group.deployments.map(({ id }) => id);
  const journals = await firstLines(ids, MOST_AT_ONCE, round);
  if (journals.length + own.length <= MOST_AT_ONCE) return batch.add([...journals, ...own], onKept);
  // Journals that are longer than a commit go before: a deployment may be there without its journal.
  await batch.flush();
  for (let lines = journals; lines.length > 0; lines = await firstLines(ids, MOST_AT_ONCE, round)) {
    await round.goOn();
    await round.remove(lines);
  }
  // What names each other goes at once, however many there are: they came in one commit, and with more beside them.
  await batch.add(own, onKept);
}

/** The deletions of the oldest lines of these journals. */
async function firstLines(deployments: readonly string[], most: number, { store }: Round): Promise<Write[]> {
  const lines: Write[] = [];
  for (const id of deployments) {
    if (lines.length >= most) break;
    const rows = await store.list<JournalEntry>({
      ...{ collection: 'journal', prefix: `${id}/`, limit: most - lines.length },
    });
    lines.push(...rows.map((row) => deletion('journal', row)));
  }
  return lines;
}

/** The deployments that a stack still names: looked up once in a round, for what it names later came later. */
function namedByStacks(round: Round): (stack: StackId) => Promise<ReadonlySet<string>> {
  const { store } = round;
  const known = new Map<StackId, ReadonlySet<string>>();
  return async (stack) => {
    const before = known.get(stack);
    if (before) return before;
    const versions = await listAll<VersionRecord>(store, { collection: 'versions', prefix: `${stack}/` });
    const named = new Set([
      ...(await newestOf(stack, round)),
      ...versions.map(({ value }) => value.deployment),
    ]);
    known.set(stack, named);
    return named;
  };
}

/** The newest deployment of a stack, and the newest that succeeded and did not only plan: what the stack is by. */
async function newestOf(stack: StackId, round: Round): Promise<string[]> {
  const newest: string[] = [];
  for (let after: string | undefined; ; ) {
    await round.goOn();
    const rows = await round.store.list<DeploymentRecord>({
      ...{ collection: 'deployments', where: { field: 'stack', is: stack } },
      ...{ by: 'time', order: 'descending', limit: READ },
      ...(after === undefined ? {} : { after }),
    });
    if (newest.length === 0) newest.push(...rows.slice(0, 1).map(({ id }) => id));
    const done = rows.find(({ value: { status, dryRun } }) => status === 'succeeded' && !dryRun);
    const last = rows.at(-1);
    if (done) return [...newest, done.id];
    if (!last || rows.length < READ) return newest;
    after = timedPlace(last.value.createdAt, last.id);
  }
}
