/** Commands that cannot be read, or mean nothing: each is answered, kept and copied, and none comes again. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral, serviceOf } from './support/documents.ts';
import { openWorld, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;
let director: DirectorProcess;

beforeAll(async () => {
  world = await openWorld();
  director = await startDirector(world);
  await director.ready();
  await world.send('dataflow-setup', 'good.first', { architecture: { document: GOOD } });
  await world.recorder.answerTo('good.first');
});
afterAll(() => world.stop());

const GOOD = documentOf('good', {
  flow: ephemeral({ resources: { topics: [{ name: 'good-topic' }] } }),
});
const MEGABYTE = 1_000_000;
const deep = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const manyKeys = (): string =>
  `{${Array.from({ length: 600_000 }, (_, at) => `"k${at.toString(36)}":1`).join(',')}}`.padEnd(9 * MEGABYTE);

interface Bad {
  readonly body: string | Buffer;
  readonly attributes?: Readonly<Record<string, string>>;
  /** What the answer says. */
  readonly says: RegExp;
  /** What the answer says to do about it. */
  readonly fix?: RegExp;
}

/** By what is wrong with it. */
const BAD: Readonly<Record<string, Bad>> = {
  'not JSON': { body: '{"dataflow": "flow"', says: /is not JSON/, fix: /JSON object/ },
  'no data': {
    body: '',
    attributes: { note: 'nothing' },
    says: /has no data/,
    fix: /\{"dataflow": "orders"\}/,
  },
  'only blanks': { body: ' \n ', says: /has no data/ },
  'bytes that are no text': { body: Buffer.alloc(4 * MEGABYTE, 0xff), says: /is not JSON/ },
  'a list': { body: '[]', says: /expected object/ },
  'a bare text': { body: '"teardown"', says: /expected object/ },
  nothing: { body: 'null', says: /expected object/ },
  'an unknown type': {
    body: '{}',
    attributes: { 'ce-type': 'service-director.command.explode' },
    says: /unknown type: service-director\.command\.explode/,
    fix: /dataflow-setup, deploy, teardown/,
  },
  'a type of somebody else': {
    body: '{}',
    attributes: { 'ce-type': 'google.cloud.audit' },
    says: /unknown type/,
  },
  'the type of another topic': {
    body: '{}',
    attributes: { 'ce-type': 'service-director.command.teardown' },
    says: /unknown type: service-director\.command\.teardown/,
  },
  'the older form of what comes in elsewhere': {
    body: '{"instruction": "teardown", "payload": {"dataflow_name": "flow"}}',
    says: /instruction teardown is a teardown, and came where only deploy comes in/,
    fix: /topic of teardown/,
  },
  'the older form under a type of somebody else': {
    body: '{"instruction": "dependent-resource-setup", "payload": {"dataflow_name": "flow"}}',
    attributes: { 'ce-type': 'google.cloud.audit' },
    says: /unknown type/,
  },
  'fields of wrong types': {
    body: '{"dataflow": 5, "dry_run": "yes", "timeout_seconds": -1, "images": []}',
    says: /expected string[\s\S]*dataflow[\s\S]*dry_run[\s\S]*timeout_seconds/,
  },
  'an unknown field': { body: '{"dataflo": "flow"}', says: /Unrecognized key: "dataflo"/ },
  'an image without a digest': {
    body: '{"images": {"api": "us-docker.pkg.dev/p/r/api:latest"}}',
    says: /named by its digest/,
  },
  'an architecture that is none': {
    body: '{"architecture": {"document": {"name": "X"}}}',
    says: /Google refuses/,
  },
  '9 MB of keys': { body: manyKeys(), says: /Unrecognized keys: "k0", "k1"/ },
  '9 MB in one field': {
    body: JSON.stringify({ x: 'y'.repeat(9 * MEGABYTE) }),
    says: /Unrecognized key: "x"/,
  },
  'a hundred thousand levels': { body: deep(100_000), says: /nested deeper than 100 levels/ },
  'a hundred thousand levels of architecture': {
    body: `{"architecture": {"document": ${deep(100_000)}}}`,
    says: /nested deeper than 100 levels/,
  },
  'an id that is none': {
    body: '{}',
    attributes: { 'ce-id': 'two words' },
    says: /an id has at most 200 letters, digits/,
  },
  'a time that is none': {
    body: '{}',
    attributes: { 'ce-time': 'yesterday' },
    says: /is no time: yesterday/,
    fix: /2026-01-31T/,
  },
  'a correlation id without end': {
    body: '{}',
    attributes: { correlationid: 'c'.repeat(1_000) },
    says: /at most 200 characters/,
  },
};

