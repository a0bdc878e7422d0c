/** A listener of a service's front door: an HTTP port of its own, the same after a restart when it is still free. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Ports } from './ports.ts';

export interface Listener {
  readonly port: number;
  readonly uri: string;
  close(): Promise<void>;
}

export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Listens on the port that it had before, or on a free one when that is 0 or taken. */
export async function openListener(before: number, ports: Ports, handlers: Handlers): Promise<Listener> {
  const server = createServer(handlers.request);
  const upgraded = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    upgraded.add(socket);
    socket.on('close', () => upgraded.delete(socket));
    socket.on('error', () => socket.destroy());
    handlers.upgrade(request, socket, head);
  });
  server.keepAliveTimeout = 65_000;
  // A request may take as long as the service's timeout allows; the front door counts that itself.
  server.requestTimeout = 0;
  const listen = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  const again =
    before !== 0 &&
    (await listen(before).then(
      () => true,
      () => false,
    ));
  const port = again ? before : await ports.take();
  if (!again) await listen(port);
  return {
    port,
    uri: `http://127.0.0.1:${port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await closed;
      ports.giveBack(port);
    },
  };
}
