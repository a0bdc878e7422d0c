/** Pulls traces, stores each as an object in a bucket, and publishes to the verify topic that it did. */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { PUBSUB, post, STORAGE } from './google.js';

const { PORT = '8080', TRACE_SUBSCRIPTION, TRACE_BUCKET, VERIFY_TOPIC } = process.env;
const subscription = `${PUBSUB}/subscriptions/${TRACE_SUBSCRIPTION}`;
const stopping = new AbortController();
const counts = { received: 0, stored: 0, failed: 0 };

/** Until it is told to stop. What fails is tried again. */
async function pullForever() {
  while (!stopping.signal.aborted) {
    try {
      const received = await pull();
      if (received.length > 0) await handle(received);
    } catch (error) {
      if (stopping.signal.aborted) return;
      log('WARNING', `Pulling again in a second: ${error.message}`);
      await sleep(1_000, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }
}

/** Waits for messages. That none came for a while is no error. */
async function pull() {
  const patience = AbortSignal.timeout(90_000);
  const signal = AbortSignal.any([stopping.signal, patience]);
  try {
    const { receivedMessages = [] } = await post(`${subscription}:pull`, { maxMessages: 100 }, signal);
    return receivedMessages;
  } catch (error) {
    if (patience.aborted) return [];
    throw error;
  }
}

/** Acknowledges only what is stored and announced. Pub/Sub delivers the rest again. */
async function handle(received) {
  const results = await Promise.allSettled(received.map(store));
  const stored = results.flatMap(({ value }) => value ?? []);
  const failures = results.flatMap(({ reason }) => reason ?? []);
  for (const error of failures) log('ERROR', `A trace was not stored: ${error.message}`);
  counts.received += received.length;
  counts.failed += failures.length;
  if (stored.length === 0) return;
  const messages = stored.map(({ id, object }) => ({ attributes: { id, object } }));
  await post(`${PUBSUB}/topics/${VERIFY_TOPIC}:publish`, { messages });
  await post(`${subscription}:acknowledge`, { ackIds: stored.map(({ ackId }) => ackId) });
  counts.stored += stored.length;
  log('INFO', `Stored ${stored.length} ${stored.length === 1 ? 'trace' : 'traces'}`, {
    ids: stored.map(({ id }) => id),
  });
}

/** A trace that is delivered twice replaces its own object. */
async function store({ ackId, message }) {
  const id = message.attributes?.id ?? message.messageId;
  const object = `traces/${id}.json`;
  const query = new URLSearchParams({ uploadType: 'media', name: object });
  await post(
    `${STORAGE}/upload/storage/v1/b/${TRACE_BUCKET}/o?${query}`,
    Buffer.from(message.data ?? '', 'base64'),
  );
  return { id, object, ackId };
}

const server = createServer((request, response) => {
  const answers = { '/': counts, '/health': { status: 'ok' } };
  const body = answers[request.url] ?? { error: 'Ask for / or /health' };
  response.writeHead(request.url in answers ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
});

function log(severity, message, more) {
  console.log(JSON.stringify({ severity, message, ...more }));
}

process.once('SIGTERM', () => {
  stopping.abort();
  server.close();
});
server.listen(PORT, () => log('INFO', `Listening on ${PORT}`));
await pullForever();
