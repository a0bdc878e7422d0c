/** The shop on the web: takes orders, has them priced, and shows what became of them. */
import { randomUUID } from 'node:crypto';
import express from 'express';
import { ask, log, messageOf, publish } from './google.js';

const { PORT = '8080', ORDERS_TOPIC_ID, PRICING_URL, ARCHIVE_URL } = process.env;

const app = express();
app.use(express.json());

app.get('/health', (_request, response) => {
  response.json({ status: 'ok' });
});

app.post('/orders', async (request, response) => {
  const { customer, card, basket } = request.body ?? {};
  const mistake = mistakeIn(customer, card);
  if (mistake) return response.status(400).json({ error: mistake });

  const quote = await ask(PRICING_URL, '/quote', { basket });
  if (quote.status === 422) return response.status(422).json(await quote.json());
  if (!quote.ok) throw new Error(`pricing answered ${quote.status}`);

  const order = { id: randomUUID(), customer, card, basket, ...(await quote.json()) };
  // One customer's orders keep their order.
  await publish(ORDERS_TOPIC_ID, { ...messageOf(order, 'placed'), orderingKey: customer });
  log('INFO', 'Order placed', { order: order.id });
  response
    .status(202)
    .location(`/orders/${order.id}`)
    .json({ id: order.id, total: order.total, state: 'placed' });
});

app.get('/orders/:id', async (request, response) => {
  const record = await ask(ARCHIVE_URL, `/orders/${encodeURIComponent(request.params.id)}`);
  if (!record.ok && record.status !== 404) throw new Error(`archive answered ${record.status}`);
  response.status(record.status).json(await record.json());
});

app.use((error, _request, response, _next) => {
  if (error.status === undefined) log('ERROR', error.message);
  response
    .status(error.status ?? 500)
    .json({ error: error.status ? error.message : 'Something failed here' });
});

function mistakeIn(customer, card) {
  if (typeof customer !== 'string' || !/^\S{1,100}@\S{1,100}$/.test(customer))
    return 'customer is a mail address';
  if (typeof card !== 'string' || !/^\d{16}$/.test(card)) return 'card is a number of 16 digits, as text';
  return undefined;
}

const server = app.listen(PORT, () => log('INFO', `Listening on ${PORT}`));
process.once('SIGTERM', () => server.close());
