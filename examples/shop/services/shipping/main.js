/** Hands reserved goods to the carrier: reservations → shipments. Pub/Sub posts each reservation to /reservations. */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { PubSub } from '@google-cloud/pubsub';

const {
  PORT = '8080',
  PROJECT_ID,
  SHIPMENT_TOPIC,
  CARRIER_URL,
  GCE_METADATA_HOST = 'metadata.google.internal',
} = process.env;
const shipments = new PubSub({ projectId: PROJECT_ID }).topic(SHIPMENT_TOPIC);

async function ship({ message }) {
  const order = JSON.parse(Buffer.from(message.data, 'base64').toString());
  const { tracking } = await parcelFor(order);
  await shipments.publishMessage({
    json: { ...order, tracking },
    attributes: { order: order.id, state: 'shipped' },
  });
  log('INFO', 'Parcel handed over', { order: order.id, tracking });
}

async function parcelFor({ id, customer }) {
  const response = await fetch(`${CARRIER_URL}/parcels`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await identityFor(CARRIER_URL)}` },
    body: JSON.stringify({ order: id, to: customer }),
  });
  if (!response.ok) throw new Error(`The carrier answered ${response.status}`);
  return response.json();
}

/** A token that tells another service who we are. */
async function identityFor(service) {
  const url = `http://${GCE_METADATA_HOST}/computeMetadata/v1/instance/service-accounts/default/identity`;
  const response = await fetch(`${url}?audience=${encodeURIComponent(service)}`, {
    headers: { 'metadata-flavor': 'Google' },
  });
  if (!response.ok) throw new Error(`The metadata server answered ${response.status}`);
  return response.text();
}

const server = createServer(async (request, response) => {
  try {
    if (request.url === '/reservations') await ship(await json(request));
    response.writeHead(204).end();
  } catch (error) {
    // Anything but 2xx, and Pub/Sub delivers again.
    log('ERROR', error.message);
    response.writeHead(500).end();
  }
}).listen(PORT);
process.once('SIGTERM', () => server.close());

function log(severity, message, more) {
  console.log(JSON.stringify({ severity, message, ...more }));
}
