import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Bench, INVOKER, openBench, PARENT } from './testing.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await openBench();
  await bench.deploy('hello', { template: bench.template() });
});
afterAll(() => bench.end());

test('the front door opens to invokers only', async () => {
  const { uri } = await bench.get('hello');
  const name = `${PARENT}/services/hello`;
  const call = async (headers: Record<string, string> = {}): Promise<Response> =>
    fetch(String(uri), { headers });
  const identityToken = (audience: string): Record<string, string> => {
    const token = bench
      .running()
      .cloud.tokens.identityToken({ email: INVOKER, uniqueId: '1'.repeat(21) }, audience);
    return { authorization: `Bearer ${token}` };
  };
  const none = await call();
  expect([none.status, none.headers.get('content-type')]).toEqual([403, 'text/html; charset=UTF-8']);
  expect((await call(identityToken(String(uri)))).status).toBe(403);

  const binding = { role: 'roles/run.invoker', members: [`serviceAccount:${INVOKER}`] };
  await bench.client().projects.locations.services.setIamPolicy({
    resource: name,
    requestBody: { policy: { bindings: [binding] } },
  });
  const policy = await bench.client().projects.locations.services.getIamPolicy({ resource: name });
  expect(policy.data.bindings).toEqual([binding]);
  const { headers } = await bench.ask(uri, identityToken(String(uri)));
  expect(headers.authorization).toMatch(/^Bearer [\w-]+\.[\w-]+\.SIGNATURE_REMOVED_BY_GOOGLE$/);
  expect(headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' });
  expect(headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);

  const refused = await call(identityToken('https://elsewhere.example.com'));
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
    401,
    expect.stringContaining('invalid_token'),
  ]);
  const signed = identityToken(String(uri)).authorization ?? '';
  expect((await call({ authorization: `${signed.slice(0, -20)}${'A'.repeat(20)}` })).status).toBe(401);
  expect((await call({ authorization: 'Bearer nonsense' })).status).toBe(401);

  await bench.patch('hello', { customAudiences: ['https://hello.example.com'] }, 'customAudiences');
  expect((await call(identityToken('https://hello.example.com'))).status).toBe(200);
  await bench.patch('hello', { invokerIamDisabled: true }, 'invokerIamDisabled');
  expect((await call()).status).toBe(200);
  await bench.patch('hello', { invokerIamDisabled: false }, 'invokerIamDisabled');
  expect((await call()).status).toBe(403);
  const everybody = { role: 'roles/run.invoker', members: ['allUsers'] };
  await bench.client().projects.locations.services.setIamPolicy({
    resource: name,
    requestBody: { policy: { bindings: [everybody] } },
  });
  expect((await call()).status).toBe(200);
  const registered = { role: 'roles/run.invoker', members: ['allAuthenticatedUsers'] };
  await bench.client().projects.locations.services.setIamPolicy({
    resource: name,
    requestBody: { policy: { bindings: [registered] } },
  });
  expect((await call()).status).toBe(403);
  expect((await call(identityToken(String(uri)))).status).toBe(200);
});

test('bodies stream both ways, and connections can be upgraded', async () => {
  const { uri } = await bench.get('hello');
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < 50; at++) controller.enqueue(Buffer.alloc(64 * 1024, at));
      controller.close();
    },
  });
  const answer = await fetch(`${uri}/pipe`, {
    method: 'POST',
    headers: bench.bearer(),
    body,
    duplex: 'half',
  } as RequestInit);
  expect((await answer.arrayBuffer()).byteLength).toBe(50 * 64 * 1024);

  const socket = connect(Number(new URL(String(uri)).port), '127.0.0.1');
  socket.write(
    `GET / HTTP/1.1\r\nhost: here\r\nconnection: Upgrade\r\nupgrade: echo\r\nauthorization: ${bench.bearer().authorization}\r\n\r\n`,
  );
  let seen = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
  });
  await vi.waitFor(() => expect(seen).toContain('101 Switching Protocols'), 10_000);
  socket.write('hello again');
  await vi.waitFor(() => expect(seen).toContain('hello again'), 10_000);
  socket.destroy();
});

test('what it prints, is asked and does arrives in the logs', async () => {
  const { uri } = await bench.get('hello');
  await fetch(String(uri));
  await bench.ask(uri);
  const all = 'resource.type="cloud_run_revision" resource.labels.service_name="hello"';
  await vi.waitFor(async () => {
    const [printed] = await bench.logs(`${all} log_id("run.googleapis.com/stdout") severity=NOTICE`);
    expect(printed).toMatchObject({
      textPayload: 'mode serve',
      labels: { test: 'yes', instanceId: expect.stringMatching(/^[0-9a-f]{64}$/) },
      resource: { labels: { project_id: 'p', location: 'us-central1', configuration_name: 'hello' } },
    });
  }, 10_000);
  expect(await bench.logs(`${all} log_id("run.googleapis.com/stderr") "plain words"`)).not.toHaveLength(0);
  const [request] = await bench.logs(`${all} httpRequest.status=200 httpRequest.requestMethod=GET`);
  expect(request?.trace).toMatch(/^projects\/p\/traces\/[0-9a-f]{32}$/);
  expect(
    await bench.logs(`${all} severity=WARNING httpRequest.status=403 "not authenticated"`),
  ).not.toHaveLength(0);
  expect(await bench.logs(`${all} "probe succeeded"`)).not.toHaveLength(0);
  await bench.ask(`${uri}/loud`);
  await vi.waitFor(
    async () => expect(await bench.logs(`${all} textPayload=~"^\\"{1000}"`)).not.toHaveLength(0),
    10_000,
  );
});
