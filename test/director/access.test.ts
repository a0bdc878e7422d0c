/** Who may do what over HTTP: real tokens of the local cloud, roles by environment, and those who try to get round them. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '@service-director/director/config.ts';
import { architectures } from '@service-director/director/deployments/architectures.ts';
import { authenticate, callerOf, whoCalls } from '@service-director/director/http/authenticate.ts';
import {
  demand,
  demandIncoming,
  maySeeCommand,
  scopesIn,
  visible,
} from '@service-director/director/http/demand.ts';
import { limitDepth, limitRate } from '@service-director/director/http/limits.ts';
import { Problem } from '@service-director/director/http/problem.ts';
import { createApp, type ServerOptions } from '@service-director/director/http/server.ts';
import type { Log } from '@service-director/director/observability/log.ts';
import { type CommandRecord, keys } from '@service-director/director/store/records.ts';
import { sqliteStore } from '@service-director/director/store/sqlite.ts';
import type { Write } from '@service-director/director/store/store.ts';
import { type RunningCloud, startLocalCloud } from '@service-director/localcloud';
import { isCommandType } from '@service-director/shared/contract/command.ts';
import { infrastructureUnits } from '@service-director/shared/engine/infrastructure.ts';
import { systemClock, timestamp } from '@service-director/shared/kit/clock.ts';
import { MOST_DEPTH } from '@service-director/shared/kit/json-depth.ts';
import { AccessRule, Architecture } from '@service-director/shared/model/architecture.ts';
import { check } from '@service-director/shared/model/check.ts';
import { hydrate } from '@service-director/shared/model/hydrate.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { documentOf, ephemeral } from './support/documents.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

type Handler = ServerOptions['authenticate'];
type Routes = ServerOptions['routes'][number];
/** As the director has it: the tests have none of their own. */
const { Router, text }: { Router(): Routes; text(options: object): Handler } = createRequire(
  join(import.meta.dirname, '../../director/src/main.ts'),
)('express');

const PROJECT = 'access-ground';
const AUDIENCE = 'https://director.example';
const emailOf = (id: string): string => `${id}@${PROJECT}.iam.gserviceaccount.com`;
const [OWNER, VIEWER, DEPLOYER, APPROVER, BOTH, KEEPER, STRANGER] = [
  'owner-account',
  'viewer-account',
  'deployer-account',
  'approver-account',
  'both-account',
  'keeper-account',
  'stranger-account',
].map(emailOf) as [string, string, string, string, string, string, string];
const ACCOUNTS = [OWNER, VIEWER, DEPLOYER, APPROVER, BOTH, KEEPER, STRANGER];

const RULES = [
  { principal: VIEWER, role: 'viewer', environments: ['dev'] },
  { principal: `serviceAccount:${DEPLOYER}`, role: 'deployer', environments: ['dev'] },
  { principal: APPROVER, role: 'approver' },
  { principal: BOTH, role: 'deployer' },
  { principal: BOTH, role: 'approver', self_approval: false },
  { principal: KEEPER, role: 'admin', environments: ['dev'] },
  { principal: 'domain:example.com', role: 'viewer' },
];

const SHOP = documentOf(
  'shop',
  { flow: ephemeral({ resources: { topics: [{ name: 'orders' }] } }) },
  {
    deployment_environments: { dev: {}, prod: {} },
  },
);

const store = sqliteStore({ path: ':memory:' });
/** What got through, with who sent it. */
const taken: { type: string; by: string }[] = [];
let dir: string;
let running: RunningCloud;
const servers: Server[] = [];
let url: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'access-'));
  running = await startLocalCloud({ dir: join(dir, 'cloud'), project: PROJECT, propagationMs: 0 });
  for (const email of ACCOUNTS) {
    await call(`/v1/projects/${PROJECT}/serviceAccounts`, { accountId: email.split('@')[0] });
    const bindings = [
      { role: 'roles/iam.serviceAccountTokenCreator', members: ['user:developer@example.com'] },
    ];
    await call(`/v1/projects/${PROJECT}/serviceAccounts/${email}:setIamPolicy`, { policy: { bindings } });
  }
  await store.commit([
    ...told('shop', 'dev'),
    ...told('shop', 'prod'),
    // Of an environment with a hyphen, and of an architecture whose name looks like one with an environment.
    ...told('shop', 'eu-dev'),
    ...told('mail-dev', undefined),
    deployment('c1.flow', 'shop-dev', DEPLOYER),
    deployment('c2.flow', 'shop-prod', DEPLOYER),
    deployment('c3.flow', 'shop-prod', BOTH),
    command('c1', ['c1.flow'], DEPLOYER),
    command('c2', ['c2.flow'], 'somebody'),
    command('c4', ['c1.flow', 'c2.flow'], 'somebody'),
  ]);
  url = await serve(routesWith(), 'verified');
});

afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await store.close();
  await running.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function call(path: string, body: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${running.origin}${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

/** An architecture that was told before, and its stack. */
function told(name: string, environment: string | undefined): Write[] {
  const scope = environment === undefined ? name : `${name}-${environment}`;
  const environments = environment === undefined ? {} : { [environment]: {} };
  const document = Architecture.parse({ ...SHOP, name, deployment_environments: environments });
  const stack = `${scope}/flow` as const;
  const record = {
    scope,
    document,
    time: '2026-01-01T00:00:00Z',
    ...(environment === undefined ? {} : { environment }),
  };
  return [
    { type: 'put', key: keys.architecture(scope), value: record, if: 'absent' },
    {
      type: 'put',
      key: keys.stack(stack),
      value: { stack, scope, dataflow: 'flow', permanent: false, version: 1, token: 1 },
      if: 'absent',
    },
  ];
}

function deployment(id: string, scope: string, requester: string): Write {
  const value = { id, scope, dataflow: 'flow', stack: `${scope}/flow`, requester, command: id.split('.')[0] };
  return { type: 'put', key: keys.deployment(id), value, if: 'absent' };
}

function command(id: string, deployments: readonly string[], requester: string): Write {
  const value = { id, deployments, command: { type: 'deploy', requester, data: {} } };
  return { type: 'put', key: keys.command(id), value, if: 'absent' };
}

/** Routes as a director has them, which note what got through. */
function routesWith(...before: Handler[]): Routes {
  const scopes = scopesIn(store, architectures);
  const router = Router();
  for (const handler of before) router.use(handler);
  router.post(
    '/commands/:type',
    text({ type: () => true }),
    limitDepth(MOST_DEPTH),
    async (request, response) => {
      const type = String(request.params.type);
      if (!isCommandType(type)) throw new Problem(404, 'Unknown command', type);
      const incoming = {
        fallbackId: 'http-1',
        receivedAt: timestamp(systemClock.now()),
        type,
        requester: callerOf(request),
        envelope: {},
        body: String(request.body),
      };
      await demandIncoming(whoCalls(request), incoming, scopes);
      taken.push({ type, by: callerOf(request) });
      response.status(202).json({});
    },
  );
  router.get('/stacks', demand('read'), async (request, response) => {
    const all = ['shop-dev', 'shop-prod', 'shop-eu-dev', 'mail-dev'].map((scope) => ({ scope }));
    response.json(await visible(whoCalls(request), all, scopes));
  });
  router.get(
    '/stacks/:scope/:dataflow',
    demand('read-state', ({ params }) => scopes.placeOf(String(params.scope))),
    (_request, response) => void response.json({}),
  );
  router.get(
    '/deployments/:id',
    demand('read', ({ params }) => scopes.placeOfDeployment(String(params.id))),
    (_request, response) => void response.json({}),
  );
  router.post(
    '/deployments/:id/cancel',
    demand('cancel', ({ params }) => scopes.placeOfDeployment(String(params.id))),
    (_request, response) => void response.json({}),
  );
  router.get('/commands/:id', demand('read'), async (request, response) => {
    const found = await store.get<CommandRecord>(keys.command(String(request.params.id)));
    const sees = found && (await maySeeCommand(whoCalls(request), found.value, scopes));
    response.status(sees ? 200 : 404).json({});
  });
  router.put('/settings', demand('administer'), (_request, response) => void response.json({}));
  return router;
}

const SILENT: Log = { with: () => SILENT, info() {}, warn() {}, error() {}, debug() {} };

async function serve(
  routes: Routes,
  access: 'verified' | 'loopback',
  behindCloudRun = false,
): Promise<string> {
  const app = createApp({
    log: SILENT,
    version: {},
    isEncrypted: access !== 'loopback',
    limit: (_request, _response, next) => next(),
    readiness: () => ({ ready: true, problems: {} }),
    authenticate: authenticate({
      access,
      allowed: [OWNER],
      roles: RULES.map((rule) => AccessRule.parse(rule)),
      audience: AUDIENCE,
      endpoint: running.origin,
      behindCloudRun,
    }),
    routes: [routes],
    push: undefined,
  });
  const server = createServer(app);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

const tokens = new Map<string, Promise<string>>();

/** As `gcloud auth print-identity-token` gets it. */
function tokenOf(email: string): Promise<string> {
  const path = `/v1/projects/-/serviceAccounts/${email}:generateIdToken`;
  const known =
    tokens.get(email) ??
    call(path, { audience: AUDIENCE, includeEmail: true }).then(({ token }) => String(token));
  tokens.set(email, known);
  return known;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly detail?: string; readonly fix?: string };
}

async function ask(method: string, path: string, token: string | undefined, body?: string): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const get = async (email: string, path: string): Promise<number> =>
  (await ask('GET', path, await tokenOf(email))).status;
const send = async (email: string, type: string, data: object | string): Promise<Answer> =>
  ask(
    'POST',
    `/commands/${type}`,
    await tokenOf(email),
    typeof data === 'string' ? data : JSON.stringify(data),
  );

const bringing = (environment: string | undefined, document: object = SHOP): object => ({
  dataflow: 'flow',
  architecture: { document, ...(environment === undefined ? {} : { environment }) },
});

describe('who calls', () => {
  const claims = (more: object = {}): object => {
    const iat = Math.floor(systemClock.now() / 1000);
    const iss = 'https://accounts.google.com';
    return {
      iss,
      aud: AUDIENCE,
      email: OWNER,
      email_verified: true,
      sub: '1',
      iat,
      exp: iat + 3_600,
      ...more,
    };
  };

  test('without a good token nobody gets anywhere, and nothing is taken', async () => {
    const signed = (more: object): string => running.cloud.tokens.signJwt(claims(more));
    const hourAgo = Math.floor(systemClock.now() / 1000) - 7_200;
    const elsewhere = await call(`/v1/projects/-/serviceAccounts/${OWNER}:generateIdToken`, {
      audience: 'https://elsewhere.example',
      includeEmail: true,
    });
    const good = await tokenOf(OWNER);
    const bad: Record<string, string | undefined> = {
      none: undefined,
      nonsense: 'nonsense',
      expired: signed({ iat: hourAgo, exp: hourAgo + 3_600 }),
      'another audience': String(elsewhere.token),
      'another issuer': signed({ iss: 'https://evil.example' }),
      'no address': signed({ email: undefined }),
      'an address that nobody checked': signed({ email_verified: false }),
      'other keys': signedByAnother(claims()),
      'another body under the signature': good.replace(/\.[^.]+\./, `.${encoded(claims({ email: BOTH }))}.`),
      'no signature': good.replace(/[^.]+$/, ''),
      'no signature, as Cloud Run leaves it': good.replace(/[^.]+$/, 'SIGNATURE_REMOVED_BY_GOOGLE'),
      'algorithm none': `${encoded({ alg: 'none', typ: 'JWT' })}.${encoded(claims())}.`,
    };
    const before = taken.length;
    for (const [what, token] of Object.entries(bad)) {
      for (const path of ['/stacks', '/stacks/shop-dev/flow', '/unheard-of'])
        expect((await ask('GET', path, token)).status, `${what}: ${path}`).toBe(401);
      expect((await ask('POST', '/commands/teardown', token, '{"dataflow":"all"}')).status, what).toBe(401);
    }
    expect(taken.length).toBe(before);
  });

  test('an account that is not listed is told so', async () => {
    const answer = await ask('GET', '/stacks', await tokenOf(STRANGER));
    expect(answer).toMatchObject({
      status: 403,
      body: {
        detail: `${STRANGER} is not on this director's list.`,
        fix: expect.stringContaining('director.access'),
      },
    });
  });

  test('everybody of a domain is whom Google says to be of it, and not whose address ends so', async () => {
    const token = (more: object): string => running.cloud.tokens.signJwt(claims(more));
    const of = async (more: object): Promise<number> => (await ask('GET', '/stacks', token(more))).status;
    expect(await of({ email: 'ada@example.com', hd: 'example.com' })).toBe(200);
    expect(await of({ email: 'ada@example.com' })).toBe(403);
    expect(await of({ email: 'ada@example.com', hd: 'evil.example' })).toBe(403);
    expect(await of({ email: 'ada@example.com.evil.example', hd: 'example.com.evil.example' })).toBe(403);
  });

  test('behind Cloud Run roles go by the token that it has checked', async () => {
    const fronted = await serve(routesWith(), 'verified', true);
    const unsigned = async (email: string): Promise<string> =>
      `Bearer ${(await tokenOf(email)).replace(/[^.]+$/, 'SIGNATURE_REMOVED_BY_GOOGLE')}`;
    const seen = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${fronted}/stacks/shop-prod/flow`, { headers })).status;
    expect(await seen({ authorization: await unsigned(OWNER) })).toBe(200);
    expect(await seen({ authorization: await unsigned(DEPLOYER) })).toBe(403);
    const both = {
      'x-serverless-authorization': await unsigned(DEPLOYER),
      authorization: await unsigned(OWNER),
    };
    expect(await seen(both)).toBe(403);
  });

  function signedByAnother(body: object): string {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const bytes = `${encoded({ alg: 'RS256', kid: running.cloud.tokens.keyId, typ: 'JWT' })}.${encoded(body)}`;
    return `${bytes}.${sign('RSA-SHA256', Buffer.from(bytes), privateKey).toString('base64url')}`;
  }
});

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

describe('what a role permits, where', () => {
  test('a viewer sees their environment, and no state', async () => {
    expect(await get(VIEWER, '/deployments/c1.flow')).toBe(200);
    expect(await get(VIEWER, '/deployments/c2.flow')).toBe(403);
    expect(await get(VIEWER, '/stacks/shop-dev/flow')).toBe(403);
    const listed = await ask('GET', '/stacks', await tokenOf(VIEWER));
    expect(listed.body).toEqual([{ scope: 'shop-dev' }]);
    expect((await ask('GET', '/stacks', await tokenOf(APPROVER))).body).toHaveLength(4);
  });

  test('of the commands, one sees what is about nothing else, and what one sent oneself', async () => {
    expect(await get(VIEWER, '/commands/c1')).toBe(200);
    for (const id of ['c2', 'c4', 'unheard-of']) expect(await get(VIEWER, `/commands/${id}`), id).toBe(404);
    for (const id of ['c1', 'c2', 'c4']) expect(await get(OWNER, `/commands/${id}`), id).toBe(200);
  });

  test('a role that is too small is named, with the one that it takes', async () => {
    const answer = await send(VIEWER, 'deploy', { dataflow: 'flow', scope: 'shop-dev' });
    expect(answer).toMatchObject({
      status: 403,
      body: { detail: expect.stringMatching(/viewer-account.* may not deploy .*the role deployer or admin/) },
    });
    expect(answer.body.fix).toContain(`principal: ${VIEWER}, role: deployer`);
    for (const type of ['dataflow-setup', 'teardown', 'rollback', 'approve', 'cancel', 'lock', 'unlock'])
      for (const body of ['{}', 'no JSON', '{"dataflow":"flow"}'])
        expect((await send(VIEWER, type, body)).status, `${type} ${body}`).toBe(403);
  });

  test('a deployer deploys in their environment alone, by whichever name they call it', async () => {
    const dev = { dataflow: 'flow', scope: 'shop-dev' };
    for (const type of ['dataflow-setup', 'deploy', 'teardown', 'lock'])
      expect((await send(DEPLOYER, type, dev)).status, type).toBe(202);
    expect((await send(DEPLOYER, 'rollback', { deployment: 'c1.flow', reason: 'why not' })).status).toBe(202);
    expect((await send(DEPLOYER, 'cancel', { deployment: 'c1.flow' })).status).toBe(202);
    expect((await send(DEPLOYER, 'cancel', { command: 'c1' })).status).toBe(202);
    expect((await send(DEPLOYER, 'deploy', bringing('dev'))).status).toBe(202);
    const before = taken.length;
    for (const scope of ['shop-prod', 'shop-eu-dev', 'mail-dev'])
      for (const type of ['dataflow-setup', 'deploy', 'teardown', 'lock'])
        expect((await send(DEPLOYER, type, { dataflow: 'flow', scope })).status, `${type} ${scope}`).toBe(
          403,
        );
    const elsewhere: [string, object][] = [
      ['deploy', bringing('prod')],
      ['deploy', { ...bringing('prod'), dry_run: true }],
      ['rollback', { deployment: 'c2.flow', reason: 'why not' }],
      ['rollback', { dataflow: 'flow', scope: 'shop-prod', reason: 'why not' }],
      ['cancel', { deployment: 'c2.flow' }],
      ['cancel', { command: 'c2' }],
      // One of its deployments is theirs to cancel.
      ['cancel', { command: 'c4' }],
      ['unlock', { dataflow: 'flow', scope: 'shop-dev', force: true, reason: 'why not' }],
      ['approve', { deployment: 'c1.flow' }],
    ];
    for (const [type, data] of elsewhere)
      expect((await send(DEPLOYER, type, data)).status, `${type} ${JSON.stringify(data)}`).toBe(403);
    expect(taken.length).toBe(before);
  });

  test('an environment is not got into by its name', async () => {
    const tricks: [string, object, number][] = [
      // The scope of another environment, put together from another name.
      ['an architecture and its environment, cut elsewhere', bringing('dev', named('shop-eu', 'dev')), 403],
      ['an architecture that is called as a scope', bringing('dev', named('mail', 'dev')), 403],
      ['no environment, and the whole scope for a name', bringing(undefined, named('shop-prod')), 403],
      ['one that ends as theirs does', bringing('non-dev', named('shop', 'non-dev')), 403],
      ['a scope that says otherwise', { ...bringing('dev'), scope: 'shop-prod' }, 400],
      ['a scope that is a path', { dataflow: 'flow', scope: 'shop-dev/../shop-prod' }, 400],
      ['every dataflow of whatever there is', { dataflow: 'all' }, 400],
      ['a dataflow that several have', { dataflow: 'flow' }, 400],
      ['an environment that the architecture does not have', bringing('nowhere'), 400],
    ];
    const before = taken.length;
    for (const [what, data, status] of tricks)
      expect((await send(DEPLOYER, 'deploy', data)).status, what).toBe(status);
    expect(taken.length).toBe(before);
  });

  test('nor by a path', async () => {
    expect(await get(DEPLOYER, '/stacks/shop-dev/flow')).toBe(200);
    for (const path of [
      '/stacks/shop-prod/flow',
      '/stacks/shop-prod%2F..%2Fshop-dev/flow',
      '/stacks/shop-dev%2F..%2Fshop-prod/flow',
      '/stacks/shop-dev%00/flow',
      '/stacks/SHOP-DEV/flow',
      '/stacks/%2e%2e/flow',
      `/stacks/${'shop-dev'.repeat(400)}/flow`,
    ])
      expect([403, 404], path).toContain(await get(DEPLOYER, path));
    // The client's own tidying up is no way round it: this goes out as it is written.
    expect(await rawGet('/stacks/shop-dev/../shop-prod/flow', await tokenOf(DEPLOYER))).toBe(404);
    expect(await rawGet('//stacks/shop-prod/flow', await tokenOf(DEPLOYER))).toBe(404);
  });

  test('what names nothing that there is: to look at it is no secret, to change it takes the role everywhere', async () => {
    expect(await get(DEPLOYER, '/deployments/unheard-of')).toBe(200);
    const cancel = async (email: string): Promise<number> =>
      (await ask('POST', '/deployments/unheard-of/cancel', await tokenOf(email))).status;
    expect([await cancel(DEPLOYER), await cancel(BOTH), await cancel(OWNER)]).toEqual([403, 200, 200]);
  });

  test('only an admin of every environment changes settings', async () => {
    for (const email of [VIEWER, DEPLOYER, APPROVER, BOTH, KEEPER])
      expect((await ask('PUT', '/settings', await tokenOf(email))).status, email).toBe(403);
    expect((await ask('PUT', '/settings', await tokenOf(OWNER))).status).toBe(200);
  });

  test('whoever is allowed everything is asked nothing more; what is wrong is for the ledger', async () => {
    const force = { dataflow: 'flow', scope: 'shop-prod', force: true, reason: 'why not' };
    expect((await send(OWNER, 'unlock', force)).status).toBe(202);
    expect((await send(KEEPER, 'unlock', force)).status).toBe(403);
    expect((await send(KEEPER, 'unlock', { ...force, scope: 'shop-dev' })).status).toBe(202);
    for (const body of ['no JSON', '{}', '{"dataflow":"unheard-of"}'])
      expect((await send(OWNER, 'deploy', body)).status, body).toBe(202);
  });
});

function named(name: string, environment?: string): object {
  return { ...SHOP, name, deployment_environments: environment === undefined ? {} : { [environment]: {} } };
}

describe('approvals', () => {
  test('an approver approves and rejects what others asked for, and deploys nothing', async () => {
    for (const decision of ['approve', 'reject'])
      expect((await send(APPROVER, 'approve', { deployment: 'c2.flow', decision })).status).toBe(202);
    expect((await send(APPROVER, 'deploy', { dataflow: 'flow', scope: 'shop-dev' })).status).toBe(403);
  });

  test('a deployer approves nothing, their own least of all, and cannot say that none need be asked', async () => {
    expect((await send(DEPLOYER, 'approve', { deployment: 'c1.flow' })).status).toBe(403);
    const auto = { dataflow: 'flow', scope: 'shop-dev', auto_approve: true };
    for (const type of ['deploy', 'teardown', 'dataflow-setup'])
      expect((await send(DEPLOYER, type, auto)).status, type).toBe(403);
    // What only plans asks nobody.
    expect((await send(DEPLOYER, 'deploy', { ...auto, dry_run: true })).status).toBe(202);
  });

  test('where a rule wants other eyes, nobody approves what they asked for, nor says so beforehand', async () => {
    const own = await send(BOTH, 'approve', { deployment: 'c3.flow' });
    expect(own).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('may not approve their own') },
    });
    expect((await send(BOTH, 'approve', { deployment: 'c3.flow', decision: 'reject' })).status).toBe(202);
    expect((await send(BOTH, 'approve', { deployment: 'c2.flow' })).status).toBe(202);
    const auto = { dataflow: 'flow', scope: 'shop-prod', auto_approve: true };
    expect((await send(BOTH, 'deploy', auto)).status).toBe(403);
    expect((await send(BOTH, 'deploy', { ...auto, auto_approve: false })).status).toBe(202);
  });

  test('to bring an architecture that needs no approval where one was needed is to approve', async () => {
    const gated = (approval: string): object =>
      bringing('dev', { ...SHOP, name: 'gated', deployment_environments: { dev: { approval } } });
    const document = Architecture.parse({
      ...SHOP,
      name: 'gated',
      deployment_environments: { dev: { approval: 'manual' } },
    });
    const record = { scope: 'gated-dev', environment: 'dev', document, time: '2026-01-01T00:00:00Z' };
    await store.commit([{ type: 'put', key: keys.architecture('gated-dev'), value: record, if: 'absent' }]);
    expect((await send(DEPLOYER, 'deploy', gated('manual'))).status).toBe(202);
    const opened = await send(DEPLOYER, 'deploy', gated('automatic'));
    expect(opened).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('may not approve') },
    });
    expect((await send(DEPLOYER, 'deploy', { ...gated('automatic'), dry_run: true })).status).toBe(202);
    expect((await send(OWNER, 'deploy', gated('automatic'))).status).toBe(202);
  });
});

describe('on this machine', () => {
  let open: string;
  beforeAll(async () => {
    open = await serve(routesWith(), 'loopback');
  });

  test('whoever calls is local, and may do everything', async () => {
    const put = await fetch(`${open}/settings`, { method: 'PUT' });
    expect(put.status).toBe(200);
    await fetch(`${open}/commands/teardown`, { method: 'POST', body: '{"dataflow":"flow"}' });
    expect(taken.at(-1)).toEqual({ type: 'teardown', by: 'local' });
  });

  test('but no page of others, neither by itself nor under a name that points here', async () => {
    const { port } = new URL(open);
    const from = (headers: Record<string, string>): Promise<number> =>
      rawPost(open, '/commands/teardown', '{"dataflow":"flow"}', headers);
    const before = taken.length;
    expect(await from({ origin: 'https://evil.example' })).toBe(403);
    expect(await from({ origin: 'null' })).toBe(403);
    expect(await from({ origin: `http://127.0.0.1:${Number(port) + 1}` })).toBe(403);
    expect(await from({ host: `evil.example:${port}` })).toBe(403);
    expect(await from({ host: '127.0.0.1.evil.example' })).toBe(403);
    expect(await from({ host: `localhost@evil.example:${port}` })).toBe(403);
    expect(taken.length).toBe(before);
    expect(await from({ origin: `http://127.0.0.1:${port}` })).toBe(202);
    expect(await from({ host: `localhost:${port}` })).toBe(202);
  });
});

test('each caller is counted for themselves', async () => {
  const limit = limitRate({ clock: { ...systemClock, now: () => 0 }, perMinute: 2, callerOf });
  const limited = await serve(routesWith(limit), 'verified');
  const status = async (email: string): Promise<number> => {
    const headers = { authorization: `Bearer ${await tokenOf(email)}` };
    return (await fetch(`${limited}/stacks`, { headers })).status;
  };
  const all = [await status(VIEWER), await status(VIEWER), await status(VIEWER), await status(DEPLOYER)];
  expect(all).toEqual([200, 200, 429, 200]);
});

test('a body that lies too deep is refused, whoever sends it', async () => {
  expect((await send(OWNER, 'deploy', `${'['.repeat(20_000)}${']'.repeat(20_000)}`)).status).toBe(400);
});

describe('director.access in the architecture', () => {
  const described = (access: object[] | undefined): Architecture =>
    Architecture.parse({
      ...SHOP,
      director: { allowed_callers: [OWNER], ...(access ? { access } : {}) },
    });
  const unitsOf = (access?: object[]) =>
    infrastructureUnits(hydrate(described(access)), {
      projectNumber: '1',
      directorImage: `director@sha256:${'0'.repeat(64)}`,
    });

  test('comes to the director as it was written, and lets its principals through Cloud Run', () => {
    const units = unitsOf(RULES);
    const service = units.find(({ id }) => id === 'service/service-director');
    const config = readConfig({ DIRECTOR_FRONT_END: 'cloud-run', ...Object(service?.spec.env) });
    expect(config.rules).toEqual(RULES.map((rule) => AccessRule.parse(rule)));
    expect(config.allowed).toEqual([OWNER]);
    const grants = units.find(({ id }) => id === 'grants/service/service-director');
    const members = [...Object(grants?.spec.bindings)].map(({ role, member }) => `${role} ${member}`);
    const accounts = [OWNER, VIEWER, DEPLOYER, APPROVER, BOTH, KEEPER].map(
      (email) => `serviceAccount:${email}`,
    );
    expect(members).toEqual([...accounts, 'domain:example.com'].map((one) => `roles/run.invoker ${one}`));
  });

  test('changes nothing where it is not written', () => {
    const service = unitsOf().find(({ id }) => id === 'service/service-director');
    expect(Object.keys(Object(service?.spec.env))).not.toContain('DIRECTOR_ROLES');
    expect(readConfig(Object(service?.spec.env)).rules).toEqual([]);
  });

  test('an environment that is probably misspelt is told of', () => {
    const rule = (environment: string): object => ({ ...RULES[0], environments: [environment] });
    expect(check(described([rule('dve')]))).toMatchObject([
      { severity: 'warning', fix: 'write "dev"', path: ['director', 'access', 0, 'environments', 0] },
    ]);
    for (const known of ['dev', 'shop-dev', 'shop-*', 'of-another-architecture'])
      expect(check(described([rule(known)])), known).toEqual([]);
  });

  test('variables that cannot be read end the start, and say which', () => {
    const env = { PROJECT_ID: PROJECT, DIRECTOR_AUDIENCE: AUDIENCE };
    for (const wrong of ['no JSON', '{}', '[{"principal":"ada"}]', '[{"principal":"a@b.c","role":"owner"}]'])
      expect(() => readConfig({ ...env, DIRECTOR_ROLES: wrong }), wrong).toThrow(/DIRECTOR_ROLES/);
    expect(() => readConfig({ ...env, DIRECTOR_RATE_PER_MINUTE: '-1' })).toThrow(/DIRECTOR_RATE_PER_MINUTE/);
    expect(readConfig(env)).toMatchObject({ rules: [], ratePerMinute: 1_200 });
    expect(readConfig({ ...env, DIRECTOR_ACCESS: 'loopback' }).ratePerMinute).toBe(0);
    expect(readConfig({ ...env, DIRECTOR_RATE_PER_MINUTE: '30' }).ratePerMinute).toBe(30);
  });
});

/** The status of an answer to a path that goes out as it is. */
function rawGet(path: string, token: string): Promise<number> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const sent = httpRequest({ host: '127.0.0.1', port, path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject).end();
  });
}

/** With a host of one's own, which `fetch` does not send. */
function rawPost(to: string, path: string, body: string, headers: Record<string, string>): Promise<number> {
  const { port } = new URL(to);
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, path, method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject).end(body);
  });
}
