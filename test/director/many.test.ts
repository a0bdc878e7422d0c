/**
 * Two directors on one store share many deployments while they are killed in turn.
 *
 * On Firestore's emulator where it is installed, else on one SQLite file. `MANY=200` is how many deployments,
 * `MANY_STORE=sqlite` asks for the file.
 */
import { firestoreStore } from '@service-director/director/store/firestore.ts';
import { listAll } from '@service-director/director/store/list-all.ts';
import type {
  AuditRecord,
  CommandRecord,
  DeploymentRecord,
  JournalEntry,
  StackRecord,
} from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Collection, Store } from '@service-director/director/store/store.ts';
import { systemClock, systemRandom } from '@service-director/shared/kit/clock.ts';
import { expect, onTestFinished, test, vi } from 'vitest';
import { FIRESTORE, findEmulator, startEmulator } from '../conformance/emulator.ts';
import { type DirectorProcess, startDirector, stateFile } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { type Change, openWorld, PROJECT, until, type World } from './support/world.ts';

/** Each command has two deployments: one for each dataflow of its architecture. */
const DEPLOYMENTS = Number(process.env.MANY ?? 24);
const DATAFLOWS = ['left', 'right'] as const;
/** How often each architecture is set up, every time with other labels. */
const ROUNDS = DEPLOYMENTS > 100 ? 10 : 4;
const SCOPES = Math.ceil(DEPLOYMENTS / DATAFLOWS.length / ROUNDS);
/** A director is killed whenever so many more calls have changed something. */
const CALLS_PER_KILL = 8;
/** How long the answer to what changes a topic is under way. */
const ANSWER_MS = 200;
/** In each dataflow, by kind and name. */
const THINGS = [
  ['bucket', 'receipts'],
  ['subscription', 'packed'],
  ['topic', 'orders'],
  ['topic', 'parcels'],
] as const;
const PATIENCE_MS = 60_000 + DEPLOYMENTS * 4_000;

vi.setConfig({ testTimeout: PATIENCE_MS + 120_000 });

interface Shared {
  readonly what: string;
  /** Of both directors. */
  readonly env: Readonly<Record<string, string>>;
  /** The test's own way in. */
  open(): Store;
}

async function sharedStore(world: World): Promise<Shared> {
  const installed = await findEmulator(FIRESTORE);
  if (process.env.MANY_STORE === 'sqlite' || 'missing' in installed) {
    const path = stateFile(world);
    const because = 'missing' in installed ? `: ${installed.missing}` : '';
    return { what: `one SQLite file${because}`, env: {}, open: () => sqliteStore({ path }) };
  }
  const emulator = await startEmulator(installed);
  onTestFinished(() => emulator.stop());
  return {
    what: "Firestore's emulator",
    env: { DIRECTOR_STATE: 'firestore:(default)', FIRESTORE_EMULATOR_HOST: emulator.endpoint },
    open: () =>
      firestoreStore({
        project: PROJECT,
        database: '(default)',
        root: 'service-director',
        emulator: emulator.endpoint,
        clock: systemClock,
        random: systemRandom,
      }),
  };
}

function architectureOf(scope: string, round: number): object {
  const labels = { round: String(round) };
  const flow = (name: string): object => {
    const prefix = `${scope}-${name}`;
    return ephemeral({
      resources: {
        topics: [
          { name: `${prefix}-orders`, labels },
          { name: `${prefix}-parcels`, labels },
        ],
        subscriptions: [{ name: `${prefix}-packed`, topic: `${prefix}-orders` }],
        gcs_buckets: [{ name: `${prefix}-receipts`, labels }],
      },
    });
  };
  return { document: documentOf(scope, Object.fromEntries(DATAFLOWS.map((name) => [name, flow(name)]))) };
}

async function valuesOf<T>(store: Store, collection: Collection): Promise<T[]> {
  return (await listAll<T>(store, { collection })).map(({ value }) => value);
}

/** All calls that change something, however many: the local cloud keeps the newest. */
function callsOf(world: World): () => readonly Change[] {
  const all: Change[] = [];
  let seen = world.now();
  return () => {
    const newest = world.now();
    all.push(...world.changes(seen));
    seen = newest;
    return all;
  };
}

/** Kills one and starts it again, then the other, whenever more has been done; until it is told to stop. */
async function killInTurn(
  start: () => Promise<DirectorProcess>,
  running: DirectorProcess[],
  calls: () => readonly Change[],
  isOver: () => boolean,
): Promise<number> {
  let kills = 0;
  let killedAt = calls().length;
  while (!isOver()) {
    await systemClock.sleep(20);
    if (calls().length < killedAt + CALLS_PER_KILL) continue;
    const victim = kills++ % running.length;
    await running[victim]?.kill();
    running[victim] = await start();
    await running[victim].ready();
    killedAt = calls().length;
  }
  return kills;
}

