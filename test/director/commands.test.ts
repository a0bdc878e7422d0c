/** Commands in, events out: over Pub/Sub and over HTTP, once and many times. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fingerprint } from '@service-director/shared/kit/hash.ts';
import { COMMAND_TOPICS } from '@service-director/shared/model/hydrate.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral, pair } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { openLedger } from './support/ledger.ts';
import { DIRECTOR, OLDER, openWorld, PROJECT, REGION, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const TYPES = ['dataflow-setup', 'deploy', 'teardown'] as const;
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
});
afterAll(() => world.stop());

/** A topic and nothing else: quick to set up. */
const topicOnly = (name: string): object =>
  documentOf(name, { flow: ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } }) });

test('G2: commands of each type come in over Pub/Sub, and what happens goes out on the topic of events', async () => {
  const document = documentOf('wire', { flow: pair('wire-', world.images.serves) });
  for (const type of TYPES) {
    const id = `wire.${type}`;
    await world.send(
      type,
      id,
      { dataflow: 'all', architecture: { document } },
      { correlationid: 'run-7', traceparent: TRACEPARENT },
    );
    const answer = await world.recorder.answerTo(id);
    expect(answer).toMatchObject({ type: 'completed', command: id, command_type: type, dry_run: false });
    expect(answer).toMatchObject({
      deployments: [{ stack: 'wire/flow', operation: type, status: 'succeeded' }],
    });

    const told = world.recorder.about(id).map((event) => event.type);
    expect(told[0]).toBe('accepted');
    expect(new Set(told)).toEqual(
      new Set(['accepted', 'planned', 'status', 'unit-started', 'unit-finished', 'completed']),
    );
    const statuses = world.recorder
      .about(id)
      .flatMap((event) => (event.type === 'status' ? [event.status] : []));
    expect(statuses).toEqual(['planning', 'applying', 'succeeded']);
    expect(world.recorder.lastWordsOn(id)).toHaveLength(1);
  }
  expect(Object.keys(await inventoryOf(world, 'wire-'))).toEqual([]);
});

test('G2: every event is a CloudEvent, with what joins it to its command', async () => {
  const all = world.recorder.all('director-events').filter(({ event }) => event?.command.startsWith('wire.'));
  expect(all.length).toBeGreaterThan(30);
  for (const { attributes, event, orderingKey } of all) {
    expect(attributes).toMatchObject({
      'ce-specversion': '1.0',
      'ce-id': expect.stringMatching(/./),
      'ce-source': `//run.googleapis.com/projects/${PROJECT}/locations/${REGION}/services/service-director`,
      'ce-type': `service-director.event.${event?.type}`,
      'ce-time': expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      'ce-datacontenttype': 'application/json',
      correlationid: 'run-7',
      commandid: event?.command,
      traceparent: TRACEPARENT,
    });
    expect(orderingKey).toBe(event?.command);
    if (event?.type !== 'completed') expect(attributes['ce-subject']).toBe('wire/flow');
  }
  expect(new Set(all.map(({ attributes }) => attributes['ce-id'])).size).toBe(all.length);
});

test('G2: nothing reaches the director but by its command topics and its HTTP port', async () => {
  const mine = world.running.cloud.calls.since(0).filter(({ caller }) => caller === DIRECTOR);
  const listening = mine.filter(({ method }) =>
    /^(StreamingPull|Pull|Acknowledge|ModifyAckDeadline)$/.test(method),
  );
  const names = [...COMMAND_TOPICS, OLDER.commands].map(
    (topic) => `projects/${PROJECT}/subscriptions/${topic}-sub`,
  );
  expect(new Set(listening.map(({ resource }) => resource))).toEqual(new Set(names));
  // Nor does it read what somebody could have left for it.
  expect(mine.filter(({ method }) => /^objects\.get$/.test(method))).toEqual([]);
  if (process.platform !== 'linux') {
    process.stdout.write('The open ports of the director were not looked at: that takes /proc.\n');
    return;
  }
  expect(portsOf(director.pid)).toEqual([Number(new URL(director.url).port)]);
});

test('the same commands over HTTP: the same intake, the same answers', async () => {
  const document = documentOf('http', { flow: pair('http-', world.images.serves) });
  for (const type of TYPES) {
    const id = `http.${type}`;
    const data = { dataflow: 'all', architecture: { document } };
    const accepted = await director.post(type, JSON.stringify(data), {
      'idempotency-key': id,
      correlationid: 'run-8',
    });
    expect(accepted).toMatchObject({ status: 202, body: { id, status: 'running', duplicate: false } });
    expect(accepted.headers.get('location')).toBe(`/commands/${id}`);
    const answer = await world.recorder.answerTo(id);
    expect(answer).toMatchObject({ type: 'completed', command: id, command_type: type });

    const kept = await director.get(`/commands/${id}`);
    expect(kept.body).toMatchObject({
      id,
      type,
      status: 'succeeded',
      correlation_id: 'run-8',
      requester: 'local',
      deployments: [{ stack: 'http/flow', status: 'succeeded', plan: { hash: expect.any(String) } }],
      answer,
    });
    const happened = kept.body.events.map((event: { type: string }) => event.type);
    expect(happened.slice(0, 2)).toEqual(['status', 'status']);
    expect(new Set(happened)).toEqual(new Set(['status', 'intend', 'finish']));
    expect(kept.body.events.at(-1)).toMatchObject({ type: 'status', status: 'succeeded' });
  }
  const listed = await director.get('/commands?correlationid=run-8');
  expect(listed.body.commands.map(({ id }: { id: string }) => id).sort()).toEqual(
    TYPES.map((type) => `http.${type}`).sort(),
  );
});

