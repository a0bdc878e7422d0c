/** Writes a mail to the customer when a parcel leaves. Pub/Sub posts each shipment to /shipments. */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { log, orderIn, write } from './google.js';

const { PORT = '8080', MAIL_BUCKET } = process.env;

/** A shipment that is delivered twice writes the same mail twice: the customer gets one. */
async function notify({ message }) {
  const order = orderIn(message);
  if (!order) return log('WARNING', 'A message that is no order', { messageId: message.messageId });
  await write(MAIL_BUCKET, `${order.id}.json`, {
    to: order.customer,
    subject: 'Your parcel is on its way',
    text: `Order ${order.id} has left our house. Follow it with the number ${order.tracking}.`,
  });
  log('INFO', 'Mail written', { order: order.id });
}

const server = createServer(async (request, response) => {
  try {
    if (request.url === '/shipments') await notify(await json(request));
    response.writeHead(204).end();
  } catch (error) {
    // Anything but 2xx, and Pub/Sub delivers again.
    log('ERROR', error.message);
    response.writeHead(500).end();
  }
}).listen(PORT);
process.once('SIGTERM', () => server.close());
