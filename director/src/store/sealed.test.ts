/** What sealing adds to a store; that it takes nothing away stands in `test/conformance/store.test.ts`. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fileKey } from './file-key.ts';
import type { Keyring, Wrapped } from './keyring.ts';
import { openSealed, sealedStore } from './sealed.ts';
import { sqliteStore } from './sqlite.ts';
import { type Condition, Conflict, type Store, StoreFailure, type Write } from './store.ts';

type Raw = { [field: string]: unknown; $sealed: { wrapped: string; data: string; key: string } };

const SECRET = 'the planted value';

let dir: string;
let raw: Store;
let keyring: Keyring;
let sealed: Store;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sealed-'));
  raw = sqliteStore({ path: join(dir, 'state.sqlite') });
  keyring = newKey('key');
  sealed = sealedStore(raw, keyring);
});

afterEach(async () => {
  await raw.close();
  rmSync(dir, { recursive: true });
});

function newKey(name: string): Keyring {
  writeFileSync(join(dir, name), randomBytes(32).toString('base64'), { mode: 0o600 });
  return fileKey(join(dir, name));
}

const key = (id: string) => ({ collection: 'commands', id }) as const;
const put = (id: string, value: object, condition: Condition = 'any'): Write => ({
  type: 'put',
  key: key(id),
  value,
  if: condition,
});
const document = (more: object = {}) => ({ status: 'running', correlationId: 'c', said: SECRET, ...more });

/** As it lies in the file. */
async function rawOf(id: string): Promise<Raw> {
  const found = await raw.get<Raw>(key(id));
  if (!found) throw new Error(`${id} is not there`);
  return found.value;
}

/** A keyring whose calls are counted. */
function counted(inner: Keyring) {
  const calls = { wrap: 0, unwrap: 0 };
  const counting: Keyring = {
    name: inner.name,
    wrap(dataKey) {
      calls.wrap++;
      return inner.wrap(dataKey);
    },
    unwrap(wrapped) {
      calls.unwrap++;
      return inner.unwrap(wrapped);
    },
  };
  return { keyring: counting, calls };
}

test('only what queries ask for is readable', async () => {
  await sealed.commit([put('a', document())]);
  const { $sealed, ...copies } = await rawOf('a');
  expect(copies).toEqual({ status: 'running', correlationId: 'c' });
  expect($sealed.key).toBe(keyring.name);
  expect((await sealed.get(key('a')))?.value).toEqual(document());
});

test('nothing of a value is in the bytes of the file, or of its log', async () => {
  const plain = sqliteStore({ path: join(dir, 'plain.sqlite') });
  const bytesOf = (name: string): Buffer =>
    Buffer.concat(
      readdirSync(dir)
        .filter((file) => file.startsWith(name))
        .map((file) => readFileSync(join(dir, file))),
    );
  // Short, and long enough to be deflated.
  const writes = [put('a', document()), put('b', document({ text: `${SECRET} ${'x'.repeat(5_000)}` }))];
  await plain.commit(writes);
  await sealed.commit(writes);
  expect(readdirSync(dir)).toContain('state.sqlite-wal');
  expect(bytesOf('plain.sqlite').includes(SECRET)).toBe(true);
  const held = bytesOf('state.sqlite');
  expect(held.includes('commands')).toBe(true);
  for (const text of [SECRET, Buffer.from(SECRET).toString('base64').slice(0, 20), 'xxxxxxxx'])
    expect(held.includes(text)).toBe(false);
  await plain.close();
});

test('what was written before there was a key is gone from the file once it is sealed', async () => {
  const path = join(dir, 'older.sqlite');
  const plain = sqliteStore({ path });
  const ids = Array.from({ length: 50 }, (_, at) => `d${at}`);
  await plain.commit(ids.map((id, at) => put(id, document({ text: 'x'.repeat(at * 100) }))));
  await plain.close();
  expect(readFileSync(path).includes(SECRET)).toBe(true);
  const store = sqliteStore({ path });
  const later = await openSealed(store, keyring);
  for (const id of ids) {
    const found = await later.get<object>(key(id));
    await later.commit([put(id, found?.value ?? {})]);
  }
  await later.close();
  expect(readFileSync(path).includes(SECRET)).toBe(false);
});

