/** Approvals by links, over HTTP and by a clock that is moved by hand: what a link is good for, and for how long. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApprovalLink, WebhookMessage, WebhookRequest } from '@service-director/shared/contract/webhook.ts';
import type { Plan, PlannedUnit } from '@service-director/shared/engine/plan.ts';
import { timestamp } from '@service-director/shared/kit/clock.ts';
import { AccessRule } from '@service-director/shared/model/architecture.ts';
import { unitId } from '@service-director/shared/model/unit.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { intake } from '../commands/intake.ts';
import { architectures } from '../deployments/architectures.ts';
import { outbox } from '../deployments/outbox.ts';
import { authenticate } from '../http/authenticate.ts';
import { scopesIn } from '../http/demand.ts';
import { createApp } from '../http/server.ts';
import type { Log } from '../observability/log.ts';
import { type DeploymentRecord, keys } from '../store/records.ts';
import { approvalLinks } from './approval-links.ts';
import { approvalPage } from './approval-page.ts';
import { type ApprovalRoutesOptions, approvalRoutes } from './approval-routes.ts';
import { tellingWrites } from './deliveries.ts';
import { linkKey } from './link-key.ts';
import { createWebhook, removeWebhook, rotateSecret, setActive, type Webhook } from './registry.ts';
import { type Bench, deployment, openBench } from './testing.ts';

const HOUR = 3_600_000;
const HASH = 'abcdef0123456789';
const SCOPE = 'shop-prod';
const BASE = 'https://director.example';

let bench: Bench;
let hook: Webhook;
const servers: Server[] = [];
const logged: string[] = [];

beforeEach(async () => {
  bench = openBench();
  const request = WebhookRequest.parse({ url: 'https://hooks.example/a', approvals: true });
  hook = (await createWebhook(request, 'ada', bench, BASE)).record;
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await bench.close();
  logged.splice(0);
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

type Call = (method: string, path: string, more?: RequestInit) => Promise<Answer>;

interface Stand {
  readonly call: Call;
  /** Sets something up that waits for an approval; the links of its message, as paths. */
  parked(name: string, change?: Partial<DeploymentRecord>): Promise<{ approve: string; reject: string }>;
  recordOf(name: string): Promise<DeploymentRecord>;
}

/** A director's HTTP side that lets nobody in. */
async function stand(
  rules: readonly AccessRule[] = [],
  limits: Pick<ApprovalRoutesOptions, 'perMinute' | 'perMinuteOfLink' | 'behindCloudRun'> = {
    ...{ perMinute: 10_000, perMinuteOfLink: 10_000, behindCloudRun: true },
  },
): Promise<Stand> {
  const { store, clock } = bench;
  const note = (message: string, fields: object = {}): void =>
    void logged.push(message + JSON.stringify(fields));
  const log: Log = { debug: note, info: note, warn: note, error: note, with: () => log };
  const speaker = { source: 'a-test', eventsTopic: 'events', deadLetterTopic: 'dead-letters' };
  const sending = outbox({
    ...{ store, clock, random: () => 1 },
    bus: { publish: async () => {} },
    onTrouble: (error) => note(String(error)),
  });
  const taking = intake({
    ...{ store, clock, outbox: sending, speaker, blueprints: architectures },
    onTaken() {},
  });
  const links = approvalLinks({ ...bench, rules, scopes: scopesIn(store, architectures) });
  const app = createApp({
    log,
    version: {},
    isEncrypted: true,
    readiness: () => ({ ready: true, problems: {} }),
    authenticate: authenticate({
      access: 'verified',
      allowed: [],
      audience: BASE,
      endpoint: undefined,
      behindCloudRun: true,
    }),
    limit: (_request, _response, next) => next(),
    routes: [],
    push: undefined,
    byLink: approvalRoutes({ links, intake: taking, clock, ...limits }),
  });
  const server = createServer(app);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  async function recordOf(name: string): Promise<DeploymentRecord> {
    const found = await store.get<DeploymentRecord>(keys.deployment(`${name}.flow`));
    if (!found) throw new Error(`There is no ${name}`);
    return found.value;
  }

  return {
    recordOf,
    async call(method, path, more = {}) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...more });
      return { status: response.status, headers: response.headers, text: await response.text() };
    },
    async parked(name, change = {}) {
      const flow = {
        lifecycle: { strategy: 'ephemeral' },
        resources: { topics: [{ name: `${name}-topic` }] },
      };
      const document = { name: 'shop', project_id: 'proving-ground', region: 'us-central1' };
      const architecture = {
        document: { ...document, dataflows: { flow }, deployment_environments: { prod: {} } },
        environment: 'prod',
      };
      const receipt = await taking.receive({
        fallbackId: name,
        receivedAt: timestamp(clock.now()),
        type: 'dataflow-setup',
        requester: 'bob@example.com',
        envelope: { id: name },
        body: JSON.stringify({ architecture }),
      });
      expect(receipt.result).toBe('accepted');
      const before = await recordOf(name);
      const approval = { state: 'pending', planHash: HASH, expiresAt: clock.now() + HOUR } as const;
      const after: DeploymentRecord = { ...before, status: 'awaiting_approval', approval, ...change };
      const writes = await tellingWrites(before, after, bench);
      await store.commit([
        { type: 'put', key: keys.deployment(after.id), value: after, if: 'any' },
        ...writes,
      ]);
      const [due] = writes.flatMap((write) =>
        write.type === 'put' && 'body' in write.value
          ? [{ id: write.key.id, webhook: hook.id, type: '', createdAt: '', body: String(write.value.body) }]
          : [],
      );
      if (!due) throw new Error('Nothing is told');
      const current = await store.get<Webhook>(keys.webhook(hook.id));
      const message = WebhookMessage.parse(JSON.parse(await links.letter(due, current?.value ?? hook)));
      if (message.type === 'webhook.test') throw new Error('It is a test');
      const { approve_url = '', reject_url = '' } = message.data;
      return { approve: approve_url.replace(BASE, ''), reject: reject_url.replace(BASE, '') };
    },
  };
}

