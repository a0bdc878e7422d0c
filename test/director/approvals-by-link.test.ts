/** Approvals from a chat: a director that takes nothing without a token, and the links that it sends to a receiver. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  ApprovalLink,
  WebhookMessage,
  WebhookWithSecret,
} from '@service-director/shared/contract/webhook.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { demandDocumented } from './support/contract.ts';
import { type DirectorProcess, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { inventoryOf } from './support/inventory.ts';
import { freePort, openWorld, PROJECT, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const ADMIN = `the-admin@${PROJECT}.iam.gserviceaccount.com`;
const STRICT = `the-approver@${PROJECT}.iam.gserviceaccount.com`;
const HOSTILE = '"><img src=x onerror=alert(1)>';

let world: World;
let director: DirectorProcess;
let chat: Server;
let token: string;
let hook: WebhookWithSecret;
const told: WebhookMessage[] = [];

beforeAll(async () => {
  world = await openWorld();
  const port = await freePort();
  const audience = `http://127.0.0.1:${port}`;
  const rule = { principal: STRICT, role: 'approver', environments: ['staging'], self_approval: false };
  const env = {
    DIRECTOR_ACCESS: 'verified',
    DIRECTOR_AUDIENCE: audience,
    DIRECTOR_ALLOWED: ADMIN,
    DIRECTOR_ROLES: JSON.stringify([rule]),
    DIRECTOR_PRIVATE_HOSTS: 'allowed',
  };
  director = await startDirector(world, { env, port });
  await director.ready();
  token = await tokenFor(ADMIN, audience);
  chat = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part) => (body += part));
    request.on('end', () => {
      told.push(WebhookMessage.parse(JSON.parse(body)));
      response.end();
    });
  });
  await new Promise<void>((resolve) => chat.listen(0, '127.0.0.1', resolve));
  hook = await makeHook({ approvals: true });
});
afterAll(async () => {
  chat.closeAllConnections();
  await new Promise((resolve) => chat.close(resolve));
  await world.stop();
});

async function tokenFor(email: string, audience: string): Promise<string> {
  const account = `/v1/projects/${PROJECT}/serviceAccounts`;
  await world.call('POST', account, { accountId: email.split('@')[0] });
  const bindings = [
    { role: 'roles/iam.serviceAccountTokenCreator', members: ['user:developer@example.com'] },
  ];
  await world.call('POST', `${account}/${email}:setIamPolicy`, { policy: { bindings } });
  const made = await world.call('POST', `/v1/projects/-/serviceAccounts/${email}:generateIdToken`, {
    audience,
    includeEmail: true,
  });
  if (typeof made !== 'object' || made === null || !('token' in made)) throw new Error('No token');
  return String(made.token);
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Whatever is answered stands in the OpenAPI document. */
async function ask(method: string, url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { ...init, method });
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const body = type.includes('json') ? JSON.parse(text) : text;
  demandDocumented({ method, path: url.replace(director.url, ''), status: response.status, type, body });
  return { status: response.status, headers: response.headers, text };
}

