/**
 * Resumable uploads: sessions that take an object in chunks, over broken connections and restarts.
 *
 *   begun ──chunk──▶ begun ──last chunk──▶ finished (tells the object again)
 *     └──cancel, a week, or the bucket's end──▶ gone
 */
import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { LocalCloud } from '../../cloud.ts';
import { LegacyError } from '../../error.ts';
import { bodyOf, keepContent } from './content.ts';
import type { Checksums, Draft, ObjectStore } from './objects.ts';
import { badRequest } from './refusals.ts';
import type { ObjectVersion } from './versions.ts';

export interface Sessions {
  /** Returns the id of a new session. */
  begin(draft: Draft): string;
  /** Takes a chunk, or tells how far the upload has come. */
  take(id: string, raw: IncomingMessage, checksums: Checksums): Promise<Progress>;
  cancel(id: string): void;
  /** Forgets what is older than a week, and all of a bucket that is gone. */
  sweep(): void;
}

/** The object when all is there, else how many bytes are. */
type Progress = { readonly received: number } | { readonly version: ObjectVersion };

interface Session {
  readonly id: string;
  readonly draft: Draft;
  readonly received: number;
  /** Milliseconds since 1970. */
  readonly begun: number;
  /** Of the object, when the upload is finished. */
  readonly generation?: string;
}

/** What a request says about its bytes; undefined where it says `*`. */
interface Chunk {
  readonly start: number;
  /** Inclusive. */
  readonly end: number | undefined;
  readonly total: number | undefined;
  /** Asks for the progress, and brings no bytes. */
  readonly query: boolean;
}

const WEEK = 7 * 24 * 60 * 60 * 1000;
/** Only whole pieces of this size count before the end. */
const PIECE = 256 * 1024;

export function openSessions(
  cloud: LocalCloud,
  objects: ObjectStore,
  bucketExists: (bucket: string) => boolean,
): Sessions {
  const rows = cloud.store.table<Session>('storage.uploads');
  const dir = join(cloud.store.dir, 'storage-uploads');
  mkdirSync(dir, { recursive: true });
  const pathOf = (id: string): string => join(dir, id);
  /** The requests of one session come one after the other. */
  const busy = new Map<string, Promise<unknown>>();

  for (const file of readdirSync(dir)) if (!rows.has(file)) rmSync(pathOf(file));
  for (const { id, received, generation } of [...rows.values()])
    if (received > 0 && generation === undefined && !existsSync(pathOf(id))) forget(id);

  function forget(id: string): void {
    rows.delete(id);
    rmSync(pathOf(id), { force: true });
  }

  function get(id: string): Session {
    const session = rows.get(id);
    if (!session) throw new LegacyError(404, 'notFound', 'No such upload session.', 'NOT_FOUND');
    return session;
  }

  function finished(session: Session): ObjectVersion | undefined {
    const { draft, generation } = session;
    if (generation === undefined) return undefined;
    const version = objects.find(draft.bucket, draft.name, generation);
    if (!version) throw new LegacyError(410, 'uploadFinished', 'The uploaded object is gone.', 'NOT_FOUND');
    return version;
  }

  async function takeChunk(id: string, raw: IncomingMessage, checksums: Checksums): Promise<Progress> {
    const session = get(id);
    const version = finished(session);
    if (version) return { version };
    const chunk = readChunk(raw.headers['content-range']);
    if (chunk.query) {
      const all = chunk.total !== undefined && chunk.total === session.received;
      return all ? finish(session, checksums) : { received: session.received };
    }
    if (chunk.start > session.received) throw gap(chunk.start, session.received);
    const arrived = await receive(session, chunk, raw);
    const last = chunk.total === undefined ? chunk.end === undefined : arrived === chunk.total;
    if (last) return finish({ ...session, received: arrived }, checksums);
    const received = keep(session, arrived);
    return { received };
  }

  /** Writes the body behind what is there; returns how many bytes there are now. What a broken connection brought counts. */
  async function receive(session: Session, chunk: Chunk, raw: IncomingMessage): Promise<number> {
    const file = await open(pathOf(session.id), existsSync(pathOf(session.id)) ? 'r+' : 'w');
    const limit = chunk.end === undefined ? (chunk.total ?? Number.POSITIVE_INFINITY) : chunk.end + 1;
    let at = chunk.start;
    let arrived = session.received;
    try {
      for await (const bytes of bodyOf(raw)) {
        const fresh = bytes.subarray(Math.max(session.received - at, 0));
        at += bytes.length;
        if (at > limit) throw badRequest('The request has more bytes than its Content-Range says.');
        await file.write(fresh, 0, fresh.length, arrived);
        arrived += fresh.length;
      }
      return arrived;
    } catch (error) {
      keep(session, arrived);
      throw error;
    } finally {
      await file.close();
    }
  }

  function keep(session: Session, arrived: number): number {
    const received = Math.max(session.received, arrived - (arrived % PIECE));
    if (rows.has(session.id)) rows.set(session.id, { ...session, received });
    return received;
  }

  async function finish(session: Session, checksums: Checksums): Promise<Progress> {
    const { id, received } = session;
    get(id);
    const draft: Draft = { ...session.draft, checksums: { ...session.draft.checksums, ...checksums } };
    const source = received === 0 ? none() : createReadStream(pathOf(id), { end: received - 1 });
    const content = await keepContent(cloud.store.blobs, source);
    try {
      const version = objects.write(draft, content);
      rows.set(id, { ...session, generation: version.generation });
      rmSync(pathOf(id), { force: true });
      return { version };
    } catch (error) {
      forget(id);
      throw error;
    }
  }

  return {
    begin(draft) {
      const id = randomBytes(24).toString('base64url');
      rows.set(id, { id, draft, received: 0, begun: cloud.clock.now() });
      return id;
    },
    async take(id, raw, checksums) {
      const turn = (busy.get(id) ?? Promise.resolve())
        .catch(() => {})
        .then(() => takeChunk(id, raw, checksums));
      busy.set(id, turn);
      try {
        return await turn;
      } finally {
        if (busy.get(id) === turn) busy.delete(id);
      }
    },
    cancel(id) {
      get(id);
      forget(id);
    },
    sweep() {
      for (const { id, begun, draft } of [...rows.values()]) {
        if (begun + WEEK <= cloud.clock.now() || !bucketExists(draft.bucket)) forget(id);
      }
    },
  };
}

async function* none(): AsyncGenerator<Buffer> {}

/** `bytes 0-99/200`, `bytes 0-99/*`, `bytes 0-*\/*`, `bytes *\/200`; without a header the body is all that is left. */
function readChunk(header: string | undefined): Chunk {
  if (header === undefined) return { start: 0, end: undefined, total: undefined, query: false };
  const [whole, start, end, total] = /^bytes (?:(\d+)-(-?\d+|\*)|\*)\/(\d+|\*)$/.exec(header.trim()) ?? [];
  if (whole === undefined) throw badRequest(`Failed to parse Content-Range header: ${header}`);
  return {
    start: Number(start ?? 0),
    end: numberOf(end),
    total: numberOf(total),
    query: start === undefined,
  };
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === '*' ? undefined : Number(text);
}

function gap(start: number, received: number): LegacyError {
  return new LegacyError(
    503,
    'backendError',
    `Invalid request.  According to the Content-Range header, the upload offset is ${start} byte(s), which exceeds already uploaded size of ${received} byte(s).`,
    'UNAVAILABLE',
  );
}
