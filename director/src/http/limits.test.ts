import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Clock } from '@service-director/shared/kit/clock.ts';
import { isDeeper } from '@service-director/shared/kit/json-depth.ts';
import express, { type Express, json, type RequestHandler, text } from 'express';
import { afterEach, expect, test } from 'vitest';
import type { Log } from '../observability/log.ts';
import { StoreFailure } from '../store/store.ts';
import { limitBody, limitDepth, limitRate, pageHeaders, SERVER_LIMITS, securityHeaders } from './limits.ts';
import { problemHandler } from './problem.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function listen(handler: RequestListener, options: ServerOptions = SERVER_LIMITS): Promise<number> {
  const server = createServer(options, handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return port;
}

const SILENT: Log = { with: () => SILENT, info() {}, warn() {}, error() {}, debug() {} };

/** Answers `fine` to whatever gets through. */
function appWith(...handlers: RequestHandler[]): Express {
  const app = express();
  for (const handler of handlers) app.use(handler);
  app.use((_request, response) => void response.send('fine'));
  app.use(problemHandler(SILENT));
  return app;
}

/** A clock that a test turns. */
function handClock(): Clock & { turn(ms: number): void } {
  let now = 1_000_000;
  return {
    now: () => now,
    turn(ms) {
      now += ms;
    },
    sleep: () => Promise.reject(new Error('Nobody sleeps here')),
    after: () => () => {},
  };
}

test('a caller who asks too often is refused and told when to come again; others are not', async () => {
  const clock = handClock();
  const limit = limitRate({ clock, perMinute: 3, callerOf: (request) => request.get('from') ?? '' });
  const port = await listen(appWith(limit));
  const ask = (from: string): Promise<Response> => fetch(`http://127.0.0.1:${port}/`, { headers: { from } });
  for (const left of [2, 1, 0]) {
    const answer = await ask('ada');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('ratelimit')).toBe(`"caller";r=${left};t=20`);
    expect(answer.headers.get('ratelimit-policy')).toBe('"caller";q=3;w=60');
  }
  clock.turn(5_000);
  const refused = await ask('ada');
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toBe('15');
  expect(refused.headers.get('ratelimit')).toBe('"caller";r=0;t=15');
  expect(await refused.json()).toMatchObject({ status: 429, detail: 'ada asks more than 3 times a minute.' });
  expect((await ask('bob')).status).toBe(200);
  // To be refused costs nothing: after what it said there is one again.
  clock.turn(15_000);
  expect((await ask('ada')).status).toBe(200);
  expect((await ask('ada')).status).toBe(429);
});

