import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Bucket, Storage } from '@google-cloud/storage';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { JsonObject } from '../../json.ts';
import { startTestCloud, type TestCloud } from '../../testing.ts';
import { crc32c, encodeCrc32c } from './crc32c.ts';

let cloud: TestCloud;
let client: Storage;
let bucket: Bucket;
let made = 0;

beforeAll(async () => {
  cloud = await startTestCloud({ project: 'shop', propagationMs: 0 });
  client = new Storage({
    projectId: 'shop',
    apiEndpoint: cloud.origin(),
    useAuthWithCustomEndpoint: false,
    retryOptions: { autoRetry: false },
  });
});
afterAll(() => cloud.end());

/** A bucket of its own for each test. */
beforeEach(async () => {
  [bucket] = await client.createBucket(`objects-${++made}`);
});

const of = (path: string): string => `/storage/v1/b/${bucket.name}${path}`;

async function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(cloud.origin() + of(path), { headers });
}

/** A simple upload, past the client. */
async function put(
  query: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; json: JsonObject }> {
  const url = `${cloud.origin()}/upload${of('/o')}?uploadType=media&${query}`;
  const response = await fetch(url, { method: 'POST', body, headers });
  return { status: response.status, json: (await response.json()) as JsonObject };
}

async function save(names: readonly string[]): Promise<void> {
  for (const name of names) expect((await put(`name=${encodeURIComponent(name)}`, name)).status).toBe(200);
}

async function list(query: string): Promise<{ names: string[]; prefixes: unknown; token: unknown }> {
  const { status, json } = await cloud.call('GET', of(`/o?${query}`));
  expect([query, status]).toEqual([query, 200]);
  const items = (json.items ?? []) as { name: string }[];
  return { names: items.map(({ name }) => name), prefixes: json.prefixes, token: json.nextPageToken };
}

const generationOf = (json: JsonObject): string => String(json.generation);

test('an object has its checksums, generation and metadata, and comes back byte for byte', async () => {
  const data = Buffer.from('Grüße, 世界');
  await bucket.file('a/ü b.txt').save(data, {
    contentType: 'text/plain',
    metadata: { cacheControl: 'no-cache', metadata: { owner: 'me' } },
  });
  const [metadata] = await bucket.file('a/ü b.txt').getMetadata();
  expect(metadata).toMatchObject({
    kind: 'storage#object',
    name: 'a/ü b.txt',
    size: String(data.length),
    contentType: 'text/plain',
    cacheControl: 'no-cache',
    metadata: { owner: 'me' },
    storageClass: 'STANDARD',
    metageneration: '1',
    generation: expect.stringMatching(/^\d{16}$/),
    md5Hash: createHash('md5').update(data).digest('base64'),
    crc32c: encodeCrc32c(crc32c(data)),
    id: `${bucket.name}/a/ü b.txt/${metadata.generation}`,
  });
  // The client compares what arrived with the x-goog-hash header.
  expect((await bucket.file('a/ü b.txt').download())[0]).toEqual(data);
  const media = await fetch(String(metadata.mediaLink));
  expect(Buffer.from(await media.arrayBuffer())).toEqual(data);
  expect(media.headers.get('content-type')).toBe('text/plain');
});

test('checksums that the client says must be right, and nothing is kept otherwise', async () => {
  const wrong = await put('name=x', 'hello', { 'x-goog-hash': 'crc32c=AAAAAA==' });
  expect(wrong.status).toBe(400);
  expect(wrong.json.error).toMatchObject({
    message: 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "mnG7TA==".',
  });
  const md5 = createHash('md5').update('hello').digest('base64');
  expect((await put('name=x', 'hullo', { 'x-goog-hash': `md5=${md5}` })).status).toBe(400);
  expect((await get('/o/x')).status).toBe(404);
  expect((await put('name=x', 'hello', { 'x-goog-hash': `crc32c=mnG7TA==,md5=${md5}` })).status).toBe(200);
});

