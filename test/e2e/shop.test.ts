/** The shop, stood up, used, changed and taken down through the conductor's library on the local cloud. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConductorEvent, UpResult } from '@service-director/conductor';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ground, ledgerOf, openGround, pidsOf, type Recorded } from './support.ts';
import { type World, worldOf } from './world.ts';

const PROJECT = 'shop-local';
/** How often the director is killed. Each time is a whole `up`. */
const KILLS = 20;

let ground: Ground;
let shop: string;
let first: Recorded;
let result: UpResult;

beforeAll(async () => {
  ground = await openGround();
  shop = ground.example('shop');
  first = ground.conductor(shop);
  result = await first.run();
}, 240_000);

afterAll(async () => {
  await ground?.stop();
});

/** When something happened first, as its place among the events. */
function placeOf(events: readonly ConductorEvent[], test: (event: ConductorEvent) => boolean): number {
  const place = events.findIndex(test);
  expect(place).toBeGreaterThanOrEqual(0);
  return place;
}

const phase = (name: string, type: 'phase-started' | 'phase-finished') => (event: ConductorEvent) =>
  event.type === type && event.phase === name;

test('the first up deploys the director, which makes everything else (G1, G6, G8, G10, G13)', () => {
  const { events } = first;
  expect(events.at(-1)).toMatchObject({ type: 'completed', operation: 'up' });
  expect(Object.keys(result.summary.urls).length).toBeGreaterThanOrEqual(8);
  // Identities before any build result; builds while the director is set up.
  expect(placeOf(events, phase('identities', 'phase-finished'))).toBeLessThan(
    placeOf(events, phase('build', 'phase-started')),
  );
  expect(placeOf(events, phase('build', 'phase-started'))).toBeLessThan(
    placeOf(events, phase('setup', 'phase-finished')),
  );
  expect(placeOf(events, phase('bootstrap', 'phase-started'))).toBeLessThan(
    placeOf(events, phase('build', 'phase-finished')),
  );
  // Nothing is built once deployment has begun.
  const deploying = placeOf(events, phase('deploy', 'phase-started'));
  expect(
    events.slice(deploying).filter((event) => event.type === 'task-finished' && event.result === 'built'),
  ).toEqual([]);
});

test('resources and services are made by the director alone', async () => {
  const { calls } = (await (await fetch(`${ground.origin}/_local/calls`)).json()) as {
    calls: { method: string; caller: string; mutating: boolean; resource: string }[];
  };
  const made = calls.filter(
    ({ method, mutating }) =>
      mutating && (method === 'CreateSubscription' || method === 'CreateTopic' || method === 'CreateService'),
  );
  const byConductor = made.filter(({ caller }) => caller === 'developer@example.com').length;
  const byDirector = made.filter(({ caller }) => caller.startsWith('service-director@')).length;
  // The conductor makes the director's own topics and subscriptions, its own to listen on, and the director.
  expect(byConductor).toBeLessThanOrEqual(18);
  expect(byDirector).toBeGreaterThan(15);
});

test('dataflows are set up side by side (G14)', () => {
  const steps = first.events.flatMap((event) =>
    event.type === 'director' && event.event.type === 'status' ? [event.event] : [],
  );
  const setups = steps.filter(({ deployment }) => deployment.includes('.dataflow-setup.'));
  const firstEnd = setups.findIndex(({ status }) => status === 'succeeded');
  const begun = new Set(setups.slice(0, firstEnd).map(({ stack }) => stack));
  expect(begun.size).toBeGreaterThan(1);
});

test('a second up changes nothing, and writes nothing', async () => {
  const { next } = (await (await fetch(`${ground.origin}/_local/calls`)).json()) as { next: number };
  const second = ground.conductor(shop);
  await second.run();
  expect(second.events.at(-1)).toMatchObject({ type: 'completed', changes: 0 });
  const { calls } = (await (await fetch(`${ground.origin}/_local/calls?since=${next}`)).json()) as {
    calls: { method: string; mutating: boolean }[];
  };
  const writes = calls.filter(
    ({ mutating, method }) =>
      mutating &&
      !/^(Publish|Acknowledge|ModifyAckDeadline|StreamingPull|GenerateAccessToken|CreateSubscription|DeleteSubscription|.*\.insert|objects\..*|Pull|WaitOperation)$/i.test(
        method,
      ),
  );
  expect(writes).toEqual([]);
}, 120_000);

