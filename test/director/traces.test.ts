/** One trace from whoever asks to whoever is told: W3C trace context in, through the log and the events, and out. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readTraceparent } from '@service-director/shared/contract/trace-context.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SPAN = 'b7ad6b7169203331';
/** Another for each test: they are told apart by it. */
const traceparentOf = (digit: string): string => `00-${digit.repeat(32)}-${SPAN}-01`;

let world: World;
let director: DirectorProcess;
let receiver: Server;
/** What webhooks were told. */
const told: { readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];

beforeAll(async () => {
  world = await openWorld();
  // As on Cloud Run, whose log knows traces.
  const env = {
    K_SERVICE: 'service-director',
    K_REVISION: 'service-director-00001-abc',
    DIRECTOR_PRIVATE_HOSTS: 'allowed',
  };
  director = await startDirector(world, { env });
  await director.ready();
  receiver = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part) => (body += part));
    request.on('end', () => {
      told.push({ headers: request.headers, body });
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
  await world.stop();
});

const architectureOf = (name: string): object => ({
  document: documentOf(name, {
    flow: ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } }),
  }),
});

/** The trace of every event of a command, once it has ended. */
async function tracesTold(command: string): Promise<string[]> {
  await world.recorder.answerTo(command);
  const events = world.recorder.all('director-events').filter(({ event }) => event?.command === command);
  expect(events.length).toBeGreaterThan(0);
  return [...new Set(events.map(({ attributes }) => attributes.traceparent ?? 'none'))];
}

interface Line {
  readonly message: string;
  readonly 'logging.googleapis.com/trace'?: string;
  readonly 'logging.googleapis.com/spanId'?: string;
}

/** All that was logged of a command, once its deployment has succeeded. */
function linesOf(command: string): Promise<Line[]> {
  return until(() => {
    const lines = director
      .output()
      .split('\n')
      .filter((line) => line.includes(`"command":"${command}"`));
    expect(lines.some((line) => line.includes('"status":"succeeded"'))).toBe(true);
    return lines.map((line): Line => JSON.parse(line));
  });
}

async function demandLogged(command: string, traceparent: string): Promise<void> {
  const context = readTraceparent(traceparent);
  const lines = await linesOf(command);
  expect(lines.length).toBeGreaterThan(4);
  for (const line of lines)
    expect(line, line.message).toMatchObject({
      'logging.googleapis.com/trace': `projects/${PROJECT}/traces/${context?.traceId}`,
      'logging.googleapis.com/spanId': context?.spanId,
    });
}

test('N87, N88, N153: a trace that came over HTTP is in every event and every line of the log', async () => {
  const traceparent = traceparentOf('1');
  const body = JSON.stringify({ architecture: architectureOf('over-http') });
  const headers = { 'idempotency-key': 'http.1', 'content-type': 'application/json', traceparent };
  const sent = await fetch(`${director.url}/v1/commands/dataflow-setup`, { method: 'POST', headers, body });
  expect(sent.status).toBe(202);
  expect(await tracesTold('http.1')).toEqual([traceparent]);
  await demandLogged('http.1', traceparent);
});

test.each(['traceparent', 'ce-traceparent'])(
  'N88: so is one that came with a message, as its attribute %s',
  async (attribute) => {
    const traceparent = traceparentOf(attribute === 'traceparent' ? '2' : '3');
    const id = `message.${attribute}`;
    const data = { architecture: architectureOf(`by-${attribute}`) };
    await world.send('dataflow-setup', id, data, { [attribute]: traceparent });
    expect(await tracesTold(id)).toEqual([traceparent]);
    await demandLogged(id, traceparent);
  },
);