describe('what cannot be read is answered, kept and copied to the dead letters', () => {
  test.each(Object.entries(BAD))('%s', async (_, { body, attributes = {}, says, fix }) => {
    const id = `pubsub-${await world.publish('deploy', body, attributes)}`;
    const answer = await world.recorder.answerTo(id);
    expect(answer).toMatchObject({ type: 'rejected', command: id, error: expect.stringMatching(says) });
    if (fix) expect(answer).toMatchObject({ fix: expect.stringMatching(fix) });
    expect(JSON.stringify(answer).length).toBeLessThan(20_000);

    const copy = await world.recorder.first(
      (heard) =>
        heard.attributes['ce-id'] === id && heard.topic === 'director-dead-letters' ? heard : undefined,
      `the copy of ${id}`,
    );
    const text = body.toString('utf8');
    expect(copy.attributes.error).toMatch(says);
    expect(text.startsWith(copy.body) || (text === '' && copy.body === '(empty)')).toBe(true);

    const kept = await director.get(`/commands/${id}`);
    expect(kept).toMatchObject({ status: 200, body: { id, status: 'rejected', deployments: [], answer } });
  });

  test('none of them came again, and the director goes on', async () => {
    await world.send('dataflow-setup', 'good.setup', { architecture: { document: GOOD } });
    await world.send('deploy', 'good.deploy', { architecture: { document: GOOD } });
    expect(await world.recorder.answerTo('good.setup')).toMatchObject({ type: 'completed' });
    expect(await world.recorder.answerTo('good.deploy')).toMatchObject({ type: 'completed' });
    const refusals = world.recorder.all('director-events').filter(({ event }) => event?.type === 'rejected');
    expect(refusals).toHaveLength(Object.keys(BAD).length);
    expect(world.recorder.all('director-dead-letters')).toHaveLength(Object.keys(BAD).length);
    expect(director.output()).not.toMatch(/mistake|could not be written down|is tried again/);
  });
});

test('two unreadable messages under one id are both answered and kept', async () => {
  for (const body of ['one', 'two']) await world.publish('deploy', body, { 'ce-id': 'same-id' });
  const twice = (): unknown[] =>
    world.recorder.all('director-events').filter(({ event }) => event?.command === 'same-id');
  await vi.waitFor(() => expect(twice()).toHaveLength(2), { timeout: 60_000 });
  const copies = world.recorder
    .all('director-dead-letters')
    .filter(({ attributes }) => attributes['ce-id']?.startsWith('same-id'));
  await vi.waitFor(() => expect(copies.map(({ body }) => body).sort()).toEqual(['one', 'two']), {
    timeout: 60_000,
  });
});

describe('what is to be torn down is named, and comes in by its own door', () => {
  const NOTHING = '{"instruction":"teardown","payload":{}}';
  const NAMED = '{"instruction":"teardown","payload":{"dataflow_name":"flow"}}';

  test.each([
    ['teardown', '{}', /"all" is every one/],
    ['teardown', '{"scope":"good"}', /"all" is every one/],
    ['teardown', NOTHING, /names no dataflow/],
    ['dataflow-setup', NOTHING, /only dataflow-setup comes in/],
    ['dataflow-setup', NAMED, /only dataflow-setup comes in/],
  ])('%s of %s', async (type, body, says) => {
    const before = world.now();
    const id = `pubsub-${await world.publish(type, body)}`;
    const refusal = { type: 'rejected', command: id, error: expect.stringMatching(says) };
    expect(await world.recorder.answerTo(id)).toMatchObject(refusal);
    expect(await director.post(type, body)).toMatchObject({
      status: 400,
      type: expect.stringContaining('application/problem+json'),
      body: { detail: expect.stringMatching(says) },
    });
    expect(world.changes(before)).toEqual([]);
  });

  test('an empty request names nothing either', async () => {
    expect(await director.post('teardown', '')).toMatchObject({
      status: 400,
      body: { detail: expect.stringContaining('"all" is every one') },
    });
  });

  test('whoever says it gets it', async () => {
    const all = '{"dataflow":"all","scope":"good","dry_run":true}';
    const planned = await director.post('teardown', all, { 'idempotency-key': 'all.planned' });
    expect(planned.status).toBe(202);
    const removal = { plan: { changes: [{ unit: 'topic/good-topic', action: 'delete' }] } };
    expect(await world.recorder.answerTo('all.planned')).toMatchObject({
      type: 'completed',
      deployments: [removal],
    });
    const older = `pubsub-${await world.publish('teardown', NAMED)}`;
    expect(await world.recorder.answerTo(older)).toMatchObject({ type: 'completed', dataflow: 'flow' });
  });
});