test(`two directors share ${SCOPES * ROUNDS * DATAFLOWS.length} deployments and are killed in turn`, async () => {
  const world = await openWorld();
  onTestFinished(() => world.stop());
  const shared = await sharedStore(world);
  const start = (): Promise<DirectorProcess> => startDirector(world, { env: shared.env });
  const running = [await start(), await start()];
  for (const director of running) await director.ready();
  // Whoever is killed has calls under way of which it never hears the end.
  world.running.cloud.faults.replace(
    ['CreateTopic', 'UpdateTopic'].map((method) => ({ method, effect: 'after', delay: ANSWER_MS })),
  );
  const calls = callsOf(world);
  const began = systemClock.now();

  const rounds = Array.from({ length: ROUNDS }, (_, round) => round);
  const scopes = Array.from({ length: SCOPES }, (_, at) => `many${String.fromCharCode(97 + at)}`);
  const ids = rounds.flatMap((round) => scopes.map((scope) => `${scope}.${round}`));
  for (const id of ids) {
    const [scope = '', round] = id.split('.');
    await world.send('dataflow-setup', id, { architecture: architectureOf(scope, Number(round)) });
  }
  const isAnswered = (id: string): boolean => world.recorder.lastWordsOn(id).length > 0;
  const open = new Set(ids);
  const isOver = (): boolean => {
    for (const id of open) if (isAnswered(id)) open.delete(id);
    return open.size === 0 || systemClock.now() > began + PATIENCE_MS;
  };
  const kills = await killInTurn(start, running, calls, isOver);
  expect([...open]).toEqual([]);
  expect(kills).toBeGreaterThan(0);
  const seconds = Math.round((systemClock.now() - began) / 1000);

  const store = shared.open();
  onTestFinished(() => store.close());
  // The last row of the outbox goes after it was heard.
  await until(async () => {
    for (const collection of ['outbox', 'queue', 'locks', 'shares'] as const)
      expect(await valuesOf(store, collection)).toEqual([]);
  });
  const stacks = await valuesOf<StackRecord>(store, 'stacks');
  expect(stacks).toHaveLength(SCOPES * DATAFLOWS.length);
  for (const stack of stacks) expect(stack).not.toMatchObject({ lease: {} });
  for (const stack of stacks) expect(stack).not.toHaveProperty('current');

  // Each command has one last word, each deployment one end, each thing one creation.
  for (const id of ids)
    expect(new Set(world.recorder.lastWordsOn(id).map(({ attributes }) => attributes['ce-id']))).toEqual(
      new Set([`${id}.completed`]),
    );
  const commands = await valuesOf<CommandRecord>(store, 'commands');
  expect(commands.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  expect(new Set(commands.map(({ status }) => status))).toEqual(new Set(['succeeded']));
  const deployments = await valuesOf<DeploymentRecord>(store, 'deployments');
  const wanted = ids.flatMap((id) => DATAFLOWS.map((name) => `${id}.${name}`));
  expect(deployments.map(({ id }) => id).toSorted()).toEqual(wanted.toSorted());
  expect(new Set(deployments.map(({ status }) => status))).toEqual(new Set(['succeeded']));
  demandOneEndEach(await listAll<JournalEntry>(store, { collection: 'journal' }), wanted);
  demandTrail(await valuesOf<AuditRecord>(store, 'audit'), deployments);
  for (const { stack, version } of stacks)
    expect(version).toBe(
      Math.max(...deployments.map((one) => (one.stack === stack ? (one.version ?? 0) : 0))),
    );
  await demandThings(world, calls(), scopes);

  process.stdout.write(
    `Two directors on ${shared.what}: ${wanted.length} deployments in ${seconds} s, ${kills} times one was killed.\n`,
  );
});

/** Each thing is there, was made once, and nothing was ever removed. */
async function demandThings(
  world: World,
  calls: readonly Change[],
  scopes: readonly string[],
): Promise<void> {
  const wanted = scopes.flatMap((scope) =>
    DATAFLOWS.flatMap((name) => THINGS.map(([kind, what]) => `${kind}/${scope}-${name}-${what}`)),
  );
  expect(Object.keys(await inventoryOf(world, 'many'))).toEqual(
    wanted.map((id) => id.replace('/many', '/')).toSorted(),
  );
  const done = calls.filter(({ code }) => code === 'OK');
  // An answer that nobody waited for any more is not among these.
  expect(done.filter(({ method }) => /^Create|insert$/.test(method)).length).toBeLessThanOrEqual(
    wanted.length,
  );
  expect(calls.filter(({ method }) => /delete/i.test(method))).toEqual([]);
}

/** A deployment that were carried out twice would end twice, or end a unit twice. */
function demandOneEndEach(
  journal: readonly { readonly id: string; readonly value: JournalEntry }[],
  deployments: readonly string[],
): void {
  const ends = new Map<string, number>();
  for (const { id, value } of journal) {
    const deployment = id.slice(0, id.lastIndexOf('/'));
    const what = value.type === 'finish' ? `finishes ${value.unit}` : `${value.type}`;
    if (value.type !== 'finish' && !(value.type === 'status' && value.status === 'succeeded')) continue;
    ends.set(`${deployment} ${what}`, (ends.get(`${deployment} ${what}`) ?? 0) + 1);
  }
  expect([...ends].filter(([, count]) => count > 1)).toEqual([]);
  for (const deployment of deployments) expect(ends.get(`${deployment} status`)).toBe(1);
}

/** Asked once, and changed once where it changed anything. */
function demandTrail(trail: readonly AuditRecord[], deployments: readonly DeploymentRecord[]): void {
  const factsOf = (what: AuditRecord['what']): string[] =>
    trail.flatMap((row) => (row.what === what ? (row.deployment ?? '') : [])).toSorted();
  expect(factsOf('asked')).toEqual(deployments.map(({ id }) => id).toSorted());
  expect(factsOf('changed')).toEqual(
    deployments.flatMap(({ id, version }) => (version === undefined ? [] : id)).toSorted(),
  );
}
