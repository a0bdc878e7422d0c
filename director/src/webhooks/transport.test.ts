/** Which addresses webhooks may be at, asked of the network as it is. */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { AddressRefused } from '../http/public-address.ts';
import { openReceiver, type Receiver } from './testing.ts';
import { publicTransport } from './transport.ts';

async function receiver(): Promise<Receiver> {
  const opened = await openReceiver((_request, response) => {
    response.writeHead(200, { 'retry-after': '7' }).end('thank you');
  });
  onTestFinished(() => opened.close());
  return opened;
}

const question = () => ({
  method: 'POST' as const,
  headers: { 'content-type': 'application/json' },
  body: '{"grüße":1}',
  signal: new AbortController().signal,
});

test('what may be called is called at the address that was checked, by its own name', async () => {
  const { url, received } = await receiver();
  let lookups = 0;
  const lookup = async () => {
    lookups++;
    return [{ address: '127.0.0.1', family: 4 }];
  };
  // A name that nobody else can look up.
  const named = url.replace('127.0.0.1', 'hooks.example');
  const response = await publicTransport({ allowPrivate: true, lookup })(named, question());
  expect(response.status).toBe(200);
  expect(response.headers.get('retry-after')).toBe('7');
  expect(await response.text()).toBe('thank you');
  expect(lookups).toBe(1);
  expect(received).toMatchObject([
    {
      body: '{"grüße":1}',
      headers: { host: expect.stringMatching(/^hooks\.example:/), 'content-length': '13' },
    },
  ]);
});

test('this machine, its network and the metadata server are not called, by whichever name', async () => {
  const { url, received } = await receiver();
  const { port } = new URL(url);
  const addresses = ['127.0.0.1', '169.254.169.254', '10.0.0.1', '::1', '::ffff:127.0.0.1', 'fd00::1'];
  for (const address of addresses) {
    const lookup = async () => [{ address, family: address.includes(':') ? 6 : 4 }];
    const transport = publicTransport({ allowPrivate: false, lookup });
    const hosts = ['hooks.example', address.includes(':') ? `[${address}]` : address];
    for (const host of hosts)
      await expect(transport(`http://${host}:${port}/`, question()), host).rejects.toThrow(AddressRefused);
  }
  const lookup = async () => [{ address: '8.8.8.8', family: 4 }];
  for (const host of ['localhost', 'metadata.google.internal', '2130706433', '0x7f.1', '0177.0.0.1'])
    await expect(
      publicTransport({ allowPrivate: false, lookup })(`http://${host}:${port}/`, question()),
      host,
    ).rejects.toThrow(AddressRefused);
  expect(received).toEqual([]);
});

test('a name that takes for ever to look up, and a server that answers nonsense, end the try', async () => {
  const stopping = new AbortController();
  const waiting = publicTransport({ allowPrivate: true, lookup: () => new Promise(() => {}) })(
    'http://hooks.example/',
    { ...question(), signal: stopping.signal },
  );
  stopping.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  for (const answer of ['HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n', 'hello\r\n\r\n']) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { port } = server.address() as AddressInfo;
    const transport = publicTransport({ allowPrivate: true });
    await expect(transport(`http://127.0.0.1:${port}/`, question())).rejects.toThrow();
  }
});
