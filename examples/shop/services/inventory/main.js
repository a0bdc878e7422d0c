/** Sets the goods of paid orders aside: payments → reservations. */
import { createServer } from 'node:http';
import { consume, log, messageOf, orderIn, publish, read, write } from './google.js';
import left from './stock.json' with { type: 'json' };

const { PORT = '8080', PAYMENT_SUBSCRIPTION, RESERVATION_TOPIC, STOCK_BUCKET } = process.env;
const STOCK = 'stock.json';

async function handle(message) {
  const order = orderIn(message);
  if (!order) return log('WARNING', 'A message that is no order', { messageId: message.messageId });
  const state = (await reserve(order)) ? 'reserved' : 'sold-out';
  await publish(RESERVATION_TOPIC, messageOf(order, state));
  log('INFO', `Goods ${state}`, { order: order.id });
}

/** Whether there was enough of everything. Somebody else may write at the same moment: then it looks again. */
async function reserve({ id, basket }) {
  for (;;) {
    const { value: stock = { left, orders: {} }, generation } = await read(STOCK_BUCKET, STOCK);
    // A message that is delivered twice takes nothing twice.
    if (Object.hasOwn(stock.orders, id)) return stock.orders[id];
    const items = Object.entries(basket);
    const isEnough = items.every(([goods, quantity]) => stock.left[goods] >= quantity);
    if (isEnough) for (const [goods, quantity] of items) stock.left[goods] -= quantity;
    stock.orders[id] = isEnough;
    if (await write(STOCK_BUCKET, STOCK, stock, { ifGenerationMatch: generation })) return isEnough;
  }
}

const server = createServer((_request, response) => response.end('ok\n')).listen(PORT);
process.once('SIGTERM', () => server.close());
await consume(PAYMENT_SUBSCRIPTION, handle);
