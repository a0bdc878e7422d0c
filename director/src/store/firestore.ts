/**
 * The store for many directors at once: Firestore.
 *
 * No commit takes a lock. It names, for each document, the revision that it was decided on, and Firestore refuses the
 * whole when one of them is another by now. So a director that is killed in the middle leaves nothing behind that others
 * would have to wait for, as the locks of a transaction would. Which revision a version is, we mostly remember; where we
 * do not, or where we were wrong, it is read.
 *
 * Each commit signs the documents that it writes. One whose answer got lost is recognised by that when it is tried
 * again, and is neither made twice nor taken for somebody else's.
 */
import { randomBytes } from 'node:crypto';
import { CloudError, isTransient } from '@service-director/shared/cloud/error.ts';
import type { Clock, Random } from '@service-director/shared/kit/clock.ts';
import { backoffMs, retry } from '@service-director/shared/kit/retry.ts';
import { type Document, firestoreCalls } from './firestore-client.ts';
import {
  documentWrites,
  type Effect,
  effectsOf,
  guessOf,
  isSigned,
  type PreparedWrite,
  revisionAfter,
  type Standing,
} from './firestore-commit.ts';
import {
  bodyOf,
  documentName,
  partNames,
  REVISION_FIELDS,
  type Revision,
  revisionOf,
  storedOf,
  structuredQuery,
} from './firestore-layout.ts';
import {
  Conflict,
  type Key,
  type Query,
  type Store,
  type Stored,
  StoreFailure,
  TooLarge,
  type Write,
} from './store.ts';

