/** The director over HTTP: is it alive, does it take commands, who may ask. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { readConfig } from '@service-director/director/config.ts';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answer, type DirectorProcess, launchDirector, startDirector } from './support/director.ts';
import { documentOf, ephemeral } from './support/documents.ts';
import { freePort, openWorld, PROJECT, REGION, until, type World } from './support/world.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const isProblem = (status: number, detail: RegExp): object => ({
  status,
  type: expect.stringContaining('application/problem+json'),
  body: { type: 'about:blank', title: expect.any(String), status, detail: expect.stringMatching(detail) },
});

describe('G47: alive is one thing, ready for commands another', () => {
  let director: DirectorProcess;

  beforeAll(async () => {
    director = await startDirector(world);
    await director.ready();
  });
  afterAll(() => director.kill());

  const healthy = async (): Promise<void> => {
    for (const path of ['/health', '/healthz'])
      expect(await director.get(path)).toMatchObject({ status: 200, body: { status: 'ok' } });
  };
  const readiness = (): Promise<Answer[]> =>
    Promise.all(['/ready', '/readyz'].map((path) => director.get(path)));
  const ready = (): Promise<void> =>
    until(async () => {
      for (const answer of await readiness())
        expect(answer).toMatchObject({ status: 200, body: { ready: true, problems: {} } });
    });
  const notReady = (subscription: string, because: RegExp): Promise<void> =>
    until(async () => {
      for (const answer of await readiness()) {
        expect(answer).toMatchObject({ status: 503, body: { ready: false } });
        expect(answer.body.problems).toEqual({ [subscription]: expect.stringMatching(because) });
      }
    });

  test('it is both, and says what it is', async () => {
    await healthy();
    await ready();
    expect((await director.get('/version')).body).toEqual({
      name: 'service-director',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      revision: 'local',
      node: process.version,
    });
  });

  test('not ready while it is kept from starting, and alive all the same', async () => {
    world.running.cloud.faults.replace([{ method: 'GetProject', error: 'UNAVAILABLE' }]);
    const port = await freePort();
    const env = { DIRECTOR_DELIVERY: 'push' };
    const kept = await launchDirector(world, { name: 'kept', port, env });
    await until(async () =>
      expect(await kept.get('/ready')).toMatchObject({
        status: 503,
        body: { ready: false, problems: { project: 'Fault on purpose: UNAVAILABLE' } },
      }),
    );
    expect((await kept.get('/health')).status).toBe(200);
    // It may take minutes: nobody is kept waiting.
    expect(await kept.get('/version')).toMatchObject({ status: 503, type: 'application/problem+json' });
    world.running.cloud.faults.replace([]);
    await kept.ready();
    expect((await kept.get('/version')).status).toBe(200);
    await kept.kill();
  });

  test('what is asked while it loads is answered when there is somebody to answer', async () => {
    const port = await freePort();
    const loading = await launchDirector(world, { name: 'loading', port });
    expect((await until(() => loading.get('/version'))).status).toBe(200);
    await loading.kill();
  });

  test('not ready while a subscription is gone, ready and listening when it is back', async () => {
    const path = `/v1/projects/${PROJECT}/subscriptions/deploy-sub`;
    const before = (await world.call('GET', path)) as { topic: string };
    const { bindings } = (await world.call('GET', `${path}:getIamPolicy`)) as { bindings: object[] };
    await world.call('DELETE', path);
    await notReady('deploy-sub', /not.found|does not exist|deleted/i);
    await healthy();
    await world.call('PUT', path, { topic: before.topic, ackDeadlineSeconds: 60 });
    await world.call('POST', `${path}:setIamPolicy`, { policy: { bindings } });
    await ready();
    await world.send('deploy', 'http.again', { dataflow: 'any' });
    await world.recorder.answerTo('http.again');
  });

  test('not ready while a grant is gone, ready and listening when it is back', async () => {
    const path = `/v1/projects/${PROJECT}/subscriptions/teardown-sub`;
    const { bindings } = (await world.call('GET', `${path}:getIamPolicy`)) as {
      bindings: { role: string }[];
    };
    const project = (await world.call('POST', `/v1/projects/${PROJECT}:getIamPolicy`, {})) as {
      bindings: { role: string }[];
    };
    // The role on the project would do as well.
    const without = project.bindings.filter(({ role }) => role !== 'roles/pubsub.admin');
    await world.call('POST', `/v1/projects/${PROJECT}:setIamPolicy`, { policy: { bindings: without } });
    await world.call('POST', `${path}:setIamPolicy`, { policy: { bindings: [] } });
    await notReady('teardown-sub', /permission|granted/i);
    await healthy();
    await world.call('POST', `${path}:setIamPolicy`, { policy: { bindings } });
    await world.call('POST', `/v1/projects/${PROJECT}:setIamPolicy`, {
      policy: { bindings: project.bindings },
    });
    await ready();
    await world.send('teardown', 'http.granted', { dataflow: 'any' });
    await world.recorder.answerTo('http.granted');
  });

  test('never ready while the stream itself is refused, however often it is tried', async () => {
    const refused = startDirector(world, { name: 'refused' });
    const director = await refused;
    await until(async () => expect((await director.get('/ready')).status).toBe(200));
    const { faults } = world.running.cloud;
    faults.replace([{ method: 'StreamingPull', error: 'PERMISSION_DENIED', message: 'no streams today' }]);
    // The streams that are open live on until their subscription is asked again.
    const path = `/v1/projects/${PROJECT}/subscriptions/deploy-sub`;
    const { bindings } = (await world.call('GET', `${path}:getIamPolicy`)) as { bindings: object[] };
    await world.call('POST', `${path}:setIamPolicy`, { policy: { bindings: [] } });
    await until(async () => expect((await director.get('/ready')).status).toBe(503));
    await world.call('POST', `${path}:setIamPolicy`, { policy: { bindings } });
    const answers = new Set<number>();
    const hits = (): number => faults.rules()[0]?.hits ?? 0;
    const from = hits();
    while (hits() < from + 3) answers.add((await director.get('/ready')).status);
    expect([...answers]).toEqual([503]);
    faults.replace([]);
    await until(async () => expect((await director.get('/ready')).status).toBe(200));
    await director.kill();
  });

  test('commands and stacks can be looked at; what is not there is a problem', async () => {
    const document = documentOf('looked', {
      flow: ephemeral({ resources: { topics: [{ name: 'looked-topic' }] } }),
    });
    const data = JSON.stringify({ architecture: { document } });
    for (const id of ['looked.1', 'looked.2']) {
      await director.post('dataflow-setup', data, { 'idempotency-key': id, correlationid: 'looked' });
      await world.recorder.answerTo(id);
    }
    const { body } = await director.get('/commands?correlationid=looked');
    expect(body.commands).toMatchObject([
      { id: 'looked.2' },
      { id: 'looked.1', type: 'dataflow-setup', status: 'succeeded' },
    ]);
    expect((await director.get('/stacks')).body.stacks).toContainEqual({
      stack: 'looked/flow',
      scope: 'looked',
      dataflow: 'flow',
      version: 1,
      units: 1,
      locked: false,
    });
    expect(await director.get('/commands/unheard-of')).toMatchObject(isProblem(404, /no command unheard-of/));
    expect(await director.get('/unheard-of')).toMatchObject(isProblem(404, /\/unheard-of/));
    expect(await director.post('unheard-of', '{}')).toMatchObject(isProblem(404, /no command unheard-of/));
    expect(await director.post('deploy', '{"dataflow": []}')).toMatchObject(isProblem(400, /dataflow/));
    expect(await director.get('/commands/%E0%A4%A')).toMatchObject(isProblem(400, /decode/));
  });

  test('open on loopback, and there alone', async () => {
    expect((await director.get('/commands', { authorization: 'Bearer nonsense' })).status).toBe(200);
    const others = Object.values(networkInterfaces()).flatMap((all) =>
      (all ?? []).flatMap(({ family, internal, address }) =>
        family === 'IPv4' && !internal ? [address] : [],
      ),
    );
    if (others.length === 0)
      process.stdout.write('Not tried from outside: this machine has no other address.\n');
    const { port } = new URL(director.url);
    for (const address of others) await expect(fetch(`http://${address}:${port}/health`)).rejects.toThrow();
  });
});

describe('whoever asks shows a token that Google signed', () => {
  const CALLER = `caller-account@${PROJECT}.iam.gserviceaccount.com`;
  const STRANGER = `stranger-account@${PROJECT}.iam.gserviceaccount.com`;
  const AUDIENCE = 'https://director.example';
  let plain: DirectorProcess;
  let fronted: DirectorProcess;

  beforeAll(async () => {
    for (const email of [CALLER, STRANGER]) {
      const [accountId] = email.split('@');
      await world.call('POST', `/v1/projects/${PROJECT}/serviceAccounts`, { accountId });
      const member = 'user:developer@example.com';
      await world.call('POST', `/v1/projects/${PROJECT}/serviceAccounts/${email}:setIamPolicy`, {
        policy: { bindings: [{ role: 'roles/iam.serviceAccountTokenCreator', members: [member] }] },
      });
    }
    // Pushed to, they leave the commands of the others alone.
    const env: Record<string, string> = {
      DIRECTOR_ACCESS: 'verified',
      DIRECTOR_ALLOWED: `boss@example.com, ${CALLER}`,
      DIRECTOR_DELIVERY: 'push',
    };
    plain = await startDirector(world, { name: 'plain', env: { ...env, DIRECTOR_AUDIENCE: AUDIENCE } });
    fronted = await startDirector(world, {
      name: 'fronted',
      env: { ...env, DIRECTOR_FRONT_END: 'cloud-run' },
    });
  });

  /** Cloud Run's services are called by their own names. */
  const audienceOf = (director: DirectorProcess): string =>
    director === plain ? AUDIENCE : director.url.replace('http:', 'https:');
  const ask = (director: DirectorProcess, token: string): Promise<Answer> =>
    director.get('/commands', { authorization: `Bearer ${token}` });

  async function idToken(email: string, audience: string, includeEmail = true): Promise<string> {
    const path = `/v1/projects/-/serviceAccounts/${email}:generateIdToken`;
    const { token } = (await world.call('POST', path, { audience, includeEmail })) as { token: string };
    return token;
  }

  /** Claims as Google makes them. */
  const claims = (audience: string, more: object = {}): object => {
    const iat = Math.floor(Date.now() / 1000);
    return {
      iss: 'https://accounts.google.com',
      aud: audience,
      email: CALLER,
      email_verified: true,
      sub: '1',
      iat,
      exp: iat + 3_600,
      ...more,
    };
  };

  const unsigned = (token: string): string => token.replace(/[^.]+$/, 'SIGNATURE_REMOVED_BY_GOOGLE');

  test('the allowed get in, with a token of IAM Credentials or of the metadata server', async () => {
    expect((await ask(plain, await idToken(CALLER, audienceOf(plain)))).status).toBe(200);
    const door = await world.running.cloud.openDoor({
      identity: { type: 'serviceAccount', email: CALLER },
      projectId: PROJECT,
      region: REGION,
    });
    const response = await fetch(
      `http://127.0.0.1:${door.port}/computeMetadata/v1/instance/service-accounts/default/identity?audience=${audienceOf(plain)}&format=full`,
      { headers: { 'metadata-flavor': 'Google' } },
    );
    expect((await ask(plain, await response.text())).status).toBe(200);
    await door.close();
    const posted = await plain.post('deploy', '{"dataflow":"any"}', {
      authorization: `Bearer ${await idToken(CALLER, audienceOf(plain))}`,
      'idempotency-key': 'verified.1',
    });
    expect(posted.status).toBe(202);
    const kept = await plain.get('/commands/verified.1', {
      authorization: `Bearer ${await idToken(CALLER, audienceOf(plain))}`,
    });
    expect(kept.body.requester).toBe(CALLER);
  });

  test('without a token, nobody does; whether it is alive anybody may ask', async () => {
    for (const path of ['/commands', '/stacks', '/commands/x', '/unheard-of'])
      expect(await plain.get(path)).toMatchObject(isProblem(401, /token is missing/));
    expect(await plain.post('teardown', '{}')).toMatchObject(isProblem(401, /token is missing/));
    expect((await plain.get('/health')).status).toBe(200);
    expect((await plain.get('/version')).status).toBe(200);
  });

  test('who is not on the list is told so', async () => {
    const answer = await ask(plain, await idToken(STRANGER, audienceOf(plain)));
    expect(answer).toMatchObject(isProblem(403, /stranger-account.* is not on this director's list/));
    expect(answer.body.fix).toContain('allowed_callers');
  });

  test('a token for another audience, of another issuer, expired, without an address or signed by another is none', async () => {
    const { tokens } = world.running.cloud;
    const audience = audienceOf(plain);
    const hourAgo = Math.floor(Date.now() / 1000) - 7_200;
    const bad: Record<string, string> = {
      'another audience': await idToken(CALLER, 'https://elsewhere.example'),
      'another issuer': tokens.signJwt(claims(audience, { iss: 'https://evil.example' })),
      expired: tokens.signJwt(claims(audience, { iat: hourAgo, exp: hourAgo + 3_600 })),
      'no address': await idToken(CALLER, audience, false),
      'an address that nobody checked': tokens.signJwt(claims(audience, { email_verified: false })),
      'other keys': signedByAnother(claims(audience)),
      'no signature': unsigned(await idToken(CALLER, audience)),
      'no token': 'nonsense',
      'an access token': tokens.access({ type: 'serviceAccount', email: CALLER }, 60),
    };
    for (const [what, token] of Object.entries(bad))
      expect(await ask(plain, token), what).toMatchObject(isProblem(401, /The identity token is not good/));
  });

  test('behind Cloud Run a token comes without the signature that was checked there, and all the rest is checked here', async () => {
    const { tokens } = world.running.cloud;
    const audience = audienceOf(fronted);
    expect((await ask(fronted, unsigned(await idToken(CALLER, audience)))).status).toBe(200);
    expect((await ask(fronted, await idToken(CALLER, audience))).status).toBe(200);
    expect((await ask(fronted, unsigned(await idToken(STRANGER, audience)))).status).toBe(403);
    const hourAgo = Math.floor(Date.now() / 1000) - 7_200;
    const bad = [
      claims('https://elsewhere.example'),
      claims(audience, { iss: 'https://evil.example' }),
      claims(audience, { exp: hourAgo }),
      claims(audience, { email_verified: false }),
    ];
    for (const each of bad) expect((await ask(fronted, unsigned(tokens.signJwt(each)))).status).toBe(401);
    expect((await ask(fronted, signedByAnother(claims(audience)))).status).toBe(401);
    expect((await ask(fronted, 'x.y.SIGNATURE_REMOVED_BY_GOOGLE')).status).toBe(401);
  });

  test('of two tokens the one counts that Cloud Run checks, and what comes beside it says nothing', async () => {
    for (const director of [plain, fronted]) {
      const audience = audienceOf(director);
      const given = async (email: string): Promise<string> => {
        const token = await idToken(email, audience);
        return director === fronted ? unsigned(token) : token;
      };
      const both = async (checked: string, beside: string): Promise<Answer> =>
        director.get('/commands', { 'x-serverless-authorization': checked, authorization: beside });
      const forged = `Bearer ${unsigned(signedByAnother(claims(audience)))}`;
      const caller = `Bearer ${await given(CALLER)}`;
      const stranger = `Bearer ${await given(STRANGER)}`;
      expect(await both(stranger, forged)).toMatchObject(isProblem(403, /stranger-account/));
      expect(await both(stranger, caller)).toMatchObject(isProblem(403, /stranger-account/));
      expect((await both(caller, 'Basic something')).status).toBe(200);
      expect((await both(caller, stranger)).status).toBe(200);
      for (const none of ['', 'Basic something', `${stranger}, ${forged}`, `${forged}, ${stranger}`])
        expect(await both(none, forged), none).toMatchObject(isProblem(401, /token is missing/));
    }
  });

  test('what tokens are meant for is not left to whoever calls', () => {
    const env = { PROJECT_ID: PROJECT, DIRECTOR_ACCESS: 'verified' };
    expect(() => readConfig(env)).toThrow(/set DIRECTOR_AUDIENCE/);
    expect(() => readConfig({ PROJECT_ID: PROJECT })).toThrow(/set DIRECTOR_AUDIENCE/);
    expect(readConfig({ ...env, DIRECTOR_AUDIENCE: AUDIENCE })).toMatchObject({ audience: AUDIENCE });
    expect(readConfig({ ...env, DIRECTOR_FRONT_END: 'cloud-run' })).toMatchObject({ behindCloudRun: true });
    expect(readConfig({ ...env, DIRECTOR_ACCESS: 'loopback' })).toMatchObject({ access: 'loopback' });
  });

  function signedByAnother(body: object): string {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const header = { alg: 'RS256', kid: world.running.cloud.tokens.keyId, typ: 'JWT' };
    const text = [header, body]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${text}.${sign('RSA-SHA256', Buffer.from(text), privateKey).toString('base64url')}`;
  }
});

test('on Cloud Run the log has one line for each fact about a command, with its id and its trace (G19)', async () => {
  const env = {
    DIRECTOR_DELIVERY: 'push',
    K_SERVICE: 'service-director',
    K_REVISION: 'service-director-00007-abc',
  };
  const director = await startDirector(world, { name: 'logged', env });
  const document = documentOf('logged', {
    flow: ephemeral({ resources: { topics: [{ name: 'logged-topic' }] } }),
  });
  const trace = '0af7651916cd43dd8448eb211c80319c';
  await director.post('dataflow-setup', JSON.stringify({ architecture: { document } }), {
    'idempotency-key': 'logged.setup',
    traceparent: `00-${trace}-b7ad6b7169203331-01`,
  });
  await world.recorder.answerTo('logged.setup');
  const lines = await until(() => {
    const all = director
      .output()
      .split('\n')
      .filter((line) => line.includes('"logged.setup"'));
    expect(all.some((line) => line.includes('succeeded'))).toBe(true);
    return all.map((line) => JSON.parse(line));
  });
  expect(lines.length).toBeGreaterThan(6);
  for (const line of lines) {
    expect(line).toMatchObject({
      severity: 'INFO',
      'logging.googleapis.com/trace': `projects/${PROJECT}/traces/${trace}`,
      'logging.googleapis.com/spanId': 'b7ad6b7169203331',
    });
    expect(JSON.stringify(line)).toContain('"command":"logged.setup"');
  }
  const facts = world.recorder.about('logged.setup').map(({ type }) => type);
  expect(facts.pop()).toBe('completed');
  expect(lines.map(({ message }) => message).sort()).toEqual(['command accepted', ...facts].sort());
});
