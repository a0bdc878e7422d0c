/** Push: messages posted to an endpoint over HTTP, acknowledged by its status codes. */
import {
  Agent,
  type RequestOptions,
  request as requestHttp,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { LocalCloud } from '../../cloud.ts';
import type { Accounts } from '../../internal.ts';
import type { Subscription } from './broker.ts';
import type { Consumer, Delivery } from './delivery.ts';
import { MINUTE_MS } from './durations.ts';
import { writeBody } from './message.ts';
import type { PushTerms, Terms } from './terms.ts';

export interface Push {
  /** The endpoint and the token are others, or the same. */
  change(terms: PushTerms): void;
  stop(): void;
}

/** Statuses that acknowledge; every other one does the opposite. */
const ACKNOWLEDGING = new Set([102, 200, 201, 202, 204]);
const WINDOW = { first: 10, least: 1, most: 1_000 };
const PAUSE = { firstMs: 100, longestMs: MINUTE_MS };
/** A lease outlives its request, so that the timeout of the request decides. */
const LEASE_SLACK_MS = 5_000;
/** Tokens are good for an hour. */
const TOKEN_MS = 30 * MINUTE_MS;
const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost|.+\.localhost)$/i;
const USER_AGENT = 'APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)';

/** Names under `localhost` are this machine, whatever its resolver says. */
const lookup: LookupFunction = (_host, options, done) => {
  if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
  else done(null, '127.0.0.1', 4);
};

export function openPush(
  cloud: LocalCloud,
  accounts: Accounts,
  subscription: Subscription,
  first: PushTerms,
): Push {
  const { clock } = cloud;
  const { backlog, dispatch, name } = subscription;
  const agents = { http: new Agent({ keepAlive: true }), https: new TlsAgent({ keepAlive: true }) };
  const stopped = new AbortController();
  let terms = first;
  let token: { readonly text: string; readonly until: number } | undefined;
  let window = WINDOW.first;
  let failuresInARow = 0;
  let endPause: (() => void) | undefined;

  const consumer: Consumer = {
    room: { messages: window, bytes: Number.POSITIVE_INFINITY },
    batch: 100,
    once: false,
    oneOfAKey: true,
    get open() {
      return !stopped.signal.aborted && endPause === undefined;
    },
    get leaseMs() {
      return subscription.terms.ackDeadlineMs + LEASE_SLACK_MS;
    },
    take(batch) {
      for (const delivery of batch) void deliver(delivery);
    },
    close: stop,
  };
  const disconnect = dispatch.connect(consumer);

  async function deliver(delivery: Delivery): Promise<void> {
    const { ackId } = delivery;
    const status = await post(delivery).catch(() => undefined);
    if (stopped.signal.aborted) return;
    if (status !== undefined && ACKNOWLEDGING.has(status)) {
      subscription.activeAt = clock.now();
      failuresInARow = 0;
      resize(Math.min(window + 1, WINDOW.most));
      backlog.ack(ackId);
    } else {
      pause();
      resize(Math.max(Math.floor(window / 2), WINDOW.least));
      backlog.nack(ackId);
    }
  }

  function resize(next: number): void {
    consumer.room.messages += next - window;
    window = next;
  }

  /** Failures of requests that were out together count once. */
  function pause(): void {
    if (endPause) return;
    const ms = Math.min(PAUSE.firstMs * 2 ** failuresInARow, PAUSE.longestMs);
    failuresInARow++;
    const stopTimer = clock.after(ms, () => endPause?.());
    endPause = () => {
      endPause = undefined;
      stopTimer();
      dispatch.wake();
    };
  }

  /** The status of the answer. Rejects when there is none in time. */
  async function post(delivery: Delivery): Promise<number> {
    const url = new URL(terms.endpoint);
    if (!LOOPBACK.test(url.hostname)) throw new Error(`${url.hostname} is not this machine`);
    const { headers, body } = requestOf(name, delivery, terms, subscription.terms);
    const authorization = terms.account === undefined ? {} : { authorization: `Bearer ${tokenOf(terms)}` };
    const timeout = new AbortController();
    const stopTimer = clock.after(subscription.terms.ackDeadlineMs, () => timeout.abort());
    const options: RequestOptions = {
      method: 'POST',
      headers: { ...headers, ...authorization, 'content-length': body.length, 'user-agent': USER_AGENT },
      signal: AbortSignal.any([timeout.signal, stopped.signal]),
      ...(/localhost$/i.test(url.hostname) ? { lookup } : {}),
    };
    return new Promise<number>((resolve, reject) => {
      const request =
        url.protocol === 'https:'
          ? requestHttps(url, { ...options, agent: agents.https })
          : requestHttp(url, { ...options, agent: agents.http });
      request.on('information', ({ statusCode }) => statusCode === 102 && resolve(102));
      request.on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on('error', reject);
      request.end(body);
    }).finally(stopTimer);
  }

  /** An identity token of the account. Throws while it cannot act. */
  function tokenOf({ account: email = '', audience }: PushTerms): string {
    const now = clock.now();
    const account = accounts.find(email);
    if (!account || account.disabled || account.effectiveAt > now) throw new Error(`${email} cannot act`);
    if (!token || token.until <= now) {
      token = { text: cloud.tokens.identityToken(account, audience), until: now + TOKEN_MS };
    }
    return token.text;
  }

  function stop(): void {
    stopped.abort();
    endPause?.();
    disconnect();
    agents.http.destroy();
    agents.https.destroy();
  }

  return {
    change(next) {
      if (JSON.stringify(next) === JSON.stringify(terms)) return;
      terms = next;
      token = undefined;
      failuresInARow = 0;
      endPause?.();
    },
    stop,
  };
}

function requestOf(
  subscription: string,
  { message, failures }: Delivery,
  { wrapped, writeMetadata }: PushTerms,
  { deadLetter }: Terms,
): { headers: Record<string, string>; body: Buffer } {
  const { attributes, messageId, publishTime, orderingKey, data } = writeBody(message.body);
  const attempt = deadLetter ? { deliveryAttempt: failures + 1 } : {};
  if (wrapped) {
    const wrapping = {
      message: {
        ...(data === '' ? {} : { data }),
        ...(Object.keys(message.body.attributes).length === 0 ? {} : { attributes }),
        messageId,
        message_id: messageId,
        ...(orderingKey === '' ? {} : { orderingKey }),
        publishTime,
        publish_time: publishTime,
      },
      subscription,
      ...attempt,
    };
    return { headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(wrapping)) };
  }
  const metadata = {
    'x-goog-pubsub-subscription-name': subscription,
    'x-goog-pubsub-message-id': message.body.messageId,
    'x-goog-pubsub-publish-time': String(publishTime),
    ...(orderingKey === '' ? {} : { 'x-goog-pubsub-ordering-key': message.body.orderingKey }),
    ...(deadLetter ? { 'x-goog-pubsub-delivery-attempt': String(failures + 1) } : {}),
  };
  const headers: Record<string, string> = writeMetadata ? { ...message.body.attributes, ...metadata } : {};
  return {
    headers: Object.fromEntries(Object.entries(headers).filter(([key, value]) => isHeader(key, value))),
    body: Buffer.from(message.body.data),
  };
}

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
