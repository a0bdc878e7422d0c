import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectTo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Bucket, Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCloud, type TestCloud } from '../../testing.ts';
import { crc32c, encodeCrc32c } from './crc32c.ts';

const PIECE = 256 * 1024;
const DAY = 24 * 60 * 60 * 1000;

let cloud: TestCloud;
let bucket: Bucket;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop', propagationMs: 0 });
  [bucket] = await connect().createBucket('uploads');
});
afterAll(() => cloud.end());

function connect(): Storage {
  return new Storage({
    projectId: 'shop',
    apiEndpoint: cloud.origin(),
    useAuthWithCustomEndpoint: false,
    retryOptions: { autoRetry: false },
  });
}

async function begin(name: string, metadata: object = {}, query = ''): Promise<string> {
  const url = `${cloud.origin()}/upload/storage/v1/b/uploads/o?uploadType=resumable&name=${name}${query}`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(metadata) });
  expect([response.status, await response.text()]).toEqual([200, '']);
  return String(response.headers.get('location'));
}

async function send(
  session: string,
  range: string,
  body: Uint8Array<ArrayBuffer> = new Uint8Array(),
  headers: Record<string, string> = {},
): Promise<{ status: number; range: string | null; text: string }> {
  const response = await fetch(session, {
    method: 'PUT',
    headers: { 'content-range': `bytes ${range}`, ...headers },
    body,
  });
  return { status: response.status, range: response.headers.get('range'), text: await response.text() };
}

function bytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(randomBytes(length));
}

async function stored(name: string): Promise<Buffer> {
  const url = `${cloud.origin()}/storage/v1/b/uploads/o/${name}?alt=media`;
  return Buffer.from(await (await fetch(url)).arrayBuffer());
}

/** What unfinished uploads have on disk. */
function parts(): string[] {
  return readdirSync(join(cloud.running().cloud.store.dir, 'storage-uploads'));
}

test.for([
  ['20 MB in chunks', 20_000_000, { resumable: true, chunkSize: 32 * PIECE }],
  ['a resumable upload in one piece', 1_000_000, { resumable: true }],
  ['a multipart upload', 1_000_000, { resumable: false, validation: 'crc32c' }],
] as const)('the Node client sends and reads %s', async ([name, size, options]) => {
  const data = randomBytes(size);
  await bucket.file(name).save(data, options);
  const [metadata] = await bucket.file(name).getMetadata();
  expect([metadata.size, metadata.crc32c]).toEqual([String(size), encodeCrc32c(crc32c(data))]);
  expect((await bucket.file(name).download())[0].equals(data)).toBe(true);
  expect(parts()).toEqual([]);
});

test('a multipart upload may end its lines as Python does', async () => {
  const body = [
    '--==1==\nContent-Type: application/json\n\n{"name": "lines", "metadata": {"a": "b"}}\n',
    '--==1==\nContent-Type: text/x-lines\nMIME-Version: 1.0\n\nline one\r\n--==0==\n\r\n--==1==--',
  ].join('');
  const response = await fetch(`${cloud.origin()}/upload/storage/v1/b/uploads/o?uploadType=multipart`, {
    method: 'POST',
    headers: { 'content-type': "multipart/related; boundary='==1=='" },
    body,
  });
  expect(await response.json()).toMatchObject({ contentType: 'text/x-lines', metadata: { a: 'b' } });
  expect(String(await stored('lines'))).toBe('line one\r\n--==0==\n\r');
  const cut = await fetch(`${cloud.origin()}/upload/storage/v1/b/uploads/o?uploadType=multipart`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/related; boundary="==1=="' },
    body: body.slice(0, -8),
  });
  expect(cut.status).toBe(400);
});

test('chunks add up, and say how far they have come', async () => {
  const data = bytes(2 * PIECE + 100);
  const session = await begin('chunks', { contentType: 'image/png', metadata: { k: 'v' } });
  expect(await send(session, '*/*')).toMatchObject({ status: 308, range: null });
  // Of a chunk in the middle, only whole pieces count.
  const first = await send(session, `0-${PIECE + 9}/*`, data.subarray(0, PIECE + 10));
  expect(first).toMatchObject({ status: 308, range: `bytes=0-${PIECE - 1}` });
  const gap = await send(session, `${PIECE + 10}-${PIECE + 19}/*`, data.subarray(0, 10));
  expect(gap.status).toBe(503);
  expect(gap.text).toContain('exceeds already uploaded size of 262144 byte(s)');
  // What comes again is skipped.
  const second = await send(session, `${PIECE - 5}-${2 * PIECE - 1}/*`, data.subarray(PIECE - 5, 2 * PIECE));
  expect(second).toMatchObject({ status: 308, range: `bytes=0-${2 * PIECE - 1}` });
  const rest = data.subarray(2 * PIECE);
  const last = await send(session, `${2 * PIECE}-${data.length - 1}/${data.length}`, rest, {
    'x-goog-hash': `crc32c=${encodeCrc32c(crc32c(data))}`,
  });
  expect(last.status).toBe(200);
  const object = JSON.parse(last.text);
  expect(object).toMatchObject({ name: 'chunks', contentType: 'image/png', metadata: { k: 'v' } });
  expect((await stored('chunks')).equals(data)).toBe(true);
  // Who lost the answer asks again.
  expect(JSON.parse((await send(session, '*/*')).text)).toEqual(object);
});