const asAdmin = (method: string, path: string, body?: object): Promise<Answer> =>
  ask(method, director.url + path, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

async function makeHook(more: object): Promise<WebhookWithSecret> {
  const { port } = chat.address() as AddressInfo;
  const request = { url: `http://127.0.0.1:${port}/hook`, events: ['deployment.awaiting_approval'], ...more };
  return WebhookWithSecret.parse(JSON.parse((await asAdmin('POST', '/v1/webhooks', request)).text));
}

type Told = Exclude<WebhookMessage, { type: 'webhook.test' }>['data'];

/** Deploys a topic where that waits for an approval; what the chat is told of it, for each webhook. */
async function waiting(
  name: string,
  {
    environment = 'production',
    reason,
    hooks = 1,
  }: { environment?: string; reason?: string; hooks?: number } = {},
): Promise<readonly [Told, ...Told[]]> {
  const environments = { staging: { approval: 'manual' }, production: {} };
  const flow = ephemeral({ resources: { topics: [{ name: `${name}-topic` }] } });
  const document = documentOf(name, { flow }, { deployment_environments: environments });
  const answer = await director.post(
    'dataflow-setup',
    JSON.stringify({ architecture: { document, environment }, ...(reason === undefined ? {} : { reason }) }),
    { authorization: `Bearer ${token}`, 'idempotency-key': `${name}.1` },
  );
  expect(answer.status).toBe(202);
  return until(() => {
    const mine = told.flatMap((message) =>
      message.type !== 'webhook.test' && message.data.deployment === `${name}.1.flow` ? [message.data] : [],
    );
    const [first, ...rest] = mine;
    if (!first || mine.length < hooks) throw new Error(`${name} is not told`);
    return [first, ...rest] as const;
  });
}

async function statusOf(name: string): Promise<{ status: string; approval?: object }> {
  return JSON.parse((await asAdmin('GET', `/v1/deployments/${name}.1.flow`)).text);
}

const ended = (name: string, status: string): Promise<void> =>
  until(async () => expect((await statusOf(name)).status).toBe(status));

const made = async (name: string): Promise<string[]> => Object.keys(await inventoryOf(world, `${name}-`));
const AS_JSON = { headers: { accept: 'application/json' } };
const linkIn = ({ text }: Answer): ApprovalLink => ApprovalLink.parse(JSON.parse(text));

describe('a chat that is told with links', () => {
  test('approves: looking decides nothing, the button does, and what was planned is applied (D185)', async () => {
    const [{ approve_url = '', plan_hash, expires_at }] = await waiting('approved', { reason: HOSTILE });
    expect(approve_url).toMatch(new RegExp(`^${director.url}/v1/approvals/`));
    expect(Date.parse(expires_at ?? '')).toBeGreaterThan(Date.now());
    const page = await ask('GET', approve_url);
    expect(page.status).toBe(200);
    expect(page.text).toContain('topic/approved-topic');
    expect(page.text).toContain('<form method="post">');
    expect(page.text).not.toContain('<img');
    expect(page.headers.get('content-security-policy')).toContain("form-action 'self'");
    for (const method of ['GET', 'HEAD', 'OPTIONS']) await fetch(approve_url, { method });
    expect(await statusOf('approved')).toMatchObject({ status: 'awaiting_approval' });
    expect(await made('approved')).toEqual([]);
    const done = await ask('POST', approve_url, { body: new URLSearchParams({ name: HOSTILE }) });
    expect(done.status).toBe(200);
    expect(done.text).not.toContain('<img');
    await ended('approved', 'succeeded');
    expect(await made('approved')).toEqual(['topic/topic']);
    const { entries } = JSON.parse((await asAdmin('GET', '/v1/stacks/approved-production/flow/audit')).text);
    expect(entries).toContainEqual(
      expect.objectContaining({
        what: 'approved',
        who: `webhook:${hook.id}`,
        reason: `by a link, saying to be "${HOSTILE}"`,
        detail: plan_hash,
      }),
    );
    const again = await ask('POST', approve_url, AS_JSON);
    expect([again.status, linkIn(again).state]).toEqual([409, 'approved']);
  });

  test('rejects, and then nothing approves it any more (D185)', async () => {
    const [{ approve_url = '', reject_url = '' }] = await waiting('rejected');
    const done = await ask('POST', reject_url, AS_JSON);
    expect([done.status, linkIn(done).state]).toEqual([200, 'rejected']);
    await ended('rejected', 'cancelled');
    for (const link of [approve_url, reject_url]) {
      const again = await ask('POST', link, AS_JSON);
      expect([again.status, linkIn(again).state]).toEqual([409, 'rejected']);
    }
    expect(await made('rejected')).toEqual([]);
  });

  test('with a link of another deployment, or one that was changed, gets nothing (D185)', async () => {
    const [[one], [other]] = [await waiting('one'), await waiting('other')];
    const parts = ({ approve_url = '' }: Told): string[] => approve_url.split('/').at(-1)?.split('.') ?? [];
    const [[said], [, signature]] = [parts(one), parts(other)];
    const answers = await Promise.all(
      [`${said}.${signature}`, `${said}.${'A'.repeat(43)}`, `${said}`].map((link) =>
        ask('POST', `${director.url}/v1/approvals/${link}`),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    for (const name of ['one', 'other'])
      expect(await statusOf(name)).toMatchObject({ status: 'awaiting_approval' });
  });

  test('has no link that approves where nobody approves their own (D185)', async () => {
    const [{ approve_url, reject_url = '' }] = await waiting('strict', { environment: 'staging' });
    expect(approve_url).toBeUndefined();
    expect((await ask('POST', reject_url)).status).toBe(200);
    await ended('strict', 'cancelled');
  });

  test('is told no links where none were asked for, and void ones after a rotation (D185)', async () => {
    const plain = await makeHook({});
    expect(plain.approvals).toBe(false);
    const both = await waiting('rotated', { hooks: 2 });
    expect(both.filter(({ reject_url }) => reject_url === undefined)).toHaveLength(1);
    const { approve_url = '' } = both.find(({ approve_url: url }) => url !== undefined) ?? {};
    expect((await ask('GET', approve_url)).status).toBe(200);
    expect((await asAdmin('POST', `/v1/webhooks/${hook.id}/rotate`, { keep_seconds: 0 })).status).toBe(200);
    for (const method of ['GET', 'POST']) expect((await ask(method, approve_url)).status).toBe(404);
    expect(await statusOf('rotated')).toMatchObject({ status: 'awaiting_approval' });
    expect((await asAdmin('DELETE', `/v1/webhooks/${plain.id}`)).status).toBe(204);
  });
});

test('nothing else is reached without a token, and no link is in the log (D185)', async () => {
  const [{ approve_url = '' }] = await waiting('guarded');
  for (const path of [
    '/v1/deployments',
    '/v1/webhooks',
    '/v1/approvals',
    '/docs',
    '/openapi.json',
    '/v1/approvals/a/b',
  ])
    expect((await fetch(director.url + path)).status, path).toBe(401);
  expect((await fetch(approve_url, { method: 'DELETE' })).status).toBe(401);
  const deliveries = (await asAdmin('GET', `/v1/webhooks/${hook.id}/deliveries`)).text;
  for (const part of approve_url.split('/').at(-1)?.split('.') ?? []) {
    expect(director.output()).not.toContain(part);
    expect(deliveries).not.toContain(part);
  }
});

test('a link lives as long as its approval, and across a director that was killed (D185)', async () => {
  const [{ approve_url = '' }] = await waiting('killed');
  await director.kill();
  const { port } = new URL(director.url);
  const env = {
    DIRECTOR_ACCESS: 'verified',
    DIRECTOR_AUDIENCE: director.url,
    DIRECTOR_ALLOWED: ADMIN,
    DIRECTOR_PRIVATE_HOSTS: 'allowed',
  };
  director = await startDirector(world, { env, port: Number(port) });
  await director.ready();
  expect((await ask('POST', approve_url)).status).toBe(200);
  await ended('killed', 'succeeded');
});

test('nobody who comes in time is a no, and the link says so (D185)', async () => {
  const hasty = await startDirector(world, {
    name: 'hasty',
    env: {
      DIRECTOR_APPROVAL_SECONDS: '1',
      DIRECTOR_TOPIC_PREFIX: 'hasty',
      DIRECTOR_PRIVATE_HOSTS: 'allowed',
    },
  });
  const { port } = chat.address() as AddressInfo;
  const request = { url: `http://127.0.0.1:${port}/hook`, approvals: true };
  const asJson = { 'content-type': 'application/json' };
  const hooked = await fetch(`${hasty.url}/v1/webhooks`, {
    method: 'POST',
    headers: asJson,
    body: JSON.stringify(request),
  });
  // On loopback it is where it was called.
  expect(await hooked.json()).toMatchObject({ approvals: true, approvals_at: hasty.url });
  const flow = ephemeral({ resources: { topics: [{ name: 'hasty-topic' }] } });
  const document = documentOf('hasty', { flow }, { deployment_environments: { production: {} } });
  await hasty.post(
    'dataflow-setup',
    JSON.stringify({ architecture: { document, environment: 'production' } }),
    {
      'idempotency-key': 'hasty.1',
    },
  );
  const link = await until(() => {
    const [found] = told.flatMap((message) =>
      message.type === 'deployment.awaiting_approval' && message.data.deployment === 'hasty.1.flow'
        ? [message.data.approve_url]
        : [],
    );
    if (found === undefined) throw new Error('It is not told');
    return found;
  });
  await until(async () =>
    expect((await hasty.get('/deployments/hasty.1.flow')).body.status).toBe('cancelled'),
  );
  const looked = await fetch(link, AS_JSON);
  expect(ApprovalLink.parse(await looked.json()).state).toBe('expired');
  const late = await fetch(link, { ...AS_JSON, method: 'POST' });
  expect([late.status, ApprovalLink.parse(await late.json()).state]).toEqual([409, 'expired']);
  await hasty.stop();
});
