/** Brings a recording back to life: the cloud as it was, and in a file of its own what a director knew of it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { stateFile } from '../director/support/director.ts';
import { PROJECT, REGION, until, type World } from '../director/support/world.ts';

export interface Recording {
  /** The commands as they were sent, oldest first. */
  readonly messages: readonly SentMessage[];
  /** Everything that the director had written down. */
  readonly documents: readonly RecordedDocument[];
}

export interface SentMessage {
  readonly topic: string;
  readonly attributes: Record<string, string>;
  readonly body: string;
}

export interface RecordedDocument {
  readonly collection: string;
  readonly id: string;
  readonly version: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** What the lines of a recording are; `recorded/v1/README.md` says more. */
type Line =
  | { readonly image: RecordedImage }
  | { readonly call: Call }
  | { readonly message: SentMessage }
  | RecordedDocument;

interface RecordedImage {
  readonly name: string;
  readonly config: object;
  readonly manifest: { readonly mediaType: string; readonly config: { readonly digest: string } };
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: object;
}

/** How long ago the recorded process wrote for the last time. Its leases, of 20 seconds, still hold. */
const DEAD_FOR_MS = 16_000;

/** Makes what the cloud held, and the state file of a director of that name, as if it had died a moment ago. */
export async function revive(world: World, name: string): Promise<Recording> {
  const text = readFileSync(join(import.meta.dirname, 'recorded/v1', `${name}.jsonl`), 'utf8');
  const lines = linesOf(atThisTime(text));
  for (const line of lines) if ('image' in line) await push(world, line.image);
  for (const line of lines) if ('call' in line) await play(world, line.call);

  const here: Line[] = JSON.parse(await atThisPlace(JSON.stringify(lines), world));
  const recording = {
    messages: here.flatMap((line) => ('message' in line ? [line.message] : [])),
    documents: here.flatMap((line) => ('collection' in line ? [line] : [])),
  };
  writeState(stateFile(world, name), recording.documents);
  return recording;
}

function linesOf(text: string): Line[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const MOMENTS = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;
/** Of a lease: milliseconds since 1970. */
const LEASE_TIMES = /("(?:claimedAt|heartbeatAt|expiresAt)":)(\d+)/g;

/** The same with all times moved by as much: a command that was begun long ago would be out of time. */
function atThisTime(text: string): string {
  const times = text.match(MOMENTS)?.map((moment) => Date.parse(moment)) ?? [];
  const shift = Date.now() - DEAD_FOR_MS - Math.max(...times);
  return text
    .replace(MOMENTS, (moment) => new Date(Date.parse(moment) + shift).toISOString())
    .replace(LEASE_TIMES, (_, field, time) => `${field}${Number(time) + shift}`);
}

/** The same with what this cloud has given out in the place of `{{uri SERVICE}}`, `{{revision SERVICE}}`, `{{uid ACCOUNT}}`. */
async function atThisPlace(text: string, world: World): Promise<string> {
  const [{ services = [] }, { accounts = [] }] = await Promise.all([
    world.call('GET', `/v2/projects/${PROJECT}/locations/${REGION}/services?pageSize=1000`) as Promise<{
      services?: { name: string; uri: string; latestReadyRevision?: string }[];
    }>,
    world.call('GET', `/v1/projects/${PROJECT}/serviceAccounts?pageSize=100`) as Promise<{
      accounts?: { email: string; uniqueId: string }[];
    }>,
  ]);
  const given = new Map<string, string | undefined>();
  for (const { name, uri, latestReadyRevision } of services) {
    given.set(`uri ${lastPart(name)}`, uri);
    given.set(`revision ${lastPart(name)}`, latestReadyRevision && lastPart(latestReadyRevision));
  }
  for (const { email, uniqueId } of accounts) given.set(`uid ${email.split('@')[0]}`, uniqueId);
  // Of what was gone already only history tells.
  return text.replace(/\{\{([a-z\d -]+)\}\}/g, (token, what) => given.get(what) ?? token);
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

async function play(world: World, { method, path, body }: Call): Promise<void> {
  const here = JSON.parse(await atThisPlace(JSON.stringify(body), world));
  const answer = (await world.call(method, path, here)) as { name?: string; done?: boolean } | undefined;
  if (!path.includes('?serviceId=') || answer?.done) return;
  await until(async () => {
    const operation = (await world.call('GET', `/v2/${answer?.name}`)) as { done?: boolean; error?: object };
    if (!operation.done) throw new Error(`${path} is not done`);
    if (operation.error) throw new Error(`${path} failed: ${JSON.stringify(operation.error)}`);
  });
}

/** By the bytes that were recorded: the digest is part of what the director knew. */
async function push({ running }: World, { name, config, manifest }: RecordedImage): Promise<void> {
  const base = `${running.origin}/v2/${PROJECT}/service-director/${name}`;
  const blob = `${base}/blobs/uploads/?digest=${manifest.config.digest}`;
  await demand(await fetch(blob, { method: 'POST', body: JSON.stringify(config) }));
  const headers = { 'content-type': manifest.mediaType };
  const body = JSON.stringify(manifest);
  await demand(await fetch(`${base}/manifests/latest`, { method: 'PUT', headers, body }));
}

async function demand(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url} answers ${response.status}: ${await response.text()}`);
}

/** The file as version 1 made it: these lines say what was, and stay, whatever becomes of the store. */
const VERSION_1 = `
  PRAGMA journal_mode = WAL;
  CREATE TABLE documents (
    collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (collection, id)
  ) WITHOUT ROWID;
  CREATE INDEX commands_status ON documents (json_extract(json, '$.status'), id)
    WHERE collection = 'commands';
  CREATE INDEX commands_correlationId ON documents (json_extract(json, '$.correlationId'), id)
    WHERE collection = 'commands';
  CREATE INDEX deployments_status ON documents (json_extract(json, '$.status'), id)
    WHERE collection = 'deployments';
  CREATE INDEX deployments_stack ON documents (json_extract(json, '$.stack'), id)
    WHERE collection = 'deployments';
  CREATE INDEX deployments_command ON documents (json_extract(json, '$.command'), id)
    WHERE collection = 'deployments';
`;

function writeState(path: string, documents: readonly RecordedDocument[]): void {
  mkdirSync(dirname(path), { recursive: true });
  const db = new DatabaseSync(path);
  db.exec(VERSION_1);
  const insert = db.prepare('INSERT INTO documents (collection, id, version, json) VALUES (?, ?, ?, ?)');
  db.exec('BEGIN');
  for (const { collection, id, version, value } of documents)
    insert.run(collection, id, version, JSON.stringify(value));
  db.exec('COMMIT');
  db.close();
}
