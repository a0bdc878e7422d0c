/** A director that is killed and started again while it is asked, or told something. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '@service-director/shared/kit/clock.ts';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Desk, openDesk } from './desk.ts';
import type { ConductorEvent } from './event.ts';
import { EXIT } from './failure.ts';
import { openLook, RunTimedOut } from './open.ts';

const dir = mkdtempSync(join(tmpdir(), 'desk-'));
/** A minute passes in half a second: what is away for three of them is given up. */
const HASTE = 120;
const hasty: Clock = {
  ...systemClock,
  now: () => systemClock.now() * HASTE,
  sleep: (ms, signal) => systemClock.sleep(ms / HASTE, signal),
};
const COMPLETED = { type: 'completed', command: 'c', deployments: [], note: 'done' };

let server: Server;
let notes: string[];

beforeAll(() =>
  writeFileSync(join(dir, 'architecture.yaml'), 'name: away\nproject_id: away-local\nregion: us-central1\n'),
);
afterEach(() => {
  server.close();
  server.closeAllConnections();
});
afterAll(() => rmSync(dir, { recursive: true }));

/** The desk of a director that answers so. */
async function deskOf(answers: RequestListener, signal = new AbortController().signal): Promise<Desk> {
  server = createServer(answers).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  notes = [];
  const onEvent = (event: ConductorEvent): void => {
    if (event.type === 'note') notes.push(event.message);
  };
  const context = openLook(
    { architecture: dir, endpoint: 'http://127.0.0.1:1', directorUrl: url, onEvent },
    'desk-1',
  );
  // There is no metadata server to ask for a token.
  const reach = { ...context.reach, authorization: async () => ({}) };
  return openDesk({ ...context, reach, clock: hasty, signal });
}

type Say = (status: number, body: object) => void;

/** What answers in JSON, and hangs up on every second request. */
function shaky(answer: (request: IncomingMessage, say: Say) => void): RequestListener {
  let asked = 0;
  return (request, response) => {
    asked += 1;
    if (asked % 2 === 1) {
      response.destroy();
      return;
    }
    answer(request, (status, body) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
  };
}

test('a question is asked again while nobody answers, which is told once', async () => {
  const page = { deployments: [] };
  let asked = 0;
  const desk = await deskOf((_, response) => {
    asked += 1;
    if (asked === 1) response.destroy();
    else if (asked < 4) response.writeHead(503).end('no instance');
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(page));
  });
  expect(await desk.ask((director) => director.deployments({ limit: 1 }))).toEqual(page);
  expect(asked).toBe(4);
  expect(notes).toEqual([expect.stringMatching(/does not answer: .*; it is asked again$/)]);
});

const UNREACHABLE = {
  exitCode: EXIT.unreachable,
  message: expect.stringContaining('what stands before it says 503'),
};

test('one that stays away is given up as unreachable', async () => {
  const away = await deskOf((_, response) => void response.writeHead(503).end());
  await expect(away.ask((director) => director.stacks())).rejects.toMatchObject(UNREACHABLE);
});

test('as is one that is away when the time is over', async () => {
  const time = new AbortController();
  let asked = 0;
  const away = await deskOf((_, response) => {
    asked += 1;
    if (asked === 1) response.writeHead(503).end();
    else time.abort(new RunTimedOut(1));
  }, time.signal);
  await expect(away.ask((director) => director.stacks())).rejects.toMatchObject(UNREACHABLE);
});

test('a no is an answer: with its words, its remedy, and no second try', async () => {
  let asked = 0;
  const desk = await deskOf((_, response) => {
    asked += 1;
    const problem = { detail: 'There is no stack away/flow', fix: 'known are: away/flaw' };
    response.writeHead(404, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
  });
  const asking = desk.ask((director) => director.history({ scope: 'away', dataflow: 'flow' }, 1));
  await expect(asking).rejects.toMatchObject({
    message: 'There is no stack away/flow',
    fix: 'known are: away/flaw',
    exitCode: EXIT.failed,
  });
  expect(asked).toBe(1);
});

test('names are sent as parts of a path, whatever is in them', async () => {
  const paths: string[] = [];
  const desk = await deskOf((request, response) => {
    paths.push(request.url ?? '');
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"detail":"no"}');
  });
  for (const dataflow of ['a/b', '../x', 'a?b#c'])
    await desk.ask((director) => director.stack({ scope: 's', dataflow })).catch(() => {});
  await desk.ask((director) => director.deployment('a/../b')).catch(() => {});
  const query = { stack: 'a/b', status: undefined, limit: 3 };
  await desk.ask((director) => director.deployments(query)).catch(() => {});
  expect(paths).toEqual([
    '/stacks/s/a%2Fb',
    '/stacks/s/..%2Fx',
    '/stacks/s/a%3Fb%23c',
    '/deployments/a%2F..%2Fb',
    '/deployments?stack=a%2Fb&limit=3',
  ]);
});

