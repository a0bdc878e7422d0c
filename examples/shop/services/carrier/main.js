/** Plays a parcel service: `POST /parcels` with `{"order", "to"}` gives a tracking number. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

const { PORT = '8080' } = process.env;

/** Asked twice about one order, it gives one number. */
function trackingOf(order) {
  const digest = createHash('sha256').update(order).digest('hex');
  return `PX${digest.slice(0, 10).toUpperCase()}`;
}

async function answer(request) {
  if (request.url === '/health') return [200, { status: 'ok' }];
  if (`${request.method} ${request.url}` !== 'POST /parcels') return [404, { error: 'Ask POST /parcels' }];
  const { order, to } = await json(request);
  if (typeof order !== 'string' || typeof to !== 'string') return [422, { error: 'order or to is missing' }];
  return [201, { tracking: trackingOf(order) }];
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(() => [400, { error: 'The body is no JSON object' }]);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}).listen(PORT);
process.once('SIGTERM', () => server.close());
