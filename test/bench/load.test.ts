/** What asks: it counts what was answered, whole, and takes nothing else for an answer. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { answersPerSecond, openLine, type Question } from './load.ts';

async function withServer(
  answer: RequestListener,
  job: (question: Pick<Question, 'port'>) => Promise<void>,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    await job({ port: (server.address() as AddressInfo).port });
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

test('all connections ask until the time is over, each on one of its own that stays open', async () => {
  const sockets = new Set<unknown>();
  let answered = 0;
  await withServer(
    (request, response) => {
      sockets.add(request.socket);
      answered++;
      response.setHeader('content-length', 5).write('he');
      setTimeout(() => response.end('llo'), 5);
    },
    async ({ port }) => {
      const question: Question = { method: 'GET', port, path: '/', status: 200 };
      const perSecond = await answersPerSecond(question, { connections: 3, ms: 200 });
      expect(sockets.size).toBe(3);
      // The time is measured by whoever asks: it is 200 ms at the least.
      expect(perSecond).toBeGreaterThan(0);
      expect(perSecond).toBeLessThanOrEqual(answered / 0.2);
    },
  );
});

test('a body is sent and an answer is read whole', async () => {
  await withServer(
    (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        const body = Buffer.concat(parts);
        response.writeHead(202, { 'content-length': body.length }).end(body);
      });
    },
    async ({ port }) => {
      const line = await openLine({ method: 'POST', port, path: '/', body: { word: 'größer' }, status: 202 });
      expect(await line.ask()).toBe('{"word":"größer"}');
      expect(await line.ask()).toBe('{"word":"größer"}');
      line.close();
    },
  );
});

test.each([
  [
    'another status',
    (response: Parameters<RequestListener>[1]) =>
      response.writeHead(503, { 'content-length': 7 }).end('not now'),
  ],
  [
    'an answer of no known length',
    (response: Parameters<RequestListener>[1]) => response.writeHead(200).end('how long?'),
  ],
  ['no answer', (response: Parameters<RequestListener>[1]) => response.destroy()],
])('%s is none that counts', async (_, answer) => {
  await withServer(
    (_request, response) => void answer(response),
    async ({ port }) => {
      const question: Question = { method: 'GET', port, path: '/', status: 200 };
      await expect(answersPerSecond(question, { connections: 2, ms: 10_000 })).rejects.toThrow();
    },
  );
});
