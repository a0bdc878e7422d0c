/** The ports: REST and gRPC on one, as Google's emulators have them. The first bytes of a connection tell which. */
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { ServerCredentials } from '@grpc/grpc-js';
import type { LocalCloud } from './cloud.ts';
import type { Identity } from './identity.ts';
import { buildRoutes, serveHttp } from './rest.ts';
import { grpcServer } from './rpc.ts';
import type { Door, Service } from './service.ts';
import type { Shapes } from './shapes.ts';
import { widenWindows } from './windows.ts';

export interface Server {
  /** Opens a port; 0 picks a free one. */
  open(port: number, whom: { identity: Identity; projectId: string; region: string }): Promise<Door>;
}

export function createWire(cloud: LocalCloud, services: readonly Service[], shapes: Shapes): Server {
  const routes = buildRoutes(services, shapes);
  widenWindows();
  return {
    async open(port, whom) {
      const door: { current?: Door } = {};
      const here = (): Door => {
        if (!door.current) throw new Error('The door is not open yet');
        return door.current;
      };
      const http = createServer(
        (request, response) => void serveHttp(cloud, routes, here(), request, response),
      );
      http.keepAliveTimeout = 65_000;
      // gcloud reaches what it was told no address of through us as a proxy: what is not served here is said so.
      http.on('connect', ({ url = '' }, socket) => {
        const host = url.replace(/:443$/, '');
        socket.end(`HTTP/1.1 501 The local cloud does not serve ${host.replace(/[^\w.:-]/g, '')}\r\n\r\n`);
      });
      const rpc = grpcServer(cloud, services, shapes, here);
      const injector = rpc.createConnectionInjector(ServerCredentials.createInsecure());
      const sockets = new Set<Socket>();

      // The first bytes of a connection tell HTTP/2 (gRPC) from HTTP/1.
      const listener = createSocketServer((socket) => {
        sockets.add(socket);
        socket.setNoDelay(true);
        socket.on('close', () => sockets.delete(socket));
        socket.on('error', () => socket.destroy());
        socket.once('data', (chunk: Buffer) => {
          socket.pause();
          socket.unshift(chunk);
          if (chunk.subarray(0, 3).toString() === 'PRI') {
            injector.injectConnection(socket);
          } else {
            http.emit('connection', socket);
            socket.resume();
          }
        });
      });
      await new Promise<void>((resolve, reject) => {
        listener.once('error', reject);
        listener.listen(port, '127.0.0.1', () => resolve());
      });
      const opened: Door = {
        ...whom,
        port: (listener.address() as AddressInfo).port,
        async close() {
          const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
          injector.destroy();
          rpc.forceShutdown();
          http.closeAllConnections();
          for (const socket of sockets) socket.destroy();
          await closed;
        },
      };
      door.current = opened;
      return opened;
    },
  };
}
