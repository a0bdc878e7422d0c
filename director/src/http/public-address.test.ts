/** Who may be asked, and that nobody else is. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Address, AddressRefused, ask, demandPublic, isPublic } from './public-address.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
});

/** Resolves with the port of a server on 127.0.0.1. */
async function serve(answer: Parameters<typeof createServer>[1]): Promise<number> {
  const server = createServer(answer ?? (() => {}));
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return (server.address() as AddressInfo).port;
}

const limits = { mostBytes: 1_000, timeoutMs: 10_000 };
const found =
  (...addresses: readonly string[]) =>
  async (): Promise<readonly Address[]> =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

test.each([
  '8.8.8.8',
  '1.1.1.1',
  '172.15.0.1',
  '172.32.0.1',
  '100.128.0.1',
  '2606:4700::1111',
  '2a00:1450::1',
])('%s is public', (address) => expect(isPublic(address)).toBe(true));

test.each([
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '192.0.0.192',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  'fe80::1',
  'fe80::1%eth0',
  'fd00:ec2::254',
  'fc00::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '64:ff9b::a9fe:a9fe',
  '2001:db8::1',
  '2002:7f00:1::',
  'localhost',
  '',
])('"%s" is not public', (address) => expect(isPublic(address)).toBe(false));

describe('hosts', () => {
  const publicName = { allowPrivate: false, lookup: found('8.8.8.8') };

  test.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://[::1]/',
    'http://[::ffff:169.254.169.254]/',
    'http://169.254.169.254/computeMetadata/v1/',
    // Whatever they may be looked up as.
    'http://metadata.google.internal/',
    'http://metadata.google.internal./',
    'http://METADATA/',
    'http://localhost:8080/',
    'http://a.localhost/',
  ])('%s is refused', async (url) => {
    await expect(demandPublic(url, publicName)).rejects.toThrow('is not on the public internet');
  });

  test('a name with one private address among others is refused', async () => {
    const mixed = { allowPrivate: false, lookup: found('8.8.8.8', '10.0.0.1') };
    await expect(demandPublic('https://example.com/', mixed)).rejects.toBeInstanceOf(AddressRefused);
  });

  test('a name without an address is refused', async () => {
    await expect(
      demandPublic('https://example.com/', { allowPrivate: false, lookup: found() }),
    ).rejects.toThrow('has no address');
  });

  test.each(['file:///etc/passwd', 'gopher://example.com/', 'no url', 'https://user:secret@example.com/'])(
    '%s is refused, and no password repeated',
    async (url) => {
      const error: unknown = await demandPublic(url, publicName).catch((e) => e);
      expect(error).toBeInstanceOf(AddressRefused);
      expect(String(error)).not.toContain('secret');
    },
  );

  test('a public one is told its addresses, and a private one where that is allowed', async () => {
    expect(await demandPublic('https://example.com/', publicName)).toEqual([
      { address: '8.8.8.8', family: 4 },
    ]);
    expect(await demandPublic('http://[::1]:80/', { allowPrivate: true })).toEqual([
      { address: '::1', family: 6 },
    ]);
  });
});

describe('asking', () => {
  test('a private server is not even connected to', async () => {
    let asked = 0;
    const port = await serve((_request, response) => {
      asked++;
      response.end();
    });
    await expect(ask(`http://127.0.0.1:${port}/`, { allowPrivate: false, ...limits })).rejects.toBeInstanceOf(
      AddressRefused,
    );
    expect(asked).toBe(0);
  });

  test('the connection is made to the address that was checked, and the name looked up once', async () => {
    const port = await serve((request, response) => response.end(request.headers.host));
    let lookups = 0;
    // The second answer would lead elsewhere.
    const lookup = async (): Promise<readonly Address[]> => {
      const address = lookups++ === 0 ? '127.0.0.1' : '192.0.2.1';
      return [{ address, family: 4 }];
    };
    const answer = await ask(`http://rebinding.test:${port}/`, { allowPrivate: true, lookup, ...limits });
    expect(String(answer.body)).toBe(`rebinding.test:${port}`);
    expect(lookups).toBe(1);
  });

  test('redirects are answers', async () => {
    let asked = 0;
    const port = await serve((_request, response) => {
      asked++;
      response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
    });
    const answer = await ask(`http://127.0.0.1:${port}/`, { allowPrivate: true, ...limits });
    expect(answer.status).toBe(302);
    expect(asked).toBe(1);
  });

  test('what is sent arrives', async () => {
    const port = await serve((request, response) => {
      const { method, headers } = request;
      request.pipe(
        response.writeHead(201, { said: `${method} ${headers['x-mark']} ${headers['content-length']}` }),
      );
    });
    const answer = await ask(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: { 'x-mark': 'ours' },
      body: 'héllo',
      allowPrivate: true,
      ...limits,
    });
    expect(answer).toMatchObject({ status: 201, headers: { said: 'POST ours 6' } });
    expect(String(answer.body)).toBe('héllo');
  });

  test('too long an answer is not read to its end', async () => {
    const port = await serve((_request, response) => response.end('x'.repeat(1_001)));
    await expect(ask(`http://127.0.0.1:${port}/`, { allowPrivate: true, ...limits })).rejects.toThrow(
      'more than 1000 bytes',
    );
  });

  test('nobody is waited for longer than was said, nor after an abort', async () => {
    const port = await serve((_request, response) => response.write('begun'));
    const url = `http://127.0.0.1:${port}/`;
    await expect(ask(url, { allowPrivate: true, mostBytes: 10, timeoutMs: 50 })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    const forEver = { allowPrivate: true, lookup: () => new Promise<never>(() => {}) };
    await expect(
      ask('http://slow.test/', { ...forEver, mostBytes: 10, timeoutMs: 50 }),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
    const abort = new AbortController();
    const asking = ask(url, { allowPrivate: true, ...limits, signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(asking).rejects.toThrow('enough');
  });
});