test('an order goes through all dataflows to its end', async () => {
  const web = result.summary.urls.web ?? '';
  const token = (await (
    await fetch(`${ground.origin}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { 'metadata-flavor': 'Google' },
    })
  ).json()) as { access_token: string };
  const headers = { authorization: `Bearer ${token.access_token}`, 'content-type': 'application/json' };
  const readme = readFileSync(join(shop, 'README.md'), 'utf8');
  const body = /-d '(\{[^']*\})'/.exec(readme)?.[1] ?? '';
  expect(body).not.toBe('');
  const placed = (await (await fetch(`${web}/orders`, { method: 'POST', headers, body })).json()) as {
    id: string;
  };
  await expect
    .poll(
      async () =>
        ((await (await fetch(`${web}/orders/${placed.id}`, { headers })).json()) as { state?: string }).state,
      { timeout: 60_000, interval: 200 },
    )
    .toBe('shipped');
}, 90_000);

test('only the changed service is built and deployed again (G16)', async () => {
  const file = join(shop, 'services', 'pricing', 'main.js');
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n// changed\n`);
  const changed = ground.conductor(shop);
  await changed.run();
  const built = changed.events.flatMap((event) =>
    event.type === 'task-finished' && event.result === 'built' ? [event.task] : [],
  );
  expect(built).toEqual(['image/pricing']);
  expect(changed.events.at(-1)).toMatchObject({ type: 'completed', changes: 1 });
}, 120_000);

test(`killing the director at ${KILLS} moments of an up leaves what an undisturbed one leaves`, async () => {
  await ground.conductor(shop).teardown({ keepDirector: true });
  const undisturbed = ground.conductor(shop);
  await undisturbed.run();
  const wanted = await comparable();
  const moments = [...new Set(undisturbed.events.map(momentOf))].filter((moment) => moment !== undefined);
  expect(moments.length).toBeGreaterThan(KILLS);
  const told = new Map<string, Set<string>>();

  for (let kill = 0; kill < KILLS; kill++) {
    await ground.conductor(shop).teardown({ keepDirector: true });
    const at = moments[Math.floor((moments.length * (kill + 0.5)) / KILLS)];
    let killed = 0;
    const disturbed = ground.conductor(shop, {
      onEvent: (event) => {
        if (killed > 0 || momentOf(event) !== at) return;
        for (const pid of pidsOf('service-director', ground)) {
          process.kill(pid, 'SIGKILL');
          killed++;
        }
      },
    });
    await disturbed.run();
    expect(killed, `kill ${kill} at ${at}`).toBeGreaterThan(0);
    expect(await comparable(), `after kill ${kill} at ${at}`).toEqual(wanted);
    for (const event of disturbed.events) {
      if (event.type !== 'director' || !('command' in event.event) || event.event.type !== 'completed')
        continue;
      const ids = told.get(event.event.command) ?? new Set<string>();
      told.set(event.event.command, ids.add(event.id));
    }
  }
  // Of a command whose event was on its way when the director died, a conductor may learn by asking.
  expect(told.size).toBeGreaterThanOrEqual(KILLS * 5);
  expect([...told.values()].filter((ids) => ids.size !== 1)).toEqual([]);
  expect((await ledgerOf(ground.origin, PROJECT)).filter(({ status }) => status !== 'succeeded')).toEqual([]);
}, 900_000);

/** What the director tells in every run, whatever it has to wait for: by these words, a moment of a run can be found again. */
function momentOf(event: ConductorEvent): string | undefined {
  if (event.type !== 'director') return undefined;
  switch (event.event.type) {
    case 'status':
      return `${event.event.stack} ${event.event.deployment.split('.').at(-2)} ${event.event.status}`;
    case 'unit-started':
    case 'unit-finished':
      return `${event.event.stack} ${event.event.unit} ${event.event.type}`;
    default:
      return undefined;
  }
}

/** Digests of images do not change from run to run, uids and revisions do. */
async function comparable(): Promise<World> {
  return worldOf(ground.origin, PROJECT);
}

test('down leaves exactly what is permanent or protected, and says so (G15, G27)', async () => {
  const summary = await ground.conductor(shop).teardown();
  const left = await worldOf(ground.origin, PROJECT);
  const { records } = await dataflowsOf(shop);
  const labelled = [...left.topics, ...left.subscriptions, ...left.buckets, ...left.services] as {
    name: string;
    labels?: Record<string, string>;
  }[];
  const strangers = labelled.filter(
    ({ labels, name }) =>
      labels?.['sd-dataflow'] !== 'records' && !records.protected.includes(name.split('/').at(-1) ?? ''),
  );
  expect(strangers).toEqual([]);
  expect(left.topics.length + left.subscriptions.length + left.buckets.length).toBeGreaterThan(0);
  const named = summary.kept.map(({ unit }) => unit);
  for (const { name } of labelled)
    expect(
      named.some((unit) => unit.endsWith(`/${name.split('/').at(-1)}`)),
      name,
    ).toBe(true);
  for (const { because } of summary.kept) expect(because).not.toBe('');
}, 180_000);

/** Names of what the YAML protects, anywhere. */
async function dataflowsOf(folder: string): Promise<{ records: { protected: string[] } }> {
  const { loadArchitecture } = await import('@service-director/conductor/load.ts');
  const { architecture } = loadArchitecture(folder, folder);
  const all = Object.values(architecture.dataflows).flatMap(({ resources }) =>
    Object.values(resources).flat(),
  );
  return {
    records: { protected: all.filter((resource) => resource.teardown_protection).map(({ name }) => name) },
  };
}
