/**
 * What the director remembers: documents with versions, written under conditions, several at once or none.
 *
 * Narrow on purpose. Two implementations stand behind it under one conformance suite; whatever the product
 * needs beyond this is built on top of it (the ledger, the lease, the journal, the outbox).
 */

export interface Key {
  readonly collection: Collection;
  /** Parts are joined with `/`; ids sort as text. */
  readonly id: string;
}

export type Collection =
  | 'architectures'
  | 'artifacts'
  | 'audit'
  | 'audits'
  | 'builds'
  | 'commands'
  | 'deliveries'
  | 'deployments'
  | 'journal'
  | 'locks'
  | 'outbox'
  | 'queue'
  | 'shares'
  | 'stacks'
  | 'store'
  | 'units'
  | 'versions'
  | 'webhooks';

export interface Stored<T> {
  readonly id: string;
  readonly value: T;
  /** Grows by one with each write; 1 is the first. */
  readonly version: number;
}

/** What must hold for the whole commit: the document has that version, or is absent, or may be anything. */
export type Condition = number | 'absent' | 'any';

export type Write =
  | { readonly type: 'put'; readonly key: Key; readonly value: object; readonly if: Condition }
  | { readonly type: 'delete'; readonly key: Key; readonly if: Condition }
  /** Writes nothing, and fails the commit when its condition does not hold. */
  | { readonly type: 'check'; readonly key: Key; readonly if: number | 'absent' };

export interface Query {
  readonly collection: Collection;
  /** Only documents whose field has this value; the field must be in INDEXED. */
  readonly where?: { readonly field: string; readonly is: string | boolean };
  /** What makes the place of a document in the list: its id, or its time (`timedPlace`), for collections that are in TIMED. Default id. */
  readonly by?: 'id' | 'time';
  /** Only places that begin so. */
  readonly prefix?: string;
  /** Only places after this one, in the order asked for. */
  readonly after?: string;
  /** By place. Default ascending. */
  readonly order?: 'ascending' | 'descending';
  /** Default 1,000. */
  readonly limit?: number;
}

/** The fields that a query may ask for. */
export const INDEXED = {
  commands: ['status', 'correlationId'],
  deployments: ['status', 'stack'],
} as const satisfies Partial<Record<Collection, readonly string[]>>;

/** The field with the time of a document, an ISO text that never changes. What lacks it is in no list by time. */
export const TIMED = {
  commands: 'receivedAt',
  deployments: 'createdAt',
} as const satisfies Partial<Record<Collection, string>>;

/** Where a document stands in a list by time: later ones sort behind, and no two are in one place. */
export function timedPlace(time: string, id: string): string {
  return `${time}/${id}`;
}

/** Undefined for a collection that is not in TIMED. */
export function timeField(collection: Collection): string | undefined {
  const timed: Partial<Record<Collection, string>> = TIMED;
  return timed[collection];
}

/**
 * When a commit must outlive the machine: `now`, before it resolves; `soon`, with the next that must. What is lost with
 * a machine is always the end: nothing later stays that came after it. Default `now`. That a process dies loses nothing.
 */
export type Durability = 'now' | 'soon';

export interface Store {
  get<T>(key: Key): Promise<Stored<T> | undefined>;
  list<T>(query: Query): Promise<Stored<T>[]>;
  /** All writes or none. Rejects with Conflict when a condition does not hold, with StoreFailure when it cannot write. */
  commit(writes: readonly Write[], durability?: Durability): Promise<void>;
  /** Another text after each commit of anybody's. Undefined, or absent, where that would take asking over a network. */
  generation?(): string | undefined;
  close(): Promise<void>;
}

/** Somebody else wrote first. Read again, decide again. */
export class Conflict extends Error {
  readonly key: Key;

  constructor(key: Key) {
    super(`${key.collection}/${key.id} was written by somebody else`);
    this.name = 'Conflict';
    this.key = key;
  }
}

/**
 * The store cannot be written or read: the disk is full, the network is gone. It may pass. Nothing of the commit is
 * there, as far as can be known: over a network its answer may be lost. Look before trying again.
 */
export class StoreFailure extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'StoreFailure';
  }
}

/** It is there, and cannot be opened with what we were given: no time helps, only another setting. */
export class Unopenable extends StoreFailure {
  constructor(message: string, cause: unknown) {
    super(message, cause);
    this.name = 'Unopenable';
  }
}

/** Whether the same may succeed later, with nobody doing anything to this director. */
export function mayPass(error: unknown): boolean {
  return error instanceof Conflict || (error instanceof StoreFailure && !(error instanceof Unopenable));
}

/** The store will never hold this: trying again is no use. */
export class TooLarge extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TooLarge';
  }
}
