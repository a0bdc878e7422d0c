/** How webhooks are called: only at addresses that may be called, each checked and connected to as it was checked. */
import { type IncomingMessage, request as overHttp, type RequestOptions } from 'node:http';
import { request as overHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { Readable } from 'node:stream';
import { type Address, type AddressRules, demandPublic } from '../http/public-address.ts';
import type { Transport } from './attempt.ts';

/** A `fetch` of one question and one answer. Rejects with AddressRefused, and with what the network throws. */
export function publicTransport(rules: AddressRules): Transport {
  return async (url, { method, headers, body, signal }) => {
    const addresses = await unlessAborted(demandPublic(url, rules), signal);
    const parsed = new URL(url);
    const options: RequestOptions = {
      method,
      headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      lookup: lookupOf(addresses),
      signal,
      // A connection that was made before might lead to another address.
      agent: false,
    };
    return await new Promise((resolve, reject) => {
      const request = parsed.protocol === 'https:' ? overHttps : overHttp;
      const asked = request(parsed, options, (message) => {
        try {
          resolve(responseOf(message));
        } catch (error) {
          message.destroy();
          reject(error);
        }
      });
      // An aborted request fails with an AbortError, whatever the signal's reason was.
      asked.on('error', (error) => reject(signal.aborted ? signal.reason : error));
      asked.end(body);
    });
  };
}

/** Looking up a name cannot be aborted, and may take longer than anybody wants to wait. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Throws RangeError for a status that there is not. */
function responseOf(message: IncomingMessage): Response {
  const { statusCode: status = 0 } = message;
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const hasBody = ![204, 205, 304].includes(status);
  if (!hasBody) message.resume();
  return new Response(hasBody ? Readable.toWeb(message) : null, { status, headers });
}

/** What stands for the system's lookup while the connection is made: the addresses that were checked, and no others. */
function lookupOf(addresses: readonly Address[]): LookupFunction {
  return (_host, { all }, done) => {
    const [first] = addresses;
    if (all) done(null, [...addresses]);
    else done(null, first?.address ?? '', first?.family);
  };
}
