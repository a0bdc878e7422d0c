/** How webhooks are called: only at addresses that may be called, each checked and connected to as it was checked. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { type AddressRules, beginToAsk } from '../http/public-address.ts';
import type { Transport } from './attempt.ts';

/** A `fetch` of one question and one answer. Rejects with AddressRefused, and with what the network throws. */
export function publicTransport(rules: AddressRules): Transport {
  return async (url, question) => {
    const message = await beginToAsk(url, question, rules);
    try {
      return responseOf(message);
    } catch (error) {
      message.destroy();
      throw error;
    }
  };
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