export interface FirestoreOptions {
  readonly project: string;
  /** `(default)`, or the name of another. */
  readonly database: string;
  /** All is kept under `directors/<root>`: directors of one root share it. One part of a path. */
  readonly root: string;
  /** `127.0.0.1:8080`; undefined: Google's own. */
  readonly emulator?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** Milliseconds after which a store that cannot be read or written is given up. */
const LONGEST_MS = 30_000;
const BACKOFF = { firstMs: 50, longestMs: 2_000, factor: 2 };
const DEFAULT_LIMIT = 1_000;
/** How many revisions are remembered. */
const REMEMBERED = 5_000;

export function firestoreStore({
  project,
  database,
  root,
  emulator,
  clock,
  random,
}: FirestoreOptions): Store {
  const address = `projects/${project}/databases/${database}`;
  const parent = `${address}/documents/directors/${root}`;
  const calls = firestoreCalls({ project, database: address, emulator });
  const known = memory<Revision>(REMEMBERED);

  const nameOf = ({ collection, id }: Key): string => `${parent}/${collection}/${documentName(id)}`;

  /** Asks until there is an answer, or no hope of one. */
  function ask(read: () => Promise<Document[]>): Promise<Document[]> {
    const until = clock.now() + LONGEST_MS;
    return retry(read, {
      clock,
      random,
      backoff: BACKOFF,
      attempts: Number.POSITIVE_INFINITY,
      again: (error) => clock.now() < until && mayPass(CloudError.from(error)),
    });
  }

  async function look(names: readonly string[]): Promise<Map<string, Standing>> {
    const found = await ask(() => calls.read(names, REVISION_FIELDS));
    const revisions = new Map(found.map((document) => [document.name, revisionOf(document)]));
    return new Map(names.map((name) => [name, revisions.get(name) ?? 'absent']));
  }

  /** With its parts. When they are gone it was replaced in between: then as it is now, undefined if it is not. */
  async function whole<T>(document: Document): Promise<Stored<T> | undefined> {
    const name = document.name ?? '';
    const revision = revisionOf(document);
    known.set(name, revision);
    const names = partNames(name, revision);
    const found = names.length === 0 ? [] : await ask(() => calls.read(names));
    const parts = names.flatMap((part) => found.find((one) => one.name === part) ?? []);
    if (parts.length === names.length) return storedOf<T>(document, parts);
    const [now] = await ask(() => calls.read([name]));
    if (now && revisionOf(now).commits[0] === revision.commits[0])
      throw new Error(`${name} has lost its parts`);
    return now && whole<T>(now);
  }

  /** How the documents most likely stand; looks where there is nothing to go by. */
  async function recall(writes: readonly PreparedWrite[]): Promise<Map<string, Standing>> {
    const standing = new Map<string, Standing>();
    for (const write of writes) {
      const guess = guessOf(write, known.get(write.name));
      if (guess === undefined || standing.has(write.name))
        return look([...new Set(writes.map(({ name }) => name))]);
      standing.set(write.name, guess);
    }
    return standing;
  }

  /** Undefined when it is done, else why it is not, or is not known to be. */
  async function attempt(effects: readonly Effect[], signature: string): Promise<CloudError | undefined> {
    try {
      const times = await calls.write(documentWrites(effects, signature));
      for (const [place, effect] of effects.entries()) {
        const revision = revisionAfter(effect, signature);
        const updateTime = times[place];
        if (revision && updateTime) known.set(effect.name, { ...revision, updateTime });
      }
      return undefined;
    } catch (error) {
      return CloudError.from(error);
    }
  }

  async function commit(writes: readonly PreparedWrite[]): Promise<void> {
    const signature = randomBytes(9).toString('base64url');
    const until = clock.now() + LONGEST_MS;
    let standing = await recall(writes);
    for (let attempts = 1; ; attempts++) {
      const error = await attempt(effectsOf(writes, standing), signature);
      if (error === undefined) return;
      const isStale = STALE.has(error.reason);
      if (clock.now() >= until || !(isStale || mayPass(error))) throw error;
      // Somebody was quicker: no reason to wait before we look, unless it happens again.
      if (!isStale || attempts > 1) await clock.sleep(backoffMs(attempts, BACKOFF, random));
      standing = await look([...standing.keys()]);
      if ([...standing.values()].some((found) => isSigned(found, signature))) return;
    }
  }

  async function prepare(write: Write): Promise<PreparedWrite> {
    const name = nameOf(write.key);
    return write.type === 'put'
      ? { ...write, name, body: await bodyOf(write.key, write.value) }
      : { ...write, name };
  }

  return {
    async get<T>(key: Key) {
      return trying('read', async () => {
        const [document] = await ask(() => calls.read([nameOf(key)]));
        return document && whole<T>(document);
      });
    },

    async list<T>(query: Query) {
      const { limit = DEFAULT_LIMIT } = query;
      const what = structuredQuery(query, limit);
      if (limit === 0) return [];
      return trying('read', async () => {
        const found = await ask(() => calls.query(parent, what));
        const stored = await Promise.all(found.map((document) => whole<T>(document)));
        return stored.flatMap((one) => one ?? []);
      });
    },

    async commit(writes) {
      if (writes.length === 0) return;
      const prepared = await Promise.all(writes.map(prepare));
      await trying('written', () => commit(prepared));
    },

    close: () => calls.close(),
  };
}

/** Reasons to look again: a document is not as we thought. */
const STALE: ReadonlySet<CloudError['reason']> = new Set(['precondition', 'already-exists', 'not-found']);

/** Google counts a call that was cancelled as one whose answer got lost. */
function mayPass(error: CloudError): boolean {
  return isTransient(error) || error.reason === 'cancelled';
}

interface Memory<T> {
  get(name: string): T | undefined;
  set(name: string, value: T): void;
}

/** Remembers what was set last, `most` of it. */
function memory<T>(most: number): Memory<T> {
  const entries = new Map<string, T>();
  return {
    get: (name) => entries.get(name),
    set(name, value) {
      entries.delete(name);
      entries.set(name, value);
      const [oldest] = entries.keys();
      if (entries.size > most && oldest !== undefined) entries.delete(oldest);
    },
  };
}

async function trying<T>(what: 'read' | 'written', task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof Conflict || error instanceof TooLarge) throw error;
    throw new StoreFailure(`The state cannot be ${what}: ${CloudError.from(error).message}`, error);
  }
}
