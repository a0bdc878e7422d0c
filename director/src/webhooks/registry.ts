/** Which webhooks there are, and their secrets: the records in the store, the secrets among the artifacts, encrypted. */
import { randomBytes } from 'node:crypto';
import type { WebhookRequest } from '@service-director/shared/contract/webhook.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import type { Artifacts } from '../store/artifacts.ts';
import { keys, type WebhookRecord, type WebhookSecret } from '../store/records.ts';
import { Conflict, type Store } from '../store/store.ts';
import { removeLog } from './log.ts';
import { newSecret } from './signature.ts';

/** As it is kept. */
export interface Webhook extends WebhookRecord {
  /** Of one that is told with links that decide. */
  readonly approvals?: Approvals;
}

export interface Approvals {
  /** Another after each rotation and each new start: links that say an older one are void. */
  readonly round: string;
  /** What the links begin with; absent where the director did not know its own address. */
  readonly base?: string;
}

export interface RegistryContext {
  readonly store: Store;
  readonly artifacts: Artifacts;
  readonly clock: Clock;
}

/** A webhook with the secret that is never shown again. */
export interface Made {
  readonly record: Webhook;
  readonly secret: string;
}

/** Secrets that sign at one time, so that the signatures fit into a header. */
const MOST_SECRETS = 4;

/** `base`: what links begin with, where that is known. */
export async function createWebhook(
  request: WebhookRequest,
  by: string,
  context: RegistryContext,
  base?: string,
): Promise<Made> {
  const { store, clock } = context;
  const id = `wh_${randomBytes(12).toString('hex')}`;
  const { made, secret } = await makeSecret(id, context);
  const { url, events, scopes, stacks, dry_runs: dryRuns, approvals, description } = request;
  const record: Webhook = {
    id,
    url,
    events,
    scopes,
    stacks,
    dryRuns,
    ...(approvals ? { approvals: { round: newRound(), ...(base === undefined ? {} : { base }) } } : {}),
    ...(description === undefined ? {} : { description }),
    active: true,
    secrets: [made],
    createdAt: timestamp(clock.now()),
    createdBy: by,
  };
  await store.commit([{ type: 'put', key: keys.webhook(id), value: record, if: 'absent' }]);
  return { record, secret };
}

/** Gives it another secret; the old ones sign beside it for `keepMs`. Undefined when there is no such webhook. */
export async function rotateSecret(
  id: string,
  keepMs: number,
  context: RegistryContext,
): Promise<Made | undefined> {
  const { store, artifacts, clock } = context;
  const { made, secret } = await makeSecret(id, context);
  let before: readonly WebhookSecret[] = [];
  const record = await changeWebhook(id, store, (found) => {
    before = found.secrets;
    return { ...inNewRound(found), secrets: [made, ...expiring(found.secrets, clock.now(), keepMs)] };
  });
  const kept = new Set((record?.secrets ?? []).map(({ key }) => key));
  const gone = [...before, made].filter(({ key }) => !kept.has(key));
  await Promise.all(gone.map(({ key }) => artifacts.remove(key)));
  return record && { record, secret };
}

/** Stops it, or starts it again; then links from before are void for good. Undefined when there is no such webhook. */
export function setActive(id: string, active: boolean, store: Store): Promise<Webhook | undefined> {
  return changeWebhook(id, store, ({ disabled: _, ...found }) => ({
    ...(active && !found.active ? inNewRound(found) : found),
    active,
  }));
}

/** False when there was none. What it was to be told is forgotten. */
export async function removeWebhook(
  id: string,
  { store, artifacts }: Omit<RegistryContext, 'clock'>,
): Promise<boolean> {
  const found = await store.get<WebhookRecord>(keys.webhook(id));
  if (!found) return false;
  await store.commit([{ type: 'delete', key: keys.webhook(id), if: 'any' }]);
  await Promise.all(found.value.secrets.map(({ key }) => artifacts.remove(key)));
  await removeLog(id, store);
  return true;
}

/** Writes what `change` makes of it, of whatever others made of it meanwhile. Undefined when there is none. */
export async function changeWebhook(
  id: string,
  store: Store,
  change: (record: Webhook) => Webhook,
): Promise<Webhook | undefined> {
  for (;;) {
    const found = await store.get<Webhook>(keys.webhook(id));
    if (!found) return undefined;
    const value = change(found.value);
    try {
      await store.commit([{ type: 'put', key: keys.webhook(id), value, if: found.version }]);
      return value;
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

/** The secrets to sign with, the newest first. */
export async function signingSecrets(
  { secrets }: WebhookRecord,
  artifacts: Artifacts,
  now: number,
): Promise<string[]> {
  const read = await Promise.all(living(secrets, now).map(({ key }) => artifacts.read(key)));
  return read.flatMap((bytes) => (bytes ? [String(bytes)] : []));
}

/** Each secret is written once, under a name of its own: of two rotations at once neither writes over the other's. */
async function makeSecret(
  id: string,
  { artifacts, clock }: RegistryContext,
): Promise<{ readonly made: WebhookSecret; readonly secret: string }> {
  const key = `webhooks/${id}/${randomBytes(8).toString('hex')}`;
  const secret = newSecret();
  await artifacts.write(key, Buffer.from(secret));
  return { made: { key, createdAt: timestamp(clock.now()) }, secret };
}

function inNewRound(webhook: Webhook): Webhook {
  const { approvals } = webhook;
  return approvals ? { ...webhook, approvals: { ...approvals, round: newRound() } } : webhook;
}

function newRound(): string {
  return randomBytes(8).toString('hex');
}

function expiring(secrets: readonly WebhookSecret[], now: number, keepMs: number): WebhookSecret[] {
  const ends = secrets.map((secret) => ({
    ...secret,
    until: Math.min(secret.until ?? Number.POSITIVE_INFINITY, now + keepMs),
  }));
  return living(ends, now).slice(0, MOST_SECRETS - 1);
}

function living<Secret extends WebhookSecret>(secrets: readonly Secret[], now: number): Secret[] {
  return secrets.filter(({ until }) => until === undefined || until > now);
}