test('an empty object and one of unknown length can be sent', async () => {
  const empty = await begin('empty');
  expect((await send(empty, '*/0')).status).toBe(200);
  const open = await begin('open');
  expect((await send(open, '0-*/*', bytes(1000))).status).toBe(200);
  expect(await stored('empty')).toHaveLength(0);
  expect(await stored('open')).toHaveLength(1000);
});

test('a session survives a restart, with what a broken connection had brought', async () => {
  const data = bytes(3 * PIECE);
  const session = await begin('survivor');
  const broken = new Promise((resolve) => {
    const half = request(session, {
      method: 'PUT',
      headers: {
        'content-range': `bytes 0-${data.length - 1}/${data.length}`,
        'content-length': data.length,
      },
    });
    half.on('error', resolve);
    half.write(data.subarray(0, 2 * PIECE + 10), () => half.destroy(new Error('cut')));
  });
  await broken;
  await expect.poll(async () => (await send(session, `*/${data.length}`)).range).toMatch(/^bytes=0-/);
  const { range } = await send(session, '*/*');
  const received = Number(range?.split('-')[1]) + 1;
  expect(received % PIECE).toBe(0);
  await cloud.restart();
  const moved = session.replace(/^http:\/\/[^/]+/, cloud.origin());
  expect(await send(moved, '*/*')).toMatchObject({ status: 308, range });
  const rest = await send(moved, `${received}-${data.length - 1}/${data.length}`, data.subarray(received));
  expect(rest.status).toBe(200);
  expect((await stored('survivor')).equals(data)).toBe(true);
  expect(parts()).toEqual([]);
});

test('what was begun and given up leaves nothing behind', async () => {
  const chunk = bytes(PIECE);
  const cancelled = await begin('cancelled');
  await send(cancelled, `0-${PIECE - 1}/*`, chunk);
  expect(parts()).toHaveLength(1);
  expect((await fetch(cancelled, { method: 'DELETE' })).status).toBe(499);
  expect((await send(cancelled, '*/*')).status).toBe(404);
  expect(parts()).toEqual([]);
  const forgotten = await begin('forgotten');
  await send(forgotten, `0-${PIECE - 1}/*`, chunk);
  cloud.pass(8 * DAY);
  await cloud.restart();
  expect(parts()).toEqual([]);
  expect((await send(forgotten.replace(/^http:\/\/[^/]+/, cloud.origin()), '*/*')).status).toBe(404);
});

test('preconditions are judged when an upload begins and when it ends', async () => {
  const upload = `${cloud.origin()}/upload/storage/v1/b/uploads/o?uploadType=`;
  const session = await begin('raced', {}, '&ifGenerationMatch=0');
  expect((await fetch(`${upload}media&name=raced`, { method: 'POST', body: 'first' })).status).toBe(200);
  expect((await send(session, '0-4/5', bytes(5))).status).toBe(412);
  const late = `${upload}resumable&name=raced&ifGenerationMatch=0`;
  expect((await fetch(late, { method: 'POST' })).status).toBe(412);
  expect(String(await stored('raced'))).toBe('first');
});

test('a refusal gets through to a client that sends all before it listens', async () => {
  expect((await send(await begin('there'), '0-4/5', bytes(5))).status).toBe(200);
  const large = bytes(16_000_000);
  const query = 'name=there&ifGenerationMatch=0&uploadType=';
  const path = `/upload/storage/v1/b/uploads/o?${query}`;
  const media = await exchange('POST', `${path}media`, large);
  expect(media).toEqual(['HTTP/1.1 412 Precondition Failed', 'HTTP/1.1 404 Not Found']);
  const opening = Buffer.from('--b\r\n\r\n{}\r\n--b\r\n\r\n');
  const multipart = await exchange('POST', `${path}multipart`, Buffer.concat([opening, large]), {
    'content-type': 'multipart/related; boundary=b',
  });
  expect(multipart).toEqual(['HTTP/1.1 412 Precondition Failed', 'HTTP/1.1 404 Not Found']);
  const session = new URL(await begin('too-long'));
  const chunk = await exchange('PUT', session.pathname + session.search, large, {
    'content-range': `bytes 0-${PIECE - 1}/*`,
  });
  expect(chunk).toEqual(['HTTP/1.1 400 Bad Request', 'HTTP/1.1 404 Not Found']);
  expect((await fetch(session, { method: 'DELETE' })).status).toBe(499);
});

/** Sends a request to its end, then another on the same connection; the status lines of both answers. */
async function exchange(
  method: string,
  path: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<string[]> {
  const { port } = new URL(cloud.origin());
  const socket = connectTo(Number(port), '127.0.0.1');
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n`);
  socket.write(`${lines.join('')}\r\n`);
  await new Promise<unknown>((resolve) => socket.write(body, resolve));
  socket.write('GET /b/none/o/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  return (await text(socket)).match(/HTTP\/1\.1 [^\r]+/g) ?? [];
}

test('a final chunk with a wrong checksum ends the upload', async () => {
  const session = await begin('corrupt', { md5Hash: 'AAAAAAAAAAAAAAAAAAAAAA==' });
  expect((await send(session, '0-4/5', bytes(5))).status).toBe(400);
  expect((await send(session, '*/*')).status).toBe(404);
  expect(parts()).toEqual([]);
});
