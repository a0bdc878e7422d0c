/** Free ports of this machine, none given twice. */
import { createServer } from 'node:net';

export interface Ports {
  /** A port that is free now; not given to anybody else until it is returned. */
  take(): Promise<number>;
  giveBack(port: number): void;
}

/** Below those that systems give to outgoing connections, which would take a port in the moment before it is listened on. */
const FIRST = 20_000;
const COUNT = 12_000;

export function openPorts(): Ports {
  const taken = new Set<number>();
  // Local clouds side by side begin at different places.
  let next = (process.pid * 97) % COUNT;
  return {
    async take() {
      for (let tried = 0; tried < COUNT; tried++) {
        const port = FIRST + next;
        next = (next + 1) % COUNT;
        if (taken.has(port)) continue;
        taken.add(port);
        if (await isFree(port)) return port;
        taken.delete(port);
      }
      throw new Error('This machine has no free port.');
    },
    giveBack: (port) => void taken.delete(port),
  };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const listener = createServer();
    listener.once('error', () => resolve(false));
    listener.listen(port, '127.0.0.1', () => listener.close(() => resolve(true)));
  });
}