test('a command that got lost on its way is sent again under the same id, and only then', async () => {
  const sent: unknown[] = [];
  let looks = 0;
  const desk = await deskOf(
    shaky((request, say) => {
      if (request.method === 'POST') {
        sent.push([request.url, request.headers['idempotency-key'], request.headers.correlationid]);
        say(202, { id: 'x' });
      } else {
        looks += 1;
        // Of the first it never heard; of the second it knows, and takes a while.
        if (sent.length < 2) say(404, { detail: 'There is no such command.' });
        else
          say(200, {
            id: 'x',
            status: 'running',
            received_at: '',
            ...(looks > 5 ? { answer: COMPLETED } : {}),
          });
      }
    }),
  );
  expect(await desk.tell('lock', { dataflow: 'flow' })).toMatchObject({ note: 'done' });
  expect(sent).toEqual([
    ['/commands/lock', 'desk-1.lock', 'desk-1'],
    ['/commands/lock', 'desk-1.lock', 'desk-1'],
  ]);
});

test('what a command came to, when it failed, is the failure', async () => {
  const answer = { type: 'failed', command: 'c', error: 'it is locked by jo', fix: 'ask them' };
  const desk = await deskOf(
    shaky((request, say) =>
      request.method === 'POST'
        ? say(200, { id: 'x' })
        : say(200, { id: 'x', status: 'failed', received_at: '', answer }),
    ),
  );
  await expect(desk.tell('lock', { dataflow: 'flow' })).rejects.toMatchObject({
    message: 'it is locked by jo',
    fix: 'ask them',
    exitCode: EXIT.failed,
  });
});

test('a command that is wrong is refused, and not sent again', async () => {
  let sent = 0;
  const desk = await deskOf((_, response) => {
    sent += 1;
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"detail":"reason is required"}');
  });
  await expect(desk.tell('rollback', { dataflow: 'flow' })).rejects.toMatchObject({
    message: 'reason is required',
    exitCode: EXIT.failed,
  });
  expect(sent).toBe(1);
});

const REPORT = {
  ...{ id: 'd1', stack: 'a/b', operation: 'deploy', status: 'succeeded' },
  ...{ units: [], urls: {} },
};

/** An event of the stream of a journal. */
function eventText(sequence: number, name: string, data: object): string {
  return `id: ${sequence}${name === 'end' ? '-end' : ''}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
const lineText = (sequence: number): string =>
  eventText(sequence, 'status', { at: `t${sequence}`, stack: 'a/b', type: 'status', status: 's', sequence });

test('a journal that is followed is one stream, which goes on behind what was heard when it breaks', async () => {
  const asked: [string | undefined, string | undefined][] = [];
  const desk = await deskOf((request, response) => {
    const after = request.headers['last-event-id'];
    asked.push([request.url, after === undefined ? undefined : String(after)]);
    // The third time nobody is there.
    if (asked.length === 3) {
      response.writeHead(503).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (after === undefined) response.write(`:\n\n${lineText(1)}${lineText(2)}id: 3\nevent: sta`);
    else if (asked.length === 2) response.write(lineText(3));
    else response.end(lineText(4) + eventText(4, 'end', REPORT));
    if (asked.length < 3) setTimeout(() => response.destroy(), 50);
  });
  const heard: unknown[] = [];
  const report = await desk.follow('d1', ({ sequence }) => heard.push(sequence));
  expect(report).toMatchObject({ id: 'd1', status: 'succeeded' });
  expect(heard).toEqual([1, 2, 3, 4]);
  const path = '/v1/deployments/d1/logs';
  expect(asked).toEqual([
    [path, undefined],
    [path, '2'],
    [path, '3'],
    [path, '3'],
  ]);
  expect(notes).toEqual([expect.stringMatching(/does not answer.*; it is asked again$/)]);
});

const DAMAGED: readonly string[] = [
  'id: 2\nevent: status\ndata: {"at": \n\n',
  'id: 2-end\nevent: end\ndata: <html>\n\n',
  'id: 2-end\nevent: end\ndata: {"id":"d1"}\n\n',
];

test.each(DAMAGED)('what cannot be read is asked for again, behind what was heard: %j', async (damaged) => {
  const asked: (string | undefined)[] = [];
  const desk = await deskOf((request, response) => {
    const after = request.headers['last-event-id'];
    asked.push(after === undefined ? undefined : String(after));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const isFirst = asked.length === 1;
    response.end(isFirst ? lineText(1) + damaged : lineText(2) + eventText(2, 'end', REPORT));
  });
  const heard: unknown[] = [];
  expect(await desk.follow('d1', ({ sequence }) => heard.push(sequence))).toMatchObject({ id: 'd1' });
  expect([heard, asked]).toEqual([
    [1, 2],
    [undefined, '1'],
  ]);
  expect(notes).toEqual([expect.stringMatching(/what it tells cannot be read; it is asked again$/)]);
});

test('what can never be read is given up in words, as one that does not answer', async () => {
  const desk = await deskOf((_, response) =>
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(DAMAGED[1]),
  );
  await expect(desk.follow('d1', () => {})).rejects.toMatchObject({
    exitCode: EXIT.unreachable,
    message: expect.stringContaining('what it tells cannot be read'),
  });
});

test('a stream that is refused is no stream: the director’s own word is the failure', async () => {
  const desk = await deskOf((_, response) =>
    response
      .writeHead(404, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ detail: 'There is no deployment d1', fix: 'look' })),
  );
  await expect(desk.follow('d1', () => {})).rejects.toMatchObject({
    message: 'There is no deployment d1',
    fix: 'look',
    exitCode: EXIT.failed,
  });
});