test('the same value is never encrypted to the same bytes', async () => {
  await sealed.commit([put('a', document()), put('b', document())]);
  await sealed.commit([put('c', document())]);
  const all = await Promise.all(['a', 'b', 'c'].map(async (id) => (await rawOf(id)).$sealed.data));
  expect(new Set(all).size).toBe(3);
});

test('a document that was tampered with does not open, wherever the bit is', async () => {
  await sealed.commit([put('a', document())]);
  const whole = await rawOf('a');
  const flipped = (text: string, place: number): string => {
    const bytes = Buffer.from(text, 'base64');
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    return bytes.toString('base64');
  };
  const { $sealed } = whole;
  const length = Buffer.from($sealed.data, 'base64').length;
  const forgeries: object[] = [
    ...[0, 11, 12, length - 17, length - 1].map((place) => ({
      ...whole,
      $sealed: { ...$sealed, data: flipped($sealed.data, place) },
    })),
    { ...whole, $sealed: { ...$sealed, data: '' } },
    { ...whole, $sealed: { ...$sealed, wrapped: flipped($sealed.wrapped, 20) } },
    { ...whole, $sealed: { ...$sealed, form: 'deflated' } },
    { ...whole, $sealed: 'nonsense' },
    { ...whole, status: 'succeeded' },
    { ...whole, priority: 'high' },
    { $sealed },
  ];
  for (const forgery of forgeries) {
    await raw.commit([put('a', forgery)]);
    const failure = await sealed.get(key('a')).catch((error: unknown) => error);
    expect(failure, JSON.stringify(forgery)).toBeInstanceOf(StoreFailure);
    expect(String(failure)).toContain('The state cannot be read: commands/a: ');
    await expect(sealed.list({ collection: 'commands' })).rejects.toThrow('commands/a');
  }
  await raw.commit([put('a', whole)]);
  expect((await sealed.get(key('a')))?.value).toEqual(document());
});

test('a document does not open in the place of another', async () => {
  await sealed.commit([put('a', document()), put('b', document())]);
  const [a, b] = [await rawOf('a'), await rawOf('b')];
  await raw.commit([put('a', b), put('b', a)]);
  await expect(sealed.get(key('a'))).rejects.toThrow('commands/a');
  await expect(sealed.get(key('b'))).rejects.toThrow('commands/b');
  await raw.commit([{ type: 'put', key: { collection: 'deployments', id: 'a' }, value: a, if: 'absent' }]);
  await expect(sealed.get({ collection: 'deployments', id: 'a' })).rejects.toThrow('deployments/a');
});

test('with another key, or none, nothing is read, the key that it takes is named, and conditions hold', async () => {
  await sealed.commit([put('a', document())]);
  const before = await raw.get(key('a'));
  const other = newKey('other');
  const wrong = sealedStore(raw, other);
  await expect(wrong.get(key('a'))).rejects.toThrow(
    `commands/a: the key ${keyring.name} does not open it: it was changed, or is from somewhere else`,
  );
  const none = sealedStore(raw, undefined);
  await expect(none.list({ collection: 'commands' })).rejects.toThrow(
    `commands/a: it is sealed with the key ${keyring.name}, and DIRECTOR_STATE_KEY is not set`,
  );
  for (const store of [wrong, none])
    await expect(store.commit([put('a', {}, 'absent')])).rejects.toBeInstanceOf(Conflict);
  expect(await raw.get(key('a'))).toEqual(before);
});

