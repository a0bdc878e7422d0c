/**
 * Which webhooks are told of which status changes.
 *
 * What has to be told is written with the change itself, in one commit: nothing is told that did not happen, and
 * nothing that happened is forgotten. A status that a deployment comes to again is the same delivery, and told once.
 */
import { fits, type WebhookEvent, type WebhookMessage } from '@service-director/shared/contract/webhook.ts';
import { type Clock, timestamp } from '@service-director/shared/kit/clock.ts';
import { failureOf } from '../deployments/report.ts';
import { listAll } from '../store/list-all.ts';
import {
  type DeploymentRecord,
  type DueRecord,
  isEnded,
  keys,
  type WebhookRecord,
} from '../store/records.ts';
import type { Store, Write } from '../store/store.ts';
import { masked } from './mask.ts';

/** Characters of an error; whoever wants all of it asks for the deployment. */
const MOST_ERROR = 2_000;

/** A change of one deployment. `before`: undefined for a new one. */
export interface Changed {
  readonly before: DeploymentRecord | undefined;
  readonly after: DeploymentRecord;
}

interface TellingContext {
  readonly store: Store;
  readonly clock: Clock;
}

/** What is to be written with a status change so that all are told who asked. `before`: undefined for a new deployment. */
export function tellingWrites(
  before: DeploymentRecord | undefined,
  after: DeploymentRecord,
  context: TellingContext,
): Promise<Write[]> {
  return tellingOfAll([{ before, after }], context);
}

/** The same for several in one commit: the webhooks are read once, and not at all where no status changes. */
export async function tellingOfAll(
  changes: readonly Changed[],
  { store, clock }: TellingContext,
): Promise<Write[]> {
  const news = changes.filter(({ before, after }) => before?.status !== after.status);
  if (news.length === 0) return [];
  const rows = await listAll<WebhookRecord>(store, { collection: 'webhooks' });
  const webhooks = rows.map(({ value }) => value);
  return news.flatMap(({ before, after }) => deliveriesFor(before, after, webhooks, clock.now()));
}

/** The same for webhooks that are known. `now`: milliseconds since 1970. */
export function deliveriesFor(
  before: DeploymentRecord | undefined,
  after: DeploymentRecord,
  webhooks: readonly WebhookRecord[],
  now: number,
): Write[] {
  if (before?.status === after.status) return [];
  const type: WebhookEvent = `deployment.${after.status}`;
  const listening = webhooks.filter((webhook) => wants(webhook, type, after));
  if (listening.length === 0) return [];
  const at = isEnded(after.status) ? (after.endedAt ?? timestamp(now)) : timestamp(now);
  const body = JSON.stringify(messageOf(type, after, at));
  return listening.map(({ id: webhook }) =>
    dueWrite({
      id: `${webhook}.${after.id}.${after.status}`,
      webhook,
      type,
      deployment: after.id,
      stack: after.stack,
      ...(after.traceparent === undefined ? {} : { traceparent: after.traceparent }),
      createdAt: at,
      body,
    }),
  );
}

/** What tells a webhook that it works. `mark` tells it from other such tests. */
export function testDelivery(webhook: string, mark: string, now: number): DueRecord {
  const type = 'webhook.test';
  const at = timestamp(now);
  const message: WebhookMessage = { type, timestamp: at, data: { webhook } };
  const id = `${webhook}.test-${mark}.test`;
  return { id, webhook, type, createdAt: at, body: JSON.stringify(message) };
}

/** Whatever stands there already is the same, so its condition is none: a conflict would take the change with it. */
export function dueWrite(value: DueRecord): Write {
  return { type: 'put', key: keys.due(value.id), value, if: 'any' };
}

function wants(webhook: WebhookRecord, type: WebhookEvent, about: DeploymentRecord): boolean {
  const { active, dryRuns, events, scopes, stacks } = webhook;
  return (
    active &&
    (dryRuns || !about.dryRun) &&
    events.some((pattern) => fits(pattern, type)) &&
    scopes.some((pattern) => fits(pattern, about.scope)) &&
    stacks.some((pattern) => fits(pattern, about.stack))
  );
}

function messageOf(type: WebhookEvent, record: DeploymentRecord, at: string): WebhookMessage {
  const { id, command, stack, scope, dataflow, status, operation, dryRun, version, plan, approval } = record;
  const planHash = plan?.hash ?? approval?.planHash;
  return {
    type,
    timestamp: at,
    data: {
      deployment: id,
      command,
      stack,
      scope,
      dataflow,
      status,
      operation,
      dry_run: dryRun,
      ...(version === undefined ? {} : { version }),
      ...(planHash === undefined ? {} : { plan_hash: planHash }),
      ...(approval?.state === 'pending' ? { expires_at: timestamp(approval.expiresAt) } : {}),
      ...troubleOf(record),
    },
  };
}

function troubleOf(record: DeploymentRecord): { error?: string; fix?: string } {
  if (record.status !== 'failed' && record.status !== 'cancelled') return {};
  const { error, fix } = failureOf([record]);
  return {
    error: masked(error, MOST_ERROR),
    ...(fix === undefined ? {} : { fix: masked(fix, MOST_ERROR) }),
  };
}