const AS_JSON = { headers: { accept: 'application/json' } };
const linkIn = ({ text }: Answer): ApprovalLink => ApprovalLink.parse(JSON.parse(text));
const NOTHING = { status: 404, text: expect.stringContaining('There is no such link, or it is void') };

describe('a link', () => {
  test('is looked at as often as anybody likes, and decides once it is used, once', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve, reject } = await parked('once');
    for (const method of ['GET', 'HEAD', 'GET'])
      expect(await call(method, approve)).toMatchObject({ status: 200 });
    expect(await recordOf('once')).toMatchObject({ status: 'awaiting_approval' });
    const body = JSON.stringify({ name: 'Ada', reason: 'as agreed' });
    const headers = { ...AS_JSON.headers, 'content-type': 'application/json' };
    const done = await call('POST', approve, { body, headers });
    expect([done.status, linkIn(done)]).toEqual([
      200,
      expect.objectContaining({ deployment: 'once.flow', decision: 'approve', state: 'approved' }),
    ]);
    const approval = {
      state: 'approved',
      planHash: HASH,
      by: `webhook:${hook.id}`,
      reason: 'by a link, saying to be "Ada": as agreed',
    };
    expect(await recordOf('once')).toMatchObject({ status: 'queued', approval });
    for (const link of [approve, reject]) {
      const again = await call('POST', link, AS_JSON);
      expect([again.status, linkIn(again).state]).toEqual([409, 'approved']);
      expect(linkIn(again).note).toContain(`webhook:${hook.id} approved it: by a link, saying to be "Ada"`);
      expect(linkIn(await call('GET', link, AS_JSON)).state).toBe('approved');
    }
    expect(await recordOf('once')).toMatchObject({ status: 'queued', approval });
  });

  test('of two that use it at once one decides (D185)', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve, reject } = await parked('race');
    const uses = [approve, approve, reject, approve, reject].map((link, number) =>
      call('POST', link, { body: new URLSearchParams({ name: `n${number}` }) }),
    );
    const answers = await Promise.all(uses);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409]);
    const { approval } = await recordOf('race');
    const winner = answers.findIndex(({ status }) => status === 200);
    expect(approval).toMatchObject({ reason: `by a link, saying to be "n${winner}"` });
  });

  test('says nothing to whoever changed it, whatever they changed', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve, reject } = await parked('tampered');
    const [said = '', signature = ''] = approve.replace('/v1/approvals/', '').split('.');
    const terms = JSON.parse(Buffer.from(said, 'base64url').toString());
    const others = [
      ...terms.map((_: unknown, at: number) => terms.with(at, at === 5 ? 'reject' : 'x')),
      terms.with(6, terms[6] + HOUR),
    ].map((other) => `${Buffer.from(JSON.stringify(other)).toString('base64url')}.${signature}`);
    const last = signature.at(-1) === 'A' ? 'B' : 'A';
    const letters = [...signature].map((letter, at) =>
      [...signature].with(at, letter === 'x' ? 'y' : 'x').join(''),
    );
    const bad = [
      ...others,
      ...letters.map((other) => `${said}.${other}`),
      `${said}.${signature.slice(0, -1)}${last}`,
      ...[said, `${said}.`, `.${signature}`, `${said}.${signature}.`, `${said}.${signature}=`, 'x'],
      `${reject.replace('/v1/approvals/', '').split('.')[0]}.${signature}`,
      'a'.repeat(5_000),
      '..%2f..%2fwebhooks',
    ];
    for (const link of bad)
      for (const method of ['GET', 'POST'])
        expect(await call(method, `/v1/approvals/${link}`), link).toMatchObject(NOTHING);
    expect(
      new Set(await Promise.all(bad.map(async (link) => (await call('GET', `/v1/approvals/${link}`)).text)))
        .size,
    ).toBe(1);
    expect(await recordOf('tampered')).toMatchObject({ status: 'awaiting_approval' });
    for (const path of ['/v1/approvals', '/v1/webhooks', '/v1/deployments', `${approve}/more`])
      expect(await call('GET', path), path).toMatchObject({ status: 401 });
    expect(await call('DELETE', approve)).toMatchObject({ status: 401 });
  });

  test('is over when the approval is (D185)', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve } = await parked('late');
    bench.clock.advance(HOUR - 1);
    expect(linkIn(await call('GET', approve, AS_JSON)).state).toBe('open');
    bench.clock.advance(1);
    const late = await call('POST', approve, AS_JSON);
    expect([late.status, linkIn(late)]).toEqual([
      409,
      expect.objectContaining({ state: 'expired', note: 'Nobody approved it in time: run it again' }),
    ]);
    expect(await recordOf('late')).toMatchObject({ status: 'awaiting_approval' });
  });

  test('is void once its webhook has another secret, was stopped, or is gone (D185)', async () => {
    const { call, parked, recordOf } = await stand();
    const expectVoid = async ({ approve, reject }: { approve: string; reject: string }): Promise<void> => {
      for (const link of [approve, reject])
        for (const method of ['GET', 'POST']) expect(await call(method, link)).toMatchObject(NOTHING);
    };
    const rotated = await parked('rotated');
    // Whatever time the old secret still signs.
    await rotateSecret(hook.id, HOUR, bench);
    await expectVoid(rotated);
    const stopped = await parked('stopped');
    await setActive(hook.id, false, bench.store);
    await expectVoid(stopped);
    await setActive(hook.id, true, bench.store);
    await expectVoid(stopped);
    const good = await parked('good');
    await setActive(hook.id, true, bench.store);
    expect(await call('GET', good.approve)).toMatchObject({ status: 200 });
    await removeWebhook(hook.id, bench);
    await expectVoid(good);
    for (const name of ['rotated', 'stopped', 'good'])
      expect(await recordOf(name)).toMatchObject({ status: 'awaiting_approval' });
  });

  test('is for one plan: another, or the same that is waited for anew, is not decided by it (D185)', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve, reject } = await parked('planned');
    const other = { state: 'pending', planHash: 'another', expiresAt: bench.clock.now() + HOUR } as const;
    for (const approval of [other, { ...other, planHash: HASH, expiresAt: other.expiresAt + 1 }]) {
      const value = { ...(await recordOf('planned')), approval };
      await bench.store.commit([{ type: 'put', key: keys.deployment(value.id), value, if: 'any' }]);
      for (const link of [approve, reject]) {
        const answer = await call('POST', link, AS_JSON);
        expect([answer.status, linkIn(answer).state]).toEqual([409, 'void']);
      }
      expect(await recordOf('planned')).toEqual(value);
    }
  });

  test('says who cancelled what it was for', async () => {
    const { call, parked, recordOf } = await stand();
    const { approve } = await parked('cancelled');
    const { approval: _, ...rest } = await recordOf('cancelled');
    const cancel = { by: 'eve', at: timestamp(bench.clock.now()), reason: 'too slow' };
    const value = { ...rest, status: 'cancelled', cancel } as const;
    await bench.store.commit([{ type: 'put', key: keys.deployment(value.id), value, if: 'any' }]);
    expect(linkIn(await call('GET', approve, AS_JSON))).toMatchObject({
      state: 'cancelled',
      note: expect.stringContaining('eve cancelled it: too slow'),
    });
  });
});