test('a store is not opened with a key that does not open it, or cannot be used', async () => {
  expect(await openSealed(raw, undefined)).toBeDefined();
  await (await openSealed(raw, keyring)).commit([put('a', document())]);
  expect(await (await openSealed(raw, keyring)).get(key('a'))).toBeDefined();
  await expect(openSealed(raw, newKey('other'))).rejects.toThrow('commands/a');
  await expect(openSealed(raw, undefined)).rejects.toThrow('DIRECTOR_STATE_KEY is not set');
  const encrypterOnly: Keyring = {
    ...keyring,
    unwrap: () => Promise.reject(new Error("Permission 'useToDecrypt' denied")),
  };
  await expect(openSealed(raw, encrypterOnly)).rejects.toThrow(
    `The key ${keyring.name} cannot be used: Permission 'useToDecrypt' denied`,
  );
});

test('what was written in the clear is read, and sealed when it is written next', async () => {
  await raw.commit([put('a', document()), put('b', document())]);
  expect((await sealed.get(key('a')))?.value).toEqual(document());
  const where = { field: 'status', is: 'running' };
  expect(await sealed.list({ collection: 'commands', where })).toEqual([
    { id: 'a', value: document(), version: 1 },
    { id: 'b', value: document(), version: 1 },
  ]);
  await sealed.commit([put('a', document({ n: 2 }), 1)]);
  expect(JSON.stringify(await rawOf('a'))).not.toContain(SECRET);
  expect(JSON.stringify(await rawOf('b'))).toContain(SECRET);
  expect(await sealed.list({ collection: 'commands', where })).toEqual([
    { id: 'a', value: document({ n: 2 }), version: 2 },
    { id: 'b', value: document(), version: 1 },
  ]);
});

test('a data key serves so many documents, and each start has its own', async () => {
  const { keyring: counting, calls } = counted(keyring);
  const first = sealedStore(raw, counting, { documentsPerKey: 2 });
  await first.commit([put('a', document()), put('b', document()), put('c', document())]);
  await Promise.all([first.commit([put('d', document())]), first.commit([put('e', document())])]);
  const second = sealedStore(raw, counting, { documentsPerKey: 2 });
  await second.commit([put('f', document())]);
  const wrapped = await Promise.all(
    ['a', 'b', 'c', 'd', 'e', 'f'].map(async (id) => (await rawOf(id)).$sealed.wrapped),
  );
  const [a, b, c, d, e, f] = wrapped.map((one) => wrapped.indexOf(one));
  expect([a, b, c, d, e, f]).toEqual([0, 0, 2, 2, 4, 5]);
  expect(calls.wrap).toBe(4);
  // Its own it knows; the three of the other it asks for, each once.
  for (let round = 0; round < 3; round++)
    expect(await second.list({ collection: 'commands' })).toHaveLength(6);
  expect(calls.unwrap).toBe(3);
});

test('a key that does not answer fails the commit or the read, and is asked again the next time', async () => {
  let isThere = false;
  const demand = async <T>(task: () => Promise<T>): Promise<T> => {
    if (!isThere) throw new Error('no answer');
    return task();
  };
  const shaky: Keyring = {
    name: keyring.name,
    wrap: (dataKey: Uint8Array) => demand(() => keyring.wrap(dataKey)),
    unwrap: (wrapped: Wrapped) => demand(() => keyring.unwrap(wrapped)),
  };
  await sealed.commit([put('a', document())]);
  const store = sealedStore(raw, shaky);
  await expect(store.get(key('a'))).rejects.toThrow(`the key ${keyring.name} does not open it: no answer`);
  const failing = store.commit([put('b', document()), put('c', document())]);
  await expect(failing).rejects.toBeInstanceOf(StoreFailure);
  await expect(failing).rejects.toThrow('The state cannot be written');
  expect(await raw.list({ collection: 'commands' })).toHaveLength(1);
  isThere = true;
  expect((await store.get(key('a')))?.value).toEqual(document());
  await store.commit([put('b', document(), 'absent')]);
  expect((await store.get(key('b')))?.version).toBe(1);
});
