/** Puts dead letters on record, so that somebody looks at them. Pub/Sub posts each to /dead-letters. */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { log, orderIn, write } from './google.js';

const { PORT = '8080', RECORDS_BUCKET } = process.env;

async function keep({ message }) {
  const { attributes = {}, messageId, publishTime: at } = message;
  const { card, ...order } = orderIn(message) ?? {};
  const because = attributes.because ?? `${attributes.CloudPubSubDeadLetterSourceSubscription} gave it up`;
  const name = order.id ? `orders/${order.id}/5-failed.json` : `unreadable/${messageId}.json`;
  await write(RECORDS_BUCKET, name, { state: 'failed', at, because, order: order.id ? order : message });
  log('ERROR', `A dead letter: ${because}`, { name });
}

const server = createServer(async (request, response) => {
  try {
    if (request.url === '/dead-letters') await keep(await json(request));
    response.writeHead(204).end();
  } catch (error) {
    // Anything but 2xx, and Pub/Sub delivers again.
    log('ERROR', error.message);
    response.writeHead(500).end();
  }
}).listen(PORT);
process.once('SIGTERM', () => server.close());