describe('where nobody approves their own', () => {
  const rule = (more: object): AccessRule =>
    AccessRule.parse({ principal: 'bob@example.com', role: 'approver', self_approval: false, ...more });

  test('there is no link that approves, and one from before approves nothing; one that rejects there is', async () => {
    const { parked: before } = await stand();
    const { approve: old } = await before('old');
    for (const rules of [
      [rule({})],
      [rule({ environments: ['prod'] })],
      [rule({ role: 'admin', environments: ['shop-*'] })],
    ]) {
      const { call, parked, recordOf } = await stand(rules);
      const name = `strict.${rules[0]?.role}.${rules[0]?.environments?.[0]?.length ?? 0}`;
      const { approve, reject } = await parked(name);
      expect(approve).toBe('');
      const refused = await call('POST', old, AS_JSON);
      expect([refused.status, linkIn(refused).state]).toEqual([409, 'refused']);
      expect(await recordOf('old')).toMatchObject({ status: 'awaiting_approval' });
      expect((await call('POST', reject)).status).toBe(200);
      expect(await recordOf(name)).toMatchObject({
        status: 'cancelled',
        approval: { state: 'rejected', by: `webhook:${hook.id}` },
      });
    }
  });

  test('a rule of elsewhere keeps nobody back', async () => {
    const { parked } = await stand([rule({ environments: ['dev'] }), rule({ self_approval: true })]);
    expect((await parked('free')).approve).toContain('/v1/approvals/');
  });
});

