/**
 * A store whose documents only the customer's key can open.
 *
 *     { "status": "running",                          the fields in INDEXED: copies, for the queries
 *       "$sealed": { "key": "kms:projects/…",         which key of the customer's
 *                    "wrapped": "CiQAx…",             the data key, encrypted with that
 *                    "form": "json" | "deflated",     of what is in `data`
 *                    "data": "Y2Fm…" } }              the whole value, encrypted with the data key
 *
 * Each process makes a data key, and another after so many documents. What is encrypted is bound to where it stands and
 * to the copies beside it: moved to another id, or with another status, it does not open. What was written before there
 * was a key is read as it is, and sealed when it is written next.
 */
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import { limiter } from '@service-director/shared/kit/limiter.ts';
import { z } from 'zod';
import { decrypt, encrypt } from './cipher.ts';
import type { Keyring, Wrapped } from './keyring.ts';
import { KeyUnavailable } from './kms-key.ts';
import {
  type Collection,
  INDEXED,
  type Key,
  type Query,
  type Store,
  type Stored,
  StoreFailure,
  timeField,
  Unopenable,
  type Write,
} from './store.ts';

const MARK = '$sealed';
const KEY_BYTES = 32;
/** Far below the 2^32 from which on a random nonce may come twice. */
const DOCUMENTS_PER_KEY = 2 ** 20;
/** In characters; shorter ones gain nothing. After encryption nothing can be deflated any more. */
const DEFLATED_FROM = 1_024;
/** How many data keys are remembered, and how many asked for at once. */
const REMEMBERED = 5_000;
const AT_ONCE = 8;
/** Where at least one document is when there are any. */
const LOOKED_AT: readonly Collection[] = ['commands', 'deployments', 'stacks', 'units', 'versions'];

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

const Envelope = z.object({
  key: z.string(),
  wrapped: z.string(),
  form: z.enum(['json', 'deflated']),
  data: z.string(),
});
type Envelope = z.output<typeof Envelope>;
type Sealed = Readonly<Record<string, unknown>>;

interface DataKey {
  readonly secret: KeyObject;
  readonly wrapped: Wrapped;
}

export interface SealedOptions {
  /** After how many documents another data key is made. */
  readonly documentsPerKey?: number;
}

/**
 * The store with that key, when the key can be used and opens what is in the store; rejects with StoreFailure when not,
 * with Unopenable when that will not pass.
 * Without a key: the store, which then refuses what is sealed.
 */
export async function openSealed(store: Store, keyring: Keyring | undefined): Promise<Store> {
  if (keyring) await demandUsable(keyring);
  const sealed = sealedStore(store, keyring);
  await Promise.all(LOOKED_AT.map((collection) => sealed.list({ collection, limit: 1 })));
  return sealed;
}

/** Both ways: who may only encrypt would write what it could not read after its next start. */
async function demandUsable(keyring: Keyring): Promise<void> {
  const secret = randomBytes(KEY_BYTES);
  try {
    const unwrapped = await keyring.unwrap(await keyring.wrap(secret));
    if (!secret.equals(unwrapped)) throw new Error('it does not decrypt what it encrypted');
  } catch (error) {
    throw failureOf(`The key ${keyring.name} cannot be used: ${messageOf(error)}`, error);
  }
}

/** Opens what it reads and seals what it writes; without a keyring it refuses to read what is sealed. */
export function sealedStore(
  store: Store,
  keyring: Keyring | undefined,
  { documentsPerKey = DOCUMENTS_PER_KEY }: SealedOptions = {},
): Store {
  const keys = keyring && dataKeys(keyring, documentsPerKey);

  async function sealWrite(write: Write): Promise<Write> {
    if (write.type !== 'put' || !keys) return write;
    return { ...write, value: await seal(write.key, write.value, await keys.current()) };
  }

  async function opened<T>(collection: Collection, stored: Stored<Sealed>): Promise<Stored<T>> {
    const { id, value, version } = stored;
    if (!(MARK in value)) return { id, value: value as T, version };
    const key = { collection, id };
    const { [MARK]: sealed, ...copies } = value;
    const envelope = Envelope.safeParse(sealed);
    if (!envelope.success) throw unreadable(key, 'what it is sealed in is damaged', envelope.error);
    const { key: by, wrapped } = envelope.data;
    if (!keys) throw unreadable(key, `it is sealed with the key ${by}, and DIRECTOR_STATE_KEY is not set`);
    try {
      const secret = await keys.find({ key: by, bytes: wrapped });
      return { id, value: (await open(key, envelope.data, copies, secret)) as T, version };
    } catch (error) {
      throw unreadable(key, `the key ${by} does not open it: ${messageOf(error)}`, error);
    }
  }

  return {
    async get<T>(key: Key) {
      const stored = await store.get<Sealed>(key);
      return stored && opened<T>(key.collection, stored);
    },

    async list<T>(query: Query) {
      const found = await store.list<Sealed>(query);
      return Promise.all(found.map((stored) => opened<T>(query.collection, stored)));
    },

    async commit(writes, durability) {
      await store.commit(await Promise.all(writes.map(sealWrite)), durability);
    },

    generation: () => store.generation?.(),
    close: () => store.close(),
  };
}

