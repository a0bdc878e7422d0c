/** The calls of Google's APIs that the shop makes, over plain HTTP. The same file in each service that makes any. */
import { setTimeout as sleep } from 'node:timers/promises';

const {
  PROJECT_ID,
  GCE_METADATA_HOST = 'metadata.google.internal',
  SERVICE_DIRECTOR_CLOUD_ENDPOINT: localCloud,
} = process.env;

const PUBSUB = `${localCloud ?? 'https://pubsub.googleapis.com'}/v1/projects/${PROJECT_ID}`;
const STORAGE = localCloud ?? 'https://storage.googleapis.com';
const ACCOUNT = `http://${GCE_METADATA_HOST}/computeMetadata/v1/instance/service-accounts/default`;

const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());

/** What one service tells the next about an order. */
export function messageOf(order, state) {
  return {
    data: Buffer.from(JSON.stringify(order)).toString('base64'),
    attributes: { order: order.id, state },
  };
}

/** The order in a message; undefined when there is none, for anybody may publish anything by hand. */
export function orderIn({ data = '' }) {
  try {
    const order = JSON.parse(Buffer.from(data, 'base64').toString());
    return typeof order?.id === 'string' ? order : undefined;
  } catch {
    return undefined;
  }
}

export async function publish(topic, message) {
  await call(`${PUBSUB}/topics/${topic}:publish`, { messages: [message] });
}

/**
 * Gives each message to `handle`, one after the other, until SIGTERM.
 * Acknowledges it when that is done; hands it back, to be delivered again, when that throws.
 */
export async function consume(subscription, handle) {
  const url = `${PUBSUB}/subscriptions/${subscription}`;
  while (!stopping.signal.aborted) {
    try {
      for (const { ackId, message } of await pull(url)) {
        const isDone = await handle(message).then(
          () => true,
          (error) => log('WARNING', `${subscription}: ${error.message}`, message.attributes),
        );
        if (isDone) await call(`${url}:acknowledge`, { ackIds: [ackId] });
        else await call(`${url}:modifyAckDeadline`, { ackIds: [ackId], ackDeadlineSeconds: 0 });
      }
    } catch (error) {
      if (stopping.signal.aborted) return;
      log('WARNING', `${subscription}, again in a second: ${error.message}`);
      await sleep(1_000, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }
}

/** Waits for messages. That none came for a while is no error. */
async function pull(url) {
  const patience = AbortSignal.timeout(90_000);
  const signal = AbortSignal.any([stopping.signal, patience]);
  try {
    const response = await call(`${url}:pull`, { maxMessages: 20 }, { signal });
    return (await response.json()).receivedMessages ?? [];
  } catch (error) {
    if (patience.aborted) return [];
    throw error;
  }
}

/** The JSON of an object, and its generation: "0" when there is no such object. */
export async function read(bucket, name) {
  const url = `${STORAGE}/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}?alt=media`;
  const response = await call(url, undefined, { accept: 404 });
  if (response.status === 404) return { generation: '0' };
  return { value: await response.json(), generation: response.headers.get('x-goog-generation') };
}

/** Resolves with false when a condition, such as `{ifGenerationMatch}`, does not hold. */
export async function write(bucket, name, value, condition) {
  const query = new URLSearchParams({ uploadType: 'media', name, ...condition });
  const url = `${STORAGE}/upload/storage/v1/b/${bucket}/o?${query}`;
  return (await call(url, value, { accept: 412 })).ok;
}

/** The names of the objects that begin with `prefix`, sorted. */
export async function list(bucket, prefix) {
  const response = await call(`${STORAGE}/storage/v1/b/${bucket}/o?${new URLSearchParams({ prefix })}`);
  const { items = [] } = await response.json();
  return items.map(({ name }) => name);
}

/** Calls a service of ours, and tells it who calls. A `body` is posted as JSON. */
export async function ask(service, path, body) {
  return send(`${service}${path}`, await metadata(`identity?audience=${encodeURIComponent(service)}`), body);
}

/** One line in Cloud Logging. */
export function log(severity, message, more) {
  console.log(JSON.stringify({ severity, message, ...more }));
}

/** Calls an API of Google's. Throws when that fails, unless with the status that the caller accepts. */
async function call(url, body, { accept, signal } = {}) {
  const { access_token: token } = JSON.parse(await metadata('token'));
  const response = await send(url, token, body, signal);
  if (response.ok || response.status === accept) return response;
  throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
}

function send(url, token, body, signal = AbortSignal.timeout(30_000)) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const post = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  return fetch(url, { ...post, headers, signal });
}

/** The metadata server keeps tokens until shortly before they expire: no need to keep them here as well. */
async function metadata(what) {
  const response = await fetch(`${ACCOUNT}/${what}`, { headers: { 'metadata-flavor': 'Google' } });
  if (!response.ok) throw new Error(`The metadata server answered ${response.status} about ${what}`);
  return response.text();
}
