/** The journal of a deployment under /v1: as a page, and as a stream that goes on where it was left. */

import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { JournalEntry } from '@service-director/director/store/records.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterEach, expect, test, vi } from 'vitest';
import { documentOf, ephemeral } from './support/documents.ts';
import { type NativeDirector, openNative } from './support/native.ts';

const open: NativeDirector[] = [];

afterEach(async () => {
  for (const director of open.splice(0)) {
    await director.close();
    expect(director.mistakes).toEqual([]);
  }
});

const ID = 'flow.1.flow';
const PATH = `/v1/deployments/${ID}/logs`;
const EVENTS = { accept: 'text/event-stream' };
const at = '2026-01-01T00:00:00.000Z';

/** With one deployment in the queue. */
async function start(...streaming: Parameters<typeof openNative>): Promise<NativeDirector> {
  const director = await openNative(...streaming);
  open.push(director);
  const document = documentOf('flow', { flow: ephemeral({ resources: { topics: [{ name: 'a-topic' }] } }) });
  const headers = { 'idempotency-key': 'flow.1' };
  const sent = await director.post('/v1/commands/dataflow-setup', { architecture: { document } }, headers);
  expect(sent.status).toBe(202);
  return director;
}

const waiting = (because: string): JournalEntry => ({
  at,
  type: 'waiting',
  unit: unitId('topic', 'a-topic'),
  because,
});
const ended: JournalEntry = { at, type: 'status', status: 'succeeded' };

interface Listening {
  /** All that came so far. */
  text(): string;
  /** Resolves when it has ended, with how. */
  readonly over: Promise<'ended' | 'broken'>;
}

function listenTo(message: IncomingMessage): Listening {
  let text = '';
  message.setEncoding('utf8').on('data', (part: string) => (text += part));
  const over = new Promise<'ended' | 'broken'>((resolve) => {
    message.once('end', () => resolve('ended'));
    message.once('error', () => resolve('broken'));
    message.once('close', () => resolve('broken'));
  });
  return { text: () => text, over };
}

const until = (condition: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(condition, { timeout: 20_000, interval: 5 });

const eventsIn = (text: string): { id: string; event: string; data: string }[] =>
  [...text.matchAll(/^id: (.*)\nevent: (.*)\ndata: (.*)\n\n/gm)].map(
    ([, id = '', event = '', data = '']) => ({
      id,
      event,
      data,
    }),
  );

test('as JSON: page by page, and whether more will come', async () => {
  const director = await start();
  expect((await director.get(PATH)).body).toEqual({ deployment: ID, status: 'queued', lines: [], next: 0 });
  await director.write(ID, { status: 'applying' }, [waiting('one'), waiting('two'), waiting('three')]);
  const first = await director.get(`${PATH}?limit=2`);
  expect(first.body).toMatchObject({ lines: [{ sequence: 1, because: 'one' }, { sequence: 2 }], next: 2 });
  const second = await director.get(`${PATH}?limit=2&after=2`);
  expect(second.body).toMatchObject({ lines: [{ sequence: 3 }], next: 3 });
  await director.write(ID, { status: 'succeeded' }, [ended]);
  const last = await director.get(`${PATH}?after=3`);
  expect(last.body).toMatchObject({ status: 'succeeded', lines: [{ sequence: 4, status: 'succeeded' }] });
  expect(last.body.next).toBeUndefined();
  for (const query of ['after=-1', 'after=x', 'limit=0', 'limit=1001', 'before=1'])
    expect((await director.get(`${PATH}?${query}`)).status, query).toBe(400);
});

test('as events: each line while it happens, the report at the end, and then it is over', async () => {
  const director = await start();
  const { message } = await director.open(PATH, EVENTS);
  expect(message.headers).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
  });
  const heard = listenTo(message);
  await director.write(ID, { status: 'applying' }, [waiting('a\nb')]);
  await until(() => expect(eventsIn(heard.text())).toHaveLength(1));
  await director.write(ID, { status: 'succeeded' }, [ended]);
  expect(await heard.over).toBe('ended');
  const events = eventsIn(heard.text());
  expect(events.map(({ id, event }) => [id, event])).toEqual([
    ['1', 'waiting'],
    ['2', 'status'],
    ['2-end', 'end'],
  ]);
  expect(JSON.parse(events[0]?.data ?? '')).toMatchObject({
    sequence: 1,
    because: 'a\nb',
    stack: 'flow/flow',
  });
  expect(JSON.parse(events[2]?.data ?? '')).toMatchObject({ id: ID, status: 'succeeded' });
});

test('it goes on behind the event that was received last, and after the end there is nothing', async () => {
  const director = await start();
  await director.write(ID, { status: 'succeeded' }, [waiting('one'), waiting('two'), ended]);
  const resumed = await director.get(PATH, { ...EVENTS, 'last-event-id': '2' });
  expect(eventsIn(resumed.body).map(({ id }) => id)).toEqual(['3', '3-end']);
  const over = await director.get(PATH, { ...EVENTS, 'last-event-id': '3-end' });
  expect(over).toMatchObject({ status: 204, body: '' });
  for (const id of ['x', '-1', '1e3', '3-END', '999999999'])
    expect((await director.get(PATH, { ...EVENTS, 'last-event-id': id })).status, id).toBe(400);
});

test('one that was cancelled before anybody began it ends too', async () => {
  const director = await start();
  const heard = listenTo((await director.open(PATH, EVENTS)).message);
  await director.post(`/v1/deployments/${ID}/cancel`);
  expect(await heard.over).toBe('ended');
  expect(eventsIn(heard.text()).map(({ id, event }) => [id, event])).toEqual([['0-end', 'end']]);
});