async function seal(key: Key, value: object, { secret, wrapped }: DataKey): Promise<object> {
  const json = JSON.stringify(value);
  const form = json.length < DEFLATED_FROM ? 'json' : 'deflated';
  const bytes = form === 'json' ? Buffer.from(json) : await deflate(json);
  const copies = copiesOf(key.collection, value);
  const data = encrypt(secret, bytes, about(key, form, copies)).toString('base64');
  const envelope: Envelope = { key: wrapped.key, wrapped: wrapped.bytes, form, data };
  return { ...copies, [MARK]: envelope };
}

async function open(key: Key, { form, data }: Envelope, copies: object, secret: KeyObject): Promise<unknown> {
  const bytes = decrypt(secret, Buffer.from(data, 'base64'), about(key, form, copies));
  return JSON.parse(String(form === 'json' ? bytes : await inflate(bytes)));
}

/** What a sealed value is bound to. */
function about({ collection, id }: Key, form: string, copies: object): string {
  const fields = Object.entries(copies).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([collection, id, form, fields]);
}

/** The fields that queries ask for, or sort by. */
function copiesOf(collection: Collection, value: object): Record<string, string | boolean> {
  const indexed: Partial<Record<Collection, readonly string[]>> = INDEXED;
  const fields = new Map<string, unknown>(Object.entries(value));
  const copies: Record<string, string | boolean> = {};
  const time = timeField(collection);
  for (const name of [...(indexed[collection] ?? []), ...(time === undefined ? [] : [time])]) {
    const is = fields.get(name);
    if (typeof is === 'string' || typeof is === 'boolean') copies[name] = is;
  }
  return copies;
}

/** The data keys of a process: the one that it seals with, and those that it had to unwrap. */
function dataKeys(keyring: Keyring, documentsPerKey: number) {
  /** By the wrapped bytes; the newest last. */
  const known = new Map<string, Promise<KeyObject>>();
  const asking = limiter(AT_ONCE);
  let newest: { readonly key: Promise<DataKey>; uses: number } | undefined;

  function remember(bytes: string, secret: Promise<KeyObject>): void {
    known.set(bytes, secret);
    const [oldest] = known.keys();
    if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest);
  }

  async function make(): Promise<DataKey> {
    const bytes = randomBytes(KEY_BYTES);
    try {
      const wrapped = await keyring.wrap(bytes);
      const secret = createSecretKey(bytes);
      remember(wrapped.bytes, Promise.resolve(secret));
      return { secret, wrapped };
    } catch (error) {
      newest = undefined;
      const message = `The state cannot be written: the key ${keyring.name} cannot be used: ${messageOf(error)}`;
      throw new StoreFailure(message, error);
    }
  }

  return {
    /** The key to seal the next document with. */
    current(): Promise<DataKey> {
      if (!newest || newest.uses >= documentsPerKey) newest = { key: make(), uses: 0 };
      newest.uses++;
      return newest.key;
    },

    /** What was wrapped; asked for once, and again only after a failure. */
    find(wrapped: Wrapped): Promise<KeyObject> {
      const found = known.get(wrapped.bytes);
      if (found) return found;
      const secret = asking.run(async () => createSecretKey(await keyring.unwrap(wrapped)));
      remember(wrapped.bytes, secret);
      secret.catch(() => known.delete(wrapped.bytes));
      return secret;
    },
  };
}

function unreadable({ collection, id }: Key, why: string, cause?: unknown): StoreFailure {
  return failureOf(`The state cannot be read: ${collection}/${id}: ${why}`, cause);
}

function failureOf(message: string, cause: unknown): StoreFailure {
  return cause instanceof KeyUnavailable ? new StoreFailure(message, cause) : new Unopenable(message, cause);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
