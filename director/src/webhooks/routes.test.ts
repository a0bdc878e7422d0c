/** Webhooks over HTTP. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  DeliveryPage,
  WebhookList,
  WebhookView,
  WebhookWithSecret,
} from '@service-director/shared/contract/webhook.ts';
import express from 'express';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { problemHandler } from '../http/problem.ts';
import type { Caller } from '../http/roles.ts';
import type { Log } from '../observability/log.ts';
import { keys } from '../store/records.ts';
import { dueWrite } from './deliveries.ts';
import { ownUrl } from './own-url.ts';
import { webhookRoutes } from './routes.ts';
import type { WebhookSender } from './sender.ts';
import { type Bench, dueFor, openBench, openReceiver, type Receiver, signaturesBy } from './testing.ts';

let bench: Bench;
let hooks: Receiver;
let sender: WebhookSender;
const Asked = z.object({ delivery: z.string() });

const servers: Server[] = [];
const logged: string[] = [];

beforeEach(async () => {
  bench = openBench();
  hooks = await openReceiver((_request, response) => {
    response.writeHead(200).end('thank you');
  });
  sender = bench.sender();
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  }
  await bench.close();
  await hooks.close();
  logged.splice(0);
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  json(): unknown;
}

type Call = (
  method: string,
  path: string,
  body?: unknown,
  type?: string,
  more?: Record<string, string>,
) => Promise<Answer>;

const admin = (environments?: readonly string[]): Caller => ({
  name: 'ada@example.com',
  grants: [{ role: 'admin', environments, mayApproveOwn: true }],
});

async function serve(allowPrivate = true, caller: Caller | undefined = admin()): Promise<Call> {
  const app = express();
  const note = (message: string): void => void logged.push(message);
  const lookup = async (host: string) => {
    if (host === 'nobody.example') throw new Error('ENOTFOUND');
    return [{ address: host === 'inside.example' ? '10.0.0.1' : '8.8.8.8', family: 4 }];
  };
  const log: Log = { with: () => log, info: note, warn: note, error: note, debug: note };
  app.use((_request, response, next) => {
    response.locals.caller = caller;
    next();
  });
  app.use(
    webhookRoutes({
      ...bench,
      sender,
      addresses: { allowPrivate, lookup },
      ownUrl: (request) => request.get('x-own-url'),
      onChange: (what, webhook, by) => note(`${webhook} ${what} by ${by}`),
    }),
  );
  app.use(problemHandler(log));
  const server = createServer(app);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return async (method, path, body, type = 'application/json', more = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : {
            body: typeof body === 'string' ? body : JSON.stringify(body),
            headers: { 'content-type': type, ...more },
          }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
  };
}

test('made, listed, read, stopped, started, removed; its secret is shown once', async () => {
  const call = await serve();
  const made = await call('POST', '/v1/webhooks', { url: hooks.url, events: ['deployment.failed'] });
  expect(made.status).toBe(201);
  const { secret, ...view } = WebhookWithSecret.parse(made.json());
  expect(view).toMatchObject({
    url: hooks.url,
    events: ['deployment.failed'],
    stacks: ['*'],
    dry_runs: false,
    active: true,
    created_by: 'ada@example.com',
  });
  expect(Buffer.from(secret.replace(/^whsec_/, ''), 'base64')).toHaveLength(32);
  const path = made.headers.get('location') ?? '';
  expect(path).toBe(`/v1/webhooks/${view.id}`);
  const [one, all] = [await call('GET', path), await call('GET', '/v1/webhooks')];
  expect(WebhookView.parse(one.json())).toEqual(view);
  expect(WebhookList.parse(all.json())).toEqual({ webhooks: [view] });

  expect(await call('PATCH', path, { active: false })).toMatchObject({ status: 200 });
  expect(await call('POST', `${path}/test`)).toMatchObject({ status: 409 });
  expect(WebhookView.parse((await call('PATCH', path, { active: true })).json()).active).toBe(true);

  expect(await call('DELETE', path)).toMatchObject({ status: 204, text: '' });
  expect(await call('GET', path)).toMatchObject({ status: 404 });
  expect(await call('DELETE', path)).toMatchObject({ status: 404 });
  for (const said of [one.text, all.text, ...logged]) expect(said).not.toContain(secret.slice(6));
  expect(logged).toEqual([
    `${view.id} created by ada@example.com`,
    `${view.id} deactivated by ada@example.com`,
    `${view.id} activated by ada@example.com`,
    `${view.id} removed by ada@example.com`,
  ]);
});

test('made again under its key, it is the same one, and its secret is shown no second time', async () => {
  const call = await serve();
  const make = (key: string, more: object = {}): Promise<Answer> => {
    const body = { url: hooks.url, ...more };
    return call('POST', '/v1/webhooks', body, 'application/json', { 'idempotency-key': key });
  };
  // At once, so that all of them find nothing there.
  const answers = await Promise.all([make('one'), make('one'), make('one')]);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 201]);
  const all = WebhookList.parse((await call('GET', '/v1/webhooks')).json()).webhooks;
  expect(all).toHaveLength(1);
  for (const { status, text, headers, json } of answers) {
    expect(headers.get('location')).toBe(`/v1/webhooks/${all[0]?.id}`);
    expect(text.includes('whsec_')).toBe(status === 201);
    expect(WebhookView.parse(json())).toEqual(all[0]);
  }
  const kept = await bench.store.list<object>({ collection: 'artifacts', prefix: 'webhooks/wh_' });
  expect(kept).toHaveLength(1);

  const other = await make('one', { events: ['deployment.failed'] });
  expect(other.json()).toMatchObject({ status: 409, type: 'urn:service-director:problem:id-taken' });
  expect(await make('two')).toMatchObject({ status: 201 });
  expect(await call('DELETE', `/v1/webhooks/${all[0]?.id}`)).toMatchObject({ status: 204 });
  const late = await make('one');
  expect(late.json()).toMatchObject({ status: 409, detail: expect.stringContaining('which was removed') });
  expect(await make('no key/')).toMatchObject({ status: 400 });
});

test('a test reaches the receiver, and the log of deliveries tells of it', async () => {
  const call = await serve();
  const made = WebhookWithSecret.parse(
    (await call('POST', '/v1/webhooks', { url: hooks.url, events: ['deployment.failed'] })).json(),
  );
  const path = `/v1/webhooks/${made.id}`;
  const asked = await call('POST', `${path}/test`);
  expect(asked).toMatchObject({ status: 202 });
  expect(asked.headers.get('location')).toBe(`${path}/deliveries`);
  await sender.settled();
  const [received] = hooks.received;
  if (!received) throw new Error('Nothing came');
  expect(signaturesBy(made.secret, received)).toHaveLength(1);
  expect(JSON.parse(received.body)).toMatchObject({ type: 'webhook.test', data: { webhook: made.id } });
  const { deliveries } = DeliveryPage.parse((await call('GET', `${path}/deliveries`)).json());
  expect(deliveries).toMatchObject([
    {
      id: Asked.parse(asked.json()).delivery,
      message: received.headers['webhook-id'],
      type: 'webhook.test',
      state: 'delivered',
      attempts: 1,
      tries: [{ status: 200, answer: 'thank you' }],
    },
  ]);
});

test('the log is given page by page, newest first, with what was not tried yet', async () => {
  const call = await serve();
  const made = WebhookWithSecret.parse((await call('POST', '/v1/webhooks', { url: hooks.url })).json());
  const dues = Array.from({ length: 5 }, (_, n) => dueFor(made.id, `d${n}`, `2026-03-01T12:00:0${n}.000Z`));
  await bench.store.commit(dues.map(dueWrite));
  const path = `/v1/webhooks/${made.id}/deliveries?limit=2`;
  const seen: string[] = [];
  for (let next: string | undefined = ''; next !== undefined; ) {
    const cursor: string = next === '' ? '' : `&cursor=${encodeURIComponent(next)}`;
    const page = DeliveryPage.parse((await call('GET', `${path}${cursor}`)).json());
    seen.push(...page.deliveries.map(({ id, state }) => `${id} ${state}`));
    next = page.next;
  }
  expect(seen).toEqual(dues.map(({ id }) => `${id} pending`).reverse());
  for (const query of ['limit=0', 'limit=201', 'cursor=x', 'after=x'])
    expect(await call('GET', `/v1/webhooks/${made.id}/deliveries?${query}`)).toMatchObject({ status: 400 });
});

test('a secret is replaced: shown once, the old one for as long as was said', async () => {
  const call = await serve();
  const made = WebhookWithSecret.parse((await call('POST', '/v1/webhooks', { url: hooks.url })).json());
  const path = `/v1/webhooks/${made.id}/rotate`;
  const first = WebhookWithSecret.parse((await call('POST', path)).json());
  expect(first.secret).not.toBe(made.secret);
  expect(first.secrets).toEqual([
    { created_at: '2026-03-01T12:00:00.000Z' },
    { created_at: '2026-03-01T12:00:00.000Z', until: '2026-03-02T12:00:00.000Z' },
  ]);
  const second = WebhookWithSecret.parse((await call('POST', path, { keep_seconds: 0 })).json());
  expect(second.secrets).toHaveLength(1);
  // Sent as a form it would be taken for nothing said, and the old secret stay good for a day.
  const form = 'application/x-www-form-urlencoded';
  expect(await call('POST', path, '{"keep_seconds":0}', form)).toMatchObject({ status: 415 });
});

test('what cannot be is refused, as a problem that says what to do', async () => {
  const call = await serve(false);
  const refused: [unknown, RegExp][] = [
    [{ url: 'http://hooks.example/a' }, /TLS/],
    [{ url: 'ftp://hooks.example/a' }, /TLS/],
    [{ url: 'https://ada:pw@hooks.example/a' }, /name or a password/],
    [{ url: 'https://hooks.example/a#b' }, /#/],
    [{ url: 'https://169.254.169.254/computeMetadata' }, /not on the public internet/],
    [{ url: 'https://inside.example/' }, /not on the public internet/],
    [{ url: 'https://localhost/' }, /not on the public internet/],
    [{ url: 'hooks' }, /URL/i],
    [{ url: `https://hooks.example/${'a'.repeat(2_000)}` }, /2000/],
    [{}, /url/],
    [[], /object/i],
    [{ url: 'https://hooks.example/a', events: ['deployment.suceeded'] }, /known are: deployment\.queued/],
    [{ url: 'https://hooks.example/a', events: [] }, /events/],
    [{ url: 'https://hooks.example/a', secret: 'mine' }, /secret/],
    ['{"url": ', /JSON/],
  ];
  for (const [body, detail] of refused) {
    const answer = await call('POST', '/v1/webhooks', body);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.json(), answer.text).toMatchObject({ status: 400, detail: expect.stringMatching(detail) });
  }
  // Where nobody knows the name yet, the tries will tell.
  for (const host of ['hooks', 'nobody'])
    expect(await call('POST', '/v1/webhooks', { url: `https://${host}.example/` })).toMatchObject({
      status: 201,
    });
  for (const id of ['wh_000000000000000000000000', '..%2f..%2fcommands', 'x'.repeat(5_000)])
    expect(await call('GET', `/v1/webhooks/${id}`)).toMatchObject({ status: 404 });
});

test('there is an end to how many there may be', async () => {
  const call = await serve();
  const rows = Array.from({ length: 50 }, (_, n) => ({ id: `wh_${n}`, secrets: [] }));
  await bench.store.commit(
    rows.map((value) => ({ type: 'put', key: keys.webhook(value.id), value, if: 'absent' })),
  );
  expect(await call('POST', '/v1/webhooks', { url: hooks.url })).toMatchObject({ status: 409 });
});

test('it takes an administrator of everything', async () => {
  const deployer: Caller = {
    name: 'bob@example.com',
    grants: [{ role: 'deployer', environments: undefined, mayApproveOwn: true }],
  };
  for (const caller of [deployer, admin(['shop-dev'])]) {
    const call = await serve(true, caller);
    for (const [method, path] of [
      ['GET', ''],
      ['POST', ''],
      ['GET', '/wh_000000000000000000000000'],
      ['PATCH', '/wh_000000000000000000000000'],
      ['DELETE', '/wh_000000000000000000000000'],
      ['POST', '/wh_000000000000000000000000/test'],
      ['POST', '/wh_000000000000000000000000/rotate'],
      ['GET', '/wh_000000000000000000000000/deliveries'],
      ['GET', '/../WEBHOOKS'],
    ] as const)
      expect(await call(method, `/v1/webhooks${path}`), method + path).toMatchObject({ status: 403 });
  }
});

test('with approvals it is told with links that lead to us, or to where it says; without an address it says so', async () => {
  const call = await serve(false);
  const make = async (body: object, at?: string): Promise<Answer> =>
    call('POST', '/v1/webhooks', body, 'application/json', at === undefined ? {} : { 'x-own-url': at });
  const url = 'https://hooks.example/a';
  const viewOf = ({ text }: Answer): WebhookView => WebhookView.parse(JSON.parse(text));
  const own = 'https://director.example';
  expect(viewOf(await make({ url, approvals: true }, own))).toMatchObject({
    approvals: true,
    approvals_at: own,
  });
  const elsewhere = await make({ url, approvals: true, approvals_at: 'https://door.example/sd/' }, own);
  expect(viewOf(elsewhere)).toMatchObject({ approvals_at: 'https://door.example/sd' });
  const nowhere = viewOf(await make({ url, approvals: true }));
  expect(nowhere).toMatchObject({
    approvals: true,
    note: expect.stringContaining('say it with approvals_at'),
  });
  expect(nowhere.approvals_at).toBeUndefined();
  const plain = viewOf(await make({ url }, own));
  expect(plain.approvals).toBe(false);
  expect([plain.approvals_at, plain.note]).toEqual([undefined, undefined]);
  for (const more of [
    { approvals_at: own },
    { approvals: true, approvals_at: 'http://door.example' },
    { approvals: true, approvals_at: 'ftp://door.example' },
    { approvals: true, approvals_at: 'https://ada:pw@door.example' },
    { approvals: true, approvals_at: 'https://door.example/?to=' },
    { approvals: true, approvals_at: 'https://door.example/#' + 'x' },
    { approvals: 'yes' },
  ])
    expect(await make({ url, ...more }, own), JSON.stringify(more)).toMatchObject({ status: 400 });
});

test('where links lead is what a token was meant for, or where somebody with a good token called', () => {
  const called = { get: () => 'called.example' };
  const at = (more: object) =>
    ownUrl({ access: 'verified', audience: undefined, endpoint: undefined, ...more }, called);
  expect(at({ audience: 'https://director.example/' })).toBe('https://director.example');
  expect(at({})).toBe('https://called.example');
  expect(at({ endpoint: 'http://127.0.0.1:1' })).toBe('http://called.example');
  expect(at({ access: 'loopback' })).toBe('http://called.example');
  for (const audience of ['1234.apps.example', 'urn:director', 'javascript:alert(1)'])
    expect(at({ audience })).toBeUndefined();
});
