/** Publishes traces: one at its start, and as many as `POST /trace` with `{"count": 3}` asks for. */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { PUBSUB, post } from './google.js';

const { PORT = '8080', TRACE_TOPIC } = process.env;
const MOST_AT_ONCE = 1_000;

/** Resolves with the ids of the traces. */
async function publish(count) {
  const ids = Array.from({ length: count }, () => randomUUID());
  const messages = ids.map((id) => {
    const trace = { id, sentAt: new Date().toISOString() };
    return { data: Buffer.from(JSON.stringify(trace)).toString('base64'), attributes: { id } };
  });
  await post(`${PUBSUB}/topics/${TRACE_TOPIC}:publish`, { messages });
  log('INFO', `Published ${count} ${count === 1 ? 'trace' : 'traces'}`, { ids });
  return ids;
}

/** The status and body of the answer. */
async function answer(request) {
  switch (`${request.method} ${request.url}`) {
    case 'GET /health':
      return [200, { status: 'ok' }];
    case 'POST /trace': {
      const count = (await json(request))?.count;
      const isCount = Number.isInteger(count) && count >= 1 && count <= MOST_AT_ONCE;
      if (!isCount) return [400, { error: `count is a whole number from 1 to ${MOST_AT_ONCE}` }];
      return [200, { ids: await publish(count) }];
    }
    default:
      return [404, { error: 'Ask GET /health or POST /trace' }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch((error) => {
    if (error instanceof SyntaxError) return [400, { error: 'The body is no JSON' }];
    log('ERROR', error.message);
    return [500, { error: 'The traces could not be published' }];
  });
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
});

function log(severity, message, more) {
  console.log(JSON.stringify({ severity, message, ...more }));
}

// Before it listens: a service without minimum instances has CPU only while it starts and while it answers.
await publish(1).catch((error) => log('WARNING', `No trace at the start: ${error.message}`));
server.listen(PORT, () => log('INFO', `Listening on ${PORT}`));
process.once('SIGTERM', () => server.close());
