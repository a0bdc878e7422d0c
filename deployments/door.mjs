/**
 * A door in the wall of a container: `node door.mjs [ADDRESS] PORT…` hands on what comes to those ports from outside to
 * the same ports of the loopback interface, where programs listen that are open to their own machine only.
 *
 * It asks nobody who they are. What stands before it has to: a port that is published on 127.0.0.1 only, a policy of
 * the network. Without an address it listens at the container's first that is not loopback.
 */
import { connect, createServer, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

const words = process.argv.slice(2);
const address = isIP(words[0] ?? '') ? words.shift() : firstAddress();
const ports = words.map(Number);
if (address === undefined || ports.length === 0 || !ports.every((port) => port > 0 && port < 65_536)) {
  process.stderr.write(
    'usage: node door.mjs [ADDRESS] PORT…, on a machine with an address that is not loopback\n',
  );
  process.exit(64);
}

for (const port of ports)
  createServer((outside) => {
    const inside = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [outside, inside],
      [inside, outside],
    ]) {
      // Whoever breaks off, or finds nobody there, breaks off the other side too.
      one.on('error', () => other.destroy());
      one.pipe(other);
    }
  }).listen(port, address, () => process.stdout.write(`${address}:${port} leads to 127.0.0.1:${port}\n`));

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

function firstAddress() {
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}