test('unknown fields, bad names and what is not simulated are refused', async () => {
  await save(['x']);
  const unknown = await cloud.call('PATCH', of('/o/x'), { contnetType: 'text/plain' });
  expect(unknown.status).toBe(400);
  expect(JSON.stringify(unknown.json)).toContain('Unknown name \\"contnetType\\"');
  expect((await cloud.call('PATCH', of('/o/x'), { metadata: { a: 1 } })).status).toBe(400);
  expect((await cloud.call('PATCH', of('/o/x'), { cacheControl: 'a\nb' })).status).toBe(400);
  expect((await cloud.call('PATCH', of('/o/x'), { temporaryHold: true })).status).toBe(501);
  for (const name of ['', 'a\nb', '.', '..', 'x'.repeat(1025)])
    expect([name, (await put(`name=${encodeURIComponent(name)}`, '')).status]).toEqual([name, 400]);
  expect((await cloud.call('POST', of('/o'), { name: 'x' })).status).toBe(400);
  expect((await put('name=x&ifGenerationMatch=soon', '')).status).toBe(400);
});

test('preconditions decide whether an object is written, changed, deleted and read', async () => {
  const first = await put('name=x&ifGenerationMatch=0', 'one');
  expect(first.status).toBe(200);
  expect((await put('name=x&ifGenerationMatch=0', 'two')).json.error).toMatchObject({
    code: 412,
    errors: [{ reason: 'conditionNotMet' }],
  });
  const generation = generationOf(first.json);
  const second = await put(`name=x&ifGenerationMatch=${generation}`, 'two');
  expect(second.status).toBe(200);
  const newest = generationOf(second.json);
  expect((await put(`name=x&ifGenerationNotMatch=${newest}`, 'three')).status).toBe(412);
  await expect(
    bucket.file('x').save('three', { preconditionOpts: { ifGenerationMatch: generation } }),
  ).rejects.toMatchObject({ code: 412 });
  const patch = (query: string) => cloud.call('PATCH', of(`/o/x?${query}`), { metadata: { k: 'v' } });
  expect((await patch('ifMetagenerationMatch=2')).status).toBe(412);
  expect((await patch('ifMetagenerationMatch=1')).json).toMatchObject({
    metageneration: '2',
    generation: newest,
  });
  expect((await get(`/o/x?ifGenerationNotMatch=${newest}`)).status).toBe(304);
  expect((await get(`/o/x?alt=media&ifMetagenerationNotMatch=2`)).status).toBe(304);
  expect((await get(`/o/x?ifGenerationMatch=${generation}`)).status).toBe(412);
  const etag = String((await cloud.call('GET', of('/o/x'))).json.etag);
  expect((await get('/o/x', { 'if-none-match': etag })).status).toBe(304);
  expect((await get('/o/x', { 'if-match': 'CAE=' })).status).toBe(412);
  const remove = async (query: string) =>
    (await fetch(`${cloud.origin()}${of(`/o/x?${query}`)}`, { method: 'DELETE' })).status;
  expect(await remove(`ifGenerationMatch=${generation}`)).toBe(412);
  expect(await remove(`ifGenerationMatch=${newest}`)).toBe(204);
  expect(await remove('')).toBe(404);
});

test('a patch merges metadata, an update replaces it', async () => {
  await bucket.file('x').save('x', { metadata: { contentType: 'text/css', metadata: { a: '1', b: '2' } } });
  const patched = await cloud.call('PATCH', of('/o/x'), { metadata: { a: null, c: '3' } });
  expect(patched.json).toMatchObject({ contentType: 'text/css', metadata: { b: '2', c: '3' } });
  const updated = await cloud.call('PUT', of('/o/x'), { metadata: { d: '4' } });
  expect(updated.json).toMatchObject({ metadata: { d: '4' }, metageneration: '3' });
  expect(updated.json).not.toHaveProperty('contentType');
});