test('what is wrong over HTTP is answered at once, as a problem', async () => {
  const wrong = await director.post('deploy', '{"dry_run": 1}', {
    'idempotency-key': 'http.wrong',
    'content-type': 'application/json',
  });
  expect(wrong).toMatchObject({
    status: 400,
    type: expect.stringContaining('application/problem+json'),
    body: {
      type: 'about:blank',
      title: 'The command is wrong',
      status: 400,
      detail: expect.stringContaining('dry_run'),
    },
  });
  expect((await director.get('/commands/http.wrong')).body).toMatchObject({ status: 'rejected' });
  expect((await director.post('deploy', 'not JSON')).status).toBe(400);
  expect((await director.post('deploy', '{}', { 'idempotency-key': 'two words' })).status).toBe(400);
  expect((await director.post('explode', '{}')).status).toBe(404);
  expect((await director.post('deploy', 'x'.repeat(9.5 * MEGABYTE))).status).toBe(413);
});

describe('what can be read and means nothing fails, and says what there is', () => {
  test('an unknown dataflow', async () => {
    await world.send('deploy', 'unknown.flow', { dataflow: 'flaw', scope: 'good' });
    expect(await world.recorder.answerTo('unknown.flow')).toMatchObject({
      type: 'failed',
      error: 'There is no dataflow "flaw"',
      fix: 'known are: flow',
      deployments: [],
    });
    expect((await director.get('/commands/unknown.flow')).body).toMatchObject({ status: 'failed' });
  });

  test('an unknown architecture, and an unknown environment of a known one', async () => {
    await world.send('deploy', 'unknown.scope', { scope: 'bad' });
    expect(await world.recorder.answerTo('unknown.scope')).toMatchObject({
      type: 'failed',
      error: 'There is no architecture "bad"',
      fix: expect.stringContaining('good'),
    });
    const document = documentOf('good', {});
    await world.send('deploy', 'unknown.environment', { architecture: { document, environment: 'moon' } });
    expect(await world.recorder.answerTo('unknown.environment')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('has no environment "moon"'),
    });
  });

  test('an architecture whose links lead nowhere, or in a circle', async () => {
    const { serves } = world.images;
    const nowhere = documentOf('nowhere', {
      flow: ephemeral({ resources: { topics: [{ name: 'nowhere-topic', producer_service: 'ghost' }] } }),
    });
    await world.send('dataflow-setup', 'links.nowhere', { architecture: { document: nowhere } });
    expect(await world.recorder.answerTo('links.nowhere')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('there is no service "ghost"'),
    });
    const circle = documentOf('circle', {
      flow: ephemeral({
        services: {
          'circle-a': serviceOf('circle-account', serves, { dependencies: ['circle-b'] }),
          'circle-b': serviceOf('circle-account', serves, { dependencies: ['circle-a'] }),
        },
      }),
    });
    const before = world.now();
    await world.send('deploy', 'links.circle', { architecture: { document: circle } });
    expect(await world.recorder.answerTo('links.circle')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('circle-a → circle-b → circle-a'),
    });
    expect(world.changes(before)).toEqual([]);
  });

  test('a deploy without an image', async () => {
    const document = documentOf('imageless', {
      flow: ephemeral({
        services: { 'imageless-api': { service_account: 'imageless', deployment: { source_path: 'src' } } },
      }),
    });
    await world.send('deploy', 'imageless', { architecture: { document } });
    expect(await world.recorder.answerTo('imageless')).toMatchObject({
      type: 'failed',
      error: expect.stringContaining('There is no image of imageless-api'),
      fix: expect.stringContaining('conductor up'),
    });
  });
});
