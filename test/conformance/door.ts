/** A way to a server on which answers can be held, and then let through or lost. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Door {
  /** `127.0.0.1:<port>`. */
  readonly endpoint: string;
  /** From now on requests get through, and what the server says does not. */
  hold(): void;
  /** What the server has said since. */
  held(): Buffer;
  /** Lets it through, and what comes. */
  release(): void;
  /** Breaks all connections off, and what was held is lost; new ones are as at first. */
  cut(): void;
  close(): Promise<void>;
}

/** Leads to `endpoint`, `127.0.0.1:<port>`; on a free port where none is named. */
export async function openDoor(endpoint: string, on = 0): Promise<Door> {
  const { hostname, port } = new URL(`http://${endpoint}`);
  const sockets = new Set<Socket>();
  let isHeld = false;
  let held: { readonly client: Socket; readonly data: Buffer }[] = [];

  const server = createServer((client) => {
    const behind = connect(Number(port), hostname);
    for (const [socket, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.on('data', (data) => behind.write(data));
    behind.on('data', (data: Buffer) => {
      if (isHeld) held.push({ client, data });
      else client.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(on, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;

  function open(): void {
    isHeld = false;
    held = [];
  }

  function cut(): void {
    open();
    for (const socket of sockets) socket.destroy();
  }

  return {
    endpoint: `127.0.0.1:${own}`,
    hold() {
      isHeld = true;
    },
    held: () => Buffer.concat(held.map(({ data }) => data)),
    release() {
      for (const { client, data } of held) client.write(data);
      open();
    },
    cut,
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