test('a bucket with versioning keeps what was overwritten and deleted', async () => {
  await bucket.setMetadata({ versioning: { enabled: true } });
  const first = generationOf((await put('name=x', 'one')).json);
  const second = generationOf((await put('name=x', 'two')).json);
  await bucket.file('x').delete();
  expect((await get('/o/x')).status).toBe(404);
  expect((await list('')).names).toEqual([]);
  const [versions] = await bucket.getFiles({ versions: true });
  expect(versions.map(({ metadata }) => metadata.generation)).toEqual([first, second]);
  // As gcloud writes it.
  expect((await list('versions=True')).names).toEqual(['x', 'x']);
  expect(versions.every(({ metadata }) => metadata.timeDeleted !== undefined)).toBe(true);
  expect(await (await get(`/o/x?alt=media&generation=${first}`)).text()).toBe('one');
  expect((await get(`/o/x?ifGenerationMatch=${second}`)).status).toBe(404);
  // Without a live version, "must not exist" holds.
  expect((await put('name=x&ifGenerationMatch=0', 'three')).status).toBe(200);
  await bucket.file('x', { generation: first }).delete();
  expect((await get(`/o/x?generation=${first}`)).status).toBe(404);
  await expect(bucket.delete()).rejects.toMatchObject({ code: 409 });
});

test('lists have folders, offsets, globs and pages', async () => {
  await save(['a.txt', 'dir/', 'dir/1', 'dir/2', 'dir/sub/3', 'dirt', 'z/9', '\u{1F600}', '\uFF5E']);
  expect(await list('delimiter=/')).toMatchObject({
    names: ['a.txt', 'dirt', '\uFF5E', '\u{1F600}'],
    prefixes: ['dir/', 'z/'],
  });
  expect(await list('prefix=dir/&delimiter=/')).toMatchObject({
    names: ['dir/', 'dir/1', 'dir/2'],
    prefixes: ['dir/sub/'],
  });
  expect(await list('delimiter=/&includeTrailingDelimiter=true&endOffset=dirt')).toMatchObject({
    names: ['a.txt', 'dir/'],
    prefixes: ['dir/'],
  });
  expect((await list('startOffset=dir/2&endOffset=z')).names).toEqual(['dir/2', 'dir/sub/3', 'dirt']);
  expect((await list('matchGlob=dir/*')).names).toEqual(['dir/', 'dir/1', 'dir/2']);
  expect((await list('matchGlob=**/{1,3}')).names).toEqual(['dir/1', 'dir/sub/3']);
  const seen: string[] = [];
  let token = '';
  do {
    const page = await list(`delimiter=/&includeTrailingDelimiter=true&maxResults=2&pageToken=${token}`);
    const prefixes = (page.prefixes ?? []) as string[];
    expect(page.names.length + prefixes.length).toBeLessThanOrEqual(2);
    seen.push(...page.names, ...prefixes.map((prefix) => `${prefix}*`));
    token = String(page.token ?? '');
  } while (token !== '');
  expect(seen).toEqual(['a.txt', 'dir/', 'dirt', 'dir/*', '\uFF5E', 'z/*', '\u{1F600}']);
  expect((await cloud.call('GET', of('/o?pageToken=nonsense'))).status).toBe(400);
  const [files] = await bucket.getFiles();
  expect(files).toHaveLength(9);
});

test('ranges of an object are answered, and refused outside of it', async () => {
  await save(['0123456789']);
  const range = async (header: string): Promise<unknown[]> => {
    const response = await get('/o/0123456789?alt=media', { range: header });
    return [response.status, await response.text(), response.headers.get('content-range')];
  };
  expect(await range('bytes=2-4')).toEqual([206, '234', 'bytes 2-4/10']);
  expect(await range('bytes=7-')).toEqual([206, '789', 'bytes 7-9/10']);
  expect(await range('bytes=-3')).toEqual([206, '789', 'bytes 7-9/10']);
  expect(await range('bytes=5-99')).toEqual([206, '56789', 'bytes 5-9/10']);
  expect(await range('bytes=1-2,4-5')).toEqual([200, '0123456789', null]);
  expect((await range('bytes=10-'))[0]).toBe(416);
  const head = await fetch(`${cloud.origin()}${of('/o/0123456789?alt=media')}`, { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '10', '']);
  const [part] = await bucket.file('0123456789').download({ start: 1, end: 3 });
  expect(String(part)).toBe('123');
});