test('however many callers come and go, those that are over the limit stay so', async () => {
  const clock = handClock();
  const limit = limitRate({ clock, perMinute: 1, callerOf: (request) => request.get('from') ?? '' });
  const port = await listen(appWith(limit));
  const ask = async (from: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/`, { headers: { from } })).status;
  for (let i = 0; i < 1_001; i++) await ask(`early-${i}`);
  clock.turn(59_000);
  expect(await ask('ada')).toBe(200);
  clock.turn(1_000);
  expect(await ask('early-0')).toBe(200);
  expect(await ask('ada')).toBe(429);
});

test('no limit is none', async () => {
  const limit = limitRate({ clock: handClock(), perMinute: 0, callerOf: () => 'ada' });
  const port = await listen(appWith(limit));
  for (let i = 0; i < 50; i++) {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    expect([answer.status, answer.headers.get('ratelimit')]).toEqual([200, null]);
  }
});

test('a body that is too large is refused before it is read, and while it is read where it does not say', async () => {
  const port = await listen(appWith(limitBody(1_000), json({ limit: 1_000 })));
  const post = (body: string | ReadableStream): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      duplex: 'half',
    });
  expect((await post(`{"a":"${'x'.repeat(900)}"}`)).status).toBe(200);
  const refused = await post(`"${'x'.repeat(2_000)}"`);
  expect([refused.status, refused.headers.get('content-type')]).toEqual([
    413,
    expect.stringContaining('application/problem+json'),
  ]);
  const chunked = new Blob([`"${'x'.repeat(2_000)}"`]).stream();
  expect((await post(chunked)).status).toBe(413);
});

test('a body that only says that it is large is not waited for', async () => {
  const port = await listen(appWith(limitBody(1_000)));
  const answer = await rawly(port, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
});

test('brackets count outside of texts alone', () => {
  expect(isDeeper('[[[]]]', 3)).toBe(false);
  expect(isDeeper('[[[]]]', 2)).toBe(true);
  expect(isDeeper('{"a":[{"b":1}]}', 3)).toBe(false);
  expect(isDeeper('["[[[[", "\\"[[[[", "\\\\", []]', 2)).toBe(false);
  expect(isDeeper('["\\\\", [[]]]', 2)).toBe(true);
  expect(isDeeper('[],[],[],[]', 1)).toBe(false);
  expect(isDeeper('['.repeat(5_000_000), 64)).toBe(true);
});

test('JSON that lies too deep is refused', async () => {
  const port = await listen(appWith(text({ type: () => true }), limitDepth(64)));
  const post = async (body: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body })).status;
  expect(await post(`${'['.repeat(64)}${']'.repeat(64)}`)).toBe(200);
  expect(await post(`${'['.repeat(20_000)}${']'.repeat(20_000)}`)).toBe(400);
});

test('who sends slowly, or nothing, is not waited for', async () => {
  const quick = { headersTimeout: 200, requestTimeout: 200, connectionsCheckingInterval: 50 };
  const port = await listen(appWith(text({ type: () => true })), { ...SERVER_LIMITS, ...quick });
  const slow = {
    'no header is ended': 'GET / HTTP/1.1\r\nhost: x\r\nx-slow: ',
    'a body that does not come': 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc',
  };
  for (const [what, sent] of Object.entries(slow))
    expect(await rawly(port, sent), what).toMatch(/^HTTP\/1\.1 408 /);
  const server = createServer(SERVER_LIMITS);
  expect(server).toMatchObject({ headersTimeout: 10_000, requestTimeout: 120_000 });
});

test('headers that are too large are refused', async () => {
  const port = await listen(appWith());
  const answer = await rawly(port, `GET / HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 431 /);
});

test('every answer says that it is no page; a page says that it takes nothing from elsewhere', async () => {
  const open = await listen(appWith(securityHeaders({ isEncrypted: false })));
  const bare = await fetch(`http://127.0.0.1:${open}/`);
  expect(Object.fromEntries(bare.headers)).toMatchObject({
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
    'content-security-policy': expect.stringMatching(/default-src 'none'; frame-ancestors 'none'/),
  });
  expect(bare.headers.get('strict-transport-security')).toBeNull();
  const behind = await listen(appWith(securityHeaders({ isEncrypted: true }), pageHeaders));
  const page = await fetch(`http://127.0.0.1:${behind}/`);
  expect(page.headers.get('strict-transport-security')).toBe('max-age=31536000');
  const policy = page.headers.get('content-security-policy') ?? '';
  expect(policy).toMatch(/script-src 'self'.*frame-ancestors 'none'/);
  expect(policy).not.toMatch(/unsafe|\*|https?:/);
});

/** What a server answers to these bytes, until it hangs up. */
function rawly(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (data) => (answer += data));
    socket.on('close', () => resolve(answer)).on('error', reject);
  });
}

test('where the state does not answer, the request may come again', async () => {
  const port = await listen(
    appWith(() => {
      throw new StoreFailure('The state cannot be read: no network', undefined);
    }),
  );
  const answer = await fetch(`http://127.0.0.1:${port}/v1/deployments`);
  expect(answer.status).toBe(503);
  expect(answer.headers.get('retry-after')).toBe('5');
  expect(await answer.json()).toMatchObject({
    type: 'urn:service-director:problem:state-failure',
    detail: 'The state cannot be read: no network',
    fix: 'ask again in a moment',
  });
});