test.each([
  ['none', undefined],
  ['junk', 'junk'],
  ['no trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
  ['no span', `00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`],
  ['no version', `ff-${'a'.repeat(32)}-${SPAN}-01`],
  ['two at once', `${traceparentOf('b')}, ${traceparentOf('c')}`],
])('where %s came, one is made, and all belong to it', async (what, came) => {
  const id = `made.${what.replaceAll(' ', '-')}`;
  const name = id.replace('.', '-');
  const headers = { 'idempotency-key': id, ...(came === undefined ? {} : { traceparent: came }) };
  const body = JSON.stringify({ architecture: architectureOf(name) });
  expect((await director.post('dataflow-setup', body, headers)).status).toBe(202);
  const [made = '', ...others] = await tracesTold(id);
  expect(others).toEqual([]);
  expect(readTraceparent(made)).toBeDefined();
  expect(made).not.toContain('a'.repeat(32));
  await demandLogged(id, made);
});

test('each that came without one gets one of its own', async () => {
  const [one = '', other = ''] = await Promise.all(
    ['made.none', 'made.junk'].map(async (id) => (await tracesTold(id))[0]),
  );
  expect(readTraceparent(one)?.traceId).not.toBe(readTraceparent(other)?.traceId);
});

test('what comes again stays in the trace in which it came first', async () => {
  await world.send(
    'dataflow-setup',
    'http.1',
    { architecture: architectureOf('over-http') },
    {
      traceparent: traceparentOf('4'),
    },
  );
  await until(() => expect(world.recorder.lastWordsOn('http.1')).toHaveLength(2));
  expect(await tracesTold('http.1')).toEqual([traceparentOf('1')]);
  await demandLogged('http.1', traceparentOf('1'));
  expect((await linesOf('http.1')).map(({ message }) => message)).toContain('command duplicate');
});

test('a command that cannot be read is answered in its trace, and so is its copy among the dead letters', async () => {
  const traceparent = traceparentOf('5');
  await world.publish('deploy', 'no json', { 'ce-id': 'unread.1', traceparent });
  expect(await tracesTold('unread.1')).toEqual([traceparent]);
  const letter = await world.recorder.first(
    ({ topic, attributes }) =>
      topic === 'director-dead-letters' && attributes['ce-id'] === 'unread.1' ? attributes : undefined,
    'the dead letter',
  );
  expect(letter.traceparent).toBe(traceparent);
});

test('N88: webhooks are told in the trace of what they are told of', async () => {
  const { port } = receiver.address() as AddressInfo;
  const made = await fetch(`${director.url}/v1/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: `http://127.0.0.1:${port}/told`, events: ['deployment.*'] }),
  });
  expect(made.status).toBe(201);
  const traceparent = traceparentOf('6');
  await world.send('dataflow-setup', 'hook.1', { architecture: architectureOf('hook') }, { traceparent });
  const mine = await until(() => {
    const found = told.filter(({ body }) => JSON.parse(body).data.command === 'hook.1');
    expect(found.map(({ body }) => JSON.parse(body).type)).toContain('deployment.succeeded');
    return found;
  });
  for (const { headers, body } of mine) expect(headers.traceparent, body).toBe(traceparent);
});

test('the other APIs take it too', async () => {
  const traceparent = traceparentOf('7');
  const headers = { 'content-type': 'application/json', traceparent };
  // There is no such dataflow: what is asked for is answered at once.
  const body = JSON.stringify({ dataflow_name: 'nowhere' });
  const answer = await fetch(`${director.url}/dataflow/setup`, { method: 'POST', headers, body });
  const { command }: { command: string } = JSON.parse(await answer.text());
  expect(await tracesTold(command)).toEqual([traceparent]);
});

test('N89, N156: a deployment tells which chain of units decided how long it took', async () => {
  const document = documentOf('chain', {
    flow: ephemeral({
      resources: {
        topics: [{ name: 'chain-topic' }],
        subscriptions: [{ name: 'chain-subscription', topic: 'chain-topic' }],
      },
    }),
  });
  await world.send('dataflow-setup', 'chain.1', { architecture: { document } });
  await world.recorder.answerTo('chain.1');
  const { body } = await until(() => director.get('/v1/deployments/chain.1.flow'));
  const { critical_path: path, events } = body;
  const units = path.steps.map(({ unit }: { unit: string }) => unit);
  expect(units.slice(0, 2)).toEqual(['topic/chain-topic', 'subscription/chain-subscription']);
  for (const { unit, seconds, waited } of path.steps) {
    const line = events.find(
      (one: { type: string; unit: string }) => one.type === 'finish' && one.unit === unit,
    );
    expect(seconds, unit).toBeCloseTo(line.seconds, 3);
    expect(waited, unit).toBeGreaterThanOrEqual(0);
  }
  const began = Date.parse(body.started_at);
  expect(path.seconds * 1000).toBeLessThanOrEqual(Date.parse(body.ended_at) - began + 1);
});
