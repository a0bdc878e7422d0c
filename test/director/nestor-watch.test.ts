/** The dialect at `/api/v1` as it is watched, asked for without a version, and used by the client that we publish. */
import { nestorRoutes } from '@service-director/director/dialects/nestor/routes.ts';
import { listeningTo, STREAMING } from '@service-director/director/http/listening.ts';
import {
  type CommandRecord,
  type DeploymentRecord,
  type JournalEntry,
  keys,
} from '@service-director/director/store/records.ts';
import { clientOf, DeploymentRefused, type StatusChange } from '@service-director/shared/contract/client.ts';
import { GraphRefusal, Watched } from '@service-director/shared/contract/rest/nestor-answers.ts';
import { systemClock } from '@service-director/shared/kit/clock.ts';
import { serverSentEvents } from '@service-director/shared/kit/server-sent-events.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { demandDocumented } from './support/contract.ts';
import { type Door, type Ground, openDoor, openGround } from './support/dialects.ts';
import { paperEngine } from './support/paper-engine.ts';
import { codeKeptAs, seenAs } from './support/rest.ts';
import { PROJECT, REGION } from './support/world.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const DIGEST = 'a'.repeat(64);
const EVENTS = { accept: 'text/event-stream' };
const EVENTS_TYPE = { 'content-type': 'text/event-stream' };
const paper = paperEngine();
let ground: Ground;
let door: Door;

beforeAll(async () => {
  ground = await openGround({ engine: () => paper, sources: () => codeKeptAs(DIGEST) });
  door = await openDoor(ground.log, routesOn(ground));
});
afterAll(async () => {
  await door.close();
  await ground.stop();
});

function routesOn(there: Ground): ReturnType<typeof nestorRoutes> {
  return nestorRoutes({
    ...{ ...there, clock: systemClock, project: PROJECT, region: REGION, timeoutSeconds: 600 },
    engines: { terraform: { health: async () => ({ status: 'healthy' }), capabilities: ['plan'] } },
    readiness: () => ({ ready: true, problems: {} }),
  });
}

/** How many lines of a journal are read at once, from now on. */
function watchJournal(deployment: string): { readonly pages: number[]; leave(): void } {
  const { store } = ground;
  const { list } = store;
  const pages: number[] = [];
  store.list = async <T>(query: Parameters<typeof list>[0]) => {
    const rows = await list<T>(query);
    if (query.collection === 'journal' && query.prefix === `${deployment}/`) pages.push(rows.length);
    return rows;
  };
  return {
    pages,
    leave() {
      store.list = list;
    },
  };
}

const resource = (name: string, ...dependsOn: string[]) => ({
  name,
  dependsOn,
  config: { source: { digest: DIGEST } },
});
const wish = (id: string, ...resources: ReturnType<typeof resource>[]) => ({
  ...{ id, composer: 'team-alpha', environment: 'dev', resources },
});

const NOTHING = ReadableStream.from<Uint8Array>([]);

interface Told {
  readonly id: string | undefined;
  readonly name: string;
  readonly data: StatusChange;
}

/** An answer as the document tells of it. */
async function open(id: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  const path = `/api/v1/deployments/${id}/watch`;
  const response = await fetch(door.url + path, { method, headers });
  const type = response.headers.get('content-type') ?? '';
  const isJson = type.includes('json') && !type.includes('ndjson');
  const body = isJson ? await response.clone().json() : '';
  demandDocumented({ method, path, status: response.status, type, body });
  return response;
}

async function* eventsOf(response: Response): AsyncGenerator<Told> {
  for await (const { id, name, data } of serverSentEvents(response.body ?? NOTHING))
    yield { id, name, data: Watched.parse(JSON.parse(data)) };
}

async function all(response: Response): Promise<Told[]> {
  const events: Told[] = [];
  for await (const event of eventsOf(response)) events.push(event);
  return events;
}

/** In short: `status planning`, `resource base ready`. */
function inShort({ data }: Pick<Told, 'data'>): string {
  const { type } = data;
  return type === 'resource'
    ? `${type} ${data.resource.name} ${data.resource.status}`
    : `${type} ${data.status} ${data.phase}`;
}