test('a message typed by hand needs nothing but its data', async () => {
  const first = await world.publish(
    'dataflow-setup',
    JSON.stringify({ architecture: { document: topicOnly('typed') } }),
  );
  expect(await world.recorder.answerTo(`pubsub-${first}`)).toMatchObject({ type: 'completed' });
  const second = await world.publish('teardown', '{"dataflow":"flow","scope":"typed"}');
  expect(await world.recorder.answerTo(`pubsub-${second}`)).toMatchObject({
    type: 'completed',
    deployments: [{ stack: 'typed/flow', units: [{ unit: 'topic/typed-topic', result: 'deleted' }] }],
  });
  const kept = await director.get(`/commands/pubsub-${second}`);
  expect(kept.body).toMatchObject({
    requester: 'pubsub:teardown-sub',
    correlation_id: `pubsub-${second}`,
    received_at: expect.stringMatching(/Z$/),
  });
});

test('a dry run of each type says what would be done, and does nothing', async () => {
  const document = documentOf('dry', { flow: pair('dry-', world.images.serves) });
  let asked = 0;
  const wouldDo = async (type: (typeof TYPES)[number]): Promise<string[]> => {
    const id = `dry.${++asked}`;
    const before = {
      calls: world.now(),
      inventory: await inventoryOf(world, 'dry-'),
      stacks: await versions('dry'),
    };
    await world.send(type, id, { dataflow: 'all', dry_run: true, architecture: { document } });
    const answer = await world.recorder.answerTo(id);
    expect(answer).toMatchObject({
      type: 'completed',
      dry_run: true,
      deployments: [{ status: 'succeeded', units: [] }],
    });
    expect(world.changes(before.calls)).toEqual([]);
    expect(await inventoryOf(world, 'dry-')).toEqual(before.inventory);
    expect(await versions('dry')).toEqual(before.stacks);
    const [deployment] = 'deployments' in answer ? answer.deployments : [];
    return deployment?.plan?.changes.map(({ unit, action }) => `${action} ${unit}`) ?? [];
  };
  const really = async (type: (typeof TYPES)[number]): Promise<void> => {
    await world.send(type, `dry.${type}`, { dataflow: 'all', architecture: { document } });
    expect((await world.recorder.answerTo(`dry.${type}`)).type).toBe('completed');
  };
  expect(await wouldDo('dataflow-setup')).toContain('create topic/dry-orders');
  // Nor does the director learn of the architecture.
  const byName = await director.post('dataflow-setup', '{"scope":"dry"}', {
    'idempotency-key': 'dry.by-name',
  });
  expect(byName.status).toBe(202);
  expect(await world.recorder.answerTo('dry.by-name')).toMatchObject({
    type: 'failed',
    error: expect.stringMatching(/no architecture "dry"|not told of any architecture/),
  });
  await really('dataflow-setup');
  expect(await wouldDo('dataflow-setup')).toEqual([]);
  expect(await wouldDo('deploy')).toEqual([
    'create service/dry-api',
    'create service/dry-web',
    'create grants/service/dry-api',
  ]);
  await really('deploy');
  const removed = await wouldDo('teardown');
  expect(removed).toContain('delete bucket/dry-receipts');
  expect(removed).toContain('delete service/dry-web');
  await really('teardown');
});

test('sent twice, a command has one effect, and its answer comes again under the same id', async () => {
  const data = { architecture: { document: topicOnly('twice') } };
  await world.send('dataflow-setup', 'twice.setup', data);
  const answer = await world.recorder.answerTo('twice.setup');
  const before = world.now();
  await world.send('dataflow-setup', 'twice.setup', data);
  await until(() => expect(world.recorder.lastWordsOn('twice.setup')).toHaveLength(2));
  const [first, second] = world.recorder.lastWordsOn('twice.setup');
  // The same event in all that it says of itself: when it happened, too.
  expect(second?.attributes).toEqual(first?.attributes);
  expect(second?.event).toEqual(answer);
  expect(world.changes(before)).toEqual([]);

  const again = await director.post('dataflow-setup', JSON.stringify(data), {
    'idempotency-key': 'twice.setup',
  });
  expect(again).toMatchObject({
    status: 200,
    body: { id: 'twice.setup', status: 'succeeded', duplicate: true },
  });
  expect(await versions('twice')).toEqual({ 'twice/flow': 1 });
});

