/** Writes each step of each order into the records. Which subscriptions those are read from, resources.yaml says. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parse } from 'yaml';
import { consume, log, orderIn, write } from './google.js';

const { PORT = '8080', RECORDS_BUCKET } = process.env;
const { subscriptions } = parse(readFileSync(new URL('resources.yaml', import.meta.url), 'utf8'));

/** Messages come in any order; the names of their objects put them in the right one. */
const STEPS = { placed: 1, paid: 2, declined: 2, reserved: 3, 'sold-out': 3, shipped: 4 };

async function record(message) {
  const order = orderIn(message);
  const { state } = message.attributes ?? {};
  if (!order || !Object.hasOwn(STEPS, state)) {
    return log('WARNING', 'A message that is no step of an order', { messageId: message.messageId });
  }
  const { card, ...rest } = order;
  const name = `orders/${order.id}/${STEPS[state]}-${state}.json`;
  await write(RECORDS_BUCKET, name, { state, at: message.publishTime, order: rest });
  log('INFO', `Recorded: ${state}`, { order: order.id });
}

const server = createServer((_request, response) => response.end('ok\n')).listen(PORT);
process.once('SIGTERM', () => server.close());
await Promise.all(subscriptions.map(({ name }) => consume(name, record)));
