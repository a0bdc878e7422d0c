/** The three calls of Firestore that the store makes. Each is made once and has its time; whether to try again is not decided here. */
import type { v1 } from '@google-cloud/firestore';
import { noCredentials } from '@service-director/shared/cloud/google.ts';

type Client = InstanceType<typeof v1.FirestoreClient>;
type CommitRequest = Parameters<Client['commit']>[0];
type QueryRequest = NonNullable<Parameters<Client['runQuery']>[0]>;

export type DocumentWrite = NonNullable<CommitRequest['writes']>[number];
export type Document = NonNullable<DocumentWrite['update']>;
export type StructuredQuery = NonNullable<QueryRequest['structuredQuery']>;

export interface FirestoreAddress {
  readonly project: string;
  /** `projects/p/databases/(default)`. */
  readonly database: string;
  /** `127.0.0.1:8080`, asked without encryption and credentials; undefined: Google's own. */
  readonly emulator: string | undefined;
}

export interface FirestoreCalls {
  /** Those that are there, whole or with these fields only. */
  read(names: readonly string[], fields?: readonly string[]): Promise<Document[]>;
  /** In the order of the query. `parent` is the document that the collection is in. */
  query(parent: string, structuredQuery: StructuredQuery): Promise<Document[]>;
  /** All or none; tells when each document was changed last, undefined for what was deleted. */
  write(writes: readonly DocumentWrite[]): Promise<(Document['updateTime'] | undefined)[]>;
  close(): Promise<void>;
}

/** Milliseconds after which a call counts as unanswered. Without retries: those of the client would go on for ten minutes. */
const CALL = { timeout: 10_000, retry: null };

export function firestoreCalls({ project, database, emulator }: FirestoreAddress): FirestoreCalls {
  let client: Promise<Client> | undefined;
  let isClosed = false;

  /** Loaded when it is needed first: a director with an embedded store never does. */
  function connected(): Promise<Client> {
    if (isClosed) throw new Error('the store was closed');
    client ??= connect(project, emulator);
    return client;
  }

  return {
    async read(names, fields) {
      const mask = fields ? { mask: { fieldPaths: [...fields] } } : {};
      const request = { database, documents: [...names], ...mask };
      const api = await connected();
      // Here what is missing is told as missing. A call for a single document would say NOT_FOUND, as for a missing database.
      const answers = await answersOf<{ found?: Document }>(api.batchGetDocuments(request, CALL));
      return answers.flatMap(({ found }) => found ?? []);
    },

    async query(parent, structuredQuery) {
      const api = await connected();
      const answers = await answersOf<{ document?: Document }>(
        api.runQuery({ parent, structuredQuery }, CALL),
      );
      return answers.flatMap(({ document }) => document ?? []);
    },

    async write(writes) {
      const api = await connected();
      const [{ writeResults }] = await api.commit({ database, writes: [...writes] }, CALL);
      return writes.map((_, place) => writeResults?.[place]?.updateTime);
    },

    async close() {
      isClosed = true;
      await (await client)?.close();
    },
  };
}

async function connect(projectId: string, emulator: string | undefined): Promise<Client> {
  // CommonJS: only its default export is there in a bundle too.
  const { default: firestore } = await import('@google-cloud/firestore');
  // Without the second the client retries streams, whatever it is told.
  const common = { projectId, gaxServerStreamingRetries: true };
  if (emulator === undefined) return new firestore.v1.FirestoreClient(common);
  const { default: grpc } = await import('@grpc/grpc-js');
  const { hostname, port } = new URL(`http://${emulator}`);
  return new firestore.v1.FirestoreClient({
    ...common,
    servicePath: hostname,
    port: Number(port),
    sslCreds: grpc.credentials.createInsecure(),
    authClient: await noCredentials(),
  });
}

/** All that a stream brings. By its events: to whoever iterates over it, it brings nothing when it may not be retried (gax 6.17). */
function answersOf<T>(stream: NodeJS.ReadableStream): Promise<T[]> {
  const answers: T[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (answer: T) => answers.push(answer));
    stream.on('end', () => resolve(answers));
    stream.on('error', reject);
  });
}