describe('the page', () => {
  const HOSTILE = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&\u202e`;

  const EMPTY: Plan = {
    ...{ stack: `${SCOPE}/flow`, operation: 'deploy', units: [], externals: [], grants: [] },
    ...{ seconds: 2, criticalPath: [], warnings: [], hash: HASH },
  };
  const unitOf = (name: string): PlannedUnit => ({
    ...{ id: unitId('topic', name), kind: 'topic', after: [], seconds: 2, outputs: {} },
    change: { action: 'create' },
  });

  test('shows what would be applied, and nothing of anybody runs in it (D185)', async () => {
    const { call, parked } = await stand();
    const plan: Plan = {
      ...EMPTY,
      units: [{ ...unitOf(HOSTILE), change: { action: 'update', fields: [HOSTILE] } }],
      grants: [{ change: 'gained', member: HOSTILE, role: 'roles/editor', on: HOSTILE }],
      warnings: [HOSTILE, 'password=planted'],
    };
    const { approve } = await parked('page', { plan, reason: HOSTILE, requester: HOSTILE });
    const { status, headers, text } = await call('GET', approve);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; .*form-action 'self'; frame-ancestors 'none'$/,
    );
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('strict-transport-security')).toBe('max-age=31536000');
    const tags = new Set([...text.matchAll(/<\/?([a-z0-9!]+)/gi)].map(([, tag = '']) => tag.toLowerCase()));
    for (const tag of ['script', 'img', 'iframe', 'a']) expect(tags).not.toContain(tag);
    for (const [tag] of text.matchAll(/<[^>]*>/g)) expect(tag).not.toMatch(/\son\w+\s*=|javascript:/i);
    expect(text).not.toContain('\u202e');
    expect(text).toContain('&#60;script&#62;alert(1)&#60;/script&#62;');
    expect(text).toContain('roles/editor');
    expect(text).toContain('password=***');
    expect(text).not.toContain('planted');
    expect(text).toContain('<form method="post">');
    const done = await call('POST', approve, { body: new URLSearchParams({ name: HOSTILE, reason: '' }) });
    expect(done.status).toBe(200);
    expect(done.text).not.toContain('<script');
    expect(done.text).not.toContain('<form');
    expect(done.text).toContain('saying to be');
  });

  test('of a plan of thousands it shows some, and counts the rest', () => {
    const units = Array.from({ length: 1_000 }, (_, number) => unitOf(`t${number}`));
    const record = deployment({ plan: { ...EMPTY, units } });
    const decision = 'approve';
    const page = approvalPage({
      terms: { webhook: 'wh_1', round: '1', deployment: record.id, planHash: HASH, decision, expiresAt: 0 },
      record,
      standing: {
        ...{ deployment: record.id, stack: record.stack, decision, plan_hash: HASH, expires_at: '' },
        ...{ state: 'open', note: '' },
      },
    });
    expect(page).toContain('and 800 more');
    expect(page.length).toBeLessThan(50_000);
  });
});

test('a body that is long, or means nothing, decides nothing', async () => {
  const { call, parked, recordOf } = await stand();
  const { approve } = await parked('bodies');
  const json = { 'content-type': 'application/json' };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const cases: [number, RequestInit][] = [
    [413, { body: `name=${'a'.repeat(5_000)}`, headers: form }],
    [400, { body: `name=${'a'.repeat(101)}`, headers: form }],
    [400, { body: 'approve=true', headers: form }],
    [400, { body: '{"name": ', headers: json }],
    [400, { body: '{"name": 7}', headers: json }],
    [400, { body: '{"plan_hash": "x"}', headers: json }],
    [415, { body: 'name=Ada', headers: { 'content-type': 'text/plain' } }],
  ];
  for (const [status, more] of cases)
    expect(await call('POST', approve, more), JSON.stringify(more.body)).toMatchObject({ status });
  expect(await recordOf('bodies')).toMatchObject({ status: 'awaiting_approval' });
  expect(await call('POST', approve, { body: '{"reason": "\\u200b"}', headers: json })).toMatchObject({
    status: 200,
  });
});

test('who asks too often is refused, each part of the network for itself, and cannot say that it is another (D185)', async () => {
  const { call } = await stand([], { perMinute: 3, behindCloudRun: true });
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
  const guess = (address: string) => call('GET', '/v1/approvals/x', from(address));
  const statuses: number[] = [];
  for (const fake of ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'])
    statuses.push((await guess(`${fake}, 203.0.113.7`)).status);
  expect(statuses).toEqual([404, 404, 404, 429]);
  const refused = await guess('203.0.113.7');
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await guess('198.51.100.9')).toMatchObject({ status: 404 });
  bench.clock.advance(60_000);
  expect(await guess('203.0.113.7')).toMatchObject({ status: 404 });
});

test('who guesses keeps nobody off who has a link, though all seem to call from one address (D185)', async () => {
  const { call, parked, recordOf } = await stand([], { perMinute: 3, behindCloudRun: false });
  const { approve, reject } = await parked('besieged');
  const guesses = [
    approve.slice(0, -1),
    `${approve}x`,
    '/v1/approvals/x',
    '/v1/approvals/y',
    '/v1/approvals/z',
  ];
  const statuses: number[] = [];
  for (const guess of guesses) statuses.push((await call('GET', guess)).status);
  expect(statuses).toEqual([404, 404, 404, 429, 429]);
  for (const link of [approve, reject]) expect(await call('GET', link)).toMatchObject({ status: 200 });
  expect(await call('POST', approve)).toMatchObject({ status: 200 });
  expect(await recordOf('besieged')).toMatchObject({ status: 'queued' });
});

test('one link is used so often a minute, whoever uses it, and another as if there were none', async () => {
  const { call, parked } = await stand([], { perMinuteOfLink: 2, behindCloudRun: true });
  const { approve, reject } = await parked('worn');
  const statuses: number[] = [];
  for (const address of ['203.0.113.7', '198.51.100.9', '192.0.2.1'])
    statuses.push((await call('GET', approve, { headers: { 'x-forwarded-for': address } })).status);
  expect(statuses).toEqual([200, 200, 429]);
  expect(await call('GET', reject)).toMatchObject({ status: 200 });
  bench.clock.advance(60_000);
  expect(await call('GET', approve)).toMatchObject({ status: 200 });
});

test('neither the key nor a link is in what is kept or logged; directors that begin at once come to one key', async () => {
  const { call, parked } = await stand();
  const { approve } = await parked('kept');
  await call('POST', approve);
  const rows = await Promise.all(
    (['webhooks', 'deliveries', 'deployments', 'commands', 'audit', 'outbox', 'journal'] as const).map(
      (collection) => bench.store.list({ collection }),
    ),
  );
  const kept = JSON.stringify(rows) + logged.join('');
  const [said = '', signature = ''] = approve.replace('/v1/approvals/', '').split('.');
  for (const part of [said, signature]) expect(kept).not.toContain(part);
  const { key } =
    (await bench.store.get<{ key: string }>({ collection: 'artifacts', id: 'webhooks/links' }))?.value ?? {};
  const secret = await bench.artifacts.read(key ?? '');
  expect(secret).toHaveLength(32);
  for (const form of ['base64', 'base64url', 'hex'] as const)
    expect(kept).not.toContain(secret?.toString(form));

  const fresh = openBench();
  const keysMade = await Promise.all([1, 2, 3].map(() => linkKey(fresh.store, fresh.artifacts)()));
  expect(new Set(keysMade.map(String)).size).toBe(1);
  expect(await fresh.store.list({ collection: 'artifacts', prefix: 'webhooks/links/' })).toHaveLength(1);
  await fresh.close();
});

test('without knowing where it is, a director sends no links; nor does it where nobody asked', async () => {
  const { parked } = await stand();
  const { base: _, ...approvals } = hook.approvals ?? { round: '' };
  for (const value of [{ ...hook, approvals }, (({ approvals: _none, ...rest }) => rest)(hook)]) {
    await bench.store.commit([{ type: 'put', key: keys.webhook(hook.id), value, if: 'any' }]);
    expect(await parked(`nowhere.${'approvals' in value}`)).toEqual({ approve: '', reject: '' });
  }
});
