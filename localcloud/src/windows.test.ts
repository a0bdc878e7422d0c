import { connect, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { widenWindows } from './windows.ts';

test('a peer may send megabytes before it must wait', async () => {
  widenWindows();
  const server = createServer((_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const windows: unknown[] = [];
  const widened = new Promise<void>((resolve) => {
    client.on('remoteSettings', ({ initialWindowSize = 0 }) => {
      windows.push(initialWindowSize);
      if (initialWindowSize > 1_000_000) resolve();
    });
  });
  client.request().resume();
  await widened;
  expect(windows.at(-1)).toBe(4 * 1024 * 1024);
  client.close();
  await new Promise((resolve) => server.close(resolve));
});
