/** Charges the card of each order: orders → payments. */
import { createServer } from 'node:http';
import { consume, log, messageOf, orderIn, publish } from './google.js';

const { PORT = '8080', ORDER_SUBSCRIPTION, PAYMENT_TOPIC, DEAD_LETTER_TOPIC } = process.env;

async function pay(message) {
  const order = orderIn(message);
  if (!order?.card) return putAside(message);
  const { card, ...rest } = order;
  const state = charge(card);
  // From here on nobody needs the number.
  await publish(PAYMENT_TOPIC, messageOf({ ...rest, card: `…${card.slice(-4)}` }, state));
  log('INFO', `Order ${state}`, { order: order.id });
}

/** Plays a payment provider. As with real ones, some numbers are there to try out what can go wrong. */
function charge(card) {
  if (card.endsWith('0119')) throw new Error('The payment provider does not answer');
  return card.endsWith('0002') ? 'declined' : 'paid';
}

/** What will never make sense need not fail five times first. */
async function putAside({ data, attributes, messageId }) {
  await publish(DEAD_LETTER_TOPIC, { data, attributes: { ...attributes, because: 'it is no order' } });
  log('WARNING', 'A message that is no order', { messageId });
}

const server = createServer((_request, response) => response.end('ok\n')).listen(PORT);
process.once('SIGTERM', () => server.close());
await consume(ORDER_SUBSCRIPTION, pay);
