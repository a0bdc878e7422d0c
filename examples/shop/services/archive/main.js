/** Answers `GET /orders/ID` from the records: the state of an order, and how it got there. */
import { createServer } from 'node:http';
import { list, log, read } from './google.js';

const { PORT = '8080', RECORDS_BUCKET } = process.env;

/** The status and body of the answer. */
async function answer({ method, url }) {
  if (url === '/health') return [200, { status: 'ok' }];
  const [, id] = /^\/orders\/([\w-]+)$/.exec(url) ?? [];
  if (method !== 'GET' || !id) return [404, { error: 'Ask GET /orders/ID' }];
  const names = await list(RECORDS_BUCKET, `orders/${id}/`);
  const steps = await Promise.all(names.map(async (name) => (await read(RECORDS_BUCKET, name)).value));
  const latest = steps.at(-1);
  if (!latest) return [404, { error: `There is no order ${id} on record; a new one may take a moment` }];
  const history = steps.map(({ state, at }) => ({ state, at }));
  return [200, { ...latest.order, state: latest.state, because: latest.because, history }];
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch((error) => {
    log('ERROR', error.message);
    return [500, { error: 'The records could not be read' }];
  });
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}).listen(PORT);
process.once('SIGTERM', () => server.close());
