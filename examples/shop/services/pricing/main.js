/** Says what a basket costs: `POST /quote` with `{"basket": {"tea": 2}}`. */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import prices from './prices.json' with { type: 'json' };

const { PORT = '8080', CURRENCY } = process.env;
const MOST_OF_ONE = 100;

/** The status and body of the answer. The total is in the smallest coin. */
function quote(basket) {
  const items = Object.entries(basket ?? {});
  if (items.length === 0) return [422, { error: 'The basket is empty' }];
  for (const [goods, quantity] of items) {
    if (!Object.hasOwn(prices, goods)) return [422, { error: `There is no ${goods} in this shop` }];
    const isQuantity = Number.isInteger(quantity) && quantity >= 1 && quantity <= MOST_OF_ONE;
    if (!isQuantity) return [422, { error: `Of ${goods} one can buy 1 to ${MOST_OF_ONE}` }];
  }
  const total = items.reduce((sum, [goods, quantity]) => sum + prices[goods] * quantity, 0);
  return [200, { total, currency: CURRENCY }];
}

async function answer(request) {
  switch (`${request.method} ${request.url}`) {
    case 'GET /health':
      return [200, { status: 'ok' }];
    case 'POST /quote':
      return quote((await json(request))?.basket);
    default:
      return [404, { error: 'Ask POST /quote' }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(() => [400, { error: 'The body is no JSON' }]);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}).listen(PORT);
process.once('SIGTERM', () => server.close());