describe('a watch', () => {
  test('tells of each status while it comes about, and goes on behind any event (NX3)', async () => {
    const release = paper.hold('web');
    await door.ask(
      'POST',
      '/api/v1/deployments',
      wish('watched-v1', resource('base'), resource('web', 'base')),
    );
    const heard: Told[] = [];
    for await (const event of eventsOf(await open('watched-v1', EVENTS))) {
      heard.push(event);
      // It is heard before it is over.
      if (inShort(event) === 'resource web in_progress') release();
    }
    const words = heard.map(inShort);
    expect(words.filter((word) => word.startsWith('resource'))).toEqual([
      'resource base in_progress',
      'resource base ready',
      'resource web in_progress',
      'resource web ready',
    ]);
    expect(words.filter((word) => !word.startsWith('resource'))).toEqual(
      expect.arrayContaining([
        'status in_progress planning',
        'status in_progress deploying',
        'status ready done',
      ]),
    );
    expect(words.at(-1)).toBe('end ready done');
    expect(heard.every(({ name, data }) => name === data.type && data.id === 'watched-v1')).toBe(true);
    const { body: status } = await door.ask('GET', '/api/v1/deployments/watched-v1/status');
    expect(heard.at(-1)?.data).toEqual({ type: 'end', ...status });

    for (const [place, { id = '' }] of heard.entries()) {
      const rest = await open('watched-v1', { ...EVENTS, 'last-event-id': id });
      expect(rest.status).toBe(place === heard.length - 1 ? 204 : 200);
      expect(await all(rest)).toEqual(heard.slice(place + 1));
    }
  });

  test('tells why one failed, whoever comes when (NX3)', async () => {
    paper.fail('sour', 'no more milk');
    await door.ask(
      'POST',
      '/api/v1/deployments',
      wish('sour-v1', resource('sour'), resource('after', 'sour')),
    );
    const heard = await all(await open('sour-v1'));
    const failed = {
      name: 'sour',
      status: 'failed',
      reason: expect.stringContaining('no more milk'),
      hint: 'mend it',
    };
    expect(heard.map(({ data }) => data)).toContainEqual({
      ...{ type: 'resource', id: 'sour-v1', timestamp: expect.stringMatching(/Z$/), resource: failed },
    });
    const { body: status } = await door.ask('GET', '/api/v1/deployments/sour-v1/status');
    expect(status.error).toMatchObject({ resource: 'sour', hint: 'mend it' });
    expect(heard.at(-1)?.data).toEqual({ type: 'end', ...status });
    expect(await all(await open('sour-v1'))).toEqual(heard);
    paper.fail('sour', undefined);
    // Behind what explains it, too.
    for (const [place, { id = '' }] of heard.slice(0, -1).entries())
      expect(await all(await open('sour-v1', { ...EVENTS, 'last-event-id': id }))).toEqual(
        heard.slice(place + 1),
      );
  });

  test('what explains a failure is found among all lines that were received, page by page (NX3)', async () => {
    await door.ask('POST', '/api/v1/deployments', wish('many-v1', resource('one'), resource('two')));
    const { deployment } = await seenAs(door, '/api/v1/deployments/many-v1', 'ready');
    const [found, command] = await Promise.all([
      ground.store.get<DeploymentRecord>(keys.deployment(deployment)),
      ground.store.get<CommandRecord>(keys.command('nestor:many-v1')),
    ]);
    if (!found || !command) throw new Error('It is not there');
    // One whose planning failed: what the tool complained of first is far from its end.
    const { plan: _, ...unplanned } = found.value;
    const record: DeploymentRecord = { ...unplanned, id: 'long', status: 'failed', error: 'it cannot be' };
    const said = (place: number): JournalEntry => ({
      ...{ at: record.createdAt, type: 'log', message: `line ${place}` },
      level: place === 300 || place === 700 ? 'error' : 'info',
      unit: unitId('module', place === 300 ? 'two' : 'one'),
    });
    const long = { ...command.value, id: 'nestor:long-v1', deployments: ['long'] };
    await ground.store.commit([
      { type: 'put', key: keys.deployment('long'), value: record, if: 'absent' },
      { type: 'put', key: keys.command(long.id), value: long, if: 'absent' },
      ...Array.from({ length: 1_000 }, (_, place) => ({
        ...{ type: 'put' as const, key: keys.journal('long', place + 1), if: 'absent' as const },
        value: said(place + 1),
      })),
    ]);
    const { body: status } = await door.ask('GET', '/api/v1/deployments/long-v1/status');
    expect(status.error).toMatchObject({ resource: 'two', reason: 'it cannot be' });
    const journal = watchJournal('long');
    for (const after of ['0', '299', '300', '650', '999']) {
      const [end] = (await all(await open('long-v1', { ...EVENTS, 'last-event-id': after }))).slice(-1);
      expect(end?.data).toEqual({ type: 'end', ...status });
    }
    journal.leave();
    expect(Math.max(...journal.pages)).toBe(200);
  });

  test('whoever only asks, is not let in, or has heard it all costs nothing (NX3)', async () => {
    const release = paper.hold('full');
    await door.ask('POST', '/api/v1/deployments', wish('full-v1', resource('full')));
    await door.ask('POST', '/api/v1/deployments', wish('free-v1', resource('one')));
    const heard = await all(await open('free-v1', EVENTS));
    const stopping = new AbortController();
    const streaming = { ...STREAMING, mostEach: 1 };
    const few = { store: ground.store, clock: systemClock, streaming, stopping: stopping.signal };
    const narrow = await openDoor(ground.log, routesOn({ ...ground, listening: listeningTo(few) }));
    const listener = await fetch(`${narrow.url}/api/v1/deployments/full-v1/watch`, { headers: EVENTS });
    const { deployment } = (await door.ask('GET', '/api/v1/deployments/free-v1')).body;
    const journal = watchJournal(deployment);
    const path = `${narrow.url}/api/v1/deployments/free-v1/watch`;
    const head = await fetch(path, { method: 'HEAD', headers: EVENTS });
    const over = await fetch(path, {
      headers: { ...EVENTS, 'last-event-id': heard.at(-1)?.id ?? '' },
    });
    const refused = await fetch(path, { headers: EVENTS });
    journal.leave();
    expect([head.status, over.status, refused.status]).toEqual([200, 204, 429]);
    expect(journal.pages).toEqual([]);
    stopping.abort(new Error('enough'));
    await listener.text();
    release();
    await narrow.close();
  });

  test('as lines of JSON the same, and in no other form (NX3)', async () => {
    await door.ask('POST', '/api/v1/deployments', wish('lines-v1', resource('one')));
    const events = await all(await open('lines-v1', EVENTS));
    const lines = await (await open('lines-v1', { accept: 'application/x-ndjson' })).text();
    expect(lines.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))).toEqual(
      events.map(({ data }) => data),
    );
    const refused = async (id: string, headers: Record<string, string>) => {
      const response = await open(id, headers);
      const { error } = GraphRefusal.parse(await response.json());
      return [response.status, error.code];
    };
    expect(await refused('lines-v1', { accept: 'application/json' })).toEqual([406, 'VALIDATION_FAILED']);
    expect(await refused('lines-v1', { 'last-event-id': 'first' })).toEqual([400, 'VALIDATION_FAILED']);
    expect(await refused('nobody', EVENTS)).toEqual([404, 'RESOURCE_NOT_FOUND']);
    const head = await open('lines-v1', EVENTS, 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('only of what whoever asks may see (NX3)', async () => {
    door.as({
      name: 'stranger',
      grants: [{ role: 'viewer', environments: ['elsewhere-dev'], mayApproveOwn: false }],
    });
    const response = await open('lines-v1', EVENTS);
    door.as(undefined);
    expect(response.status).toBe(403);
  });
});

describe('without a version', () => {
  test('the same request is the same deployment, and refused in the same words (N91)', async () => {
    const body = wish('plain-v1', resource('one'));
    const begun = await door.ask('POST', '/deployments', body);
    expect([begun.status, begun.headers.get('location')]).toEqual([202, '/api/v1/deployments/plain-v1']);
    const { deployment } = await seenAs(door, '/api/v1/deployments/plain-v1', 'ready');
    expect(deployment).toBe(begun.body.deployment);
    for (const path of ['/deployments', '/api/v1/deployments'])
      expect(await door.ask('POST', path, body)).toMatchObject({ status: 200, body: { id: 'plain-v1' } });
    const wrong = await door.ask('POST', '/deployments', wish('plain-v2', resource('one', 'two')));
    expect([wrong.status, wrong.body.error.code]).toEqual([400, 'DEPENDENCY_ERROR']);
    expect(wrong.headers.get('x-trace-id')).toBe(wrong.body.error.trace_id);
    expect((await door.ask('POST', '/deployments', 'no JSON')).body.error.message).toBe(
      'The body is not JSON',
    );
  });
});

describe('the client', () => {
  test('goes on where it was when a connection breaks, and misses and doubles nothing (N29, NX3)', async () => {
    const release = paper.hold('late');
    const places: (string | null)[] = [];
    /** Breaks each of the first connections off behind its first event, in one of two ways. */
    const brittle: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      places.push(new Headers(init?.headers).get('last-event-id'));
      const body = response.body;
      if (places.length > 4 || !body) return response;
      const isTorn = places.length % 2 === 0;
      async function* cut(): AsyncGenerator<string> {
        for await (const { id, name, data } of serverSentEvents(body ?? NOTHING)) {
          yield `id: ${id}\nevent: ${name}\ndata: ${data}\n\nid: 99\ndata: {"half"`;
          if (isTorn) throw new TypeError('terminated');
          return;
        }
      }
      return new Response(ReadableStream.from(cut()).pipeThrough(new TextEncoderStream()), response);
    };
    const client = clientOf({ url: door.url });
    const { id } = await client.create(wish('brittle-v1', resource('early'), resource('late', 'early')));
    const heard: StatusChange[] = [];
    for await (const change of clientOf({ url: `${door.url}/`, fetch: brittle }).watch(id)) {
      heard.push(change);
      if (inShort({ data: change }) === 'resource late in_progress') release();
    }
    expect(heard).toEqual((await all(await open(id, EVENTS))).map(({ data }) => data));
    expect(places.length).toBeGreaterThan(4);
    expect(new Set(places).size).toBe(places.length);
  });

  test('ends a watch with the signal, and with its reader (N29)', async () => {
    const release = paper.hold('endless');
    const client = clientOf({ url: door.url });
    const { id } = await client.create(wish('endless-v1', resource('endless')));
    const stopping = new AbortController();
    const watching = (async () => {
      for await (const change of client.watch(id, { signal: stopping.signal }))
        if (change.type === 'resource') stopping.abort(new Error('enough'));
    })();
    await expect(watching).rejects.toThrow('enough');
    for await (const change of client.watch(id)) if (change.type === 'resource') break;
    await client.cancel(id);
    for await (const change of client.watch(id))
      if (change.type === 'end') expect(change.status).toBe('cancelled');
    release();
    await expect(client.watch('nobody').next()).rejects.toMatchObject({ code: 'RESOURCE_NOT_FOUND' });
  });

  test('asks again what may be asked again, and nothing else (N29)', async () => {
    const asked: string[] = [];
    const answers: (() => Promise<Response>)[] = [];
    const scripted: typeof fetch = async (input, init) => {
      asked.push(`${init?.method} ${new URL(String(input)).pathname}`);
      expect(new Headers(init?.headers).get('authorization')).toBe('Bearer a-token');
      const next = answers.shift();
      if (next) return next();
      return fetch(input, init);
    };
    const client = clientOf({ url: door.url, fetch: scripted, token: () => 'a-token' });
    answers.push(
      async () => Promise.reject(new TypeError('fetch failed')),
      async () => new Response('busy', { status: 503, headers: { 'retry-after': '0' } }),
      // It was taken, and the answer got lost.
      async () => {
        await fetch(`${door.url}/api/v1/deployments`, {
          method: 'POST',
          body: JSON.stringify(wish('again-v1', resource('one'))),
        });
        throw new TypeError('terminated');
      },
    );
    expect((await client.create(wish('again-v1', resource('one')))).id).toBe('again-v1');
    expect(asked).toEqual(Array.from({ length: 4 }, () => 'POST /api/v1/deployments'));
    const wrong = await client.create(wish('Again v2', resource('one'))).catch((error) => error);
    expect(wrong).toBeInstanceOf(DeploymentRefused);
    expect(wrong).toMatchObject({ status: 400, code: 'VALIDATION_FAILED', traceId: expect.any(String) });
    expect(wrong.details.problems).toMatchObject([{ field: 'id' }]);
    expect(asked).toHaveLength(5);
    answers.push(async () => new Response('<html>', { status: 200 }));
    await expect(client.get('again-v1')).rejects.toThrow(/is no director/);
  });

  test('gives up a watch that nobody tells, after the waits that were asked for (N29, NX3)', async () => {
    const waits: number[] = [];
    const clock = { ...systemClock, sleep: async (ms: number) => void waits.push(ms) };
    const answers = {
      silent: () => new Response('', { headers: EVENTS_TYPE }),
      busy: () => new Response('busy', { status: 503, headers: { 'retry-after': '20' } }),
      wrong: () => new Response('<html>', { status: 200, headers: { 'content-type': 'text/html' } }),
    };
    const watched = (answer: () => Response) =>
      clientOf({ url: door.url, clock, attempts: 3, fetch: async () => answer() })
        .watch('x')
        .next();
    await expect(watched(answers.silent)).rejects.toThrow('Nobody tells how it goes on');
    expect(waits).toHaveLength(2);
    await expect(watched(answers.busy)).rejects.toMatchObject({ status: 503, code: 'UNKNOWN' });
    expect(waits.slice(2)).toEqual([20_000, 20_000]);
    await expect(watched(answers.wrong)).rejects.toThrow(/is no director/);
    expect(waits).toHaveLength(4);
  });
});