test('a long journal comes whole and in order', async () => {
  const director = await start();
  const entries = Array.from({ length: 450 }, (_, place) => waiting(String(place)));
  await director.write(ID, { status: 'succeeded' }, [...entries, ended]);
  const { body } = await director.get(PATH, EVENTS);
  expect(eventsIn(body).map(({ id }) => id)).toEqual([
    ...Array.from({ length: 451 }, (_, place) => String(place + 1)),
    '451-end',
  ]);
});

test('as lines of JSON: the same, and what is in no form is refused', async () => {
  const director = await start();
  await director.write(ID, { status: 'succeeded' }, [waiting('one'), ended]);
  const { type, body } = await director.get(PATH, { accept: 'application/x-ndjson' });
  expect(type).toContain('application/x-ndjson');
  const lines = body.split('\n').filter((line: string) => line !== '');
  expect(lines.map((line: string) => JSON.parse(line).type)).toEqual(['waiting', 'status', 'end']);
  expect(await director.get(PATH, { accept: 'image/png' })).toMatchObject({
    status: 406,
    body: { type: 'urn:service-director:problem:not-acceptable' },
  });
  expect((await director.get(PATH, { accept: '*/*' })).type).toContain('application/json');
});

test('while nothing happens it says now and then that it is there', async () => {
  const director = await start({ heartbeatMs: 1 });
  const { message, request } = await director.open(PATH, EVENTS);
  const heard = listenTo(message);
  await until(() => expect(heard.text().split(':\n\n').length).toBeGreaterThan(4));
  expect(eventsIn(heard.text())).toEqual([]);
  request.destroy();
  expect(await heard.over).toBe('broken');
});

test('whoever goes is not read for any more', async () => {
  const director = await start();
  let reads = 0;
  const { list } = director.store;
  director.store.list = (query) => {
    if (query.collection === 'journal') reads++;
    return list(query);
  };
  const { request } = await director.open(PATH, EVENTS);
  await until(() => expect(reads).toBeGreaterThan(2));
  request.destroy();
  let before = -1;
  // Once a whole look around brings no read any more, there are none.
  await until(async () => {
    before = reads;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(reads).toBe(before);
  });
});

test('whoever takes nothing is dropped, and only so much is read for them', async () => {
  const director = await start({ patienceMs: 50, most: 1 });
  const long = 'x'.repeat(20_000);
  const pages = 8;
  for (let page = 0; page < pages; page++)
    await director.write(
      ID,
      { status: 'applying' },
      Array.from({ length: 200 }, () => waiting(long)),
    );
  let read = 0;
  const { list } = director.store;
  director.store.list = async <T>(query: Parameters<typeof list>[0]) => {
    const rows = await list<T>(query);
    if (query.collection === 'journal') read += rows.length;
    return rows;
  };
  const socket = connect(director.port, '127.0.0.1');
  socket.pause();
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n`);
  // Its place is free again: the only one that there is.
  await until(() => expect(read).toBeGreaterThan(0));
  await until(async () => {
    const { message, request } = await director.open(PATH, EVENTS);
    const { statusCode } = message;
    request.destroy();
    expect(statusCode).toBe(200);
  });
  expect(read).toBeLessThan(pages * 200);
  socket.destroy();
});

test('there are only so many, and the next is told to come again', async () => {
  const director = await start({ most: 2 });
  const streams = [await director.open(PATH, EVENTS), await director.open(PATH, EVENTS)];
  expect(await director.get(PATH, EVENTS)).toMatchObject({
    status: 503,
    headers: { 'retry-after': '10' },
    body: { type: 'urn:service-director:problem:too-many-streams' },
  });
  expect((await director.get(PATH)).status).toBe(200);
  streams[0]?.request.destroy();
  await until(async () => {
    const { message, request } = await director.open(PATH, EVENTS);
    request.destroy();
    expect(message.statusCode).toBe(200);
  });
  streams[1]?.request.destroy();
});

test('a caller may have only so many of them, and others still have theirs', async () => {
  const director = await start({ mostEach: 2 });
  const grants = [{ role: 'viewer', environments: undefined, mayApproveOwn: true }] as const;
  director.callAs({ name: 'eve@example.com', grants });
  const streams = [await director.open(PATH, EVENTS), await director.open(PATH, EVENTS)];
  expect(await director.get(PATH, EVENTS)).toMatchObject({
    status: 429,
    type: expect.stringContaining('application/problem+json'),
    headers: { 'retry-after': '10' },
    body: {
      type: 'urn:service-director:problem:too-many-streams',
      detail: 'eve@example.com listens 2 times already',
    },
  });
  director.callAs({ name: 'ada@example.com', grants });
  const other = await director.open(PATH, EVENTS);
  expect(other.message.statusCode).toBe(200);
  director.callAs({ name: 'eve@example.com', grants });
  streams[0]?.request.destroy();
  await until(async () => {
    const { message, request } = await director.open(PATH, EVENTS);
    request.destroy();
    expect(message.statusCode).toBe(200);
  });
  for (const { request } of [...streams, other]) request.destroy();
});

test('when the director stops they all end, in order', async () => {
  const director = await start();
  const heard = await Promise.all(
    [EVENTS, { accept: 'application/x-ndjson' }].map(async (headers) =>
      listenTo((await director.open(PATH, headers)).message),
    ),
  );
  await until(() => expect(heard.every(({ text }) => text() !== '')).toBe(true));
  director.beginStop();
  expect(await Promise.all(heard.map(({ over }) => over))).toEqual(['ended', 'ended']);
});