test('sent a hundred times at once, by both ways, a command has one effect and one answer', async () => {
  const data = { architecture: { document: topicOnly('hundred') } };
  const before = world.now();
  const receipts = await Promise.all(
    Array.from({ length: 100 }, async (_, at) => {
      if (at % 2 === 0) return world.send('dataflow-setup', 'hundred.setup', data);
      return director.post('dataflow-setup', JSON.stringify(data), { 'idempotency-key': 'hundred.setup' });
    }),
  );
  const overHttp = receipts.flatMap((receipt) => receipt ?? []);
  expect(overHttp.filter(({ status }) => status !== 200 && status !== 202)).toEqual([]);
  await world.recorder.answerTo('hundred.setup');
  await until(() =>
    expect(director.output().match(/command (accepted|duplicate) command=hundred\.setup/g)).toHaveLength(100),
  );

  expect(world.changes(before).filter(({ method }) => method === 'CreateTopic')).toHaveLength(1);
  expect(
    new Set(world.recorder.lastWordsOn('hundred.setup').map(({ attributes }) => attributes['ce-id'])).size,
  ).toBe(1);
  expect(world.recorder.about('hundred.setup').filter(({ type }) => type === 'planned')).toHaveLength(1);
  expect((await director.get('/commands/hundred.setup')).body.deployments).toHaveLength(1);
  expect(await versions('hundred')).toEqual({ 'hundred/flow': 1 });
});

test('another command under an id that is taken is refused, and the first answer stays', async () => {
  await world.send('dataflow-setup', 'taken', { architecture: { document: topicOnly('taken') } });
  const answer = await world.recorder.answerTo('taken');
  const before = world.now();
  await world.send('teardown', 'taken', { dataflow: 'flow', scope: 'taken' });
  const refusal = await world.recorder.first(
    ({ event }) => (event?.type === 'rejected' && event.command === 'taken' ? event : undefined),
    'the refusal',
  );
  expect(refusal).toEqual({
    type: 'rejected',
    command: 'taken',
    error: expect.stringContaining('The id taken was used before'),
    fix: 'send it again under a new id',
  });
  const overHttp = await director.post('deploy', '{"dataflow":"flow"}', { 'idempotency-key': 'taken' });
  expect(overHttp).toMatchObject({ status: 400, type: expect.stringContaining('application/problem+json') });
  expect(world.changes(before)).toEqual([]);

  const words = world.recorder.lastWordsOn('taken').map(({ attributes }) => attributes['ce-id']);
  expect(words.filter((id) => id === 'taken.completed')).toHaveLength(1);
  expect((await director.get('/commands/taken')).body).toMatchObject({
    status: 'succeeded',
    type: 'dataflow-setup',
    answer,
  });
});

test('a command is known again by what came, whatever a version of the director adds to that', async () => {
  const data = { timeout_seconds: 600, dataflow: 'flow', scope: 'unheard-of' };
  await world.send('deploy', 'known.again', data);
  await world.recorder.answerTo('known.again');
  const ledger = openLedger(world);
  const { 'known.again': kept } = ledger.read('commands', 'known.again');
  ledger.close();
  // The defaults of this version are in the command, and not in what it is known by.
  expect(kept).toMatchObject({
    bodyHash: fingerprint(['deploy', data]),
    command: { data: { ...data, dry_run: false, images: {} } },
  });
  const otherwise = JSON.stringify(Object.fromEntries(Object.entries(data).reverse()), undefined, 2);
  const again = await director.post('deploy', otherwise, { 'idempotency-key': 'known.again' });
  expect(again).toMatchObject({ status: 200, body: { id: 'known.again', duplicate: true } });
});

/** State versions by stack, of one scope. */
async function versions(scope: string): Promise<Record<string, number>> {
  const { body } = await director.get('/stacks');
  // One that was only asked about has no version yet.
  const mine = body.stacks.filter(
    (stack: { scope: string; version: number }) => stack.scope === scope && stack.version > 0,
  );
  return Object.fromEntries(
    mine.map((stack: { stack: string; version: number }) => [stack.stack, stack.version]),
  );
}

/** The TCP ports that a process listens on. */
function portsOf(pid: number): number[] {
  const open = readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1] ?? [];
    } catch {
      // Closed since it was listed.
      return [];
    }
  });
  const sockets = new Set(open);
  const lines = ['tcp', 'tcp6'].flatMap((file) =>
    readFileSync(`/proc/${pid}/net/${file}`, 'utf8').split('\n'),
  );
  return lines.flatMap((line) => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    const isListening = state === '0A' && sockets.has(inode);
    return isListening ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : [];
  });
}
