/** Google's clients, over the wire: what comes back from an API and is no answer of it. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Cloud } from './cloud.ts';
import { CloudError, type Reason } from './error.ts';
import { googleCloud, noCredentials } from './google.ts';

const WHOLE = JSON.stringify({ name: 'projects/p/topics/t', labels: { 'managed-by': 'service-director' } });
const CUT = WHOLE.slice(0, 40);

let server: Server;
let cloud: Cloud;
/** How the next request is answered. */
let respond: (response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((_request, response) => respond(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  cloud = googleCloud({ project: 'p', endpoint, credentials: noCredentials });
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

function answerWith(body: string, type: string | undefined = 'application/json', status = 200): void {
  respond = (response) =>
    response.writeHead(status, type === undefined ? {} : { 'content-type': type }).end(body);
}

async function reasonOf(call: Promise<unknown>): Promise<Reason> {
  return CloudError.from(
    await call.then(
      () => 'it was taken for an answer',
      (error) => error,
    ),
  ).reason;
}

async function getTopic(): Promise<unknown> {
  const { projects } = await cloud.pubsub();
  return (await projects.topics.get({ topic: 'projects/p/topics/t' })).data;
}

test.each([
  ['cut short', CUT, 'application/json'],
  ['empty', '', 'application/json'],
  ['a page of somebody in between', '<html>Please sign in</html>', 'text/html'],
  ['of no known type', CUT, 'application/octet-stream'],
  ['of no type', CUT, undefined],
  ['a piece that happens to be JSON', '17', 'application/json'],
  ['nothing', 'null', 'application/json'],
])('a yes whose body is %s tells nothing of the outcome', async (_what, body, type) => {
  answerWith(body, type);
  const error = CloudError.from(await getTopic().catch((error) => error));
  expect(error).toMatchObject({
    reason: 'unknown-outcome',
    message: expect.stringMatching('cannot be read'),
  });
});

test.each([
  ['ends within the body', { 'content-length': WHOLE.length }, CUT],
  ['ends between two pieces', { 'transfer-encoding': 'chunked' }, CUT],
  ['brings bytes that do not unpack', { 'content-encoding': 'gzip' }, CUT],
  ['ends within what is packed', { 'content-encoding': 'gzip' }, gzipSync(WHOLE).subarray(0, 30)],
])('a connection that %s is no answer', async (_what, headers, body) => {
  respond = (response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.write(body, () => response.destroy());
  };
  expect(await reasonOf(getTopic())).toBe('unknown-outcome');
});

test('a connection that is refused is no answer', async () => {
  const nobody = googleCloud({ project: 'p', endpoint: `http://127.0.0.1:1`, credentials: noCredentials });
  const { projects } = await nobody.pubsub();
  expect(await reasonOf(projects.topics.get({ topic: 'projects/p/topics/t' }))).toBe('unknown-outcome');
});

test('a whole body is an answer, and so is none where none is meant', async () => {
  answerWith(WHOLE);
  expect(await getTopic()).toEqual(JSON.parse(WHOLE));
  answerWith('', undefined, 204);
  const storage = await cloud.storage();
  expect((await storage.buckets.delete({ bucket: 'b' })).data).toBe('');
});

test.each([
  [404, 'not-found'],
  [403, 'denied'],
  [502, 'unknown-outcome'],
])('a no %i is a no, whatever its body', async (status, reason) => {
  answerWith('<html>', 'text/html', status);
  expect(await reasonOf(getTopic())).toBe(reason);
});

test('whoever asks for bytes gets them as they are', async () => {
  const storage = await cloud.storage();
  answerWith(CUT, 'text/plain');
  const media = { bucket: 'b', object: 'o', alt: 'media' };
  expect((await storage.objects.get(media, { responseType: 'text' })).data).toBe(CUT);
});
