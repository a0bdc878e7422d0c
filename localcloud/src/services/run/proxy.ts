/** Carries one request to an instance and its answer back, as they come. */
import {
  Agent,
  request as ask,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';

/** A fresh connection each: an instance may be gone between two requests. */
const AGENT = new Agent({ keepAlive: false });

/** What concerns one connection only, and is not passed on: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

/** What the instance is asked with. */
export interface Forwarded {
  readonly port: number;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the caller hangs up or time is over. */
  readonly signal: AbortSignal;
}

/** Resolves with the status once the answer has been sent whole; rejects when the instance failed or the signal was aborted. */
export function forward(
  from: IncomingMessage,
  to: ServerResponse,
  { port, headers, signal }: Forwarded,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const chunked = from.headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' };
    const asking = ask({
      host: '127.0.0.1',
      port,
      method: from.method,
      path: from.url,
      headers: { ...endToEnd(headers), ...chunked, connection: 'close' },
      agent: AGENT,
      signal,
    });
    asking.once('response', (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.headers));
      // What is known is shown at once: an answer may stream for long.
      to.flushHeaders();
      pipeline(answer, to, (error) => (error ? reject(error) : resolve(to.statusCode)));
    });
    asking.once('error', reject);
    // A caller that stops sending in the middle is seen by the signal; an instance that stops reading still may answer.
    pipeline(from, asking, () => {});
  });
}

/** The same for a connection that changes its protocol (WebSocket); 101 when either side has ended it. */
export function forwardUpgrade(
  from: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  { port, headers, signal }: Forwarded,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = ask({
      host: '127.0.0.1',
      port,
      method: from.method,
      path: from.url,
      headers: { ...endToEnd(headers), connection: 'Upgrade', upgrade: from.headers.upgrade },
      agent: AGENT,
      signal,
    });
    asking.once('upgrade', (answer: IncomingMessage, instance: Socket, first: Buffer) => {
      socket.write(statusAndHeaders(answer));
      if (first.length > 0) socket.write(first);
      if (head.length > 0) instance.write(head);
      const over = (): void => {
        socket.destroy();
        instance.destroy();
        resolve(101);
      };
      signal.addEventListener('abort', over, { once: true });
      pipeline(instance, socket, over);
      pipeline(socket, instance, over);
    });
    asking.once('response', (answer) => {
      answer.headers.connection = 'close';
      socket.write(statusAndHeaders(answer));
      pipeline(answer, socket, (error) => (error ? reject(error) : resolve(answer.statusCode ?? 502)));
    });
    asking.once('error', reject);
    asking.end();
  });
}

function statusAndHeaders(answer: IncomingMessage): string {
  const lines: string[] = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (const [name, value] of Object.entries(answer.headers)) {
    if (name === 'transfer-encoding') continue;
    for (const each of [value].flat()) if (each !== undefined) lines.push(`${name}: ${each}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = (headers.connection ?? '').toLowerCase().split(/\s*,\s*/);
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.includes(name)),
  );
}