test('what is stored gzipped is unpacked for who takes no gzip', async () => {
  await bucket.file('page').save(gzipSync('hello'), { metadata: { contentEncoding: 'gzip' } });
  const plain = await get('/o/page?alt=media', { 'accept-encoding': 'identity' });
  expect([await plain.text(), plain.headers.get('content-encoding')]).toEqual(['hello', null]);
  const packed = await get('/o/page?alt=media', { 'accept-encoding': 'gzip' });
  expect([await packed.text(), packed.headers.get('content-encoding')]).toEqual(['hello', 'gzip']);
  const asStored = await bucket.file('page').download({ decompress: false });
  expect(asStored[0]).toEqual(gzipSync('hello'));
});

test('objects are copied, rewritten, moved and composed', async () => {
  const [other] = await client.createBucket(`${bucket.name}-other`, { storageClass: 'COLDLINE' });
  await bucket.file('one').save('1', { metadata: { contentType: 'text/plain', metadata: { k: 'v' } } });
  await bucket.file('one').copy(other.file('copy'));
  const [copy] = await other.file('copy').getMetadata();
  expect(copy).toMatchObject({
    contentType: 'text/plain',
    metadata: { k: 'v' },
    storageClass: 'COLDLINE',
    md5Hash: createHash('md5').update('1').digest('base64'),
  });
  const copied = await cloud.call('POST', of(`/o/one/copyTo/b/${bucket.name}/o/two`), {
    contentType: 'text/html',
  });
  expect(copied.json).toMatchObject({ name: 'two', contentType: 'text/html' });
  expect(copied.json).not.toHaveProperty('metadata');
  const stale = of(`/o/one/rewriteTo/b/${bucket.name}/o/two?ifSourceGenerationMatch=1`);
  expect((await cloud.call('POST', stale, {})).status).toBe(412);
  const [all] = await bucket.combine(['one', 'two', 'one'], 'all');
  expect(String((await all.download())[0])).toBe('111');
  const [metadata] = await all.getMetadata();
  expect([metadata.componentCount, metadata.md5Hash]).toEqual([3, undefined]);
  expect(metadata.crc32c).toBe(encodeCrc32c(crc32c(Buffer.from('111'))));
  await bucket.file('all').moveFileAtomic('moved');
  expect((await list('')).names).toEqual(['moved', 'one', 'two']);
  const many = { sourceObjects: Array.from({ length: 33 }, () => ({ name: 'one' })) };
  expect((await cloud.call('POST', of('/o/big/compose'), many)).status).toBe(400);
  const missing = { sourceObjects: [{ name: 'one' }, { name: 'none' }] };
  expect((await cloud.call('POST', of('/o/big/compose'), missing)).status).toBe(404);
});

test('bytes stay as long as an object needs them, and no longer', async () => {
  const { store } = cloud.running().cloud;
  const text = `only in ${bucket.name}`;
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  await bucket.file('one').save(text);
  await bucket.file('one').copy('two');
  await bucket.file('one').save('something else');
  expect(store.blobs.find(digest)).toBeDefined();
  expect(String((await bucket.file('two').download())[0])).toBe(text);
  await bucket.file('two').delete();
  await expect.poll(() => store.blobs.find(digest)).toBeUndefined();
  expect((await put('name=x&ifGenerationMatch=1', text)).status).toBe(412);
  expect((await put('name=x', text, { 'x-goog-hash': 'crc32c=AAAAAA==' })).status).toBe(400);
  await expect.poll(() => store.blobs.find(digest)).toBeUndefined();
});
